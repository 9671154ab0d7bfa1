"""Managed jobs as the person who handed them over holds and sees them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from skynb.client.http import Connection, Stream
from skynb.client.listings import Listing
from skynb.client.logs import Lines
from skynb.client.waiting import pauses, until
from skynb.client.words import ago, dollars, span
from skynb.errors import JobFailed
from skynb.wire import CancelAnswer, LogLine, ManagedAnswer, ManagedCancel, ManagedInfo, ManagedPage

if TYPE_CHECKING:
    from typing_extensions import Self

    from skynb.planning import Plan


class ManagedJobs(Listing[ManagedInfo]):
    """Managed jobs, newest first. counts: of all there are, by status; more: older ones fit as well."""

    head = ("ID", "NAME", "USER", "SUBMITTED", "STATUS", "WHERE", "DURATION", "RECOVERIES", "SPENT")
    empty = "No managed jobs."
    counts: dict[str, int] = {}  # noqa: RUF012 - replaced, never changed
    more = False

    @classmethod
    def of(cls, page: ManagedPage) -> Self:
        """The listing of a page."""
        found = cls(page.jobs)
        found.counts, found.more = page.counts, page.more
        return found

    def cells(self, item: ManagedInfo, now: float) -> list[str]:
        ran = None if item.started_at is None else (item.ended_at or now) - item.started_at
        return [
            str(item.id),
            item.name if item.rank is None else f"{item.name} [{item.rank}]",
            item.user,
            ago(item.created_at, now),
            item.status,
            _place(item),
            "-" if ran is None else span(ran),
            str(item.recoveries),
            dollars(item.settled_micro),
        ]

    def note(self, item: ManagedInfo) -> str:
        return f"{item.id}: {item.reason}" if item.reason else ""

    def _notes(self) -> list[str]:
        told = ", ".join(f"{count} {status}" for status, count in sorted(self.counts.items()))
        older = ["Older ones are not shown: --limit."] if self.more else []
        return [*super()._notes(), *([f"In all: {told}."] if told else []), *older]


class ManagedLaunch:
    """Managed jobs that were handed over. They go on whether or not anybody holds this.

    job_ids: their numbers, none for a dry run. Iterating yields the lines of the log of the first; `await`
    waits for the end of all.
    """

    def __init__(self, connection: Connection, answer: ManagedAnswer) -> None:
        self._connection = connection
        self._plans = answer.plans
        self.job_ids = answer.jobs
        self.name = answer.name
        self.dryrun = answer.dryrun

    @property
    def job_id(self) -> int | None:
        """The number of the only, or first, job."""
        return self.job_ids[0] if self.job_ids else None

    @property
    def plans(self) -> list[Plan]:
        """What each task would run on today."""
        from skynb.planning import Plan

        return [msgspec.convert(plan, Plan) for plan in self._plans]

    def jobs(self) -> list[ManagedInfo]:
        """The jobs as they are now."""
        return [self._connection.call("GET", f"/jobs/{number}", ManagedInfo) for number in self.job_ids]

    def wait(self, timeout: float | None = None) -> list[ManagedInfo]:
        """Block until every verdict stands; TimeoutError. It does not raise for a job that failed."""
        return [
            until(lambda n=number: is_over(self._connection, n), timeout, f"managed job {number}")  # type: ignore[misc]
            for number in self.job_ids
        ]

    def __await__(self) -> Generator[Any, None, list[ManagedInfo]]:
        return self._wait_quietly().__await__()

    def result(self, timeout: float | None = None) -> list[ManagedInfo]:
        """As `wait`, and JobFailed when a job did not succeed."""
        found = self.wait(timeout)
        for job in found:
            if job.status != "SUCCEEDED":
                what = f"managed job {job.id} ended as {job.status}"
                raise JobFailed(
                    what, why=job.reason or None, mend=f"`skynb jobs logs {job.id}` shows its log"
                )
        return found

    def logs(self, *, follow: bool = True) -> Iterator[str]:
        """Lines of the log of the first job, over all its attempts."""
        jobs = self.jobs()
        return log_lines(self._connection, jobs[0], follow=follow) if jobs else iter(())

    def __iter__(self) -> Iterator[str]:
        return self.logs()

    def cancel(self) -> list[int]:
        """Cancel all of them; the numbers of those that were not over."""
        if not self.job_ids:
            return []
        asked = ManagedCancel(jobs=self.job_ids)
        return self._connection.call("POST", "/jobs/cancel", CancelAnswer, body=asked).cancelled

    def ways_on(self, program: str = "skynb") -> str:
        """How to follow and to cancel, for somebody who leaves."""
        number = self.job_id
        return f"follow: {program} jobs logs {number}; cancel: {program} jobs cancel {number}"

    def to_dict(self) -> dict[str, Any]:
        """The jobs and their plans in plain JSON types."""
        jobs = [msgspec.to_builtins(job) for job in self.jobs()]
        return {"job_ids": self.job_ids, "name": self.name, "jobs": jobs, "plans": self._plans}

    def __str__(self) -> str:
        if self.dryrun:
            on_pool = f"{self.name} would run on a worker of its pool: no machine is rented for it"
            return "\n\n".join(map(str, self.plans)) or on_pool
        numbers = self.job_ids
        which = f"job {numbers[0]}" if len(numbers) == 1 else f"jobs {numbers[0]}-{numbers[-1]}"
        return f"managed {which} ({self.name}) handed over; {self.ways_on()}"

    def __repr__(self) -> str:
        return f"<ManagedLaunch {self}>" if not self.dryrun else str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if self.dryrun and len(self._plans) == 1:
            return self.plans[0]._repr_mimebundle_()
        return {"text/plain": str(self), "text/html": f"<div>{escape(str(self))}</div>"}

    async def _wait_quietly(self) -> list[ManagedInfo]:
        import asyncio

        found = []
        for number in self.job_ids:
            for pause in pauses():
                if job := await asyncio.to_thread(is_over, self._connection, number):
                    found.append(job)
                    break
                await asyncio.sleep(pause)
        return found


def is_over(connection: Connection, number: int) -> ManagedInfo | None:
    """The job once its verdict stands, else None."""
    job = connection.call("GET", f"/jobs/{number}", ManagedInfo)
    return job if job.final else None


def log_lines(
    connection: Connection,
    job: ManagedInfo,
    *,
    follow: bool = True,
    task: int | None = None,
    rank: int | None = None,
    tail: int = 0,
    make: Callable[[int], Lines] = Lines,
) -> Iterator[str]:
    """Lines of a managed job's log; an attempt after the first is announced by a line of its own.

    make: what turns pieces into lines, for so many ranks.
    """
    reader = _Reader(job, task, rank, make)
    after = None
    if tail > 0:
        present = reader.stream(connection, follow=False)
        yield from deque(reader.whole(present), maxlen=tail)
        after = present.after
    if not tail or follow:
        yield from reader.whole(reader.stream(connection, follow=follow, after=after))
    yield from reader.partial()


class _Reader:
    def __init__(
        self, job: ManagedInfo, task: int | None, rank: int | None, make: Callable[[int], Lines]
    ) -> None:
        self._query: dict[str, str | list[str]] = {}
        if task is not None:
            self._query["task"] = str(task)
        if rank is not None:
            self._query["rank"] = str(rank)
        self._job = job
        several = rank is None and max(one.num_nodes for one in job.tasks) > 1
        self._make = make
        self._lines = make(2 if several else 1)

    def stream(self, connection: Connection, *, follow: bool, after: str | None = None) -> Stream:
        query = self._query | {"follow": "1" if follow else "0"}
        return connection.stream(f"/jobs/{self._job.id}/logs", query, after)

    def whole(self, stream: Stream) -> Iterator[str]:
        with closing(stream):
            for event in stream:
                if event.name == "log":
                    yield from self._lines.feed(msgspec.convert(event.data, LogLine))
                elif event.name == "attempt":
                    yield from self._announced(event.data)

    def partial(self) -> list[str]:
        return self._lines.partial()

    def _announced(self, told: dict[str, Any]) -> list[str]:
        task, attempt, again = int(told["task"]), int(told["attempt"]), bool(told["again"])
        named = f"{self._job.tasks[task].name}: " if len(self._job.tasks) > 1 else ""
        if not named and attempt == 1 and not again:
            return []
        rest = self._lines.partial()
        self._lines = self._make(2 if self._lines.named else 1)
        return [*rest, f"--- {named}attempt {attempt}" + (", again" if again else "") + " ---"]


def _place(item: ManagedInfo) -> str:
    """Where it runs, or ran last."""
    attempts = [one for task in item.tasks for one in task.attempts if one.infra]
    if not attempts:
        return "-"
    last = max(attempts, key=lambda one: one.began_at)
    kind = last.accelerators or last.instance_type
    return f"{last.infra} {kind}{' (spot)' if last.spot else ''}"
