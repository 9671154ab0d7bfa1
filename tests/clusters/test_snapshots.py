"""Files are kept as they are when asked for, and nodes are brought to them: only what is lacking travels."""

from __future__ import annotations

import io
import os
import socket
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skynb.errors import ProviderError, SpecError
from skynb_agent import laying
from skynb_clusters import snapshots as snapshots_module
from skynb_clusters.packs import PIECE
from skynb_clusters.snapshots import Snapshots, Source, sources_of


class Node:
    """A node's two folders, and a transport that runs `lay` there; cut: bytes that get through."""

    python, env = ("python3",), {}

    def __init__(self, folder: Path) -> None:
        self.root, self.home = folder / "root", folder / "home"
        self.root.mkdir(parents=True)
        self.home.mkdir()
        self.cut: int | None = None

    def exec(self, argv):
        assert list(argv)[-3:] == ["lay", "--root", self.root]
        return Lay(self)


class Lay:
    """The agent's end in a thread, behind real pipes."""

    def __init__(self, node: Node) -> None:
        down, up = os.pipe(), os.pipe()
        self.stdin = Line(down[1], node.cut)
        self.stdout = os.fdopen(up[0], "rb", buffering=0)
        self._error = ""
        self._thread = threading.Thread(target=self._lay, args=(node, down[0], up[1]))
        self._thread.start()

    def _lay(self, node: Node, source: int, sink: int) -> None:
        with os.fdopen(source, "rb") as stream, os.fdopen(sink, "wb", buffering=0) as answer:
            try:
                counts = laying.lay(stream, answer, node.root, node.home)
                answer.write(f"{laying.json.dumps(counts)}\n".encode())
            except (OSError, ValueError) as error:
                self._error = f"agent: {error}"

    def wait(self, timeout=None) -> int:
        self._thread.join(timeout)
        return 1 if self._error else 0

    def stderr_tail(self) -> str:
        self.stdin.close()
        self._thread.join(20)
        return self._error

    def close(self) -> None:
        self.stdin.close()
        self._thread.join(20)
        self.stdout.close()


class Line(io.FileIO):
    """A pipe that breaks after so many bytes."""

    def __init__(self, handle: int, cut: int | None) -> None:
        super().__init__(handle, "wb")
        self._left = cut

    def write(self, data) -> int:
        if self._left is None:
            return super().write(data) or 0
        if not self._left:
            raise BrokenPipeError("cut")
        count = super().write(data[: self._left]) or 0
        self._left -= count
        return count


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path / "node")


@pytest.fixture
def snapshots(tmp_path):
    return Snapshots(tmp_path / "snapshots", remember_s=0)


@pytest.fixture
def work(tmp_path):
    root = tmp_path / "work"
    root.mkdir()
    return root


def fill(root: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def tree(root: Path) -> dict[str, object]:
    """What is there: contents, links, empty for folders."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder"
    return found


def of(root: Path) -> list[Source]:
    return sources_of(str(root), {})


def test_only_what_is_lacking_travels(node, snapshots, work):
    """An unchanged folder sends no content; a changed file alone; one that was taken away goes."""
    fill(work, {"a.py": "a" * 1000, "b/c.bin": b"\0" * 5000, "d": "", "same": "a" * 1000})
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    first = snapshots.take(of(work))
    assert snapshots.send(first, node) == {"files": 5, "sent": 6010, "deleted": 0}
    assert tree(node.home / "sky_workdir") == tree(work)
    assert os.access(node.home / "sky_workdir/run.sh", os.X_OK)
    assert snapshots.send(first, node) == {"files": 5, "sent": 0, "deleted": 0}
    (work / "b/c.bin").unlink()
    (work / "b").rmdir()
    fill(work, {"a.py": "b" * 1000})
    (node.home / "sky_workdir/made-by-job").write_text("kept")
    assert snapshots.send(snapshots.take(of(work)), node) == {"files": 4, "sent": 1000, "deleted": 1}
    assert tree(node.home / "sky_workdir") == tree(work) | {"made-by-job": b"kept"}


def test_a_snapshot_is_of_the_moment_that_it_was_taken(node, snapshots, work):
    """Later edits of the folder do not reach the node; a drop leaves nothing."""
    fill(work, {"a": "before"})
    taken = snapshots.take(of(work))
    fill(work, {"a": "after!", "b": "new"})
    snapshots.send(taken, node)
    assert tree(node.home / "sky_workdir") == {"a": b"before"}
    snapshots.drop(taken)
    snapshots.drop(taken)
    assert [path for path in snapshots._folder.rglob("*") if path.is_file()] == []


def test_a_copy_outlives_what_it_was_made_of(node, snapshots, work):
    """It costs no second look at the files, and goes by itself."""
    fill(work, {"a": "1"})
    taken = snapshots.take(of(work))
    other = snapshots.copy(taken)
    fill(work, {"a": "2"})
    snapshots.drop(taken)
    snapshots.send(other, node)
    assert tree(node.home / "sky_workdir") == {"a": b"1"}
    snapshots.drop(other)
    assert [path for path in snapshots._folder.rglob("*") if path.is_file()] == []
    with pytest.raises(ProviderError, match="not kept any more"):
        snapshots.copy(taken)


def test_what_a_job_changed_is_not_deleted(node, snapshots, work):
    """A file of an earlier snapshot that a job wrote to is the job's now."""
    fill(work, {"a": "1", "b": "2"})
    snapshots.send(snapshots.take(of(work)), node)
    (node.home / "sky_workdir/b").write_text("result")
    (work / "b").unlink()
    assert snapshots.send(snapshots.take(of(work)), node)["deleted"] == 0
    assert (node.home / "sky_workdir/b").read_text() == "result"


def test_two_sources_share_the_folder(node, snapshots, tmp_path):
    """A second folder does not take away what the first one had put there."""
    for name in ("one", "two"):
        fill(tmp_path / name, {f"{name}.txt": name})
        snapshots.send(snapshots.take(of(tmp_path / name)), node)
    assert set(tree(node.home / "sky_workdir")) == {"one.txt", "two.txt"}


def test_a_cut_leaves_the_old_and_a_retry_goes_on(node, snapshots, work):
    """Until all is whole nothing changes on the node; what had arrived is not sent again."""
    fill(work, {"a": "old", "b": "old"})
    snapshots.send(snapshots.take(of(work)), node)
    before = tree(node.home)
    fill(work, {"a": b"x" * 300_000, "b": b"y" * 300_000})
    taken = snapshots.take(of(work))
    node.cut = 450_000
    with pytest.raises(ProviderError, match="did not take the files"):
        snapshots.send(taken, node)
    assert tree(node.home) == before
    node.cut = None
    assert snapshots.send(taken, node)["sent"] == 300_000
    assert tree(node.home / "sky_workdir") == tree(work)


def test_everything_but_git_and_what_is_ignored_travels(node, snapshots, work):
    """.skyignore is heeded with git's rules, negations and anchors too; .gitignore only without it."""
    names = ("a.py", "data/big.bin", "data/keep.txt", ".git/config", "out/x.log", "src/out/y.py")
    fill(work, {name: name for name in names} | {".gitignore": "a.py\n"})
    snapshots.send(snapshots.take(of(work)), node)
    seen = {name for name, what in tree(node.home / "sky_workdir").items() if what != "folder"}
    assert seen == {".gitignore", "data/big.bin", "data/keep.txt", "out/x.log", "src/out/y.py"}
    fill(work, {".skyignore": "/out/\ndata/*\n!data/keep.txt\n"})
    snapshots.send(snapshots.take(of(work)), node)
    seen = {name for name, what in tree(node.home / "sky_workdir").items() if what != "folder"}
    assert seen == {".gitignore", ".skyignore", "a.py", "data/keep.txt", "src/out/y.py"}


def test_strange_names_empty_folders_and_links(node, snapshots, work):
    """Line breaks, spaces, other alphabets, links inside, folders without files."""
    fill(work, {"a b": "1", "line\nbreak": "2", "größe/日本": "3", "-rf": "4"})
    (work / "empty/deep").mkdir(parents=True)
    (work / "link").symlink_to("größe/日本")
    (work / "größe/up").symlink_to("../a b")
    snapshots.send(snapshots.take(of(work)), node)
    assert tree(node.home / "sky_workdir") == tree(work)


def test_file_mounts_go_where_they_are_meant(node, snapshots, tmp_path):
    """A file and a folder, below the home and below the working folder."""
    fill(tmp_path / "data", {"x/y": "z"})
    fill(tmp_path, {"one.txt": "1"})
    mounts = {"~/in": f"{tmp_path}/data", "conf/one": f"{tmp_path}/one.txt", "~/two": f"{tmp_path}/one.txt"}
    snapshots.send(snapshots.take(sources_of(None, mounts)), node)
    files = {name: what for name, what in tree(node.home).items() if what != "folder"}
    assert files == {"in/x/y": b"z", "sky_workdir/conf/one": b"1", "two": b"1"}


def test_an_absolute_target_is_a_link_that_replaces_nothing(node, snapshots, tmp_path):
    """A folder below the home bears the files; what is in the way stays, and is said."""
    fill(tmp_path / "data", {"x": "1"})
    place = tmp_path / "on node" / "data"
    send = lambda: snapshots.send(snapshots.take(sources_of(None, {f"{place}": f"{tmp_path}/data"})), node)  # noqa: E731
    send()
    assert (place.is_symlink(), tree(place.resolve())) == (True, {"x": b"1"})
    fill(tmp_path / "data", {"x": "2"})
    send()
    assert tree(place.resolve()) == {"x": b"2"}
    for make in (place.mkdir, lambda: place.symlink_to("/nowhere"), place.touch):
        place.unlink()
        make()
        if place.is_dir():
            send()
            assert place.is_symlink()
        else:
            with pytest.raises(ProviderError, match="did not take the files") as refused:
                send()
            assert "cannot lead to the files" in (refused.value.why or "")
            assert not place.exists() or place.read_bytes() == b""


def test_what_is_sent_is_told_while_it_goes(node, snapshots, work):
    """Bytes so far and of how many, piece by piece; nothing where nothing is lacking."""
    fill(work, {"big": os.urandom(PIECE + 10), "small": "1"})
    told = []
    taken = snapshots.take(of(work))
    snapshots.send(taken, node, lambda *step: told.append(step))
    assert told == [(PIECE, PIECE + 11), (PIECE + 10, PIECE + 11), (PIECE + 11, PIECE + 11)]
    snapshots.send(taken, node, lambda *step: told.append(step))
    assert len(told) == 3


@pytest.mark.parametrize("target", ["/", "//", "/a/../b", "../up", "~/../x", "~", "~/", ".", "a/../../b"])
def test_targets_have_a_place(target):
    """Anything else is refused by name, before anything is rented."""
    with pytest.raises(SpecError) as refused:
        sources_of(None, {target: "x"})
    assert refused.value.where == f"file_mounts.{target}"


def test_what_cannot_be_sent_is_refused_by_name(snapshots, work, tmp_path):
    """Pipes, sockets and links to the outside; nothing of the snapshot is left."""
    os.mkfifo(work / "pipe")
    with pytest.raises(SpecError, match="pipe is neither file, folder nor link"):
        snapshots.take(of(work))
    (work / ".skyignore").write_text("pipe\n")
    snapshots.drop(snapshots.take(of(work)))
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(work)
        try:
            server.bind("sock")
        finally:
            os.chdir(here)
        with pytest.raises(SpecError, match="sock is neither"):
            snapshots.take(of(work))
    (work / "sock").unlink()
    (work / "out").symlink_to(tmp_path)
    with pytest.raises(SpecError, match="out is a link to the outside"):
        snapshots.take(of(work))
    with pytest.raises(SpecError, match="there is no folder"):
        of(tmp_path / "nowhere")
    with pytest.raises(SpecError, match="there is no file or folder"):
        snapshots.take(sources_of(None, {"~/x": f"{tmp_path}/nowhere"}))
    assert [path for path in snapshots._folder.rglob("*") if path.is_file()] == []


def test_a_file_that_is_written_to_meanwhile_is_refused(snapshots, work, monkeypatch):
    """Of the same size or not: what would be kept never was."""
    fill(work, {"a": "1111"})
    real = os.fstat
    calls = iter(range(10))

    def written(handle):
        if next(calls) == 1:
            os.utime(work / "a", ns=(1, 1))
        return real(handle)

    monkeypatch.setattr("skynb_clusters.snapshots.os.fstat", written)
    with pytest.raises(SpecError, match="changed while it was read"):
        snapshots.take(of(work))


@pytest.mark.parametrize(
    "card", [None, b"{", b'{"mounts": [{"key": "k", "files": [["a", 420, 1, "sha", 1]]}]}']
)
def test_a_snapshot_that_cannot_be_read_ends_its_job(node, snapshots, work, card):
    """Gone, damaged or of an older version: that is said, and trying again would not help."""
    fill(work, {"a": "1"})
    taken = snapshots.take(of(work))
    path = snapshots._folder / taken / "snapshot.json"
    path.unlink() if card is None else path.write_bytes(card)
    for use in (lambda: snapshots.send(taken, node), lambda: snapshots.key(taken)):
        with pytest.raises(ProviderError, match="not kept any more") as refused:
            use()
        assert refused.value.retryable == "no"


def test_of_a_large_file_only_the_changed_part_travels(node, snapshots, work):
    """A byte in the middle of three pieces costs one of them; the file is whole on the node."""
    data = bytearray(os.urandom(2 * PIECE + 1000))
    fill(work, {"big": bytes(data)})
    assert snapshots.send(snapshots.take(of(work)), node)["sent"] == len(data)
    data[PIECE + 5] ^= 1
    fill(work, {"big": bytes(data), "copy": bytes(data[:100])})
    assert snapshots.send(snapshots.take(of(work)), node)["sent"] == PIECE + 100
    assert tree(node.home / "sky_workdir") == tree(work)


def test_what_is_unchanged_is_not_read_again(node, work, tmp_path, monkeypatch):
    """Only what has another size, time or inode; a file as young as the look at it is not trusted."""
    snapshots = Snapshots(tmp_path / "kept")
    fill(work, {"a": "1", "b": "2"})
    read = []
    real = snapshots_module._Taking._content
    monkeypatch.setattr(
        snapshots_module._Taking,
        "_content",
        lambda self, source, path: read.append(path.name) or real(self, source, path),
    )
    snapshots.drop(snapshots.take(of(work)))
    snapshots.drop(snapshots.take(of(work)))
    assert read == ["a", "b", "a", "b"]
    monkeypatch.setattr(snapshots_module, "TICK_NS", 0)
    read.clear()
    fill(work, {"b": "3"})
    taken = snapshots.take(of(work))
    assert read == ["b"]
    snapshots.send(taken, node)
    assert tree(node.home / "sky_workdir") == {"a": b"1", "b": b"3"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_no_sweep_takes_what_a_snapshot_needs(steps):
    """Whatever is taken and dropped meanwhile, each that is kept can be sent whole; then nothing is left."""
    with TemporaryDirectory() as folder:
        base = Path(folder)
        snapshots, kept = Snapshots(base / "snapshots", remember_s=0), {}
        for number, (which, drop) in enumerate(steps):
            work = base / f"work-{which}"
            fill(work, {"same": "same", "other": f"{which} {number}"})
            taken = snapshots.take(of(work))
            kept[taken] = tree(work)
            if drop:
                victim = next(iter(kept))
                del kept[victim]
                snapshots.drop(victim)
        for at, (taken, wanted) in enumerate(kept.items()):
            node = Node(base / f"node-{at}")
            snapshots.send(taken, node)
            assert tree(node.home / "sky_workdir") == wanted
            snapshots.drop(taken)
        assert [path for path in snapshots._folder.rglob("*") if path.is_file()] == []


def test_a_server_that_died_while_it_took_leaves_nothing(snapshots, work):
    """A half-written pack and a draft of a snapshot are swept with the next drop."""
    fill(work, {"a": "1"})
    taken = snapshots.take(of(work))
    (snapshots._folder / "packs" / ".pack-dead").write_bytes(b"half")
    (snapshots._folder / ".snapshot-dead").mkdir()
    (snapshots._folder / ".snapshot-dead" / "packs").write_text("pack-dead")
    snapshots.drop(taken)
    assert [path for path in snapshots._folder.rglob("*") if path.is_file()] == []


PATHS = st.lists(st.sampled_from(["a", "b", "c d", "ü"]), min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.binary(max_size=30), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(TREES, min_size=1, max_size=4))
def test_any_folder_arrives_after_any_edits(trees):
    """Sent again after each edit the node has what the source has, files that became folders and back too."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots_module, "PIECE", 8)
        base = Path(folder)
        node, snapshots = Node(base / "node"), Snapshots(base / "snapshots")
        for number, wanted in enumerate(trees):
            work = base / "work"
            if work.exists():
                work.rename(base / f"old-{number}")
            work.mkdir()
            for name, data in wanted.items():
                if not any(other != name and other.startswith(f"{name}/") for other in wanted):
                    fill(work, {name: data})
            taken = snapshots.take(of(work))
            snapshots.send(taken, node)
            assert tree(node.home / "sky_workdir") == tree(work)
            assert snapshots.send(taken, node)["sent"] == 0
