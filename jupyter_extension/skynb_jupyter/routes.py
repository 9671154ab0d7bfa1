"""The routes of /skynb/api/v1, as one table: handlers and the OpenAPI document are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from skynb.control.ledger import Filter
from skynb.errors import SpecError
from skynb.planning.cheapest import Cheapest
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
    DaskInfo,
    DaskRequest,
    DayInfo,
    ExecRequest,
    JobInfo,
    KernelInfo,
    KernelRequest,
    LaunchAnswer,
    LaunchRequest,
    MachinesInfo,
    ManagedAnswer,
    ManagedCancel,
    ManagedInfo,
    ManagedPage,
    ManagedRequest,
    PoolInfo,
    PoolRequest,
    ReapRequest,
    RebuildInfo,
    RebuildRequest,
    RefreshInfo,
    RefreshRequest,
    RunInfo,
    ServerInfo,
    SshInfo,
)
from skynb_clusters.spending import DAYS
from skynb_jobs.views import PAGE
from skynb_jupyter.service import Caller, Service


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request: path parameters, query (last value wins; `names` are all of `name`), body."""

    caller: Caller
    path: dict[str, str]
    query: dict[str, str]
    names: list[str]
    body: Any = None

    def number(self, name: str) -> int:
        """A path parameter that is a whole number."""
        return whole(self.path[name], name)

    def count(self, name: str, usual: int) -> int:
        """A query parameter that is a whole number."""
        return whole(self.query[name], name) if name in self.query else usual

    def flag(self, name: str) -> bool:
        """A query parameter that is on or off."""
        return self.query.get(name, "") in {"1", "true", "yes"}


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One verb of one path. status: of a good answer."""

    method: str
    path: str
    summary: str
    answer: Any
    call: Callable[[Service, Call], Awaitable[Any]]
    body: Any = None
    status: int = 200


def whole(text: str, where: str) -> int:
    """A whole number from a request; SpecError naming the parameter."""
    try:
        return int(text)
    except ValueError:
        raise SpecError(f"{text[:40]!r} is not a whole number", where=where) from None


def moment(text: str, where: str) -> float:
    """Seconds since the epoch from a request; SpecError naming the parameter."""
    try:
        return float(text)
    except ValueError:
        raise SpecError(f"{text[:40]!r} is no time in seconds since 1970", where=where) from None


def _wanted(call: Call) -> Filter:
    """Which managed jobs a query asks for."""
    query = call.query
    return Filter(
        statuses=tuple(filter(None, query.get("status", "").upper().split(","))),
        numbers=tuple(whole(one, "job") for one in query.get("job", "").split(",") if one),
        titles=tuple(call.names),
        owner=query.get("user") or None,
        live=call.flag("live"),
        since=moment(query["since"], "since") if query.get("since") else None,
        before=moment(query["before"], "before") if query.get("before") else None,
    )


ROUTES = (
    Route(
        method="GET",
        path="/health",
        summary="Who answers",
        answer=ServerInfo,
        call=lambda service, _: service.health(),
    ),
    Route(
        method="GET",
        path="/check",
        summary="Which infra may be used, and how to mend what may not",
        answer=list[CheckInfo],
        call=lambda service, _: service.check(),
    ),
    Route(
        method="GET",
        path="/clusters",
        summary="Clusters; `name` picks some, `ended=1` shows ended ones too",
        answer=list[ClusterInfo],
        call=lambda service, call: service.clusters(call.names, call.flag("ended")),
    ),
    Route(
        method="POST",
        path="/clusters",
        summary="Launch a task on a new or a live cluster",
        body=LaunchRequest,
        answer=LaunchAnswer,
        status=202,
        call=lambda service, call: service.launch(call.caller, call.body),
    ),
    Route(
        method="POST",
        path="/clusters/refresh",
        summary="Look at the infra now, and answer when what was seen is written",
        body=RefreshRequest,
        answer=RefreshInfo,
        call=lambda service, call: service.refresh(call.body),
    ),
    Route(
        method="GET",
        path="/clusters/{cluster}",
        summary="One cluster, live or the last that ended under this name",
        answer=ClusterInfo,
        call=lambda service, call: service.cluster(call.path["cluster"]),
    ),
    Route(
        method="DELETE",
        path="/clusters/{cluster}",
        summary="Take the cluster down",
        answer=ClusterInfo,
        status=202,
        call=lambda service, call: service.down(call.caller, call.path["cluster"]),
    ),
    Route(
        method="POST",
        path="/clusters/{cluster}/stop",
        summary="Stop the machines and keep their disks",
        answer=ClusterInfo,
        status=202,
        call=lambda service, call: service.stop(call.caller, call.path["cluster"]),
    ),
    Route(
        method="POST",
        path="/clusters/{cluster}/start",
        summary="Start a stopped cluster, or repair one that is not whole",
        answer=ClusterInfo,
        status=202,
        call=lambda service, call: service.start(call.caller, call.path["cluster"]),
    ),
    Route(
        method="POST",
        path="/clusters/{cluster}/autostop",
        summary="Set or clear the idle time after which the cluster stops or ends",
        body=AutostopRequest,
        answer=ClusterInfo,
        status=202,
        call=lambda service, call: service.autostop(call.caller, call.path["cluster"], call.body),
    ),
    Route(
        method="GET",
        path="/clusters/{cluster}/jobs",
        summary="The queue of a cluster, ended jobs included",
        answer=list[JobInfo],
        call=lambda service, call: service.jobs(call.path["cluster"]),
    ),
    Route(
        method="POST",
        path="/clusters/{cluster}/jobs",
        summary="Run a task on a live cluster, without its setup",
        body=ExecRequest,
        answer=LaunchAnswer,
        status=202,
        call=lambda service, call: service.exec(call.caller, call.path["cluster"], call.body),
    ),
    Route(
        method="GET",
        path="/clusters/{cluster}/jobs/{job}",
        summary="One job",
        answer=JobInfo,
        call=lambda service, call: service.job(call.path["cluster"], call.number("job")),
    ),
    Route(
        method="POST",
        path="/clusters/{cluster}/cancel",
        summary="Cancel jobs",
        body=CancelRequest,
        answer=CancelAnswer,
        status=202,
        call=lambda service, call: service.cancel(call.caller, call.path["cluster"], call.body),
    ),
    Route(
        method="GET",
        path="/clusters/{cluster}/dask",
        summary="The Dask cluster on a cluster, with a client's certificate",
        answer=DaskInfo,
        call=lambda service, call: service.dask(call.path["cluster"]),
    ),
    Route(
        method="POST",
        path="/clusters/{cluster}/dask",
        summary="Bring Dask up on a cluster, or scale it",
        body=DaskRequest,
        answer=DaskInfo,
        status=202,
        call=lambda service, call: service.dask_up(call.caller, call.path["cluster"], call.body),
    ),
    Route(
        method="DELETE",
        path="/clusters/{cluster}/dask",
        summary="Take Dask down, the cluster stays",
        answer=DaskInfo,
        status=202,
        call=lambda service, call: service.dask_down(call.caller, call.path["cluster"]),
    ),
    Route(
        method="GET",
        path="/kernels",
        summary="Kernels on all clusters, with `ended=1` those that have ended, too",
        answer=list[KernelInfo],
        call=lambda service, call: service.kernels.listed(ended=call.flag("ended")),
    ),
    Route(
        method="GET",
        path="/clusters/{cluster}/kernels",
        summary="Kernels on a cluster, with `ended=1` those that have ended, too",
        answer=list[KernelInfo],
        call=lambda service, call: service.kernels.listed(call.path["cluster"], ended=call.flag("ended")),
    ),
    Route(
        method="POST",
        path="/clusters/{cluster}/kernels",
        summary="Start a kernel on a node of the cluster",
        body=KernelRequest,
        answer=KernelInfo,
        status=202,
        call=lambda service, call: service.kernels.start(call.caller, call.path["cluster"], call.body),
    ),
    Route(
        method="GET",
        path="/clusters/{cluster}/kernels/{kernel}",
        summary="One kernel",
        answer=KernelInfo,
        call=lambda service, call: service.kernels.one(call.path["cluster"], call.number("kernel")),
    ),
    Route(
        method="DELETE",
        path="/clusters/{cluster}/kernels/{kernel}",
        summary="End a kernel, and all that its cells started",
        answer=KernelInfo,
        status=202,
        call=lambda service, call: service.kernels.end(
            call.caller, call.path["cluster"], call.number("kernel")
        ),
    ),
    Route(
        method="GET",
        path="/clusters/{cluster}/ssh",
        summary="How ssh reaches the nodes that are up, from the server's host",
        answer=list[SshInfo],
        call=lambda service, call: service.ssh(call.path["cluster"]),
    ),
    Route(
        method="GET",
        path="/clusters/{cluster}/cost",
        summary="The bill of the last cluster of that name, a line for each node and price",
        answer=list[ChargeInfo],
        call=lambda service, call: service.charges(call.path["cluster"]),
    ),
    Route(
        method="GET",
        path="/jobs",
        summary="Newest managed jobs: `status`, `name`, `user`, `infra`, `live`, `since`, `before`, `limit`",
        answer=ManagedPage,
        call=lambda service, call: service.managed.queue(
            _wanted(call), call.count("limit", PAGE), call.query.get("infra", "")
        ),
    ),
    Route(
        method="POST",
        path="/jobs",
        summary="Hand a managed job over, or many of the same",
        body=ManagedRequest,
        answer=ManagedAnswer,
        status=202,
        call=lambda service, call: service.managed.launch(call.caller, call.body),
    ),
    Route(
        method="POST",
        path="/jobs/cancel",
        summary="Cancel managed jobs",
        body=ManagedCancel,
        answer=CancelAnswer,
        status=202,
        call=lambda service, call: service.managed.cancel(call.caller, call.body),
    ),
    Route(
        method="GET",
        path="/jobs/{job}",
        summary="One managed job, with its tasks, its attempts and what each of them cost",
        answer=ManagedInfo,
        call=lambda service, call: service.managed.job(call.number("job")),
    ),
    Route(
        method="GET",
        path="/pools",
        summary="Pools of warm workers for managed jobs; `name` picks some",
        answer=list[PoolInfo],
        call=lambda service, call: service.managed.pools(call.names),
    ),
    Route(
        method="POST",
        path="/pools/{pool}",
        summary="Make a pool, or give it other workers",
        body=PoolRequest,
        answer=PoolInfo,
        status=202,
        call=lambda service, call: service.managed.apply_pool(call.caller, call.path["pool"], call.body),
    ),
    Route(
        method="DELETE",
        path="/pools/{pool}",
        summary="Take a pool down; refused while jobs of it go on",
        answer=PoolInfo,
        status=202,
        call=lambda service, call: service.managed.down_pool(call.caller, call.path["pool"]),
    ),
    Route(
        method="GET",
        path="/machines",
        summary="Every machine with skynb's tags, or with `foreign=1` all others, and what could not be seen",
        answer=MachinesInfo,
        call=lambda service, call: service.machines(foreign=call.flag("foreign")),
    ),
    Route(
        method="POST",
        path="/machines/reap",
        summary="End machines that nobody claims, also those that skynb did not rent if `foreign`",
        body=ReapRequest,
        answer=list[str],
        status=202,
        call=lambda service, call: service.reap(call.caller, call.body),
    ),
    Route(
        method="POST",
        path="/machines/rebuild",
        summary="Write the clusters of machines that the ledger never heard of",
        body=RebuildRequest,
        answer=RebuildInfo,
        status=202,
        call=lambda service, call: service.rebuild(call.caller, call.body),
    ),
    Route(
        method="GET",
        path="/cost",
        summary="The bill, a line a cluster",
        answer=list[CostInfo],
        call=lambda service, _: service.costs(),
    ),
    Route(
        method="GET",
        path="/spend",
        summary="What each of the last `days` (14) cost, today last; days end at midnight UTC, as budgets do",
        answer=list[DayInfo],
        call=lambda service, call: service.spend(call.count("days", DAYS)),
    ),
    Route(
        method="GET",
        path="/gpus",
        summary="Accelerators with the cheapest machine for each, of all clouds or of `cloud`",
        answer=list[Cheapest],
        call=lambda service, call: service.gpus(call.query.get("cloud", "")),
    ),
    Route(
        method="GET",
        path="/budgets",
        summary="Caps on a month's spending, and where they stand",
        answer=list[BudgetInfo],
        call=lambda service, _: service.budgets(),
    ),
    Route(
        method="POST",
        path="/budgets",
        summary="Cap a month's spending, of one person or of everybody",
        body=BudgetRequest,
        answer=list[BudgetInfo],
        call=lambda service, call: service.set_budget(call.caller, call.body),
    ),
    Route(
        method="GET",
        path="/runs",
        summary="How long past runs of the task named by `task` took, by machine",
        answer=list[RunInfo],
        call=lambda service, call: service.runs(call.query.get("task", "")),
    ),
)
