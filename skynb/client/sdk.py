"""The SDK: what the command line and the magics can do, as functions.

They are plain blocking calls, which also work inside a running event loop. What the server refuses comes as
the SkynbError that it is. The server of this home is started on first use.
"""
# ruff: noqa: A001, A002 - SkyPilot's names, which people's scripts have

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import msgspec

from skynb.client import server
from skynb.client.http import Connection, segment
from skynb.client.launch import Launch, failure
from skynb.client.listings import Budgets, Charges, Checks, Clusters, Costs, Days, Events, Jobs, Machines
from skynb.client.logs import log_lines
from skynb.client.tasks import dag_of, packed, task_of
from skynb.client.waiting import until
from skynb.client.words import micro
from skynb.errors import ConflictError, NotFoundError, ProviderError, SpecError
from skynb.wire import (
    AutostopRequest,
    BudgetInfo,
    BudgetRequest,
    CancelAnswer,
    CancelRequest,
    ChargeInfo,
    CheckInfo,
    ClusterInfo,
    CostInfo,
    DayInfo,
    EventInfo,
    ExecRequest,
    JobInfo,
    LaunchAnswer,
    LaunchRequest,
    MachinesInfo,
    ReapRequest,
    RebuildInfo,
    RebuildRequest,
    RefreshInfo,
    RefreshRequest,
    RunInfo,
    SshInfo,
    WaitFor,
)

if TYPE_CHECKING:
    from skynb.client.causes import Story
    from skynb.client.tasks import TaskLike
    from skynb.planning import GpuTable, Plan
    from skynb.planning.estimates import Run
    from skynb.planning.what_if import WhatIf
    from skynb.planning.why import Why
    from skynb.spec import Dag

_GONE = ("terminated",)
FORGOTTEN = ("unclaimed", "unknown")
WAIT_FOR = ("jobs_and_ssh", "jobs", "none")


def launch(
    task: TaskLike,
    cluster_name: str | None = None,
    *,
    dryrun: bool = False,
    idle_minutes_to_autostop: float | None = None,
    wait_for: str | None = None,
    down: bool = False,
    no_setup: bool = False,
    plan_hash: str | None = None,
    retry_until_up: bool = False,
    race: int = 1,
    budget: float | None = None,
    fresh_setup: bool = False,
    fast: bool = False,
) -> Launch:
    """Run a task on a new cluster, or on the live one of that name; returns as soon as that is durable.

    dryrun: plan only. down: take the cluster down when it is idle, at once if no idle time is given.
    plan_hash: refuse any other plan than this one, which somebody has seen. retry_until_up: go on until
    machines are had. race: try so many offers at a time, keep the first that comes. budget: US dollars that a
    new cluster may cost in all; it ends before they are used up. A setup that a node has had last, with the
    same files and variables, is not run there again: fresh_setup runs it in any case, fast leaves it out on a
    cluster that is up.
    """
    one = task_of(task)
    config, secrets = packed(one)
    request = LaunchRequest(
        task=config,
        secrets=secrets,
        cluster_name=cluster_name,
        dryrun=dryrun,
        setup=not no_setup,
        autostop=wish(idle_minutes_to_autostop, wait_for, down=down),
        plan_hash=plan_hash,
        retry=retry_until_up,
        race=race,
        budget_micro=None if budget is None else micro(budget, "budget"),
        fresh_setup=fresh_setup,
        fast=fast,
    )
    answer = connection().call("POST", "/clusters", LaunchAnswer, body=request)
    return Launch(connection(), answer, num_nodes=one.num_nodes)


def exec(task: TaskLike, cluster_name: str) -> Launch:
    """Run a task on a cluster that is up or coming up, without its setup."""
    one = task_of(task)
    config, secrets = packed(one)
    request = ExecRequest(task=config, secrets=secrets)
    answer = connection().call("POST", f"{path_of(cluster_name)}/jobs", LaunchAnswer, body=request)
    return Launch(connection(), answer, num_nodes=one.num_nodes)


def plan(task: TaskLike, *, measured: bool = False, **options: Any) -> Plan:
    """What the tasks would run on, by the catalog alone. Options: those of `skynb.planning.plan`.

    measured: ask the server how long past runs of the same name took, and plan with that.
    """
    from skynb.planning import plan

    dag = dag_of(task)
    return plan(dag, measured=_measured(dag) if measured else (), **options)


def why(task: TaskLike, *, measured: bool = False, **options: Any) -> Why:
    """The plan, and for every kind of offer in the catalog the one reason why it is no candidate.

    Options: those of `plan`.
    """
    from skynb.planning.why import why

    dag = dag_of(task)
    return why(dag, measured=_measured(dag) if measured else (), **options)


def _measured(dag: Dag) -> list[Run]:
    from skynb.planning.estimates import Run

    found = []
    for task in dag.tasks:
        if not task.name:
            raise SpecError(
                "a task without a name has no past runs", where="name", mend="Give it one, or say --hours"
            )
        runs = connection().call("GET", "/runs", list[RunInfo], query={"task": task.name})
        found += [
            Run(run.task, run.accelerator, run.count, run.hours, run.runs)
            for run in runs
            if run.num_nodes == task.num_nodes
        ]
    return found


def what_if(task: TaskLike, **options: Any) -> WhatIf:
    """Cost against time on other machines, with the odds of ending. Options: `skynb.planning.what_if`."""
    from skynb.planning.what_if import what_if

    return what_if(dag_of(task), **options)


def gpus(name: str | None = None, **options: Any) -> GpuTable:
    """Which accelerators there are, where, for how much. Options: `skynb.planning.gpus`."""
    from skynb.planning import gpus

    return gpus(name, **options)


def status(
    cluster_names: str | Sequence[str] | None = None, all: bool = False, *, refresh: bool = False
) -> Clusters:
    """Clusters, all or those of these names that exist; `all` shows ended ones too.

    refresh: the server looks at the infra first. Without it, what is shown is as old as it says.
    """
    if refresh:
        request = RefreshRequest(clusters=_names(cluster_names))
        seen = connection().call("POST", "/clusters/refresh", RefreshInfo, body=request)
        if not all:
            return Clusters(seen.clusters, seen.blind)
    query: dict[str, str | list[str]] = {"ended": "1"} if all else {}
    if names := _names(cluster_names):
        query["name"] = names
    return Clusters(connection().call("GET", "/clusters", list[ClusterInfo], query=query))


def queue(cluster_name: str, skip_finished: bool = False) -> Jobs:
    """The jobs of a cluster, oldest first."""
    found = connection().call("GET", f"{path_of(cluster_name)}/jobs", list[JobInfo])
    return Jobs(job for job in found if not (skip_finished and job.final))


def job_status(cluster_name: str, job_ids: Sequence[int] | None = None) -> dict[int, str | None]:
    """Status by job number: of these (None for one that is not there), or of the latest."""
    found = {job.id: job.status for job in queue(cluster_name)}
    wanted = list(found)[-1:] if job_ids is None else job_ids
    return {number: found.get(number) for number in wanted}


def latest_job(cluster_name: str, job_id: int | None = None) -> JobInfo:
    """One job of a cluster, the latest by default; NotFoundError."""
    if job_id is not None:
        return connection().call("GET", f"{path_of(cluster_name)}/jobs/{job_id}", JobInfo)
    jobs = queue(cluster_name)
    if not jobs:
        raise NotFoundError(
            f"cluster {cluster_name!r} has no job yet", mend=f"`skynb exec {cluster_name} ...`"
        )
    return jobs[-1]


def tail_logs(
    cluster_name: str,
    job_id: int | None = None,
    *,
    follow: bool = True,
    rank: int | None = None,
    tail: int = 0,
) -> Iterator[str]:
    """Lines of a job's log, of the latest job by default. tail: the last so many lines, then what comes."""
    job = latest_job(cluster_name, job_id)
    if rank is not None and not 0 <= rank < job.num_nodes:
        raise SpecError(f"job {job.id} has ranks 0 to {job.num_nodes - 1}, not {rank}", where="rank")
    return log_lines(
        connection(), cluster_name, job.id, num_nodes=job.num_nodes, follow=follow, rank=rank, tail=tail
    )


def cancel(cluster_name: str, job_ids: Sequence[int] | None = None, *, all: bool = False) -> list[int]:
    """Cancel these jobs, all, or else the latest that has not ended; the numbers that it concerned."""
    numbers = list(job_ids or ())
    if not numbers and not all:
        numbers = [job.id for job in queue(cluster_name, skip_finished=True)[-1:]]
        if not numbers:
            return []
    request = CancelRequest(jobs=numbers, all=all)
    return connection().call("POST", f"{path_of(cluster_name)}/cancel", CancelAnswer, body=request).cancelled


def stop(cluster_name: str, *, wait: bool = True) -> ClusterInfo:
    """Turn the machines off and keep their disks."""
    found = connection().call("POST", f"{path_of(cluster_name)}/stop", ClusterInfo)
    return settled(found) if wait else found


def start(cluster_name: str, *, wait: bool = True) -> ClusterInfo:
    """Turn a stopped cluster on again, or repair one that is not whole."""
    found = connection().call("POST", f"{path_of(cluster_name)}/start", ClusterInfo)
    return settled(found) if wait else found


def down(cluster_name: str, *, wait: bool = True) -> ClusterInfo:
    """Give the machines back, with their disks."""
    found = connection().call("DELETE", path_of(cluster_name), ClusterInfo)
    return settled(found) if wait else found


def settled(asked: ClusterInfo, timeout: float | None = None) -> ClusterInfo:
    """The cluster once it is where it was asked to go.

    Raises its error if it cannot get there, ConflictError when somebody sends it elsewhere meanwhile.
    """

    def look() -> ClusterInfo | None:
        found = connection().call("GET", path_of(asked.name), ClusterInfo)
        if found.id != asked.id:
            return asked  # it ended, and its name is in use again
        if found.status == asked.target or (found.final and asked.target == "TERMINATED"):
            return found
        if found.final:
            raise failure(found)
        if found.target != asked.target:
            raise ConflictError(f"cluster {asked.name!r} goes to {found.target} now, not {asked.target}")
        broken = found.status == "INIT" and found.up_at is not None
        if broken and any(node.status == "FAILED" for node in found.nodes):
            raise ProviderError(f"cluster {asked.name!r} does not come up", why=found.reason)
        return None

    return until(look, timeout, f"cluster {asked.name!r}")


def autostop(
    cluster_name: str, idle_minutes: float | None, *, down: bool = False, wait_for: str | None = None
) -> ClusterInfo:
    """Stop the cluster, or take it `down`, after so many idle minutes; negative or None turns that off."""
    off = idle_minutes is None or idle_minutes < 0
    request = AutostopRequest() if off else wish(idle_minutes, wait_for, down=down)
    return connection().call("POST", f"{path_of(cluster_name)}/autostop", ClusterInfo, body=request)


def cost_report(days: int | None = None) -> Costs:
    """The bill, a line a cluster; with `days`, of clusters that lived in the last so many days."""
    found = connection().call("GET", "/cost", list[CostInfo])
    if days is None:
        return Costs(found)
    import time

    since = time.time() - days * 86400
    return Costs(item for item in found if item.ended_at is None or item.ended_at >= since)


def spend(days: int = 14) -> Days:
    """What each of the last so many days cost, today last. Days end at midnight UTC, as budgets do."""
    return Days(connection().call("GET", "/spend", list[DayInfo], query={"days": str(days)}))


def charges(cluster: str) -> Charges:
    """The bill of the last cluster of that name, by node and price, with where each price is from."""
    return Charges(connection().call("GET", f"{path_of(cluster)}/cost", list[ChargeInfo]))


def budgets() -> Budgets:
    """The caps on a month's spending, and where they stand."""
    return Budgets(connection().call("GET", "/budgets", list[BudgetInfo]))


def set_budget(dollars: float | None, *, user: str | None = None) -> Budgets:
    """Cap what a month (UTC) may cost, in US dollars; None takes the cap away. user: None is everybody.

    What runs already is not ended by a lower cap, but gets no more money than it was promised.
    """
    cap = None if dollars is None else micro(dollars, "budget")
    request = BudgetRequest(cap_micro=cap, user=user)
    return Budgets(connection().call("POST", "/budgets", list[BudgetInfo], body=request))


def check() -> Checks:
    """Which infra may be used, and how to mend what may not."""
    return Checks(connection().call("GET", "/check", list[CheckInfo]))


def events(cluster: str | None = None) -> Events:
    """The history of a cluster, or of everything."""
    stream = connection().stream(_history(cluster), {"follow": "0"})
    return Events(msgspec.convert(event.data, EventInfo) for event in stream)


def follow_events(cluster: str | None = None, after: int = 0) -> Iterator[EventInfo]:
    """The history after an event's number, and then each event as it happens, without end."""
    stream = connection().stream(_history(cluster), after=str(after))
    return (msgspec.convert(event.data, EventInfo) for event in stream)


def ssh_entries(cluster: str) -> list[SshInfo]:
    """How `ssh` reaches the cluster's nodes that are up; kept for `ssh CLUSTER` by `skynb.client.ssh`.

    UnsupportedError for infra without ssh, such as this machine.
    """
    from skynb.client import ssh

    entries = connection().call("GET", f"{path_of(cluster)}/ssh", list[SshInfo])
    ssh.keep({one.name for one in status()}, cluster, entries)
    return entries


def strangers() -> Machines:
    """Machines in the enabled accounts that this server has no part in, with what they cost a day.

    Not skynb's (`foreign`), another server's (`others`, `lapsed`), or not in this ledger (`unknown`).
    """
    own = _machines()
    other = _machines(foreign=True)
    ours = (one for one in own.machines if one.claim not in {"claimed", "unclaimed"})
    living = (one for one in (*ours, *other.machines) if one.state not in _GONE)
    return Machines(living, own.blind, own.disabled)


def rebuild(machines: str | Sequence[str] | None = None, *, owner: str | None = None) -> RebuildInfo:
    """Write the clusters of machines that the ledger never heard of, from their tags and their agents.

    machines: as `INFRA:ID`, whose clusters; by default all. owner: the name of a server that is gone for
    good, whose machines this one takes over. Records that are there stay as they are.
    """
    request = RebuildRequest(machines=_names(machines), owner=owner)
    return connection().call("POST", "/machines/rebuild", RebuildInfo, body=request)


def forgotten(*, every: bool = False) -> Machines:
    """Machines with skynb's tags that no live record claims; every: also those that are claimed.

    Another owner's are among them; those of this server are `unclaimed` or `unknown`.
    """
    seen = _machines()
    living = (one for one in seen.machines if one.state not in _GONE)
    return Machines((one for one in living if every or one.claim != "claimed"), seen.blind, seen.disabled)


def reap(
    machines: str | Sequence[str] | None = None, *, foreign: bool = False, timeout: float | None = 600.0
) -> list[str]:
    """End forgotten machines, named as `INFRA:ID`, by default all of this server's; returns which.

    Waits until the infra lists them as gone. A machine that is claimed, or whose owner's lease lives, is a
    ConflictError, and nothing is ended. foreign: machines that skynb did not rent may be named, too.
    """
    names = _names(machines)
    if machines is None:
        names = [one.name for one in forgotten() if one.claim in FORGOTTEN]
    if not names:
        return []
    ended = connection().call(
        "POST", "/machines/reap", list[str], body=ReapRequest(machines=names, foreign=foreign)
    )

    def gone() -> bool:
        seen = _machines(foreign=foreign)
        unseen = {one.partition(":")[0].partition("/")[0] for one in seen.blind}
        living = {one.name for one in seen.machines if one.state not in _GONE}
        return not any(name in living or name.partition(":")[0] in unseen for name in ended)

    until(lambda: gone() or None, timeout, "the machines")
    return ended


def why_cluster(cluster: str, *, every: bool = False) -> Story:
    """Why a cluster is as it is: one sentence, and the causes behind it. every: the small steps, too."""
    from skynb.client.causes import story

    found = connection().call("GET", path_of(cluster), ClusterInfo)
    return story(found, events(cluster), every=every)


def wish(idle_minutes: float | None, wait_for: str | None, *, down: bool) -> AutostopRequest | None:
    """What was said about idle time, as it travels; None when nothing was."""
    if wait_for is not None and wait_for not in WAIT_FOR:
        raise SpecError(f"{wait_for!r} is not one of {', '.join(WAIT_FOR)}", where="wait_for")
    if idle_minutes is None and not down:
        if wait_for is not None:
            raise SpecError(
                "wait_for says when idle time counts, and there is none", mend="Give idle minutes or down"
            )
        return None
    counted = cast("WaitFor", wait_for or WAIT_FOR[0])
    return AutostopRequest(idle_minutes=idle_minutes or 0, down=down, wait_for=counted)


def connection() -> Connection:
    """The connection to the server of this home; cheap to ask for."""
    return _connection_of(str(server.home()))


@cache
def _connection_of(home: str) -> Connection:  # noqa: ARG001 - one for each
    return Connection()


def path_of(cluster: str) -> str:
    """Where the API has a cluster."""
    return f"/clusters/{segment(cluster)}"


def _machines(*, foreign: bool = False) -> MachinesInfo:
    return connection().call("GET", "/machines", MachinesInfo, query={"foreign": "1"} if foreign else None)


def _history(cluster: str | None) -> str:
    return "/events" if cluster is None else f"{path_of(cluster)}/events"


def _names(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())
