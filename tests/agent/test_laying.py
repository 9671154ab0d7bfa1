"""The agent's end of sending files: what a stream may not do to a node."""

import fcntl
import hashlib
import json
import os

import pytest

KEY = "0" * 64


def told(*, files=(), also=(), links=(), folders=(), target="sky_workdir", key=KEY) -> bytes:
    """A stream for a node that has nothing but the pieces of `also`: the snapshot, then every content."""
    named = [*files, *also]
    entries = [[path, 0o644, len(data), [hashlib.sha256(data).hexdigest()], 1] for path, data in named]
    mount = {
        "key": key,
        "target": target,
        "folders": list(folders),
        "files": entries,
        "links": list(links),
    }
    contents = b"".join({hashlib.sha256(data).hexdigest(): data for _, data in files}.values())
    return json.dumps({"mounts": [mount], "piece": 4096}).encode() + b"\n" + contents


def test_a_tree_is_laid(solo):
    """The answer names what is lacking, and then what was done."""
    stream = told(files=[("d/f", b"1"), ("g", b"22")], links=[["d/up", "../g"]], folders=[["e", 0o755]])
    lines = solo.verb("lay", stdin=stream).stdout.splitlines()
    assert len(json.loads(lines[0])["lacking"]) == 2
    assert json.loads(lines[1]) == {"files": 2, "sent": 3, "deleted": 0}
    assert (solo.home / "sky_workdir/d/up").read_bytes() == b"22"
    assert (solo.home / "sky_workdir/e").is_dir()


@pytest.mark.parametrize(
    "stream",
    [
        told(files=[("/abs", b"x")]),
        told(files=[("../up", b"x")]),
        told(files=[("a/../../up", b"x")]),
        told(links=[["l", "/etc"]]),
        told(links=[["l", "../.."]]),
        told(folders=[["../up", 0o755]]),
        told(target="../up", files=[("a", b"x")]),
        told(target="/tmp/skynb-outside", files=[("a", b"x")]),
        told(key="../config", files=[("a", b"x")]),
        told(files=[("up", b"xyz")])[:-1],
        told(files=[("up", b"xyz")])[:-1] + b"!",
        b"{",
    ],
)
def test_what_a_stream_may_not_do(solo, stream):
    """Absolute names, `..`, links outside, a stream that is cut or damaged: one line, and nothing is laid."""
    done = solo.verb("lay", stdin=stream, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"agent: ")
    assert b"Traceback" not in done.stderr
    assert not (solo.home / "up").exists()
    assert not (solo.home / "sky_workdir/up").exists()


def test_only_what_nobody_works_with_is_taken_over(solo):
    """A try that died leaves its pieces to the next one; one that lives, or died long ago, does not."""
    tries = solo.root / "laid" / "tries"
    for name, data in (("lives", b"11"), ("died", b"22"), ("died-long-ago", b"33")):
        (tries / name).mkdir(parents=True)
        (tries / name / "1").write_bytes(data)
    os.utime(tries / "died-long-ago", (1, 1))
    handle = os.open(tries / "lives", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        stream = told(files=[("f", b"11"), ("h", b"33")], also=[("g", b"22")])
        lines = solo.verb("lay", stdin=stream).stdout.splitlines()
    finally:
        os.close(handle)
    assert json.loads(lines[1]) == {"files": 3, "sent": 4, "deleted": 0}
    assert (solo.home / "sky_workdir/g").read_bytes() == b"22"
    assert [path.name for path in tries.iterdir()] == ["lives"]


def test_nothing_is_written_through_a_link(solo, tmp_path):
    """A job may have put a link in the way of a later snapshot."""
    (solo.home / "sky_workdir").mkdir()
    (solo.home / "sky_workdir/d").symlink_to(tmp_path)
    done = solo.verb("lay", stdin=told(files=[("d/f", b"1")]), check=False)
    assert (done.returncode, list(tmp_path.glob("f"))) == (1, [])
    assert b"leads outside through a link" in done.stderr


def test_a_stream_that_goes_on_is_refused_at_once(solo):
    """What arrives damaged is said while the rest is still to come."""
    stream = told(files=[("f", b"xyz"), ("g", b"1" * 4096)])
    with solo.begin("lay") as child:
        child.stdin.write(stream.partition(b"\n")[0] + b"\n" + b"xy!")
        child.stdin.flush()
        assert child.wait(20) == 1
        assert child.stderr.read() == b"agent: a file arrived damaged\n"
