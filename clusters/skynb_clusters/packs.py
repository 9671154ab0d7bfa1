"""Contents kept once: pieces of files, one after the other in packs that never change.

A piece is at most PIECE bytes of a file, named by its SHA-256. Snapshots, and what is known of folders that
were looked at lately, name the packs that they need; what nobody names goes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from skynb.control.clock import new_id

PIECE = 4 << 20
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
        try:
            for pack, at, size in places:
                if pack not in open_packs:
                    open_packs[pack] = (self._folder / pack).open("rb")
                open_packs[pack].seek(at)
                data = open_packs[pack].read(size)
                if len(data) != size:
                    raise ValueError(f"{pack} is not whole")
                yield data
        finally:
            for file in open_packs.values():
                file.close()

    def sweep(self, needed: Collection[str]) -> None:
        """Drop what is not needed, drafts of dead servers too."""
        for path in self._folder.iterdir() if self._folder.exists() else ():
            if path.name not in needed:
                path.unlink(missing_ok=True)


class Draft:
    """A pack that is being written, by one thread."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._draft = path.with_name(f".{path.name}")
        self._file: IO[bytes] | None = None
        self._end = 0

    @property
    def file_name(self) -> str:
        """What a sweep must leave meanwhile."""
        return self._draft.name

    def add(self, data: bytes) -> Place:
        """Keep a piece; where it will be."""
        if self._file is None:
            handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(handle, "wb", buffering=0)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        place = (self.name, self._end, len(data))
        self._end += len(data)
        return place

    def keep(self) -> None:
        """All of it is on the disk when this returns."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            self._draft.replace(self._path)

    def drop(self) -> None:
        """Forget it; after `keep` this does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._draft.unlink(missing_ok=True)
