"""What the ledger keeps of managed jobs and their tasks: only data, to which fields are only ever added."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from skynb.control.records import Effect
from skynb_clusters.records import Offer

FINAL = frozenset(
    {"SUCCEEDED", "CANCELLED", "FAILED", "FAILED_SETUP", "FAILED_NO_RESOURCE", "FAILED_PRECHECKS"}
)
QUEUED, DONE, CANCELLED = "QUEUED", "DONE", "CANCELLED"  # targets: of what waits its turn, goes on, ends
EndedBy = Literal["", "done", "failed", "preempted", "lost", "refused", "cancelled", "unneeded"]


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task of a managed job, as it was asked for.

    config: the task as it travels, without secrets. secrets, files: references to what is kept beside the
    ledger, dropped when the task is over. needs: the tasks that must have succeeded before. strategy: by
    which a lost attempt is followed by another. restarts: how often a failure of its own is tried again;
    restart_codes: exit codes that always are, and count for nothing. deadline_at: seconds since the epoch.
    envs: what the job adds to the task's own. shares: among how many tasks what is left of the job's budget
    is divided when this one rents. pool: the record of the pool whose workers do it; empty where it rents its
    own.
    """

    job: int
    index: int
    title: str
    config: dict[str, Any]
    num_nodes: int = 1
    secrets: str = ""
    files: str = ""
    needs: tuple[int, ...] = ()
    strategy: str = "CHEAPEST"
    restarts: int = 0
    restart_codes: tuple[int, ...] = ()
    deadline_at: float | None = None
    budget_micro: int | None = None
    shares: int = 1
    envs: dict[str, str] = {}
    task_id: str = ""
    user: str = ""
    pool: str = ""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cluster that the task was given, none yet while it waits for a worker of a pool.

    worker: the name of the cluster, where it is a pool's and only lent. jobs: the numbers of its jobs there,
    a further one for each restart. warned_at: when the infra is to take a machine away, as it said;
    lapsed_at: one such moment that passed, and nothing was taken. over_at: when it was given up; ended_by and
    why say the cause. closed: nothing of it is left.
    """

    number: int
    cluster: str
    began_at: float
    jobs: tuple[int, ...] = ()
    offer: Offer | None = None
    up_at: float | None = None
    warned_at: float | None = None
    lapsed_at: float | None = None
    over_at: float | None = None
    ended_by: EndedBy = ""
    why: str = ""
    closed: bool = False
    worker: str = ""


class TaskState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """attempts: oldest first. restarts: failures of its own that were tried again and counted.

    quick: losses in a row that came before an attempt had worked for a while. untaken: attempts in a row
    whose machines were whole and did not take the work. next_at: not earlier than this is the next deed
    done. started_at: when it ran first; ended_at: when its verdict stood.
    """

    attempts: tuple[Attempt, ...] = ()
    restarts: int = 0
    quick: int = 0
    untaken: int = 0
    next_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A managed job: its tasks, which side by side are a group.

    primary: the tasks that a group lasts for, all if empty. delays: seconds that another task outlives them,
    by index. rank: of a job that was asked for together with others; of: how many, 0 for one alone.
    """

    number: int
    tasks: tuple[TaskSpec, ...]
    parallel: bool = False
    primary: tuple[int, ...] = ()
    delays: dict[int, float] = {}
    rank: int = 0
    of: int = 0
    user: str = ""


class JobState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """admitted_at: when its turn came. primary_over_at: when the last task that a group lasts for ended."""

    admitted_at: float | None = None
    primary_over_at: float | None = None
    ended_at: float | None = None


class Introduce(Effect, frozen=True):
    """Let these clusters know all of the group's machines. hosts: `ADDRESS NAME`."""

    clusters: tuple[str, ...]
    hosts: tuple[str, ...]


class RentCluster(Effect, frozen=True):
    """Write down the cluster of an attempt: plan anew, by the task's strategy."""

    attempt: int


class SubmitWork(Effect, frozen=True):
    """Write down the job that does the task on its cluster."""

    attempt: int
    number: int


class DropTask(Effect, frozen=True):
    """Forget the secrets and files that were kept for the task."""


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pool of warm workers, as it was asked for last.

    config, secrets, files: as of a task; its setup makes a worker ready. version: counts what was asked for;
    a worker of an older one takes no further work once there are others. least, most: how many workers;
    threshold: waiting tasks for each further one. up_s, down_s: how long more, or fewer, must be wanted.
    """

    config: dict[str, Any]
    num_nodes: int = 1
    secrets: str = ""
    files: str = ""
    version: int = 1
    least: int = 1
    most: int = 1
    threshold: int = 1
    up_s: float = 300.0
    down_s: float = 1200.0
    user: str = ""


class Worker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cluster of a pool.

    setup: its setup was handed over. task, attempt: to whom it is lent. over_at, why: when and why it was
    given up; closed: nothing of it is left.
    """

    number: int
    cluster: str
    version: int
    began_at: float
    setup: bool = False
    ready_at: float | None = None
    task: str = ""
    attempt: int = 0
    over_at: float | None = None
    why: str = ""
    closed: bool = False


class PoolState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """workers: those that are not closed, oldest first. made: how many there have been.

    wanted: how many there should be; unlike: how many the line wants instead, and since when. failures:
    workers in a row whose setup or rental failed, of version `failing`; next_at: not earlier is one rented.
    """

    workers: tuple[Worker, ...] = ()
    made: int = 0
    wanted: int = 0
    unlike: int | None = None
    unlike_since: float = 0.0
    failures: int = 0
    failing: int = 0
    next_at: float = 0.0


class RentWorker(Effect, frozen=True):
    """Write down the cluster of a worker."""

    number: int


class SetWorkerUp(Effect, frozen=True):
    """Write down the job that makes a worker ready."""

    number: int


class DropPool(Effect, frozen=True):
    """Forget the secrets and files that were kept for the pool."""
