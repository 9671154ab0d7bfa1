"""Contents kept once: pieces of files, one after the other in packs that never change.

A piece is at most PIECE bytes of a file, named by its SHA-256. Snapshots, and what is known of folders that
were looked at lately, name the packs that they need; what nobody names goes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

from skynb.control.clock import new_id

PIECE = 4 << 20
_WAITING = 8  # pieces in memory
_STRETCH = 16 << 20  # bytes between looks at what can go from memory
Place = tuple[str, int, int]  # pack, offset, bytes


class Packs:
    """The packs below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def draft(self) -> Draft:
        """A new pack; it counts once it is kept."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Draft(self._folder / new_id("pack"))

    def has(self, pack: str) -> bool:
        return (self._folder / pack).exists()

    def read(self, places: Collection[Place]) -> Iterator[bytes]:
        """The pieces in these places, in order. ValueError for one that is not whole."""
        open_packs: dict[str, IO[bytes]] = {}
        read = 0
        try:
            for pack, at, size in places:
                if pack not in open_packs:
                    open_packs[pack] = (self._folder / pack).open("rb")
                open_packs[pack].seek(at)
                data = open_packs[pack].read(size)
                if len(data) != size:
                    raise ValueError(f"{pack} is not whole")
                yield data
                read += size
                if read // _STRETCH != (read - size) // _STRETCH:
                    _let_go(open_packs[pack])
        finally:
            for file in open_packs.values():
                file.close()

    def sweep(self, needed: Collection[str]) -> None:
        """Drop what is not needed, drafts of dead servers too."""
        for path in self._folder.iterdir() if self._folder.exists() else ():
            if path.name not in needed:
                path.unlink(missing_ok=True)


class Draft:
    """A pack that is being written, while whoever adds to it reads on."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._draft = path.with_name(f".{path.name}")
        self._file: IO[bytes] | None = None
        self._end = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="pack")
        self._writing: deque[Future[None]] = deque()

    @property
    def file_name(self) -> str:
        """What a sweep must leave meanwhile."""
        return self._draft.name

    def add(self, data: bytes) -> Place:
        """Keep a piece; where it will be. OSError if an earlier one could not be written."""
        if self._file is None:
            handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(handle, "wb", buffering=0)
        if len(self._writing) > _WAITING:
            self._writing.popleft().result()
        place = (self.name, self._end, len(data))
        self._end += len(data)
        settle = place[1] // _STRETCH != self._end // _STRETCH
        self._writing.append(self._writer.submit(_write, self._file, data, settle=settle))
        return place

    def keep(self) -> None:
        """All of it is on the disk when this returns."""
        if self._file is not None:
            for write in self._writing:
                write.result()
            os.fsync(self._file.fileno())
            self._close()
            self._draft.replace(self._path)

    def drop(self) -> None:
        """Forget it; after `keep` this does nothing."""
        if self._file is not None:
            self._close()
            self._draft.unlink(missing_ok=True)

    def _close(self) -> None:
        self._writer.shutdown(cancel_futures=True)
        if self._file is not None:
            self._file.close()
            self._file = None


def _write(file: IO[bytes], data: bytes, *, settle: bool) -> None:
    """settle: have the disk take what there is, so that not all of it is left for the end."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
    if settle:
        os.fsync(file.fileno())
        _let_go(file)


def _let_go(file: IO[bytes]) -> None:
    """What was written or read once needs no memory: filling a gigabyte of it costs more than the disk."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
