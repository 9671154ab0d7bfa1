"""Managed jobs as users see them. Reading never changes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skynb.control.ledger import Filter, Money, Transaction
from skynb.control.records import Record
from skynb.errors import NotFoundError
from skynb.wire import AttemptInfo, ManagedInfo, ManagedPage, ManagedTaskInfo
from skynb_clusters.views import accelerators_of, infra_of
from skynb_jobs.naming import cluster_name
from skynb_jobs.records import CANCELLED, FINAL, Attempt, JobSpec, JobState, TaskSpec, TaskState

PAGE = 50
LOOKED_THROUGH = 5000


def find_managed(tx: Transaction, number: int) -> Record:
    """The managed job of that number; NotFoundError."""
    found = tx.page("managed", Filter(numbers=(number,)), 1)
    if not found:
        raise NotFoundError(f"there is no managed job {number}", mend="`skynb jobs queue -a` lists them")
    return found[0]


def page(tx: Transaction, wanted: Filter, limit: int, infra: str = "") -> ManagedPage:
    """The newest jobs that fit, and how many there are of each status.

    infra: only jobs that run or ran there, among the newest LOOKED_THROUGH that fit.
    """
    if infra:
        return _page_on(tx, wanted, limit, infra)
    found = tx.page("managed", wanted, limit + 1)
    jobs = infos(tx, found[:limit])
    return ManagedPage(jobs=jobs, counts=tx.tally("managed"), more=len(found) > limit)


def _page_on(tx: Transaction, wanted: Filter, limit: int, infra: str) -> ManagedPage:
    """Where a job runs is said by its attempts, so they are looked at some at a time."""
    found = tx.page("managed", wanted, LOOKED_THROUGH)
    jobs: list[ManagedInfo] = []
    for first in range(0, len(found), PAGE):
        if len(jobs) > limit:
            break
        jobs += [one for one in infos(tx, found[first : first + PAGE]) if _is_on(one, infra)]
    more = len(jobs) > limit or len(found) == LOOKED_THROUGH
    return ManagedPage(jobs=jobs[:limit], counts=tx.tally("managed"), more=more)


def _is_on(job: ManagedInfo, infra: str) -> bool:
    """infra: as a task writes it, `aws` or `aws/us-east-1`."""
    wanted = infra.removesuffix("/*")
    places = (attempt.infra for task in job.tasks for attempt in task.attempts)
    return any(place == wanted or place.startswith(f"{wanted}/") for place in places)


def infos(tx: Transaction, records: Sequence[Record]) -> list[ManagedInfo]:
    """Managed jobs with their tasks, attempts and what those cost; as many queries for many as for one."""
    tasks = tx.below("task", [record.id for record in records])
    states = {task.id: task.state_as(TaskState) for some in tasks.values() for task in some}
    clusters = [one.cluster for state in states.values() for one in state.attempts if not one.worker]
    monies = tx.monies(clusters)
    return [_info(record, tasks[record.id], states, monies) for record in records]


def _info(
    record: Record,
    tasks: Sequence[Record],
    states: Mapping[str, TaskState],
    monies: Mapping[str, Money],
) -> ManagedInfo:
    spec, state = record.spec_as(JobSpec), record.state_as(JobState)
    shown = [_task(task, states[task.id], monies) for task in sorted(tasks, key=lambda one: int(one.name))]
    if not shown:
        shown = [_waiting(one) for one in spec.tasks]
    attempts = [attempt for task in shown for attempt in task.attempts]
    started = [task.started_at for task in shown if task.started_at is not None]
    return ManagedInfo(
        id=spec.number,
        name=record.title,
        status=_status(record),
        reason=record.reason,
        user=record.owner,
        priority=-record.nice,
        rank=spec.rank if spec.of else None,
        created_at=record.created_at,
        admitted_at=state.admitted_at,
        started_at=min(started, default=None),
        ended_at=state.ended_at,
        recoveries=sum(max(0, len(task.attempts) - 1) for task in shown),
        settled_micro=sum(one.settled_micro for one in attempts),
        reserved_micro=sum(one.reserved_micro for one in attempts),
        tasks=shown,
        final=record.status in FINAL,
        closed=record.final,
    )


def _status(record: Record) -> str:
    """A cancel that was asked for shows at once."""
    return "CANCELLING" if record.target == CANCELLED and record.status not in FINAL else record.status


def _task(record: Record, state: TaskState, monies: Mapping[str, Money]) -> ManagedTaskInfo:
    spec = record.spec_as(TaskSpec)
    return ManagedTaskInfo(
        index=spec.index,
        name=spec.title,
        status=record.status,
        reason=record.reason,
        num_nodes=spec.num_nodes,
        restarts=state.restarts,
        started_at=state.started_at,
        ended_at=state.ended_at,
        attempts=[_attempt(spec, one, monies.get(one.cluster)) for one in state.attempts],
    )


def _waiting(spec: TaskSpec) -> ManagedTaskInfo:
    return ManagedTaskInfo(index=spec.index, name=spec.title, status="PENDING", num_nodes=spec.num_nodes)


def _attempt(spec: TaskSpec, one: Attempt, money: Money | None) -> AttemptInfo:
    """money: what it cost; None for a pool's worker, whom the pool pays."""
    offer = one.offer
    own = cluster_name(spec.title, spec.job, spec.index, one.number) if not spec.pool else ""
    return AttemptInfo(
        number=one.number,
        cluster=one.worker or own,
        infra=infra_of(offer) if offer else "",
        instance_type=offer.instance_type if offer else "",
        accelerators=accelerators_of(offer) if offer else "",
        spot=bool(offer and offer.spot),
        hourly_micro=offer.hourly_micro * spec.num_nodes if offer else 0,
        began_at=one.began_at,
        up_at=one.up_at,
        over_at=one.over_at,
        ended_by=one.ended_by,
        why=one.why,
        jobs=list(one.jobs),
        settled_micro=money.settled if money else 0,
        reserved_micro=money.reserved if money else 0,
    )
