"""Everything that a kernel has said, numbered, in files of the node; the oldest goes when it is too much."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from .frames import encode

SEGMENT = 8 << 20  # bytes of one file


class Journal:
    """Frames by number, from `first` to `last`. most: bytes that are kept, by whole files."""

    def __init__(self, folder: Path, most: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._most = most
        self._ends = array("Q", [0])  # where each frame ends, in bytes ever written; one before the first
        self._segments: list[tuple[int, Path]] = []  # where each file begins, and the file
        self._file: FileIO | None = None
        self.first = 1

    @property
    def last(self) -> int:
        """The number of the newest frame; 0 before there is one."""
        return self.first + len(self._ends) - 2

    def append(self, head: dict[str, Any], parts: Sequence[bytes] = ()) -> int:
        """Write a frame under the next number; OSError if that cannot be, and nothing has changed then."""
        number, begin = self.last + 1, self._ends[-1]
        data = encode({**head, "n": number}, parts)
        if self._file is None or begin - self._segments[-1][0] >= SEGMENT:
            self._next_file(begin)
        assert self._file is not None  # for the type checker
        try:
            self._write(self._file, data)
        except OSError:
            self._file.seek(begin - self._segments[-1][0])
            self._file.truncate()
            raise
        self._ends.append(begin + len(data))
        self._forget()
        return number

    def read(self, after: int, limit: int) -> tuple[bytes, int]:
        """Whole frames behind number `after`, about `limit` bytes or one frame, and the last one's number."""
        index = max(after + 1, self.first) - self.first
        if index >= len(self._ends) - 1:
            return b"", after
        begin = self._ends[index]
        chosen = max(index + 1, bisect_right(self._ends, begin + limit) - 1)
        segment = bisect_right([start for start, _ in self._segments], begin) - 1
        if segment + 1 < len(self._segments):
            chosen = min(chosen, bisect_right(self._ends, self._segments[segment + 1][0]) - 1)
        start, path = self._segments[segment]
        with path.open("rb") as file:
            file.seek(begin - start)
            return file.read(self._ends[chosen] - begin), self.first + chosen - 1

    def close(self) -> None:
        """Write no more; what is there stays."""
        if self._file is not None:
            self._file.close()

    @staticmethod
    def _write(file: FileIO, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]

    def _next_file(self, begin: int) -> None:
        self.close()
        path = self._folder / f"{begin:016d}"
        self._file = FileIO(path, "wb")
        self._segments.append((begin, path))

    def _forget(self) -> None:
        while len(self._segments) > 1 and self._ends[-1] - self._segments[1][0] >= self._most:
            _, path = self._segments.pop(0)
            path.unlink()
            gone = bisect_right(self._ends, self._segments[0][0]) - 1
            self.first += gone
            self._ends = self._ends[gone:]
