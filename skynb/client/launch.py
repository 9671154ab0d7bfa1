"""The handle of a launched task: wait for it, await it, read it, cancel it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from skynb.client import server
from skynb.client.follow import Follower
from skynb.client.http import Connection, segment
from skynb.client.logs import log_lines
from skynb.client.waiting import pauses, until
from skynb.client.words import dollars, hourly
from skynb.errors import JobFailed, ProviderError, SkynbError, error_from_dict
from skynb.wire import CancelAnswer, CancelRequest, ChargeInfo, ClusterInfo, JobInfo, LaunchAnswer

if TYPE_CHECKING:
    from skynb.planning import Plan


class Launch:
    """A task that was given to a cluster. The work goes on whether or not anybody holds this.

    cluster: its name. job_id: the job's number, None when there was nothing to run or for a dry run.
    lease: how long its nodes live without a server; None on a cluster that was there already. worst_micro:
    micro-dollars that a new cluster can cost at most if nobody ever looks at it again.
    Iterating yields the lines of the log until the job ends; `await` waits for the end.
    """

    def __init__(self, connection: Connection, answer: LaunchAnswer, *, num_nodes: int) -> None:
        self._connection = connection
        self._plan = answer.plan
        self.cluster = answer.cluster
        self.job_id = answer.job
        self.dryrun = answer.dryrun
        self.lease = answer.lease
        self.worst_micro = answer.worst_micro
        self.num_nodes = num_nodes
        self._job: JobInfo | None = None
        self._price = answer.hourly_micro

    @cached_property
    def plan(self) -> Plan | None:
        """What the server chose and why; None on a cluster that was there already."""
        from skynb.planning import Plan

        return None if self._plan is None else msgspec.convert(self._plan, Plan)

    @property
    def hourly_micro(self) -> int:
        """Micro-dollars per hour of the whole cluster."""
        if self._price is None:
            self._price = self._cluster().hourly_micro
        return self._price

    def job(self) -> JobInfo | None:
        """The job as it is now; None without one."""
        if self.job_id is not None and not (self._job and self._job.logs_complete):
            path = f"/clusters/{segment(self.cluster)}/jobs/{self.job_id}"
            self._job = self._connection.call("GET", path, JobInfo)
        return self._job

    def status(self) -> str:
        """The job's status, or the cluster's when there is no job; DRYRUN for a plan."""
        if self.dryrun:
            return "DRYRUN"
        job = self.job()
        return job.status if job else self._cluster().status

    def spent_micro(self) -> int:
        """Micro-dollars that the cluster has cost so far, since it was launched."""
        path = f"/clusters/{segment(self.cluster)}/cost"
        return sum(line.micro for line in self._connection.call("GET", path, list[ChargeInfo]))

    def wait(self, timeout: float | None = None) -> JobInfo | None:
        """Block until the job is final, or until the cluster is up when there is no job (then None).

        It does not raise for a job that failed (`result()` does), but TimeoutError after `timeout` seconds,
        and the cluster's error when it failed without a job.
        """
        what = f"job {self.job_id} on {self.cluster!r}" if self.job_id else f"cluster {self.cluster!r}"
        until(self._over, timeout, what)
        return self._job

    def __await__(self) -> Generator[Any, None, JobInfo | None]:
        return self._wait_quietly().__await__()

    def result(self, timeout: float | None = None) -> JobInfo | None:
        """As `wait`, and JobFailed when the job did not succeed."""
        return checked(self.wait(timeout))

    def logs(self, *, follow: bool = True, rank: int | None = None, tail: int = 0) -> Iterator[str]:
        """Lines of the log, in order; `(rank 1) ` before them when there are several nodes."""
        if self.job_id is None:
            return iter(())
        return log_lines(
            self._connection,
            self.cluster,
            self.job_id,
            num_nodes=self.num_nodes,
            follow=follow,
            rank=rank,
            tail=tail,
        )

    def __iter__(self) -> Iterator[str]:
        return self.logs()

    def follow(self) -> Follower:
        """Log and state changes together, for displays: `with handle.follow() as updates: ...`."""
        return Follower(self._connection, self.cluster, self.job_id)

    def cancel(self) -> bool:
        """Cancel the job; False when it had ended, or there is none. The cluster stays."""
        if self.job_id is None:
            return False
        path = f"/clusters/{segment(self.cluster)}/cancel"
        asked = CancelRequest(jobs=[self.job_id])
        return bool(self._connection.call("POST", path, CancelAnswer, body=asked).cancelled)

    def worst(self) -> str:
        """What the cluster can cost at most if nobody ever looks at it again."""
        return f"{dollars(self.worst_micro or 0)}, if nobody ever looked at it again"

    def ways_on(self, program: str = "skynb") -> str:
        """How to follow and to cancel, for somebody who leaves."""
        if self.job_id is None:
            return f"look: {program} status {self.cluster}; end it: {program} down {self.cluster}"
        here = f"{self.cluster} {self.job_id}"
        return f"follow: {program} logs {here}; cancel: {program} cancel {here}"

    def to_dict(self) -> dict[str, Any]:
        """Cluster, job, status and plan in plain JSON types."""
        job = self.job()
        return {
            "cluster": self.cluster,
            "job_id": self.job_id,
            "status": self.status(),
            "dryrun": self.dryrun,
            "job": msgspec.to_builtins(job) if job else None,
            "plan": self._plan,
        }

    def __str__(self) -> str:
        if self.dryrun:
            return str(self.plan) if self.plan else f"cluster {self.cluster} is there; the task fits"
        what = f"cluster {self.cluster}" + (f", job {self.job_id}" if self.job_id is not None else "")
        state, price = self._known()
        ended = self._job is not None and self._job.final
        return f"{what}: {state}, {price}" + ("" if ended else f"; {self.ways_on()}")

    def __repr__(self) -> str:
        return f"<Launch {self}>" if not self.dryrun else str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if self.dryrun and self.plan:
            return self.plan._repr_mimebundle_()
        return {"text/plain": repr(self), "text/html": f"<div>{escape(str(self))}</div>"}

    def _cluster(self) -> ClusterInfo:
        return self._connection.call("GET", f"/clusters/{segment(self.cluster)}", ClusterInfo)

    def _known(self) -> tuple[str, str]:
        """State and price for showing: a display starts no server and raises nothing."""
        try:
            if server.card() is not None:
                return self.status(), hourly(self.hourly_micro)
        except SkynbError:
            pass
        return self._job.status if self._job else "state unknown", hourly(self._price or 0)

    def _over(self) -> bool | None:
        """True once there is nothing more to wait for."""
        if self.dryrun:
            return True
        job = self.job()
        if job is not None:
            return True if job.final else None
        cluster = self._cluster()
        if cluster.final:
            raise failure(cluster)
        return True if cluster.status == "UP" else None

    async def _wait_quietly(self) -> JobInfo | None:
        import asyncio

        for pause in pauses():
            if await asyncio.to_thread(self._over):
                break
            await asyncio.sleep(pause)
        return self._job


def checked(job: JobInfo | None) -> JobInfo | None:
    """The job as it is; JobFailed when it ended otherwise than well."""
    if job is None or job.status == "SUCCEEDED":
        return job
    codes = ", ".join(f"rank {rank}: {code}" for rank, code in enumerate(job.exit_codes) if code)
    raise JobFailed(
        f"job {job.id} on {job.cluster!r} ended as {job.status}",
        why=job.reason or (f"exit codes: {codes}" if codes else None),
        mend=f"`skynb logs {job.cluster} {job.id}` shows its log",
        job=job,
    )


def failure(cluster: ClusterInfo) -> SkynbError:
    """Why a cluster ended before it was up."""
    if cluster.error:
        return error_from_dict(cluster.error)
    return ProviderError(f"cluster {cluster.name!r} is {cluster.status}", why=cluster.reason or None)
