"""Files of the server laid over this node's: only what the node lacks is sent, and nothing half-sent is seen.

One line of JSON comes, the snapshot: every mount with its folders, files and links; a file is a list of
pieces, each named by its hash. One line goes back, the pieces that are not here. Those come, one after the
other. The changed files are made apart from their places, of pieces that come and of those that are here, and
when all are whole each takes its place in one step. A try that was cut short leaves what it had got to the
next one. What an earlier snapshot of the same source had put there and this one has not goes, if nobody has
changed it since.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from skynb_agent.streams import UnsafeError, resolves_inside

_KEPT_S = 86400.0
_PIECES_AHEAD = 2
_LEAD = """
mkdir -p "$(dirname "$1")" || exit
if [ -L "$1" ]; then
    case "$(readlink "$1")" in */.skynb-mounts/*) rm "$1";; *) echo "$1 leads elsewhere" >&2; exit 1;; esac
elif [ -d "$1" ]; then rmdir "$1"
elif [ -e "$1" ]; then echo "$1 is a file" >&2; exit 1; fi && ln -s "$2" "$1"
"""
_HASH = re.compile(r"[0-9a-f]{64}")

Place = Tuple[Path, int]  # where a piece is: a file, and the offset in it


class _Piece(NamedTuple):
    """A piece of a file that is being made. place: where it belongs."""

    sha: str
    size: int
    place: Place


def lay(source: BinaryIO, sink: BinaryIO, root: Path, home: Path) -> Dict[str, int]:
    """Bring `home` to the snapshot that `source` tells; counts of files, bytes sent and files deleted.

    UnsafeError for what would reach outside of `home`, ValueError for a broken stream, OSError.
    """
    told = json.loads(source.readline())
    piece = int(told["piece"])
    mounts = [_Mount(mount, piece, root, home) for mount in told["mounts"]]
    here = {sha: place for mount in mounts for sha, place in mount.has()}
    with _Try(root / "laid" / "tries") as attempt:
        needed = [one for mount in mounts for one in mount.draft(attempt)]
        here = {**attempt.found({one.sha for one in needed} - set(here), piece), **here}
        lacking: Dict[str, _Piece] = {}
        for one in needed:
            if one.sha not in here:
                lacking.setdefault(one.sha, one)
        sink.write(json.dumps({"lacking": [*lacking]}).encode() + b"\n")
        sink.flush()
        for one, data in _ahead(source, [*lacking.values()]):
            attempt.write(one.place, data)
            here[one.sha] = one.place
        for one in needed:
            if here[one.sha] != one.place:
                attempt.write(one.place, _read(here[one.sha], one.size))
        attempt.close()
        deleted = sum(mount.put() for mount in mounts)
        attempt.succeeded()
    files = sum(len(mount.files) for mount in mounts)
    return {"files": files, "sent": sum(one.size for one in lacking.values()), "deleted": deleted}


class _Try:
    """The folder of one call, where files are made apart from their places, and what calls that died left.

    Each folder is locked by whoever made it or took it over.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._locks: List[int] = []
        self._left = [path for path in sorted(folder.iterdir()) if self._take(path)]
        self._own = folder / f"{os.getpid()}-{time.time_ns()}"
        self._own.mkdir()
        self._take(self._own)
        self._file: Optional[Tuple[Path, BinaryIO]] = None
        self._count = 0

    def __enter__(self) -> _Try:  # noqa: PYI034 - Self is newer than 3.8
        return self

    def __exit__(self, *_: object) -> None:
        """A call that failed leaves what it had got."""
        self.close()
        with suppress(OSError):
            self._own.rmdir()
        for lock in self._locks:
            os.close(lock)

    def draft(self) -> Path:
        """A file to be made."""
        self._count += 1
        path = self._own / str(self._count)
        path.touch(mode=0o600)
        return path

    def found(self, wanted: Set[str], piece: int) -> Dict[str, Place]:
        """What is wanted and was left by calls that died."""
        found: Dict[str, Place] = {}
        for file in (file for folder in self._left for file in folder.iterdir()):
            for at, data in enumerate(_pieces(file, piece)):
                sha = hashlib.sha256(data).hexdigest()
                if sha in wanted:
                    found[sha] = (file, at * piece)
        return found

    def write(self, place: Place, data: bytes) -> None:
        """Part of a draft; the parts of one follow each other mostly."""
        path, at = place
        if self._file is None or self._file[0] != path:
            self.close()
            self._file = (path, path.open("r+b", buffering=0))
        self._file[1].seek(at)
        view = memoryview(data)
        while view:
            view = view[self._file[1].write(view) :]

    def close(self) -> None:
        """All drafts are as they were written."""
        if self._file is not None:
            self._file[1].close()
            self._file = None

    def succeeded(self) -> None:
        """Nothing is worth taking over."""
        for folder in (self._own, *self._left):
            shutil.rmtree(folder, ignore_errors=True)

    def _take(self, path: Path) -> bool:
        """Lock a folder; False if somebody works there, or it has been left for so long that it goes."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._locks.append(handle)
        if time.time() - os.fstat(handle).st_mtime < _KEPT_S:
            return True
        shutil.rmtree(path, ignore_errors=True)
        return False


class _Mount:
    """One source of the snapshot, and what is known of its earlier ones.

    A file is known by its size, time and pieces when it was laid. piece: bytes of all pieces but the last.
    """

    def __init__(self, told: Dict[str, Any], piece: int, root: Path, home: Path) -> None:
        if not _HASH.fullmatch(told["key"]):
            raise UnsafeError(f"{told['key']!r} is no key of a mount")
        if piece < 1:
            raise ValueError("a piece has bytes")
        self.target = home / _plain(told["target"])
        self.folders: List[List[Any]] = told["folders"]
        self.files: List[List[Any]] = told["files"]
        self.links: List[List[str]] = told["links"]
        self._way = str(told.get("link") or "")
        if self._way and (self._way[0] != "/" or ".." in PurePosixPath(self._way).parts):
            raise UnsafeError(f"{self._way!r} is no absolute path")
        self._piece = piece
        self._home = home
        self._card = root / "laid" / f"{told['key']}.json"
        self._known: Dict[str, Any] = {"files": {}, "links": {}, "folders": []}
        with suppress(FileNotFoundError, ValueError):
            self._known = json.loads(self._card.read_text())
        for path, *_ in (*self.folders, *self.files, *self.links):
            _plain(path)
        for path, goal in self.links:
            if not resolves_inside((self.target / path).parent / goal, self.target):
                raise UnsafeError(f"{path!r} is a link to the outside")
        self._safe_folders: Set[Path] = set()
        self._drafts: Dict[str, Path] = {}  # of files that are not as they should be

    def has(self) -> Iterator[Tuple[str, Place]]:
        """The pieces that files of this source have here now, unchanged since they were laid."""
        for path, (size, mtime, pieces) in self._known["files"].items():
            place = self.target / path
            if isinstance(pieces, list) and _stamp(place) == [size, mtime]:
                yield from ((sha, (place, at * self._piece)) for at, sha in enumerate(pieces))

    def draft(self, attempt: _Try) -> Iterator[_Piece]:
        """Begin the files that are not as they should be; the pieces that they need."""
        for path, _, size, pieces, _ in self.files:
            if self._is(path, size, pieces):
                continue
            draft = self._drafts[path] = attempt.draft()
            for number, sha in enumerate(pieces):
                at = number * self._piece
                if not _HASH.fullmatch(sha) or at >= size:
                    raise ValueError(f"{path!r} is not told as it should be")
                yield _Piece(sha, min(self._piece, size - at), (draft, at))

    def put(self) -> int:
        """Put everything in its place; how many files of earlier snapshots went."""
        deleted = self._forget()
        self._safe_folders.clear()
        for path, mode in self.folders:
            folder = self._safe(path)
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode | 0o700)
        for path, mode, _, _, mtime in self.files:
            place = self._safe(path)
            if path in self._drafts:
                place.parent.mkdir(parents=True, exist_ok=True)
                _put(self._drafts[path], place)
            place.chmod(mode & 0o777)
            os.utime(place, ns=(mtime, mtime))
        for path, goal in self.links:
            self._link(self._safe(path), goal)
        if self._way:
            _lead(self._way, self.target)
        self._remember()
        return deleted

    def _is(self, path: str, size: int, pieces: List[str]) -> bool:
        place = self.target / path
        stamp = _stamp(place)
        if not stamp or stamp[0] != size:
            return False
        known = self._known["files"].get(path)
        if known and known[:2] == stamp:
            return bool(known[2] == pieces)
        return [hashlib.sha256(data).hexdigest() for data in _pieces(place, self._piece)] == pieces

    def _link(self, place: Path, goal: str) -> None:
        if _goal(place) == goal:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.{os.getpid()}.part")
        draft.symlink_to(goal)
        draft.replace(place)

    def _forget(self) -> int:
        deleted, here = 0, {path for path, *_ in (*self.files, *self.links)}
        for path, known in self._known["files"].items():
            place = self.target / path
            if path not in here and _stamp(place) == known[:2]:
                self._safe(path).unlink()
                deleted += 1
        for path, goal in self._known["links"].items():
            place = self.target / path
            if path not in here and _goal(place) == goal:
                self._safe(path).unlink()
                deleted += 1
        kept = {path for path, _ in self.folders}
        for path in sorted(self._known["folders"], reverse=True):
            if path not in kept:
                with suppress(OSError):  # something of a job's is in it, or it is gone
                    self._safe(path).rmdir()
        return deleted

    def _remember(self) -> None:
        files = {path: [*_stamp(self.target / path), pieces] for path, _, _, pieces, _ in self.files}
        card = {"files": files, "links": dict(self.links), "folders": [path for path, _ in self.folders]}
        draft = self._card.with_name(f".{self._card.name}.{os.getpid()}")
        draft.write_text(json.dumps(card))
        draft.replace(self._card)

    def _safe(self, path: str) -> Path:
        """The place of a path; UnsafeError where its folder leads outside through a link."""
        place = self.target / path
        if place.parent not in self._safe_folders:
            if not resolves_inside(place.parent, self._home):
                raise UnsafeError(f"{path!r} leads outside through a link")
            self._safe_folders.add(place.parent)
        return place


def _lead(way: str, target: Path) -> None:
    """Have a path elsewhere lead to a target; OSError where something else is there, or it is not allowed."""
    if _goal(Path(way)) == str(target):
        return
    for sudo in ([], ["sudo", "-n"]):
        argv = [*sudo, "/bin/sh", "-c", _LEAD, "sh", way, str(target)]
        made = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if made.returncode == 0:
            return
    raise OSError(f"{way} cannot lead to the files: {made.stderr.decode(errors='replace').strip()}")


def _plain(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise UnsafeError(f"{path!r} reaches outside its folder")
    return path


def _stamp(place: Path) -> List[int]:
    """Size and time of a regular file; empty for anything else."""
    if place.is_symlink() or not place.is_file():
        return []
    stat = place.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _goal(place: Path) -> str:
    """Where a link leads; empty for anything else."""
    return os.readlink(place) if place.is_symlink() else ""  # noqa: PTH115 - Path.readlink is newer than 3.8


def _pieces(place: Path, size: int) -> Iterator[bytes]:
    with place.open("rb") as file:
        while True:
            data = file.read(size)
            if not data:
                return
            yield data


def _read(source: Place, size: int) -> bytes:
    path, at = source
    with path.open("rb") as file:
        file.seek(at)
        data = file.read(size)
    if len(data) != size:
        raise ValueError(f"{path} has changed meanwhile")
    return data


def _put(draft: Path, place: Path) -> None:
    """Move a file to its place in one step, also from another file system."""
    try:
        draft.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = place.with_name(f".{place.name}.{os.getpid()}.part")
        shutil.copyfile(draft, beside)
        beside.replace(place)


def _ahead(source: BinaryIO, pieces: List[_Piece]) -> Iterator[Tuple[_Piece, bytes]]:
    """Pieces and what the stream has for them, read while the one before is worked on. ValueError."""
    coming: queue.Queue[bytes] = queue.Queue(_PIECES_AHEAD)

    def read() -> None:
        for piece in pieces:
            try:
                coming.put(source.read(piece.size))
            except (OSError, ValueError):  # it broke, or was closed as nobody wants more
                coming.put(b"")

    threading.Thread(target=read, daemon=True).start()
    for piece in pieces:
        data = coming.get()
        if len(data) != piece.size:
            raise ValueError("the stream ended early")
        if hashlib.sha256(data).hexdigest() != piece.sha:
            raise ValueError("a file arrived damaged")
        yield piece, data
