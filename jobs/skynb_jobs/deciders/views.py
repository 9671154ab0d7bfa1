"""What the deciders of managed jobs see."""

from __future__ import annotations

from typing import Any

import msgspec

from skynb_clusters.records import JOB_FINAL, Offer
from skynb_jobs.records import JobSpec, JobState, PoolSpec, PoolState, TaskSpec, TaskState


class WorkSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The job that does the task on a cluster, as its record says. codes: exit codes by rank."""

    status: str
    reason: str = ""
    codes: tuple[int | None, ...] = ()
    ended_at: float | None = None

    @property
    def final(self) -> bool:
        return self.status in JOB_FINAL

    @property
    def killed(self) -> bool:
        """Some rank ended otherwise than by an exit of its own, as happens when its machine goes."""
        return not self.codes or any(code is None or code < 0 or code > 128 for code in self.codes)


class AttemptSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt's cluster and job, as their records say; nothing of it is a guess.

    status: the cluster's, empty while it is not written. hurt: why a machine of it is certainly gone, else
    empty. whole: every node answered when it was last asked. warned_at: when the infra is to take one, as
    it last said. spent: its money is used up. error: why no machines could be had. next_job: the number
    of a further job.
    """

    status: str = ""
    target: str = ""
    final: bool = False
    reason: str = ""
    failed: bool = False
    error: dict[str, Any] | None = None
    offer: Offer | None = None
    hurt: str = ""
    whole: bool = True
    warned_at: float | None = None
    spent: bool = False
    work: WorkSeen | None = None
    next_job: int = 1


class Lent(msgspec.Struct, frozen=True, kw_only=True):
    """What a task sees of its pool.

    gone: it takes no more work. trouble: why it has no workers, if that is known. cluster, worker: what it
    lends to this attempt of the task, by id and by name.
    """

    pool: str
    gone: bool = False
    trouble: str = ""
    attempt: int = 0
    cluster: str = ""
    worker: str = ""


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a task may rest on. attempts: by number, those that are not closed."""

    spec: TaskSpec
    state: TaskState
    attempts: dict[int, AttemptSeen] = {}
    lent: Lent | None = None


class TaskSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a job, as its record says."""

    id: str
    index: int
    status: str
    target: str
    final: bool = False
    reason: str = ""


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a managed job may rest on. tasks: by index; empty before its turn comes.

    hosts: the machines of a group, `ADDRESS NAME`, once all of its tasks have theirs. unaware: clusters of it
    that do not know them.
    """

    spec: JobSpec
    state: JobState
    tasks: tuple[TaskSeen, ...] = ()
    hosts: tuple[str, ...] = ()
    unaware: tuple[str, ...] = ()


class WorkerSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A worker of a pool. cluster: with its latest job. lent: its task still has, or awaits, this worker."""

    cluster: AttemptSeen = AttemptSeen()
    lent: bool = False


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a pool may rest on.

    workers: by number. waiting: tasks without a worker and the numbers of their attempts, in order.
    has_setup: a worker must be set up before it is ready.
    """

    spec: PoolSpec
    state: PoolState
    workers: dict[int, WorkerSeen] = {}
    waiting: tuple[tuple[str, int], ...] = ()
    has_setup: bool = False
