"""The machines of a group know each other by name: `TASK-RANK.GROUP`, as in SkyPilot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from skynb.control.ledger import Transaction
from skynb.control.records import Record
from skynb_clusters.records import ClusterSpec, NodeState, gang_of
from skynb_jobs.records import FINAL, TaskSpec, TaskState


class Met(NamedTuple):
    """hosts: the machines of a group, `ADDRESS NAME`. unaware: the clusters that do not know them."""

    hosts: tuple[str, ...] = ()
    unaware: tuple[str, ...] = ()


NOBODY = Met()


def met(tx: Transaction, job: Record, tasks: list[Record]) -> Met:
    """Who has met: nobody before all tasks of the group that go on have their machines."""
    going = [task for task in tasks if task.status not in FINAL]
    clusters = [cluster for task in going if (cluster := _at_work(tx, task)) is not None]
    if not going or len(clusters) < len(going):
        return NOBODY
    named = (
        f"{address} {task.spec_as(TaskSpec).title}-{rank}.{job.title}"
        for task, cluster in zip(going, clusters, strict=True)
        for rank, address in enumerate(_addresses(tx, cluster))
    )
    hosts = (_mark(int(job.name)), *named)
    return Met(hosts, tuple(one.id for one in clusters if one.spec_as(ClusterSpec).peers != hosts))


def awaiting(job: int, run: str | None) -> str | None:
    """The script, which begins when its node knows the machines of the group."""
    if run is None:
        return None
    return f'until grep -qxF "{_mark(job)}" "$SKYNB_HOSTS" 2>/dev/null; do sleep 0.2; done\n{run}'


def _mark(job: int) -> str:
    return f"# the machines of managed job {job}"


def _at_work(tx: Transaction, task: Record) -> Record | None:
    """The cluster that a task works on, if it is up."""
    going = [one for one in task.state_as(TaskState).attempts if one.over_at is None and one.cluster]
    cluster = tx.get(going[-1].cluster) if going else None
    return cluster if cluster is not None and (cluster.status, cluster.target) == ("UP", "UP") else None


def _addresses(tx: Transaction, cluster: Record) -> Iterator[str]:
    for node in (tx.get(one) for one in gang_of(cluster)):
        if node is not None:
            yield node.state_as(NodeState).address
