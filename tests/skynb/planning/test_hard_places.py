"""`skynb plan` and `skynb gpus` in hard places: the same answer as anywhere, or one clear message."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

SKYNB = [sys.executable, "-m", "skynb.cli"]
PLAN = [*SKYNB, "plan", "--infra", "aws/us-east-1", "--gpus", "V100:4", "-o", "json", "nvidia-smi"]
GPUS = [*SKYNB, "gpus", "V100", "--infra", "aws", "-o", "json"]
ROOT = os.geteuid() == 0
NOBODY = 54_321  # has no line in the password file
KNOWN = ("PATH", "LANG", "VIRTUAL_ENV", "COVERAGE_PROCESS_START", "SYSTEMROOT")


def nobody():
    """Whether another user can run this interpreter, which may lie in root's own home."""
    try:
        return ROOT and subprocess.run([sys.executable, "-c", ""], user=NOBODY, check=False).returncode == 0
    except OSError:
        return False


as_nobody = pytest.mark.skipif(not nobody(), reason="no other user can run this interpreter here")


@pytest.fixture
def place():
    """A folder that every user may reach, with a home and a folder for temporary files in it."""
    with tempfile.TemporaryDirectory(prefix="skynb-hard-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for inner in ("home", "tmp"):
            (folder / inner).mkdir()
            (folder / inner).chmod(0o777)
        yield folder


def environment(place, **changes):
    """What a process gets: nothing of this one's homes; None takes a word away."""
    given = {key: os.environ[key] for key in KNOWN if key in os.environ}
    given |= {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp")} | changes
    return {key: value for key, value in given.items() if value is not None}


def run(place, command=PLAN, *, user=None, limit=None, **changes):
    others = {"user": user, "group": user, "extra_groups": []} if user is not None else {}
    if limit is not None:
        others["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment(place, **changes),
        cwd=place,
        timeout=60,
        **others,
    )


def in_namespace(script, command):
    """The command after a script, in a mount namespace of its own, where mounts end with it."""
    return ["unshare", "-m", "sh", "-c", f'set -e; {script}; exec "$@"', "sh", *command]


def can(*command):
    return ROOT and shutil.which(command[0]) and not subprocess.run(command, check=False).returncode


def right(done):
    """The plan that is the same everywhere: p3.8xlarge at $12.24."""
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    choice = found["tasks"][0]["choice"]
    assert (choice["instance_type"], choice["hourly_micro"]) == ("p3.8xlarge", 12_240_000)
    return found["hash"]


def refused(done, *words):
    """One clear message, what and why and the mend, and no traceback."""
    assert done.returncode == 1, done.stdout
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr.replace("Error:", "")
    assert len(done.stderr.strip().splitlines()) <= 4, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def kind_place():
    with tempfile.TemporaryDirectory(prefix="skynb-kind-") as name:
        (Path(name) / "tmp").mkdir()
        right(run(Path(name)))
        yield Path(name)


@pytest.fixture(scope="module")
def expected(kind_place):
    """The answers of a kind place: the hash of the plan, and the table of accelerators."""
    table = run(kind_place, GPUS)
    assert table.returncode == 0, table.stderr
    return right(run(kind_place)), table.stdout


@pytest.fixture
def cached(place, kind_place):
    """The database in the cache of the place, already made."""
    folder = place / "home/.cache/skynb"
    shutil.copytree(kind_place / "home/.cache/skynb", folder)
    (made,) = folder.glob("*.sqlite")
    return made


@pytest.mark.skipif(not can("unshare", "-n", "true"), reason="no network namespace can be made here")
def test_without_any_network(place, expected):
    """Not even a loopback: nothing asks for it."""
    assert right(run(place, ["unshare", "-n", *PLAN])) == expected[0]
    assert run(place, ["unshare", "-n", *GPUS]).stdout == expected[1]


@pytest.mark.skipif(ROOT and not nobody(), reason="permissions do not stop root")
def test_a_home_that_cannot_be_written(place, expected):
    """The catalog is unpacked into a folder of the process, and that is gone with it."""
    (place / "home").chmod(0o555)
    user = NOBODY if ROOT else None
    assert right(run(place, user=user)) == expected[0]
    assert run(place, GPUS, user=user).stdout == expected[1]
    assert list((place / "home").iterdir()) == list((place / "tmp").iterdir()) == []
    (place / "home").chmod(0o755)


@pytest.mark.skipif(not can("unshare", "-m", "true"), reason="no mount namespace can be made here")
def test_a_home_on_a_read_only_disk(place, expected):
    """Even for root."""
    home = place / "home"
    mount = f"mount -t tmpfs -o ro none {home}"
    assert right(run(place, in_namespace(mount, PLAN))) == expected[0]
    assert run(place, in_namespace(mount, GPUS)).stdout == expected[1]


def test_no_home_but_a_cache(place, expected):
    """Without $HOME the words of skynb are enough."""
    own = {"HOME": None, "SKYNB_CACHE_DIR": str(place / "own"), "SKYNB_HOME": str(place / "state")}
    assert right(run(place, **own)) == expected[0]
    assert run(place, GPUS, **own).stdout == expected[1]


@as_nobody
def test_no_home_at_all(place, expected):
    """A user without $HOME and without a line in the password file, as containers have them."""
    assert right(run(place, user=NOBODY, HOME=None)) == expected[0]
    assert run(place, GPUS, user=NOBODY, HOME=None).stdout == expected[1]


@pytest.mark.parametrize("number", [2, 8])
def test_processes_that_begin_together(place, expected, number):
    """Each unpacks the catalog, and one file stays."""
    commands = [(PLAN, GPUS)[turn % 2] for turn in range(number)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(place), cwd=place, text=True)
        for command in commands
    ]
    answers = [process.communicate(timeout=100)[0] for process in running]
    assert [process.returncode for process in running] == [0] * number
    assert {json.loads(answer)["hash"] for answer in answers[::2]} == {expected[0]}
    assert set(answers[1::2]) == {expected[1]}
    assert sorted(path.suffix for path in (place / "home/.cache/skynb").iterdir()) == [".seal", ".sqlite"]


def foreign(path):
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE recipes (cake TEXT)")
    db.commit()
    db.close()


DAMAGE = {
    "truncated": lambda path: os.truncate(path, 4096 * 100 + 17),
    "empty": lambda path: os.truncate(path, 0),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "zeros behind the header": lambda path: path.write_bytes(
        path.read_bytes()[: 4096 * 20] + bytes(path.stat().st_size - 4096 * 20)
    ),
    "another database": foreign,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache(place, cached, expected, damage):
    """It is built anew, or passed over; the answer is the same."""
    damage(cached)
    assert right(run(place)) == expected[0]
    assert run(place, GPUS).stdout == expected[1]


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes(place, cached, expected, seed):
    """Bytes changed in a third of all pages, in a few, in one: the answer is the same, never a wrong one."""
    chance = random.Random(seed)
    held = bytearray(cached.read_bytes())
    pages = len(held) // 4096
    for page in chance.sample(range(pages), (pages // 3, 5, 1, 1)[seed]):
        for _ in range(8 if seed < 3 else 1):
            held[page * 4096 + chance.randrange(4096)] ^= chance.randrange(1, 256)
    cached.write_bytes(held)
    assert right(run(place)) == expected[0]
    assert run(place, GPUS).stdout == expected[1]


@pytest.mark.skipif(not can("unshare", "-m", "true"), reason="no mount namespace can be made here")
def test_a_full_disk(place, expected):
    """1 MiB is too little for the cache: a temporary folder does; without that too, one clear error."""
    full = place / "full"
    full.mkdir()
    command = in_namespace(f"mount -t tmpfs -o size=1m none {full}; mkdir {full}/tmp", PLAN)
    assert right(run(place, command, SKYNB_CACHE_DIR=str(full))) == expected[0]
    done = run(place, command, SKYNB_CACHE_DIR=str(full), TMPDIR=str(full / "tmp"))
    refused(done, "the catalog cannot be unpacked", "SKYNB_CACHE_DIR")


def test_no_file_may_grow(place):
    """A limit on the size of files is a full disk that needs no root: one clear error, nothing left."""
    done = run(place, limit=1 << 20)
    refused(done, "the catalog cannot be unpacked", "SKYNB_CACHE_DIR")
    assert list((place / "home/.cache/skynb").iterdir()) == []
    assert list((place / "tmp").iterdir()) == []


def test_a_cache_folder_that_is_a_file(place, expected):
    """It stays as it is, and the answer too."""
    (place / "note").write_text("mine")
    assert right(run(place, SKYNB_CACHE_DIR=str(place / "note"))) == expected[0]
    assert (place / "note").read_text() == "mine"


@pytest.mark.parametrize("name", ["with spaces/größe/キャッシュ", "a%20b?c#d'e\"f;"])
def test_a_cache_folder_of_any_name(place, expected, name):
    """The database is made there, found there, and used again."""
    for _ in range(2):
        assert right(run(place, SKYNB_CACHE_DIR=str(place / name))) == expected[0]
    assert sorted(path.suffix for path in (place / name).iterdir()) == [".seal", ".sqlite"]
    assert list((place / "tmp").iterdir()) == []


def test_killed_while_unpacking(place, expected):
    """What a killed process leaves is never taken for a catalog."""
    folder = place / "home/.cache/skynb"
    process = subprocess.Popen(PLAN, stdout=subprocess.DEVNULL, env=environment(place), cwd=place)
    until = time.monotonic() + 30
    while not list(folder.glob("*.part")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert list(folder.glob("*.sqlite")) == []
    assert right(run(place)) == expected[0]
    assert len(list(folder.glob("*.sqlite"))) == 1
