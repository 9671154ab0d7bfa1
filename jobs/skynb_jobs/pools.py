"""Pools: what the ledger says of their workers, and the deeds that follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skynb.control.ledger import Filter, Transaction
from skynb.control.records import Decision, Effect, Record
from skynb.spec import Task
from skynb_clusters.offers import offer_from
from skynb_clusters.records import JobSpec as WorkSpec
from skynb_clusters.requests import Desk, Rental
from skynb_clusters.wishes import gpus
from skynb_jobs.deciders.pool import decide_pool
from skynb_jobs.deciders.views import PoolView, WorkerSeen
from skynb_jobs.kinds import attempt_seen
from skynb_jobs.naming import worker_name
from skynb_jobs.records import (
    PoolSpec,
    PoolState,
    RentWorker,
    SetWorkerUp,
    TaskSpec,
    TaskState,
    Worker,
)

if TYPE_CHECKING:
    from skynb.planning import Plan
    from skynb_clusters.core import Core

SETUP_JOB = 1
_MOST_WAITING = 10_000
_WAITING = ("STARTING", "RECOVERING")


class PoolKind:
    """Kind `pool`; its record's name is what people call it."""

    name = "pool"

    def __init__(self, core: Core, desk: Desk) -> None:
        self._core = core
        self._desk = desk

    async def observe(self, record: Record) -> PoolView:
        return await self._core.reconciler.in_ledger(self._observe, record)

    def decide(self, record: Record, observation: PoolView, now: float) -> Decision:
        return decide_pool(record, observation, now)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        spec = record.spec_as(PoolSpec)
        woken: Sequence[str] = ()
        if isinstance(effect, RentWorker):
            task, plan = await self._core.in_cloud(self._plan, spec)
            woken = await self._core.reconciler.in_ledger(self._rent, record, effect.number, task, plan)
        elif isinstance(effect, SetWorkerUp):
            woken = await self._core.reconciler.in_ledger(self._set_up, record, effect.number)
        else:
            drop_kept(self._core, spec)
        for other in woken:
            self._core.wake(other)
        return None

    def _observe(self, record: Record) -> PoolView:
        spec, state = record.spec_as(PoolSpec), record.state_as(PoolState)
        with self._core.ledger.read() as tx:
            return PoolView(
                spec=spec,
                state=state,
                workers={one.number: _seen(tx, one) for one in state.workers},
                waiting=waiting(tx, record.id) if record.target == "UP" else (),
                has_setup=bool(spec.config.get("setup") or spec.files),
            )

    def _plan(self, spec: PoolSpec) -> tuple[Task, Plan]:
        task = _task(self._core, spec)
        plan = self._desk.plan_now(task)
        return self._desk.possible(task), plan

    def _rent(self, record: Record, number: int, task: Task, plan: Plan) -> Sequence[str]:
        rental = Rental(
            cluster=_worker(record, number).cluster,
            name=worker_name(record.name, number),
            holder=record.id,
            user=record.spec_as(PoolSpec).user,
            task=task,
            plan=plan,
            offers=tuple(offer_from(one) for one in (plan.choice, *plan.alternatives)),
            idle_minutes=None,
        )
        with self._core.ledger.transaction() as tx:
            return self._desk.rent(tx, rental)

    def _set_up(self, record: Record, number: int) -> Sequence[str]:
        spec = record.spec_as(PoolSpec)
        task = _task(self._core, spec)
        work = WorkSpec(
            number=SETUP_JOB,
            num_nodes=task.num_nodes,
            setup=task.setup,
            envs={key: value for key, value in (task.envs or {}).items() if value is not None},
            secrets=spec.secrets,
            files=spec.files,
            workdir=bool(task.workdir),
            gpus_per_node=gpus(task.resources),
            title="setup",
            task_id=f"sky-pool-{worker_name(record.name, number)}",
            user=spec.user,
            held_by=record.id,
        )
        with self._core.ledger.transaction() as tx:
            return self._desk.submit(tx, _worker(record, number).cluster, work)


def drop_kept(core: Core, spec: PoolSpec) -> None:
    """Forget the secrets and files of a pool, or of an older version of it."""
    if spec.secrets:
        core.secrets.drop(spec.secrets)
    if spec.files:
        core.snapshots.drop(spec.files)


def waiting(tx: Transaction, pool: str) -> tuple[tuple[str, int], ...]:
    """Tasks that have no worker of the pool, and the numbers of their attempts: by priority, then by age."""
    found = tx.page("task", Filter(live=True, statuses=_WAITING), _MOST_WAITING)
    ours = [one for one in found if one.spec_as(TaskSpec).pool == pool]
    line = sorted(ours, key=lambda one: (one.nice, one.spec_as(TaskSpec).job, int(one.name)))
    attempts = ((one.id, one.state_as(TaskState).attempts) for one in line)
    return tuple(
        (task, some[-1].number)
        for task, some in attempts
        if some and not some[-1].cluster and some[-1].over_at is None
    )


def _task(core: Core, spec: PoolSpec) -> Task:
    return Task.from_wire(spec.config, core.secrets.get(spec.secrets) if spec.secrets else {})


def _worker(record: Record, number: int) -> Worker:
    return next(one for one in record.state_as(PoolState).workers if one.number == number)


def _seen(tx: Transaction, worker: Worker) -> WorkerSeen:
    job = tx.highest("job", parent=worker.cluster) or (SETUP_JOB if worker.setup else None)
    holder = tx.get(worker.task) if worker.task else None
    attempts = holder.state_as(TaskState).attempts if holder is not None else ()
    lent = len(attempts) >= worker.attempt > 0 and not attempts[worker.attempt - 1].closed
    return WorkerSeen(cluster=attempt_seen(tx, worker.cluster, job), lent=lent)
