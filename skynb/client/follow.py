"""Following a launch: its log and the changes of its state, in one sequence."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from skynb.client.http import Connection, SseEvent, Stream, segment
from skynb.client.logs import log_stream
from skynb.client.words import megabytes
from skynb.wire import ClusterInfo, EventInfo, JobInfo, LogLine

if TYPE_CHECKING:
    from typing_extensions import Self

TICK_SECONDS = 0.1


class Change(NamedTuple):
    """A change of state in words; status: the job's, when it is the job's."""

    text: str
    status: str | None = None


class End(NamedTuple):
    """Nothing more comes. job: its last word; None when there was none to run."""

    job: JobInfo | None


Update = LogLine | Change | End | None
Convert = Callable[[SseEvent], Update]


class Follower:
    """Iterates LogLine, Change and at last End; None ten times a second in between, so that clocks can move.

    Leaving it early, by `close()` or at the end of a `with` block, touches neither job nor cluster.
    """

    def __init__(self, connection: Connection, cluster: str, job: int | None) -> None:
        self._connection = connection
        self._cluster = cluster
        self._job = job
        self._begun = job is None  # what happened before the job was asked for is not its story
        self._arrived: queue.SimpleQueue[Update | BaseException] = queue.SimpleQueue()
        self._streams: list[Stream] = []

    def __enter__(self) -> Self:
        events = self._connection.stream(f"/clusters/{segment(self._cluster)}/events")
        self._pump(events, self._change)
        if self._job is not None:
            self._pump(log_stream(self._connection, self._cluster, self._job, follow=True), _piece)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading."""
        for stream in self._streams:
            stream.close()

    def __iter__(self) -> Iterator[Update]:
        while True:
            item: Update | BaseException = None
            with suppress(queue.Empty):
                item = self._arrived.get(timeout=TICK_SECONDS)
            if isinstance(item, BaseException):
                raise item
            yield item
            if isinstance(item, End):
                return

    def _pump(self, stream: Stream, convert: Convert) -> None:
        self._streams.append(stream)

        def run() -> None:
            try:
                for event in stream:
                    if (update := convert(event)) is not None:
                        self._arrived.put(update)
            except BaseException as error:  # noqa: BLE001 - raised again where the updates are read
                self._arrived.put(error)

        threading.Thread(target=run, name="skynb-follow", daemon=True).start()

    def _change(self, event: SseEvent) -> Update:
        found = msgspec.convert(event.data, EventInfo)
        if self._job is None and found.name in {"cluster.up", "cluster.ended"} and self._settled():
            return End(None)
        if found.name == "job.asked":
            self._begun = self._begun or found.data.get("job") == self._job
        if not self._begun:
            return None
        words = _WORDS.get(found.name)
        if found.name != "job.status":
            return Change(words(found.data)) if words else None
        if found.data.get("job") != self._job:
            return None
        reason = found.data.get("reason")
        status = str(found.data["status"])
        return Change(f"job {self._job} {status}" + (f": {reason}" if reason else ""), status)

    def _settled(self) -> bool:
        path = f"/clusters/{segment(self._cluster)}"
        info = self._connection.call("GET", path, ClusterInfo)
        return info.final or info.status == "UP"


def _piece(event: SseEvent) -> Update:
    if event.name == "end":
        return End(msgspec.convert(event.data, JobInfo))
    return msgspec.convert(event.data, LogLine)


def _refusal(data: dict[str, Any]) -> str:
    error = data.get("error") or {}
    return f"{_machine(data.get('offer') or {})} refused: {error.get('what', 'no reason given')}"


def _attempt(data: dict[str, Any]) -> str:
    again = f", attempt {data['attempt']}" if data.get("attempt", 1) > 1 else ""
    return f"trying {_machine(data.get('offer') or {})}{again}"


def _machine(offer: dict[str, Any]) -> str:
    place = "/".join(str(offer[key]) for key in ("cloud", "region", "zone") if offer.get(key))
    return f"{place} {offer.get('instance_type', '')}"


_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "cluster.up": lambda _: "cluster UP",
    "cluster.hurt": lambda data: f"cluster not whole: nodes {data.get('nodes')}",
    "cluster.stop": lambda _: "cluster STOPPING",
    "cluster.stopped": lambda _: "cluster STOPPED",
    "cluster.down": lambda _: "cluster TERMINATING",
    "cluster.ended": lambda data: "cluster FAILED" if data.get("failed") else "cluster TERMINATED",
    "launch.refused": _refusal,
    "launch.try": _attempt,
    "launch.won": lambda data: f"{_machine(data.get('offer') or {})} came first",
    "launch.waiting": lambda data: f"no machines anywhere; again in {data.get('pause_s', 0):g} s",
    "files.going": lambda data: f"{megabytes(data.get('sent', 0), data.get('of', 0))} of files sent",
    "files.laid": lambda data: f"{data.get('files')} files laid, {data.get('sent', 0) / 1e6:,.1f} MB sent",
    "budget.spent": lambda _: "the budget is used up: the cluster ends",
    "launch.failed": lambda _: "no machines could be had",
}
