"""Managed jobs: work that is handed over, and finishes whatever happens to the machines.

As `skynb.client.sdk`: plain blocking calls that also work inside a running event loop.
"""
# ruff: noqa: A002 - SkyPilot's names, which people's scripts have

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from skynb.client.environment import in_environment
from skynb.client.managed import ManagedJobs, ManagedLaunch, is_over, log_lines
from skynb.client.pools import Pools
from skynb.client.sdk import connection
from skynb.client.tasks import dag_of, packed
from skynb.client.waiting import until
from skynb.client.words import micro
from skynb.errors import NotFoundError, SpecError
from skynb.wire import (
    CancelAnswer,
    EventInfo,
    ManagedAnswer,
    ManagedCancel,
    ManagedInfo,
    ManagedPage,
    ManagedRequest,
    PoolInfo,
    PoolRequest,
)

if TYPE_CHECKING:
    from skynb.client.causes import Story
    from skynb.client.listings import Events
    from skynb.client.tasks import TaskLike
    from skynb.environment import Environment
    from skynb.spec import Dag

__all__ = [
    "cancel",
    "events",
    "get",
    "launch",
    "pool_apply",
    "pool_down",
    "pool_status",
    "queue",
    "tail_logs",
    "wait",
    "why",
]


def launch(
    task: TaskLike,
    name: str | None = None,
    *,
    num_jobs: int | None = None,
    priority: int | None = None,
    recovery: str | None = None,
    budget: float | None = None,
    deadline_hours: float | None = None,
    pool: str | None = None,
    env_sync: bool | Environment = False,
    env_without: Sequence[str] = (),
    dryrun: bool = False,
) -> ManagedLaunch:
    """Hand work over: a task, a chain, a Dag with edges, or a group; returns as soon as that is durable.

    num_jobs: so many jobs of the same, each told its rank. priority: -1000 to 1000, higher goes first.
    recovery: CHEAPEST, EAGER_NEXT_REGION, FAILOVER or a strategy that is installed, before what the tasks
    say. budget: US dollars that a job may cost in all. deadline_hours: from now; then it is ended. pool:
    whose workers do it, instead of machines of its own. env_sync: in this Python's environment, or the one
    given; env_without: its distributions that are left out. dryrun: plan only.
    """
    dag = dag_of(task)
    tasks = dag.in_order()
    with in_environment(tasks, env_sync, env_without) as sent:
        packs = [packed(one) for one in sent]
        request = ManagedRequest(
            tasks=[config for config, _ in packs],
            secrets=[secrets for _, secrets in packs],
            needs=[[tasks.index(first) for first, then in dag.edges if then is one] for one in tasks],
            name=name or dag.name,
            num_jobs=num_jobs,
            priority=priority,
            strategy=recovery,
            budget_micro=None if budget is None else micro(budget, "budget"),
            deadline_s=None if deadline_hours is None else deadline_hours * 3600,
            pool=pool,
            dryrun=dryrun,
            **_group(dag),
        )
        answer = connection().call("POST", "/jobs", ManagedAnswer, body=request)
    return ManagedLaunch(connection(), answer)


def queue(
    refresh: bool = False,  # noqa: ARG001 - SkyPilot's; the records are always current
    skip_finished: bool = False,
    all_users: bool = True,
    job_ids: Sequence[int] | None = None,
    *,
    statuses: Sequence[str] = (),
    name: str | None = None,
    limit: int = 50,
    since: float | None = None,
    before: float | None = None,
    infra: str | None = None,
) -> ManagedJobs:
    """Managed jobs, newest first, at most `limit`.

    all_users=False: only one's own. name: may have `*`. since, before: seconds since the epoch. infra: where
    they run or ran, `aws` or `aws/us-east-1`.
    """
    query: dict[str, str | list[str]] = {"limit": str(limit)}
    if statuses:
        query["status"] = ",".join(statuses)
    if job_ids:
        query["job"] = ",".join(map(str, job_ids))
    if name is not None:
        query["name"] = name
    if infra is not None:
        query["infra"] = infra
    if skip_finished:
        query["live"] = "1"
    if not all_users:
        import getpass

        query["user"] = getpass.getuser()
    query |= {key: str(at) for key, at in (("since", since), ("before", before)) if at is not None}
    return ManagedJobs.of(connection().call("GET", "/jobs", ManagedPage, query=query))


def get(job: int | str) -> ManagedInfo:
    """One managed job by number, or the newest of a name; NotFoundError."""
    if isinstance(job, int) or job.isdigit():
        return connection().call("GET", f"/jobs/{int(job)}", ManagedInfo)
    found = queue(name=job, limit=1)
    if not found:
        raise NotFoundError(f"no managed job is called {job!r}", mend="`skynb jobs queue -a` lists them")
    return found[0]


def cancel(
    job_ids: Sequence[int] | None = None,
    *,
    name: str | None = None,
    pool: str | None = None,
    all: bool = False,
) -> list[int]:
    """Cancel managed jobs; durable when this returns. The numbers of those that were not over."""
    if sum((bool(job_ids), name is not None, pool is not None, all)) != 1:
        raise SpecError("numbers, a name, a pool or all of them, one of the four", where="jobs")
    request = ManagedCancel(jobs=list(job_ids or ()), name=name, pool=pool, all=all)
    return connection().call("POST", "/jobs/cancel", CancelAnswer, body=request).cancelled


def pool_apply(
    task: TaskLike, pool_name: str, *, workers: int | None = None, dryrun: bool = False
) -> PoolInfo:
    """Make a pool of warm workers, or give one other workers; what works goes on to its end.

    workers: so many, before what the task's `pool` says. dryrun: plan only.
    """
    (one,) = dag_of(task).in_order()
    config, secrets = packed(one)
    request = PoolRequest(task=config, secrets=secrets, workers=workers, dryrun=dryrun)
    return connection().call("POST", f"/pools/{pool_name}", PoolInfo, body=request)


def pool_status(pool_names: Sequence[str] | None = None) -> Pools:
    """Pools and their workers; NotFoundError for a name that there is not."""
    return Pools(connection().call("GET", "/pools", list[PoolInfo], query={"name": list(pool_names or ())}))


def pool_down(pool_names: Sequence[str] = (), *, all: bool = False) -> Pools:
    """Take pools down; ConflictError while jobs of one go on."""
    names = [pool.name for pool in pool_status()] if all else list(pool_names)
    return Pools([connection().call("DELETE", f"/pools/{name}", PoolInfo) for name in names])


def wait(job: int | str, timeout: float | None = None) -> ManagedInfo:
    """Block until the job's verdict stands; it does not raise for a job that failed. TimeoutError."""
    number = get(job).id
    return until(lambda: is_over(connection(), number), timeout, f"managed job {number}")


def tail_logs(
    job: int | str,
    *,
    follow: bool = True,
    task: int | str | None = None,
    rank: int | None = None,
    tail: int = 0,
) -> Iterator[str]:
    """Lines of the log over all attempts and tasks, in one. tail: the last so many, then what comes."""
    found = get(job)
    index = None
    if task is not None:
        fits = [one.index for one in found.tasks if task in {one.index, str(one.index), one.name}]
        if not fits:
            raise SpecError(f"job {found.id} has no task {task!r}", where="task")
        index = fits[0]
    return log_lines(connection(), found, follow=follow, task=index, rank=rank, tail=tail)


def events(job: int | str) -> Events:
    """The history of a managed job and of every cluster that it was given."""
    from skynb.client.listings import Events

    stream = connection().stream(f"/jobs/{get(job).id}/events", {"follow": "0"})
    return Events(msgspec.convert(event.data, EventInfo) for event in stream)


def why(job: int | str, *, every: bool = False) -> Story:
    """Why a managed job is as it is: one sentence, and the causes behind it. every: the small steps, too."""
    from skynb.client.managed_causes import managed_story

    return managed_story(get(job), events(job), every=every)


def _group(dag: Dag) -> dict[str, Any]:
    """What a request says of a group of jobs; nothing for a chain."""
    if not dag.is_job_group():
        return {}
    dag.validate()
    names = [str(one.name) for one in dag.tasks]
    waits = {index: float(dag.get_termination_delay_secs(name)) for index, name in enumerate(names)}
    return {
        "parallel": True,
        "primary": [index for index, name in enumerate(names) if dag.is_primary_task(name)],
        "delays": {index: wait for index, wait in waits.items() if wait},
    }
