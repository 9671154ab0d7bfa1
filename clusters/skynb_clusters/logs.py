"""Job logs as the server keeps them: every acknowledged byte, in order, after the nodes are gone.

Each rank of a job has a file of raw bytes; `order` lists (rank, length) as they arrived, so that a replay
interleaves the ranks exactly as the first reading did. Its line number is the position readers resume from.
"""

from __future__ import annotations

import codecs
import os
import shutil
import threading
from pathlib import Path

import msgspec

from skynb.wire import JOURNAL_MARK

_MARK = JOURNAL_MARK.encode()


class Chunk(msgspec.Struct, frozen=True):
    """Bytes of one rank; `position` is what a reader resumes after. before: up to 3 bytes that precede."""

    position: int
    rank: int
    data: bytes
    before: bytes = b""


class LogStore:
    """Logs under `folder`, one folder a job (`scope` is the cluster's record id)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[Path, threading.Lock] = {}  # of a job: its ranks arrive in threads of their own

    def size(self, scope: str, job: int, rank: int) -> int:
        """How many bytes of this rank are safe: the offset to go on from."""
        with self._lock(scope, job):
            self._mend(scope, job)
        path = self._rank(scope, job, rank)
        return path.stat().st_size if path.exists() else 0

    def append(self, scope: str, job: int, rank: int, data: bytes) -> None:
        """Keep the bytes; they are on the disk when this returns, so they may be acknowledged."""
        place = self._place(scope, job)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock(scope, job):  # between the two, another rank would take this for a crash
            _append(self._rank(scope, job, rank), data)
            _append(place / "order", b"%d %d\n" % (rank, len(data)))

    def reader(self, scope: str, job: int, after: int = 0, rank: int | None = None) -> LogReader:
        """A reader of all ranks, or of one, that starts behind position `after`."""
        return LogReader(self._place(scope, job), after, rank)

    def tail(self, scope: str, job: int, limit: int = 65536) -> bytes:
        """The last bytes of the whole job, as they arrived."""
        order = self._place(scope, job) / "order"
        if not order.exists():
            return b""
        parts: list[bytes] = []
        ends: dict[int, int] = {}
        for number, length in reversed(_entries(order.read_bytes())):
            path = self._rank(scope, job, number)
            end = ends.setdefault(number, path.stat().st_size)
            ends[number] = end - length
            parts.append(_slice(path, end - length, length))
            if sum(map(len, parts)) >= limit:
                break
        return b"".join(reversed(parts))[-limit:]

    def journal(self, scope: str, job: int) -> bytes:
        """The whole lines of rank 0 that are the journal's. Blocks: the log is read through."""
        path = self._rank(scope, job, 0)
        if not path.exists():
            return b""
        with path.open("rb") as file:
            lines = [line for line in file if line.startswith(_MARK) and line.endswith(b"\n")]
        return b"".join(lines)

    def drop(self, scope: str) -> None:
        """Forget every log of a cluster."""
        for place in [place for place in self._locks if place.parent == self._folder / scope]:
            del self._locks[place]
        shutil.rmtree(self._folder / scope, ignore_errors=True)

    def _lock(self, scope: str, job: int) -> threading.Lock:
        return self._locks.setdefault(self._place(scope, job), threading.Lock())

    def _mend(self, scope: str, job: int) -> None:
        """After a crash between the bytes and their line in `order`: the line is written now."""
        place = self._place(scope, job)
        order = place / "order"
        listed: dict[int, int] = {}
        lines = order.read_bytes() if order.exists() else b""
        whole = lines[: lines.rfind(b"\n") + 1]
        if whole != lines:
            os.truncate(order, len(whole))
        for number, length in _entries(whole):
            listed[number] = listed.get(number, 0) + length
        for path in sorted(place.glob("rank-*.log")):
            number = int(path.stem.removeprefix("rank-"))
            if missing := path.stat().st_size - listed.get(number, 0):
                _append(order, b"%d %d\n" % (number, missing))

    def _place(self, scope: str, job: int) -> Path:
        return self._folder / scope / str(job)

    def _rank(self, scope: str, job: int, rank: int) -> Path:
        return self._place(scope, job) / f"rank-{rank}.log"


class LogReader:
    """Reads on from where it was; cheap to ask again."""

    def __init__(self, place: Path, after: int, rank: int | None) -> None:
        self._place = place
        self._after = after
        self._rank = rank
        self._position = 0
        self._read = 0
        self._offsets: dict[int, int] = {}

    def next(self, limit: int = 1 << 20) -> list[Chunk]:
        """What has arrived since, up to about `limit` bytes; empty when there is nothing new."""
        order = self._place / "order"
        if not order.exists():
            return []
        with order.open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        chunks: list[Chunk] = []
        size = 0
        for line in lines[: lines.rfind(b"\n") + 1].splitlines(keepends=True):
            if size >= limit:
                break
            ((number, length),) = _entries(line)
            offset = self._offsets.get(number, 0)
            self._offsets[number] = offset + length
            self._position += 1
            self._read += len(line)
            if self._position > self._after and self._rank in {None, number}:
                lead = min(3, offset)
                data = _slice(self._place / f"rank-{number}.log", offset - lead, lead + length)
                chunks.append(Chunk(self._position, number, data[lead:], data[:lead]))
                size += length
        return chunks


class TextReader:
    """A LogReader whose chunks are text: a character cut in two arrives whole, also after a resume."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._decoders: dict[int, codecs.IncrementalDecoder] = {}

    def next(self) -> list[tuple[int, int, str]]:
        """(position, rank, text) of what has arrived since."""
        found = []
        for chunk in self._reader.next():
            decoder = self._decoders.get(chunk.rank)
            if decoder is None:
                decoder = self._decoders[chunk.rank] = codecs.getincrementaldecoder("utf-8")("replace")
                decoder.decode(chunk.before)
            found.append((chunk.position, chunk.rank, decoder.decode(chunk.data)))
        return found


def _entries(lines: bytes) -> list[tuple[int, int]]:
    return [(int(rank), int(length)) for rank, length in (line.split() for line in lines.splitlines())]


def _slice(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _append(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())
