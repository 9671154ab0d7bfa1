"""A job's files, as they were when it was asked for: kept then, laid over every node's later.

Each node is told what the snapshot holds, answers which pieces it lacks, and gets those; the other end is the
agent's `lay`. A file that is as it was in an earlier snapshot is not read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, NoReturn

import msgspec

from skynb.control.clock import new_id
from skynb.control.secrets import write_private
from skynb.errors import ProviderError, SpecError
from skynb_clusters.contract import Process, Transport
from skynb_clusters.packs import PIECE, Draft, Packs, Place
from skynb_clusters.transports.openssh import bulk

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

WORKDIR = "sky_workdir"
OUTSIDE = ".skynb-mounts"  # below the home; a link leads here from where the files are meant to be
LAY_SECONDS = 600.0
TICK_NS = 2_000_000_000  # the coarsest clock of a file system in use
IGNORE_FILES = (".skyignore", ".gitignore")  # the first that is there counts
_CHUNK = 1 << 20


class Source(msgspec.Struct, frozen=True):
    """A file or folder of this machine, and the path on the nodes below their home that it goes to.

    where: the field of the task that names it. link: the absolute path that shall lead to it, or empty.
    """

    path: Path
    target: str
    where: str
    link: str = ""


class _Mount(msgspec.Struct):
    """What one source holds. Paths are relative to the target; a file alone has the empty one.

    key: the same for every snapshot of this source to this target. folders: path, mode. files: path, mode,
    bytes, its pieces by hash, mtime in ns. links: path, goal. link: as in Source.
    """

    key: str
    target: str
    folders: list[tuple[str, int]] = []
    files: list[tuple[str, int, int, list[str], int]] = []
    links: list[tuple[str, str]] = []
    link: str = ""


class _Card(msgspec.Struct):
    """A snapshot. at: where each piece is."""

    mounts: list[_Mount]
    at: dict[str, Place]


class _Known(msgspec.Struct):
    """What was found in a source when it was looked at last, at `looked_at` (ns since the epoch).

    files: path -> size, mtime, ctime, inode, pieces.
    """

    looked_at: int = 0
    files: dict[str, tuple[int, int, int, int, list[str]]] = {}
    at: dict[str, Place] = {}


def sources_of(workdir: str | None, mounts: dict[str, str]) -> list[Source]:
    """What a task sends; SpecError.

    A relative target is below the working folder, `~/x` below the home, `/x` just there, by a link.
    """
    sources = []
    if workdir:
        folder = Path(workdir).expanduser()
        if not folder.is_dir():
            raise SpecError(f"there is no folder {folder}", where="workdir", mend="Check the path")
        sources.append(Source(folder, WORKDIR, "workdir"))
    for target, path in mounts.items():
        where = f"file_mounts.{target}"
        below, link = _place(target)
        if not below or ".." in PurePosixPath(target).parts:
            mend = "Write `~/PATH`, `/PATH`, or a path below the working folder"
            raise SpecError(f"{target!r} is no place for files on the nodes", where=where, mend=mend)
        sources.append(Source(Path(path).expanduser(), below, where, link))
    return sources


def _place(target: str) -> tuple[str, str]:
    """Where files go below the home, empty for nowhere, and the absolute path that shall lead there."""
    if target.startswith("/"):
        link = "/" + os.path.normpath(target).lstrip("/")
        return (f"{OUTSIDE}{link}", link) if link != "/" else ("", "")
    below = PurePosixPath(target.removeprefix("~/").lstrip("/"))
    if target == "~" or not below.parts:
        return "", ""
    return str(below if target.startswith("~/") else WORKDIR / below), ""


class Snapshots:
    """Snapshots below `folder`, by reference.

    What was found in a source is remembered for `remember_s` seconds, with its contents, so that the next
    snapshot of it reads only what has changed since.
    """

    def __init__(self, folder: Path, remember_s: float = 86_400.0) -> None:
        self._folder = folder
        self._known = folder / "known"
        self._packs = Packs(folder / "packs")
        self._remember_s = remember_s
        self._lock = threading.Lock()
        self._held: list[frozenset[str]] = []

    def take(self, sources: Sequence[Source]) -> str:
        """Keep these files as they are now; the answer is the reference.

        SpecError for what cannot be read or sent, and for a file that changes meanwhile.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reference, pack = new_id("snapshot"), self._packs.draft()
        with self._lock:
            known = [self._remembered(_key(source)) for source in sources]
            packs = {at[0] for one in known for at in one.at.values()}
            held = frozenset({f".{reference}", pack.file_name, pack.name, *packs})
            self._held.append(held)
        try:
            taking = _Taking(pack, known)
            mounts = [taking.mount(source, one) for source, one in zip(sources, known, strict=True)]
            pack.keep()
            self._write(reference, _Card(mounts, taking.at), taking.found)
        finally:
            pack.drop()
            with self._lock:
                self._held.remove(held)
                self._sweep()
        return reference

    def copy(self, reference: str) -> str:
        """The same files under another reference, dropped by itself. ProviderError if they are not kept."""
        self._card(reference)
        other = new_id("snapshot")
        draft = self._folder / f".{other}"
        with self._lock:  # no sweep takes the draft meanwhile
            draft.mkdir(mode=0o700)
            for name in ("packs", "snapshot.json"):
                os.link(self._folder / reference / name, draft / name)
            draft.replace(self._folder / other)
        return other

    def drop(self, reference: str) -> None:
        """Forget it; dropping twice does nothing."""
        shutil.rmtree(self._folder / reference, ignore_errors=True)
        with self._lock:
            self._sweep()

    def key(self, reference: str) -> str:
        """The same for snapshots that lay the same contents in the same places."""
        plain = [
            [mount.target, mount.folders, mount.links, [file[:4] for file in mount.files]]
            for mount in self._card(reference).mounts
        ]
        return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()

    def send(
        self, reference: str, transport: Transport, tell: Callable[[int, int], None] = lambda *_: None
    ) -> dict[str, int]:
        """Lay the snapshot over a node's home; blocks. Counts of files, bytes sent, files deleted.

        tell: called with the bytes sent so far, and of how many. ProviderError if the node cannot take it;
        nothing half-sent is in its place then.
        """
        card = self._card(reference)
        agent = [*transport.python, f"{transport.root}/agent.pyz"]
        process = bulk(transport, [*agent, "lay", "--root", transport.root])
        try:
            told = {"mounts": msgspec.to_builtins(card.mounts), "piece": PIECE}
            _write(process.stdin, msgspec.json.encode(told) + b"\n")
            line, rest = _line(process.stdout)
            lacking = [card.at[sha] for sha in json.loads(line)["lacking"]]
            sent, of = 0, sum(size for _, _, size in lacking)
            for data in self._packs.read(lacking):
                _write(process.stdin, data)
                sent += len(data)
                tell(sent, of)
            process.stdin.close()
            while more := process.stdout.read(_CHUNK):
                rest += more
            if process.wait(LAY_SECONDS) != 0:
                raise ProviderError("the node did not take the files", why=_why(process))
            counts: dict[str, int] = json.loads(rest)
        except (OSError, TimeoutError, ValueError, KeyError) as error:
            why = _why(process) or str(error)
            raise ProviderError("the node did not take the files", why=why) from error
        else:
            return counts
        finally:
            process.close()

    def _card(self, reference: str) -> _Card:
        try:
            return msgspec.json.decode((self._folder / reference / "snapshot.json").read_bytes(), type=_Card)
        except (OSError, msgspec.DecodeError) as error:
            raise ProviderError(
                "the job's files are not kept any more",
                why=f"{reference} is gone, or an older version of the server kept it",
                mend="Launch the job again",
                retryable="no",
            ) from error

    def _write(self, reference: str, card: _Card, found: dict[str, _Known]) -> None:
        self._known.mkdir(mode=0o700, exist_ok=True)
        for key, known in found.items():
            write_private(self._known / key, msgspec.json.encode(known))
        draft = self._folder / f".{reference}"
        draft.mkdir(mode=0o700)
        write_private(draft / "packs", "\n".join(sorted({at[0] for at in card.at.values()})).encode())
        write_private(draft / "snapshot.json", msgspec.json.encode(card))
        draft.replace(self._folder / reference)

    def _remembered(self, key: str) -> _Known:
        try:
            known = msgspec.json.decode((self._known / key).read_bytes(), type=_Known)
        except (FileNotFoundError, msgspec.DecodeError):
            return _Known()
        return known if all(map(self._packs.has, {at[0] for at in known.at.values()})) else _Known()

    def _sweep(self) -> None:
        """Forget what was looked at long ago, and packs that nothing names."""
        needed: set[str] = set().union(*self._held)
        for path in self._known.iterdir() if self._known.exists() else ():
            if time.time() - path.stat().st_mtime >= self._remember_s:
                path.unlink(missing_ok=True)
            elif (self._known / path.name).is_file() and not path.name.startswith("."):
                known = msgspec.json.decode(path.read_bytes(), type=_Known)
                needed |= {at[0] for at in known.at.values()}
        for packs in self._folder.glob("snapshot-*/packs"):
            needed |= set(packs.read_text().split())
        for dead in self._folder.glob(".snapshot-*"):
            if dead.name not in needed:
                shutil.rmtree(dead, ignore_errors=True)
        self._packs.sweep(needed)


class _Taking:
    """A look at sources. at: where each piece is that they need; found: what to remember of each."""

    def __init__(self, pack: Draft, known: Sequence[_Known]) -> None:
        self._pack = pack
        self._places = {sha: place for one in known for sha, place in one.at.items()}
        self.at: dict[str, Place] = {}
        self.found: dict[str, _Known] = {}

    def mount(self, source: Source, known: _Known) -> _Mount:
        mount = _Mount(_key(source), source.target, link=source.link)
        now = _Known(looked_at=time.time_ns())
        try:
            if source.path.is_dir():
                mount.folders.append(("", 0o755))
                for path in _chosen(source.path):
                    self._entry(mount, source, path, path.relative_to(source.path).as_posix(), (known, now))
            elif source.path.exists():
                self._entry(mount, source, source.path.resolve(), "", (known, now))
            else:
                raise SpecError(f"there is no file or folder {source.path}", where=source.where)
        except (OSError, UnicodeError) as error:
            raise SpecError(f"{source.path} cannot be sent", why=str(error), where=source.where) from error
        now.at = {sha: self.at[sha] for file in now.files.values() for sha in file[4]}
        self.found[mount.key] = now
        return mount

    def _entry(
        self, mount: _Mount, source: Source, path: Path, name: str, looks: tuple[_Known, _Known]
    ) -> None:
        name.encode()  # a name that is no text cannot be told to a node
        seen = path.lstat()
        if stat.S_ISDIR(seen.st_mode):
            mount.folders.append((name, stat.S_IMODE(seen.st_mode)))
        elif stat.S_ISLNK(seen.st_mode):
            goal = path.readlink()
            if goal.is_absolute() or not _inside(path.parent / goal, source.path):
                _refuse(source, path, "is a link to the outside")
            mount.links.append((name, goal.as_posix()))
        elif stat.S_ISREG(seen.st_mode):
            before, now = looks
            pieces = _unchanged(before, name, seen)
            if pieces is None:
                seen, pieces = self._content(source, path)
            self.at.update((sha, self._places[sha]) for sha in pieces)
            now.files[name] = (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, pieces)
            mount.files.append((name, stat.S_IMODE(seen.st_mode), seen.st_size, pieces, seen.st_mtime_ns))
        else:
            _refuse(source, path, "is neither file, folder nor link")

    def _content(self, source: Source, path: Path) -> tuple[os.stat_result, list[str]]:
        """A file's pieces, kept; SpecError if somebody writes to it meanwhile."""
        pieces, size = [], 0
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            while data := file.read(PIECE):
                sha = hashlib.sha256(data).hexdigest()
                if sha not in self._places:
                    self._places[sha] = self._pack.add(data)
                pieces.append(sha)
                size += len(data)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (size, after.st_mtime_ns):
            what = f"{path} changed while it was read"
            raise SpecError(what, where=source.where, mend="Ask again when nobody writes to it")
        return before, pieces


def _key(source: Source) -> str:
    return hashlib.sha256(f"{source.path.absolute()}\0{source.target}".encode()).hexdigest()


def _unchanged(known: _Known, name: str, seen: os.stat_result) -> list[str] | None:
    """The pieces of a file that is as it was; None where that is not certain.

    A file that was written shortly before it was looked at may have been written again within one tick of its
    clock.
    """
    before = known.files.get(name)
    now = (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
    if before is None or before[:4] != now or max(now[1:3]) > known.looked_at - TICK_NS:
        return None
    return before[4]


def _refuse(source: Source, path: Path, what: str) -> NoReturn:
    mend = f"Take it away, or name it in {IGNORE_FILES[0]}"
    raise SpecError(f"{path} {what} and cannot be sent", where=source.where, mend=mend)


def _inside(path: Path, folder: Path) -> bool:
    goal, root = Path(os.path.normpath(path)), Path(os.path.normpath(folder))
    return goal == root or root in goal.parents


def _chosen(root: Path) -> Iterator[Path]:
    """What travels: everything but `.git` and what the ignore file names; folders before what is in them."""
    ignored = _ignored(root)
    for folder, names, files in os.walk(root, onerror=_raise):
        here = Path(folder)
        inside = here.relative_to(root)
        names[:] = sorted(
            name
            for name in names
            if name != ".git" and not _matches(ignored, f"{(inside / name).as_posix()}/")
        )
        for name in sorted([*names, *files]):
            path = here / name
            if name in names or not _matches(ignored, (inside / name).as_posix()):
                yield path


def _raise(error: OSError) -> NoReturn:
    raise error


def _ignored(root: Path) -> GitIgnoreSpec | None:
    from pathspec import GitIgnoreSpec

    for name in IGNORE_FILES:
        if (root / name).is_file():
            return GitIgnoreSpec.from_lines((root / name).read_text(errors="replace").splitlines())
    return None


def _matches(ignored: GitIgnoreSpec | None, path: str) -> bool:
    return ignored is not None and ignored.match_file(path)


def _line(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """The first line, and what came with it."""
    text = b""
    while b"\n" not in text:
        more = stream.read(_CHUNK)
        if not more:
            raise ValueError("the node hung up")
        text += more
    line, _, rest = text.partition(b"\n")
    return line, rest


def _write(target: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[target.write(view) :]  # an unbuffered pipe takes what it can


def _why(process: Process) -> str:
    return process.stderr_tail().strip().removeprefix("agent: ")
