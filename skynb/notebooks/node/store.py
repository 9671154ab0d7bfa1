"""Where a job keeps what its kernel held after each cell: a folder that outlives machines."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from .resume import Cell, print_of
from .uses import uses_of

_CODE = Path(__file__).with_name("session.py")


class Store:
    """Sessions of one job. execute(code) runs code in the kernel and says what went wrong, or nothing."""

    def __init__(self, folder: Path, execute: Callable[[str], str]) -> None:
        self._folder = folder
        self._execute = execute

    @classmethod
    def asked(cls, execute: Callable[[str], str]) -> Store | None:
        """The one that the job's variables name, if they name one."""
        place, key = (os.environ.get(f"SKYNB_SESSION_{word}", "") for word in ("STORE", "KEY"))
        if not place or not key:
            return None
        own = hashlib.sha256(bytes.fromhex(key)).hexdigest()[:16]  # not another's
        return cls(Path(place).expanduser() / f"session-{own}", execute)

    def keep(self, cells: Sequence[Cell], always: Sequence[Cell]) -> str:
        """Keep what the kernel holds after these cells. How that went, in a few words.

        always: cells that run in each attempt, so that what they make need not be kept.
        """
        spare = sorted({name for use in uses_of([cell.source for cell in always]) for name in use.makes})
        path = self._path(cells)
        if wrong := self._call("keep", path, spare):
            return f"not kept: {wrong}"
        return f"kept, {path.stat().st_size / 1e6:.1f} MB"

    def has(self, cells: Sequence[Cell]) -> bool:
        """Whether something is kept of the time after these cells."""
        return self._path(cells).is_file()

    def take(self, cells: Sequence[Cell]) -> str:
        """Give the kernel what it held after these cells. What went wrong, or nothing."""
        return self._call("take", self._path(cells))

    def end(self) -> None:
        """The job needs nothing of it any more."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, verb: str, path: Path, *more: object) -> str:
        told = ", ".join(map(repr, (str(path), path.name, *more)))
        return self._execute(f"__import__('runpy').run_path({str(_CODE)!r})[{verb!r}](get_ipython(), {told})")

    def _path(self, cells: Sequence[Cell]) -> Path:
        return self._folder / print_of("\0".join(cell.source for cell in cells))
