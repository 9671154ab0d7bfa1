"""What a person may ask of managed jobs: each request is one ledger transaction."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from skynb.control.clock import new_id
from skynb.control.ledger import Filter, Transaction
from skynb.control.records import Event, Move, Record
from skynb.errors import NotFoundError, SpecError
from skynb.planning import Plan
from skynb.spec import Task
from skynb.wire import CancelAnswer, ManagedAnswer, ManagedCancel, ManagedRequest
from skynb_clusters.core import Core
from skynb_clusters.requests import Desk
from skynb_clusters.wishes import read_task
from skynb_jobs.pool_requests import find_pool, of_pool, pool_for
from skynb_jobs.records import CANCELLED, FINAL, QUEUED, JobSpec, JobState, TaskSpec
from skynb_jobs.strategies import DEFAULT, strategy

MOST_JOBS = 10_000
_ALL = 1_000_000
PRIORITIES = (-1000, 1000)
_NAME = r"[a-zA-Z0-9]([-_.a-zA-Z0-9 ]*[a-zA-Z0-9])?"


class Prepared(NamedTuple):
    """What a request comes to, before it is written. files: for each job, the snapshot of each task."""

    tasks: Sequence[Task]
    plans: Sequence[Plan]
    files: Sequence[Sequence[str]]


class JobsDesk:
    """Takes requests for managed jobs; as `Desk`, in a worker thread, inside the transaction it is given."""

    def __init__(self, core: Core, desk: Desk) -> None:
        self._core = core
        self._desk = desk

    def prepare(self, request: ManagedRequest) -> Prepared:
        """What takes time and so stands outside the transaction: read, plan, keep the files.

        What cannot be done is refused: SpecError, UnsupportedError, NoOfferError.
        """
        tasks = self._read(request)
        plans = [] if request.pool else [self._desk.plan_now(task) for task in tasks]
        if request.dryrun:
            return Prepared(tasks, plans, ())
        files: list[list[str]] = [[]]
        try:
            for config in request.tasks:
                files[0].append(self._desk.keep(config))
            for _ in range(1, request.num_jobs or 1):
                files.append([])
                for one in files[0]:
                    files[-1].append(self._core.snapshots.copy(one) if one else "")
        except BaseException:
            self.discard(files)
            raise
        return Prepared(tasks, plans, files)

    def discard(self, files: Sequence[Sequence[str]]) -> None:
        """Forget files that no job came of."""
        for reference in (one for some in files for one in some if one):
            self._core.snapshots.drop(reference)

    def _read(self, request: ManagedRequest) -> list[Task]:
        if not request.tasks:
            raise SpecError("there is no task", where="tasks")
        secrets = request.secrets or [{} for _ in request.tasks]
        needs = request.needs or [[] for _ in request.tasks]
        if not len(request.tasks) == len(secrets) == len(needs):
            raise SpecError("every task has secrets and needs, or none has", where="tasks")
        if any(not 0 <= need < index for index, some in enumerate(needs) for need in some):
            raise SpecError("a task needs earlier ones only", where="needs", mend="Put tasks in order")
        _check_limits(request)
        tasks = [read_task(*pair) for pair in zip(request.tasks, secrets, strict=True)]
        for index, task in enumerate(tasks):
            strategy(request.strategy or _recovery(task).get("strategy"))
            if not task.run and not task.setup:
                raise SpecError("there is nothing to run", where=f"tasks[{index}].run")
        _check_name(_title(request, tasks))
        return tasks

    def launch(
        self, tx: Transaction, request: ManagedRequest, prepared: Prepared, user: str
    ) -> tuple[ManagedAnswer, Sequence[str]]:
        """Put the job, or `num_jobs` of them, in the line."""
        tasks = prepared.tasks
        name = _title(request, tasks)
        shown = [plan.to_dict() for plan in prepared.plans]
        pool = pool_for(tx, request.pool, tasks) if request.pool else ""
        if request.dryrun:
            return ManagedAnswer(jobs=[], name=name, plans=shown, dryrun=True), ()
        records = []
        for rank, kept in enumerate(prepared.files):
            record = self._record(tx.next_number("managed"), request, tasks, user, rank, kept, pool)
            tx.insert(record)
            data = {"name": name, "tasks": len(tasks), "priority": -record.nice, "rank": rank}
            tx.append(Event("managed.asked", data), record=record.id, scope=record.id)
            records.append(record)
        numbers = [int(record.name) for record in records]
        return ManagedAnswer(jobs=numbers, name=name, plans=shown), [record.id for record in records]

    def cancel(
        self, tx: Transaction, request: ManagedCancel, user: str
    ) -> tuple[CancelAnswer, Sequence[str]]:
        """Move jobs towards their end. What is final stays; one that is not there is a NotFoundError."""
        if not request.jobs and not request.all and request.name is None and request.pool is None:
            mend = "Name jobs by number, name or pool, or all of them"
            raise SpecError("no job is named", where="jobs", mend=mend)
        found = {record.name: record for record in self._chosen(tx, request)}
        if missing := [number for number in request.jobs if str(number) not in found]:
            what = f"there is no managed job {missing[0]}"
            raise NotFoundError(what, mend="`skynb jobs queue -a` lists them")
        if request.name is not None and not found:
            what = f"no managed job that goes on is called {request.name!r}"
            raise NotFoundError(what, mend="`skynb jobs queue` lists them")
        chosen = [one for one in found.values() if one.status not in FINAL and one.target != CANCELLED]
        for record in chosen:
            tx.move(Move(record.id, CANCELLED))
            tx.append(Event("managed.cancel.asked", {"by": user}), record=record.id, scope=record.id)
        going = [one for one in found.values() if one.status not in FINAL]
        return CancelAnswer(cancelled=sorted(int(one.name) for one in going)), [one.id for one in chosen]

    def _chosen(self, tx: Transaction, request: ManagedCancel) -> list[Record]:
        if request.jobs:
            return tx.page("managed", Filter(numbers=tuple(request.jobs)), len(request.jobs))
        titles = (request.name,) if request.name is not None else ()
        wanted = Filter(live=True, titles=() if request.all else titles)
        found = tx.page("managed", wanted, _ALL)
        return found if request.pool is None else of_pool(found, find_pool(tx, request.pool).id)

    def _record(
        self,
        number: int,
        request: ManagedRequest,
        tasks: Sequence[Task],
        user: str,
        rank: int,
        files: Sequence[str],
        pool: str,
    ) -> Record:
        title = _title(request, tasks)
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(self._core.ledger.clock.now()))
        ids = [f"sky-managed-{stamp}_{one.name or title}_{number}-{at}" for at, one in enumerate(tasks)]
        envs = _both({"MANAGED_JOB_ID": str(number), "ROOT_JOB_ID": str(number)})
        if request.num_jobs is not None:
            envs |= _both({"JOB_RANK": str(rank), "NUM_JOBS": str(request.num_jobs)})
        if request.parallel:
            envs |= _both({"JOBGROUP_NAME": title})
        elif len(tasks) > 1:
            envs |= _both({"TASK_IDS": "\n".join(ids)})
        priority = request.priority if request.priority is not None else tasks[0].resources.priority or 0
        specs = tuple(
            self._task(
                request,
                index,
                task,
                files=files[index],
                job=number,
                user=user,
                envs=envs,
                task_id=name,
                pool=pool,
            )
            for index, (task, name) in enumerate(zip(tasks, ids, strict=True))
        )
        spec = JobSpec(
            number=number,
            tasks=specs,
            parallel=request.parallel,
            primary=tuple(request.primary),
            delays=request.delays,
            rank=rank,
            of=request.num_jobs or 0,
            user=user,
        )
        return Record(
            id=new_id("managed"),
            kind="managed",
            name=str(number),
            parent=None,
            owner=user,
            status="PENDING",
            target=QUEUED,
            spec=msgspec.json.encode(spec),
            state=msgspec.json.encode(JobState()),
            title=title,
            nice=-priority,
        )

    def _task(self, request: ManagedRequest, index: int, task: Task, **more: Any) -> TaskSpec:
        config, secrets = task.to_wire()
        recovery = _recovery(task)
        now = self._core.ledger.clock.now()
        return TaskSpec(
            index=index,
            title=task.name or _title(request, [task]),
            config=config,
            num_nodes=task.num_nodes,
            secrets=self._core.secrets.put(secrets) if secrets else "",
            needs=tuple(request.needs[index]) if request.needs else (),
            strategy=request.strategy or recovery.get("strategy") or DEFAULT,
            restarts=int(recovery.get("max_restarts_on_errors") or 0),
            restart_codes=_codes(recovery.get("recover_on_exit_codes")),
            deadline_at=None if request.deadline_s is None else now + request.deadline_s,
            budget_micro=request.budget_micro,
            shares=len(request.tasks),
            **more,
        )


def _check_limits(request: ManagedRequest) -> None:
    low, high = PRIORITIES
    if request.priority is not None and not low <= request.priority <= high:
        raise SpecError(f"{request.priority} is no priority", where="priority", mend=f"{low} to {high}")
    if request.num_jobs is not None and not 1 <= request.num_jobs <= MOST_JOBS:
        what = f"{request.num_jobs} jobs cannot be asked for"
        raise SpecError(what, where="num_jobs", mend=f"1 to {MOST_JOBS}")
    if request.budget_micro is not None and request.budget_micro <= 0:
        raise SpecError("a budget is more than nothing", where="budget")
    if request.pool and request.budget_micro is not None:
        mend = "`skynb budget` caps what you spend in a month"
        raise SpecError("workers of a pool are not paid by the job", where="budget", mend=mend)
    if request.deadline_s is not None and request.deadline_s <= 0:
        raise SpecError("a deadline lies ahead", where="deadline")


def _recovery(task: Task) -> Mapping[str, Any]:
    """What the task says of recovery, of its first alternative if they differ."""
    _, items = task.resources.alternatives()
    wish = next((item.job_recovery for item in (task.resources, *items) if item.job_recovery), None)
    plain: Mapping[str, Any] = wish.to_plain() if wish is not None else {}
    return plain


def _codes(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    return (int(value),) if isinstance(value, int) else tuple(int(code) for code in value)


def _title(request: ManagedRequest, tasks: Sequence[Task]) -> str:
    return request.name or tasks[0].name or "job"


def _both(facts: Mapping[str, str]) -> dict[str, str]:
    """Variables under SkyPilot's names and ours."""
    return {f"{prefix}_{name}": value for prefix in ("SKYPILOT", "SKYNB") for name, value in facts.items()}


def _check_name(name: str) -> None:
    if not re.fullmatch(_NAME, name) or len(name) > 200:
        raise SpecError(
            f"{name[:80]!r} is no name for a job",
            where="name",
            mend="Letters, digits, -, _, . and spaces, a letter or digit at both ends",
        )
