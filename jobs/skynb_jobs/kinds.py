"""Managed jobs and their tasks: what the ledger says of them, and the deeds that follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skynb.control.ledger import Filter, Transaction
from skynb.control.records import Decision, Effect, Record
from skynb.errors import ConflictError, JobBudgetError, ProviderError
from skynb.spec import Task
from skynb_clusters.deciders.money import LEAST_S, SPENT
from skynb_clusters.naming import job_id
from skynb_clusters.offers import offer_from
from skynb_clusters.records import ClusterSpec, ClusterState, NodeState, gang_of, offer_of
from skynb_clusters.records import JobSpec as WorkSpec
from skynb_clusters.records import JobState as WorkState
from skynb_clusters.requests import Desk, Rental
from skynb_clusters.wishes import gpus, hooks_of
from skynb_jobs import groups
from skynb_jobs.deciders.job import decide_job
from skynb_jobs.deciders.task import decide_task
from skynb_jobs.deciders.views import AttemptSeen, JobView, Lent, TaskSeen, TaskView, WorkSeen
from skynb_jobs.naming import cluster_name, worker_name
from skynb_jobs.records import (
    FINAL,
    Attempt,
    DropTask,
    Introduce,
    JobSpec,
    JobState,
    PoolState,
    RentCluster,
    SubmitWork,
    TaskSpec,
    TaskState,
)
from skynb_jobs.strategies import Past, Zone, ordered, zone_of

if TYPE_CHECKING:
    from skynb.planning import Plan
    from skynb_clusters.core import Core

JOURNALS = ".skynb-journal"  # below the home of nodes
TAKING = "preemption"  # the notice after which a machine goes
PAST_S = 14 * 86_400.0
PAST_TASKS = 300
_GONE = {"FAILED", "PENDING", "ENDED", "STOPPED"}


class ManagedKind:
    """Kind `managed`, a managed job; its record's name is its number."""

    name = "managed"

    def __init__(self, core: Core, desk: Desk) -> None:
        self._core = core
        self._desk = desk

    async def observe(self, record: Record) -> JobView:
        children = await self._core.children(record.id)
        spec, met = record.spec_as(JobSpec), groups.NOBODY
        if spec.parallel and children and record.status not in FINAL:
            met = await self._core.reconciler.in_ledger(self._met, record, children)
        tasks = [
            TaskSeen(
                id=child.id,
                index=int(child.name),
                status=child.status,
                target=child.target,
                final=child.final,
                reason=child.reason,
            )
            for child in children
        ]
        return JobView(
            spec=spec,
            state=record.state_as(JobState),
            tasks=tuple(sorted(tasks, key=lambda task: task.index)),
            hosts=met.hosts,
            unaware=met.unaware,
        )

    def decide(self, record: Record, observation: JobView, now: float) -> Decision:
        return decide_job(record, observation, now)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        if not isinstance(effect, Introduce):
            raise ProviderError(f"{record.id} has no deed {type(effect).__name__}", retryable="no")
        for other in await self._core.reconciler.in_ledger(self._introduce, effect):
            self._core.wake(other)
        return None

    def _met(self, record: Record, tasks: list[Record]) -> groups.Met:
        with self._core.ledger.read() as tx:
            return groups.met(tx, record, tasks)

    def _introduce(self, effect: Introduce) -> list[str]:
        with self._core.ledger.transaction() as tx:
            return [
                woken for name in effect.clusters for woken in self._desk.introduce(tx, name, effect.hosts)
            ]


class TaskKind:
    """Kind `task`, below a managed job; its record's name is its index."""

    name = "task"

    def __init__(self, core: Core, desk: Desk) -> None:
        self._core = core
        self._desk = desk

    async def observe(self, record: Record) -> TaskView:
        return await self._core.reconciler.in_ledger(self._observe, record)

    def decide(self, record: Record, observation: TaskView, now: float) -> Decision:
        return decide_task(record, observation, now)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        spec, state = record.spec_as(TaskSpec), record.state_as(TaskState)
        if isinstance(effect, RentCluster):
            attempt = state.attempts[effect.attempt - 1]
            task, plan = await self._core.in_cloud(self._plan, spec)
            woken = await self._core.reconciler.in_ledger(self._rent, record, attempt, task, plan)
        elif isinstance(effect, SubmitWork):
            attempt = state.attempts[effect.attempt - 1]
            woken = await self._core.reconciler.in_ledger(self._submit, record, attempt, effect.number)
        else:
            woken = ()
            self._drop(spec, effect)
        for other in woken:
            self._core.wake(other)
        return None

    def _observe(self, record: Record) -> TaskView:
        state = record.state_as(TaskState)
        with self._core.ledger.read() as tx:
            seen = {
                one.number: attempt_seen(tx, one.cluster, one.jobs[-1] if one.jobs else None)
                for one in state.attempts
                if not one.closed
            }
            spec = record.spec_as(TaskSpec)
            lent = lent_to(tx, spec.pool, record.id) if spec.pool and record.status not in FINAL else None
        return TaskView(spec=spec, state=state, attempts=seen, lent=lent)

    def _plan(self, spec: TaskSpec) -> tuple[Task, Plan]:
        """The task, and where it can run at today's prices. Blocks."""
        task = Task.from_wire(spec.config, self._secrets(spec))
        plan = self._desk.plan_now(task)
        return self._desk.possible(task), plan

    def _rent(self, record: Record, attempt: Attempt, task: Task, plan: Plan) -> Sequence[str]:
        spec, state = record.spec_as(TaskSpec), record.state_as(TaskState)
        with self._core.ledger.transaction() as tx:
            offers = [offer_from(one) for one in (plan.choice, *plan.alternatives)]
            ranked, _ = task.resources.alternatives()
            past = _past(tx, state, self._core.ledger.clock.now(), ranked=ranked)
            rental = Rental(
                cluster=attempt.cluster,
                name=cluster_name(spec.title, spec.job, spec.index, attempt.number),
                holder=record.id,
                user=spec.user,
                task=task,
                plan=plan,
                offers=ordered(offers, past, spec.strategy),
                budget_micro=_share(tx, record, spec, least=plan.hourly_micro * LEAST_S // 3600),
            )
            return self._desk.rent(tx, rental)

    def _submit(self, record: Record, attempt: Attempt, number: int) -> Sequence[str]:
        spec, state = record.spec_as(TaskSpec), record.state_as(TaskState)
        task = Task.from_wire(spec.config, self._secrets(spec))
        done = ((one.cluster, job) for one in state.attempts for job in one.jobs)
        earlier = tuple(job for job in done if job != (attempt.cluster, number))
        journal = f"{JOURNALS}/{spec.job}-{spec.index}"
        work = WorkSpec(
            number=number,
            num_nodes=task.num_nodes,
            setup=task.setup,
            run=groups.awaiting(spec.job, task.run) if "SKYNB_JOBGROUP_NAME" in spec.envs else task.run,
            envs={key: value for key, value in (task.envs or {}).items() if value is not None}
            | spec.envs
            | {"SKYNB_ATTEMPT": str(attempt.number), "SKYNB_JOURNAL": f"~/{journal}"},
            secrets=spec.secrets,
            files=spec.files,
            workdir=bool(task.workdir),
            gpus_per_node=gpus(task.resources),
            title=spec.title,
            task_id=spec.task_id,
            user=spec.user,
            held_by=record.id,
            earlier=earlier,
            journal=journal,
            hooks=hooks_of(task),
        )
        with self._core.ledger.transaction() as tx:
            if attempt.worker and not _still(tx, record.id, attempt.number):
                raise ConflictError("the attempt was given up meanwhile", retryable="no")
            return self._desk.submit(tx, attempt.cluster, work)

    def _secrets(self, spec: TaskSpec) -> dict[str, str]:
        return self._core.secrets.get(spec.secrets) if spec.secrets else {}

    def _drop(self, spec: TaskSpec, effect: Effect) -> None:
        if isinstance(effect, DropTask):
            if spec.secrets:
                self._core.secrets.drop(spec.secrets)
            if spec.files:
                self._core.snapshots.drop(spec.files)


def lent_to(tx: Transaction, pool: str, task: str) -> Lent:
    """What a pool lends to a task now."""
    record = tx.get(pool)
    if record is None or record.target != "UP":
        return Lent(pool=pool, gone=True)
    workers = record.state_as(PoolState).workers
    ours = [one for one in workers if one.task == task and one.over_at is None]
    if not ours:
        trouble = f"pool {record.name} has failed: {record.reason}" if record.status == "FAILED" else ""
        return Lent(pool=pool, trouble=trouble)
    worker = max(ours, key=lambda one: one.attempt)
    return Lent(
        pool=pool,
        attempt=worker.attempt,
        cluster=worker.cluster,
        worker=worker_name(record.name, worker.number),
    )


def attempt_seen(tx: Transaction, cluster_id: str, job: int | None) -> AttemptSeen:
    """A cluster and one of its jobs, if there is one, as the ledger has them."""
    cluster = tx.get(cluster_id) if cluster_id else None
    if cluster is None:
        return AttemptSeen()
    state = cluster.state_as(ClusterState)
    nodes = [node for name in gang_of(cluster) if (node := tx.get(name)) is not None]
    work = tx.get(job_id(cluster.id, job)) if job is not None else None
    ready = cluster.status == "INIT" and state.phase == "ready" and cluster.target == "UP"
    warned = [at for node in nodes for kind, at in node.state_as(NodeState).told_notices if kind == TAKING]
    return AttemptSeen(
        status=cluster.status,
        target=cluster.target,
        final=cluster.final,
        reason=cluster.reason,
        failed=state.phase == "failed",
        error=state.error,
        offer=offer_of(cluster),
        hurt=_hurt(nodes) if ready else "",
        whole=all(_answers(node) for node in nodes),
        warned_at=max(warned, default=None),
        spent=cluster.target != "UP" and cluster.reason == SPENT,
        work=_work(work) if work is not None else None,
        next_job=tx.highest("job", parent=cluster.id) + 1 if job is None else job + 1,
    )


def _still(tx: Transaction, task: str, attempt: int) -> bool:
    """Whether an attempt goes on: what is lent is given back by whoever gives it up."""
    record = tx.get(task)
    return record is not None and record.state_as(TaskState).attempts[attempt - 1].over_at is None


def _hurt(nodes: Sequence[Record]) -> str:
    """Which nodes of a cluster that was up are certainly gone or off, in words."""
    gone = [node for node in nodes if node.status in _GONE and (node.reason or node.target != "UP")]
    return ", ".join(f"node {node.name}: {node.reason or node.status.lower()}" for node in gone)


def _answers(node: Record) -> bool:
    state = node.state_as(NodeState)
    return node.status == "UP" and state.silent_since is None and state.absent_at is None


def _work(record: Record) -> WorkSeen:
    state = record.state_as(WorkState)
    return WorkSeen(
        status=record.status,
        reason=record.reason,
        codes=tuple(rank.get("exit_code") for rank in state.ranks),
        ended_at=state.ended_at,
    )


def _past(tx: Transaction, state: TaskState, now: float, *, ranked: bool) -> Past:
    """What this task and others have lived through lately."""
    hours: dict[Zone, float] = defaultdict(float)
    taken: dict[Zone, int] = defaultdict(int)
    for record in tx.page("task", Filter(since=now - PAST_S), PAST_TASKS):
        for one in record.state_as(TaskState).attempts:
            if one.offer is None or not one.offer.spot or one.up_at is None or one.worker:
                continue
            hours[zone_of(one.offer)] += max(0.0, (one.over_at or now) - one.up_at) / 3600
            taken[zone_of(one.offer)] += one.ended_by in {"preempted", "lost"}
    lost = tuple(one.offer for one in state.attempts if one.offer and one.ended_by in {"preempted", "lost"})
    return Past(lost=lost, hours=hours, preemptions=taken, ordered=ranked)


def _share(tx: Transaction, record: Record, spec: TaskSpec, *, least: int) -> int | None:
    """What a cluster may next cost: a share of what the job's budget has left, JobBudgetError below `least`.

    A cluster that is not gone counts with all that it may cost, so that the sum never passes the budget.
    """
    if spec.budget_micro is None:
        return None
    left, begun = spec.budget_micro, 0
    for sibling in tx.children(str(record.parent)):
        attempts = sibling.state_as(TaskState).attempts
        begun += bool(attempts) or sibling.id == record.id
        for attempt in attempts:
            left -= _promised(tx, attempt.cluster)
    share = left // max(1, spec.shares - begun + 1)
    if share < max(1, least):
        raise JobBudgetError(
            f"the job's budget leaves ${max(0, share) / 1e6:.2f} for further machines",
            why=f"They are rented only with money for {LEAST_S // 60} minutes of all of them",
            mend="Launch it again with a higher --budget",
        )
    return share


def _promised(tx: Transaction, cluster: str) -> int:
    record = tx.get(cluster)
    if record is None:
        return 0
    cap = record.spec_as(ClusterSpec).budget_micro
    return tx.money(scope=cluster).settled if record.final or cap is None else cap
