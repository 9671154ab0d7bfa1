"""A job's files, as they were when it was asked for: kept then, laid over every node's later.

Each node is told what the snapshot holds, answers which contents it lacks, and gets those; the other end is
the agent's `lay`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NoReturn

import msgspec

from skynb.control.clock import new_id
from skynb.errors import ProviderError, SpecError
from skynb_clusters.contract import Process, Transport

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

WORKDIR = "sky_workdir"
LAY_SECONDS = 600.0
IGNORE_FILES = (".skyignore", ".gitignore")  # the first that is there counts
_CHUNK = 1 << 20


class Source(msgspec.Struct, frozen=True):
    """A file or folder of this machine, and the path on the nodes below their home that it goes to.

    where: the field of the task that names it.
    """

    path: Path
    target: str
    where: str


class _Mount(msgspec.Struct):
    """What one source holds. Paths are relative to the target; a file alone has the empty one.

    key: the same for every snapshot of this source to this target. folders: path, mode. files: path, mode,
    bytes, sha256, mtime in ns. links: path, goal.
    """

    key: str
    target: str
    folders: list[tuple[str, int]] = []
    files: list[tuple[str, int, int, str, int]] = []
    links: list[tuple[str, str]] = []


def sources_of(workdir: str | None, mounts: dict[str, str]) -> list[Source]:
    """What a task sends. A relative target is below the working folder, `~/x` below the home; SpecError."""
    sources = []
    if workdir:
        folder = Path(workdir).expanduser()
        if not folder.is_dir():
            raise SpecError(f"there is no folder {folder}", where="workdir", mend="Check the path")
        sources.append(Source(folder, WORKDIR, "workdir"))
    for target, path in mounts.items():
        below = target[2:] if target.startswith("~/") else f"{WORKDIR}/{target}"
        parts = PurePosixPath(below).parts
        where = f"file_mounts.{target}"
        if target.startswith("/") or ".." in parts or not parts or target in {"~", "~/", "."}:
            mend = "Write `~/PATH`, or a path below the working folder"
            raise SpecError(f"{target!r} is not below the home folder of the nodes", where=where, mend=mend)
        sources.append(Source(Path(path).expanduser(), "/".join(parts), where))
    return sources


class Snapshots:
    """Snapshots below `folder`, by reference."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, sources: Sequence[Source]) -> str:
        """Keep these files as they are now; the answer is the reference.

        SpecError for what cannot be read or sent, and for a file that changes meanwhile.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reference = new_id("snapshot")
        draft = self._folder / f".{reference}"
        draft.mkdir(mode=0o700)
        try:
            with (draft / "contents").open("wb") as contents:
                taking = _Taking(contents)
                mounts = [taking.mount(source) for source in sources]
                contents.flush()
                os.fsync(contents.fileno())
            card = {"mounts": mounts, "at": taking.at}
            (draft / "snapshot.json").write_bytes(msgspec.json.encode(card))
            draft.replace(self._folder / reference)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return reference

    def drop(self, reference: str) -> None:
        """Forget it; dropping twice does nothing."""
        shutil.rmtree(self._folder / reference, ignore_errors=True)

    def key(self, reference: str) -> str:
        """The same for snapshots that lay the same contents in the same places."""
        card = json.loads((self._folder / reference / "snapshot.json").read_bytes())
        plain = [
            [mount["target"], mount["folders"], mount["links"], _lasting(mount)] for mount in card["mounts"]
        ]
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()

    def send(self, reference: str, transport: Transport) -> dict[str, int]:
        """Lay the snapshot over a node's home; blocks. Counts of files, bytes sent, files deleted.

        ProviderError if the node cannot take it; nothing half-sent is in its place then.
        """
        kept = self._folder / reference
        card = json.loads((kept / "snapshot.json").read_bytes())
        agent = [*transport.python, f"{transport.root}/agent.pyz"]
        process = transport.exec([*agent, "lay", "--root", transport.root])
        try:
            _write(process.stdin, json.dumps({"mounts": card["mounts"]}).encode() + b"\n")
            line, rest = _line(process.stdout)
            with (kept / "contents").open("rb") as contents:
                for sha in json.loads(line)["lacking"]:
                    at, size = card["at"][sha]
                    _copy(contents, at, size, process.stdin)
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


class _Taking:
    """Contents written one after the other, each once; at: where each is, as (offset, bytes)."""

    def __init__(self, contents: IO[bytes]) -> None:
        self._contents = contents
        self._end = 0
        self.at: dict[str, tuple[int, int]] = {}

    def mount(self, source: Source) -> _Mount:
        key = hashlib.sha256(f"{source.path.absolute()}\0{source.target}".encode()).hexdigest()
        mount = _Mount(key, source.target)
        try:
            if source.path.is_dir():
                mount.folders.append(("", 0o755))
                for path in _chosen(source.path):
                    self._entry(mount, source, path, path.relative_to(source.path).as_posix())
            elif source.path.exists():
                self._entry(mount, source, source.path.resolve(), "")
            else:
                raise SpecError(f"there is no file or folder {source.path}", where=source.where)
        except (OSError, UnicodeError) as error:
            raise SpecError(f"{source.path} cannot be sent", why=str(error), where=source.where) from error
        return mount

    def _entry(self, mount: _Mount, source: Source, path: Path, name: str) -> None:
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
            mount.files.append((name, stat.S_IMODE(seen.st_mode), *self._content(source, path)))
        else:
            _refuse(source, path, "is neither file, folder nor link")

    def _content(self, source: Source, path: Path) -> tuple[int, str, int]:
        """Bytes, hash and time of a file, kept; SpecError if somebody writes to it meanwhile."""
        found, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            while data := file.read(_CHUNK):
                found.update(data)
                size += len(data)
                self._contents.write(data)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (size, after.st_mtime_ns):
            what = f"{path} changed while it was read"
            raise SpecError(what, where=source.where, mend="Ask again when nobody writes to it")
        sha = found.hexdigest()
        if sha in self.at:
            self._contents.seek(self._end)
            self._contents.truncate()
        else:
            self.at[sha] = (self._end, size)
            self._end += size
        return size, sha, before.st_mtime_ns


def _lasting(mount: dict[str, Any]) -> list[Any]:
    """Its files without their times, which say nothing of what is in them."""
    return [file[:4] for file in mount["files"]]


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


def _copy(contents: IO[bytes], at: int, size: int, target: IO[bytes]) -> None:
    contents.seek(at)
    while size:
        data = contents.read(min(size, _CHUNK))
        if not data:
            raise ValueError("the snapshot is not whole")
        size -= len(data)
        _write(target, data)


def _write(target: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[target.write(view) :]  # an unbuffered pipe takes what it can


def _why(process: Process) -> str:
    return process.stderr_tail().strip().removeprefix("agent: ")
