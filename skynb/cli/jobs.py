"""jobs launch, queue, logs, cancel, why: managed jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from skynb.cli import options
from skynb.cli.entrypoint import dag_from
from skynb.cli.face import face
from skynb.cli.handing import foretell
from skynb.cli.pools import pool
from skynb.errors import NotFoundError
from skynb.wire import MANAGED_STATUSES

if TYPE_CHECKING:
    from skynb.client.causes import Story
    from skynb.client.managed import ManagedJobs, ManagedLaunch

_MOST = 1000
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_job = click.argument("job", metavar="ID|NAME")


@click.group()
def jobs() -> None:
    """Hand work over that finishes whatever happens to the machines."""


@jobs.command()
@click.argument("entrypoint", nargs=-1)
@options.detach
@options.yes
@options.output
@options.task_fields
@click.option("--job-recovery", "recovery", help="CHEAPEST, EAGER_NEXT_REGION, FAILOVER, or one installed.")
@click.option("--num-jobs", type=click.IntRange(1, 10_000), help="So many of the same, each with its rank.")
@click.option("--budget", type=float, metavar="DOLLARS", help="What a job may cost in all.")
@click.option("--deadline", type=float, metavar="HOURS", help="End it after so many hours from now.")
@click.option("--dryrun", is_flag=True, help="Plan, and hand nothing over.")
@click.option("--job-group/--no-job-group", default=None, hidden=True, expose_value=False)  # the YAML says
@click.option("-p", "--pool", metavar="POOL", help="On a worker of this pool, not on machines of its own.")
@options.env_sync
@options.refused("-w", "--workspace")
@options.config
def launch(
    entrypoint: tuple[str, ...],
    detach: bool,
    yes: bool,
    recovery: str | None,
    num_jobs: int | None,
    budget: float | None,
    deadline: float | None,
    pool: str | None,
    env_sync: bool,
    env_without: tuple[str, ...],
    dryrun: bool,
    **fields: Any,
) -> ManagedLaunch:
    """Hand a task over, or a chain, or a group of several YAML documents.

    It waits its turn, rents machines, survives their loss, and ends once. Without -d the log is followed;
    Ctrl-C leaves it and cancels nothing.
    """
    from skynb import jobs as client

    asked: dict[str, Any] = {
        "num_jobs": num_jobs,
        "priority": fields["priority"],
        "recovery": recovery,
        "budget": budget,
        "deadline_hours": deadline,
        "pool": pool,
        "env_without": env_without,
    }
    dag, here = dag_from(entrypoint, fields), face()
    if env_sync:
        from skynb.client.environment import this_environment

        asked["env_sync"] = this_environment()
        here.say(f"environment: {asked['env_sync']}")
    if dryrun:
        return client.launch(dag, dryrun=True, **asked)
    foretell(lambda: client.launch(dag, dryrun=True, **asked), yes=yes, budget=budget, jobs=num_jobs or 1)
    handle = client.launch(dag, **asked)
    here.say(str(handle))
    if not detach and handle.job_id is not None and here.lines(iter(handle), handle.ways_on()):
        job = client.wait(handle.job_id)
        here.ended(job.status, final=job.final)
        here.say(f"Managed job {job.id} {job.status}" + (f": {job.reason}" if job.reason else ""))
        here.insist(handle.result)
    return handle


@jobs.command()
@click.argument("job_ids", nargs=-1, type=int, metavar="[ID]...")
@click.option("-l", "--limit", type=click.IntRange(1, _MOST), default=50, show_default=True)
@click.option("-a", "--all", "everything", is_flag=True, help="Up to a thousand, not only the newest.")
@click.option("--skip-finished", is_flag=True, help="Only jobs that are not over.")
@click.option(
    "-s", "--status", "statuses", multiple=True, type=click.Choice(MANAGED_STATUSES, case_sensitive=False)
)
@click.option("-n", "--name", help="Only of this name; may have *.")
@click.option("--since", help="Handed over in the last 30m, 2h, 3d, 1w.")
@click.option("--after", help="Handed over after that: 2026-11-27, '2026-11-27 14:30', or 2h ago as 2h.")
@click.option("--before", help="Handed over before that.")
@click.option("-u", "--all-users", is_flag=True, hidden=True, expose_value=False)  # shown in any case
@click.option("--mine", is_flag=True, help="Only your own.")
@click.option("-r", "--refresh", is_flag=True, hidden=True, expose_value=False)  # the records are current
@click.option("-v", "--verbose", is_flag=True, hidden=True, expose_value=False)
@options.output
@click.option("--infra", help="Only jobs that run, or ran, there: aws, aws/us-east-1.")
@options.config
def queue(
    job_ids: tuple[int, ...],
    limit: int,
    everything: bool,
    skip_finished: bool,
    statuses: tuple[str, ...],
    name: str | None,
    since: str | None,
    after: str | None,
    before: str | None,
    mine: bool,
    infra: str | None,
) -> ManagedJobs:
    """Show managed jobs, newest first."""
    from skynb import jobs as client

    found = client.queue(
        job_ids=job_ids,
        skip_finished=skip_finished,
        all_users=not mine,
        statuses=[status.upper() for status in statuses],
        name=name,
        limit=_MOST if everything else limit,
        since=max(filter(None, (_moment(since, "--since"), _moment(after, "--after"))), default=None),
        before=_moment(before, "--before"),
        infra=infra,
    )
    missing = sorted(set(job_ids) - {job.id for job in found})
    if missing:
        raise NotFoundError(f"there is no managed job {missing[0]}", mend="`skynb jobs queue -a` lists them")
    return found


@jobs.command()
@click.argument("job", required=False, metavar="[ID|NAME]")
@click.argument("task", required=False)
@click.option("-n", "--name", help="The newest job of this name.")
@click.option("--follow/--no-follow", default=True, help="Go on until the job ends.")
@click.option("--controller", is_flag=True, help="What was decided, and why, instead of the log.")
@click.option("--tail", type=click.IntRange(min=0), default=0, help="Begin so many lines before the end.")
@click.option("-r", "--refresh", is_flag=True, hidden=True, expose_value=False)
@options.output
@options.refused("-s", "--sync-down", flag=True)
@options.config
def logs(
    job: str | None, task: str | None, name: str | None, follow: bool, controller: bool, tail: int
) -> Story | None:
    """Show the log of a managed job over all its attempts, of the newest by default.

    Exits with 0 if the job succeeded, 100 if it failed, 101 if it has not ended, 103 if it was cancelled.
    """
    from skynb import jobs as client

    asked = job or name
    if asked is None:
        newest = client.queue(limit=1)
        if not newest:
            raise NotFoundError("there is no managed job", mend="`skynb jobs launch` hands one over")
        asked = str(newest[0].id)
    found = client.get(asked)
    if controller:
        return client.why(found.id, every=True)
    here = face()
    if here.lines(
        client.tail_logs(found.id, follow=follow, task=task, tail=tail), f"skynb jobs logs {found.id}"
    ):
        found = client.get(found.id)
        here.ended(found.status, final=found.final)
    return None


@jobs.command()
@click.argument("job_ids", nargs=-1, type=int, metavar="[ID]...")
@click.option("-n", "--name", help="All of this name that go on; may have *.")
@click.option("-a", "--all", "everything", is_flag=True, help="All that go on.")
@options.yes
@options.output
@options.all_users
@click.option("-p", "--pool", metavar="POOL", help="All of this pool that go on.")
@options.refused("--task")
@options.graceful
@options.config
def cancel(
    job_ids: tuple[int, ...], name: str | None, pool: str | None, everything: bool, yes: bool
) -> ManagedJobs:
    """Cancel managed jobs. What is asked is never lost, in whatever state a job is."""
    from skynb import jobs as client
    from skynb.client.managed import ManagedJobs

    if sum((bool(job_ids), name is not None, pool is not None, everything)) != 1:
        raise click.UsageError("give numbers, --name, --pool or --all, one of the four")
    if not job_ids and not yes:
        which = "managed jobs" if everything else f"jobs named {name}" if name else f"jobs of pool {pool}"
        face().confirm(f"Cancel all {which}?")
    numbers = client.cancel(list(job_ids), name=name, pool=pool, all=everything)
    return client.queue(job_ids=numbers, limit=min(_MOST, max(1, len(numbers)))) if numbers else ManagedJobs()


@jobs.command()
@_job
@click.option("-a", "--all", "every", is_flag=True, help="All that happened to its clusters, too.")
@options.output
@options.config
def why(job: str, every: bool) -> Story:
    """Show why a managed job is as it is: its attempts, their ends, and the causes."""
    from skynb import jobs as client

    return client.why(job, every=every)


jobs.add_command(pool)


def _moment(text: str | None, option: str) -> float | None:
    """Seconds since the epoch of a date in the reader's zone, or of a span before now."""
    if text is None:
        return None
    from datetime import datetime

    try:
        if text[-1:] in _UNITS:
            return time.time() - float(text[:-1]) * _UNITS[text[-1]]
        if text.isdecimal() and len(text) < len("20261127"):
            return time.time() - float(text)
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        what = f"{text!r} is no span like 2h and no date like 2026-11-27"
        raise click.BadParameter(what, param_hint=option) from None
