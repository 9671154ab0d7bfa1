"""Logs as whole lines, from pieces that arrive as they were written."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing

import msgspec

from skynb.client.http import Connection, Stream, segment
from skynb.wire import JOURNAL_MARK, LogLine


class Lines:
    """Pieces in, whole lines out; a rank is named when there are several."""

    def __init__(self, num_nodes: int) -> None:
        self.named = num_nodes > 1
        self._open: dict[int, list[str]] = {}

    def feed(self, piece: LogLine) -> list[str]:
        """The lines that this piece completes, without their ends and without those of the journal."""
        if "\n" not in piece.text:
            self._open.setdefault(piece.rank, []).append(piece.text)
            return []
        *whole, rest = "".join([*self._open.get(piece.rank, ()), piece.text]).split("\n")
        self._open[piece.rank] = [rest]
        return [line for text in whole for line in self._shown(piece.rank, text)]

    def partial(self) -> list[str]:
        """The lines that have no end yet, by rank."""
        rest = ((rank, "".join(texts)) for rank, texts in sorted(self._open.items()))
        return [line for rank, text in rest if text for line in self._shown(rank, text)]

    def _shown(self, rank: int, text: str) -> list[str]:
        if text.startswith(JOURNAL_MARK):
            return self.record(text)
        text = text.removesuffix("\r")
        return [f"(rank {rank}) {text}" if self.named else text]

    def record(self, text: str) -> list[str]:
        """A line of the journal; what to show of it."""
        return []


def log_stream(
    connection: Connection,
    cluster: str,
    job: int,
    *,
    follow: bool,
    rank: int | None = None,
    after: str | None = None,
) -> Stream:
    """The events of a job's log: `log` with a LogLine, and at last `end` with a JobInfo."""
    query: dict[str, str | list[str]] = {"follow": "1" if follow else "0"}
    if rank is not None:
        query["rank"] = str(rank)
    return connection.stream(f"/clusters/{segment(cluster)}/jobs/{job}/logs", query, after)


def log_lines(
    connection: Connection,
    cluster: str,
    job: int,
    *,
    num_nodes: int,
    follow: bool = True,
    rank: int | None = None,
    tail: int = 0,
) -> Iterator[str]:
    """Lines of a job's log. tail: begin so many lines before the present end; 0 is the whole log."""
    lines = Lines(1 if rank is not None else num_nodes)
    after = None
    if tail > 0:
        present = log_stream(connection, cluster, job, follow=False, rank=rank)
        yield from deque(_whole(present, lines), maxlen=tail)
        after = present.after
    if not tail or follow:
        yield from _whole(log_stream(connection, cluster, job, follow=follow, rank=rank, after=after), lines)
    yield from lines.partial()


def _whole(stream: Stream, lines: Lines) -> Iterator[str]:
    with closing(stream):
        for event in stream:
            if event.name == "log":
                yield from lines.feed(msgspec.convert(event.data, LogLine))
