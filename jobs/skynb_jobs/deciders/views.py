"""What the deciders of managed jobs see."""

from __future__ import annotations

from typing import Any

import msgspec

from skynb_clusters.records import JOB_FINAL, Offer
from skynb_jobs.records import JobSpec, JobState, TaskSpec, TaskState


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
    it last said. spent: its money is used up. error: why no machines could be had.
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


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a task may rest on. attempts: by number, those that are not closed."""

    spec: TaskSpec
    state: TaskState
    attempts: dict[int, AttemptSeen] = {}


class TaskSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a job, as its record says."""

    id: str
    index: int
    status: str
    target: str
    final: bool = False
    reason: str = ""


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a managed job may rest on. tasks: by index; empty before its turn comes."""

    spec: JobSpec
    state: JobState
    tasks: tuple[TaskSeen, ...] = ()
