"""Files of the server laid over this node's: only what the node lacks is sent, and nothing half-sent is seen.

One line of JSON comes, the snapshot: every mount with its folders, files and links. One line goes back, the
hashes of contents that are not here. Those contents come, one after the other, and are kept by hash until all
are whole; a later try finds what an earlier one had. Then each file takes its place in one step, and what an
earlier snapshot of the same source had put there and this one has not goes, if nobody has changed it since.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Dict, List

from skynb_agent.streams import UnsafeError, resolves_inside

_CHUNK = 1 << 20
_KEPT_S = 86400.0
_HASH = re.compile(r"[0-9a-f]{64}")


def lay(source: BinaryIO, sink: BinaryIO, root: Path, home: Path) -> Dict[str, int]:
    """Bring `home` to the snapshot that `source` tells; counts of files, bytes sent and files deleted.

    UnsafeError for what would reach outside of `home`, ValueError for a broken stream, OSError.
    """
    mounts = [_Mount(told, root, home) for told in json.loads(source.readline())["mounts"]]
    store = root / "laid" / "contents"
    store.mkdir(parents=True, exist_ok=True)
    _sweep(store)
    sizes = {sha: size for mount in mounts for sha, size in mount.lacking().items()}
    lacking = [sha for sha in sizes if not (store / sha).exists()]
    sink.write(json.dumps({"lacking": lacking}).encode() + b"\n")
    sink.flush()
    for sha in lacking:
        _receive(source, store, sha, sizes[sha])
    deleted = sum(mount.place(store) for mount in mounts)
    for sha in sizes:
        with suppress(FileNotFoundError):
            (store / sha).unlink()
    files = sum(len(mount.files) for mount in mounts)
    return {"files": files, "sent": sum(sizes[sha] for sha in lacking), "deleted": deleted}


class _Mount:
    """One source of the snapshot, and what is known of its earlier ones.

    A file is known by its size, time and hash when it was laid.
    """

    def __init__(self, told: Dict[str, Any], root: Path, home: Path) -> None:
        if not _HASH.fullmatch(told["key"]):
            raise UnsafeError(f"{told['key']!r} is no key of a mount")
        self.target = home / _plain(told["target"])
        self.folders: List[List[Any]] = told["folders"]
        self.files: List[List[Any]] = told["files"]
        self.links: List[List[str]] = told["links"]
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

    def lacking(self) -> Dict[str, int]:
        """The contents that must come, with their sizes."""
        return {sha: size for path, _, size, sha, _ in self.files if not self._has(path, size, sha)}

    def place(self, store: Path) -> int:
        """Put everything in its place; how many files of earlier snapshots went."""
        deleted = self._forget()
        for path, mode in self.folders:
            folder = self._safe(path)
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode | 0o700)
        for path, mode, size, sha, mtime in self.files:
            self._file(self._safe(path), mode, mtime, store / sha, have=self._has(path, size, sha))
        for path, goal in self.links:
            self._link(self._safe(path), goal)
        self._remember()
        return deleted

    def _has(self, path: str, size: int, sha: str) -> bool:
        place = self.target / path
        if place.is_symlink() or not place.is_file():
            return False
        stat = place.stat()
        if stat.st_size != size:
            return False
        known = self._known["files"].get(path)
        if known and known[:2] == [stat.st_size, stat.st_mtime_ns]:
            return bool(known[2] == sha)
        return _hash_of(place) == sha

    def _file(self, place: Path, mode: int, mtime: int, content: Path, *, have: bool) -> None:
        if not have:
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = place.with_name(f".{place.name}.{os.getpid()}.part")
            shutil.copyfile(content, draft)
            draft.replace(place)
        place.chmod(mode & 0o777)
        os.utime(place, ns=(mtime, mtime))

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
        files = {path: [*_stamp(self.target / path), sha] for path, _, _, sha, _ in self.files}
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


def _hash_of(place: Path) -> str:
    found = hashlib.sha256()
    with place.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                return found.hexdigest()
            found.update(chunk)


def _receive(source: BinaryIO, store: Path, sha: str, size: int) -> None:
    """One content, kept under its hash once it is whole."""
    if not _HASH.fullmatch(sha):
        raise UnsafeError(f"{sha!r} is no hash")
    draft, found, left = store / f".{sha}.{os.getpid()}", hashlib.sha256(), size
    try:
        with draft.open("wb") as file:
            while left:
                chunk = source.read(min(left, _CHUNK))
                if not chunk:
                    raise ValueError("the stream ended early")
                left -= len(chunk)
                found.update(chunk)
                file.write(chunk)
        if found.hexdigest() != sha:
            raise ValueError("a file arrived damaged")
        draft.replace(store / sha)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _sweep(store: Path) -> None:
    """What a try that never came back had left a day ago."""
    for path in store.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()
