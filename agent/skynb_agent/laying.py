"""Files of the server laid over this node's: only what the node lacks is sent, and nothing half-sent is seen.

One line of JSON comes, the snapshot: every mount with its folders, files and links; a file is a list of
pieces, each named by its hash. One line goes back, the pieces that are not here. Those come, one after the
other, and are kept by hash until all are whole; a later try finds what an earlier one had. Then the changed
files are made apart from their places, of pieces that came and of those that the older files have, and when
all are made each takes its place in one step. What an earlier snapshot of the same source had put there and
this one has not goes, if nobody has changed it since.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Dict, Iterator, List, Set, Tuple

from skynb_agent.streams import UnsafeError, resolves_inside

_KEPT_S = 86400.0
_HASH = re.compile(r"[0-9a-f]{64}")

Source = Tuple[Path, int]  # where a piece is: a file, and the offset in it


def lay(source: BinaryIO, sink: BinaryIO, root: Path, home: Path) -> Dict[str, int]:
    """Bring `home` to the snapshot that `source` tells; counts of files, bytes sent and files deleted.

    UnsafeError for what would reach outside of `home`, ValueError for a broken stream, OSError.
    """
    told = json.loads(source.readline())
    mounts = [_Mount(mount, int(told["piece"]), root, home) for mount in told["mounts"]]
    store = root / "laid" / "pieces"
    store.mkdir(parents=True, exist_ok=True)
    _sweep(store)
    here: Dict[str, Source] = {}
    for mount in mounts:
        here.update(mount.has())
    sizes = {sha: size for mount in mounts for sha, size in mount.needs()}
    here.update({sha: (store / sha, 0) for sha in sizes if sha not in here and (store / sha).exists()})
    lacking = [sha for sha in sizes if sha not in here]
    sink.write(json.dumps({"lacking": lacking}).encode() + b"\n")
    sink.flush()
    for sha in lacking:
        _receive(source, store / sha, sha, sizes[sha])
        here[sha] = (store / sha, 0)
    drafts: List[Path] = []
    uses = Counter(sha for mount in mounts for sha, _ in mount.needs())
    movable = {sha for sha, count in uses.items() if count == 1 and here[sha][0].parent == store}
    try:
        for mount in mounts:
            drafts += mount.make(here, movable)
        deleted = sum(mount.place() for mount in mounts)
    finally:
        for draft in drafts:
            with suppress(FileNotFoundError):
                draft.unlink()
    for sha in sizes:
        with suppress(FileNotFoundError):
            (store / sha).unlink()
    files = sum(len(mount.files) for mount in mounts)
    return {"files": files, "sent": sum(sizes[sha] for sha in lacking), "deleted": deleted}


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
        self._changed = {path for path, _, size, pieces, _ in self.files if not self._is(path, size, pieces)}

    def has(self) -> Dict[str, Source]:
        """The pieces that files of this source have here now, unchanged since they were laid."""
        found: Dict[str, Source] = {}
        for path, (size, mtime, pieces) in self._known["files"].items():
            place = self.target / path
            if isinstance(pieces, list) and _stamp(place) == [size, mtime]:
                found.update((sha, (place, at * self._piece)) for at, sha in enumerate(pieces))
        return found

    def needs(self) -> Iterator[Tuple[str, int]]:
        """The pieces of files that are not as they should be, with their bytes."""
        for path, _, size, pieces, _ in self.files:
            if path in self._changed:
                for at, sha in enumerate(pieces):
                    yield sha, min(self._piece, size - at * self._piece)

    def make(self, here: Dict[str, Source], movable: Set[str]) -> List[Path]:
        """Make the changed files apart from their places; a movable piece that is a whole file becomes it."""
        drafts = []
        for path, _, size, pieces, _ in self.files:
            if path not in self._changed:
                continue
            place = self._safe(path)
            draft = self._draft(place)
            drafts.append(draft)
            draft.parent.mkdir(parents=True, exist_ok=True)
            if len(pieces) == 1 and pieces[0] in movable:
                here[pieces[0]][0].replace(draft)
                continue
            with draft.open("wb") as file:
                for at, sha in enumerate(pieces):
                    file.write(_read(here[sha], min(self._piece, size - at * self._piece)))
        return drafts

    def place(self) -> int:
        """Put everything in its place; how many files of earlier snapshots went."""
        deleted = self._forget()
        for path, mode in self.folders:
            folder = self._safe(path)
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode | 0o700)
        for path, mode, _, _, mtime in self.files:
            place = self._safe(path)
            if path in self._changed:
                place.parent.mkdir(parents=True, exist_ok=True)
                _put(self._draft(place), place)
            place.chmod(mode & 0o777)
            os.utime(place, ns=(mtime, mtime))
        for path, goal in self.links:
            self._link(self._safe(path), goal)
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

    def _draft(self, place: Path) -> Path:
        """Apart from its place, as a folder on the way there may still be a file."""
        name = hashlib.sha256(str(place).encode()).hexdigest()[:16]
        return self._card.parent / "drafts" / f"{name}.{os.getpid()}"

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
        if not resolves_inside(place.parent, self._home):
            raise UnsafeError(f"{path!r} leads outside through a link")
        return place


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


def _read(source: Source, size: int) -> bytes:
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


def _receive(source: BinaryIO, place: Path, sha: str, size: int) -> None:
    """One piece, kept under its hash once it is whole."""
    if not _HASH.fullmatch(sha):
        raise UnsafeError(f"{sha!r} is no hash")
    data = source.read(size)
    if len(data) != size:
        raise ValueError("the stream ended early")
    if hashlib.sha256(data).hexdigest() != sha:
        raise ValueError("a file arrived damaged")
    draft = place.with_name(f".{sha}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(place)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _sweep(store: Path) -> None:
    """What a try that never came back had left a day ago."""
    for path in (*store.iterdir(), *(store.parent / "drafts").glob("*")):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()
