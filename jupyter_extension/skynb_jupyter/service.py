"""What the API offers, without HTTP: ledger reads and requests, off the event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from skynb.control.ledger import Transaction
from skynb.control.records import Record
from skynb.errors import NotFoundError, ProviderError, SpecError, UnreachableError
from skynb.planning.cheapest import Cheapest, cheapest
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
    ServerInfo,
    SshInfo,
)
from skynb_clusters import dasks, tls, views
from skynb_clusters.contract import Channel
from skynb_clusters.core import Core
from skynb_clusters.deciders.dask import wanted
from skynb_clusters.naming import job_id
from skynb_clusters.offers import price_of
from skynb_clusters.rebuild import Rebuilder
from skynb_clusters.records import ClusterSpec, DaskSpec, DaskState, NodeState, head_of
from skynb_clusters.refreshing import Refresher
from skynb_clusters.requests import Desk
from skynb_clusters.runs import runs_of
from skynb_clusters.spending import spent_by_day
from skynb_jupyter.kernels.offer import Kernels
from skynb_jupyter.managed import Managed

T = TypeVar("T")


class Caller(msgspec.Struct, frozen=True):
    """Who asks, and the idempotency key of the request if there is one."""

    user: str
    key: str | None = None


class Service:
    """The operations behind the routes. Each is safe to call at any time and answers from the ledger."""

    def __init__(self, core: Core, desk: Desk, rebuilder: Rebuilder, info: ServerInfo) -> None:
        self.core = core
        self.desk = desk
        self.rebuilder = rebuilder
        self.info = info
        self.managed = Managed(self)
        self.kernels = Kernels(self)
        self.refresher = Refresher(core)

    async def health(self) -> ServerInfo:
        return self.info

    async def check(self) -> list[CheckInfo]:
        known, providers = self.core.surroundings, self.core.providers.values()
        found = [self.core.in_cloud(known.check, provider) for provider in providers]
        return [
            CheckInfo(infra=item.infra, ok=item.ok, detail=item.detail, mend=item.mend)
            for checks in await asyncio.gather(*found)
            for item in checks
        ]

    async def launch(self, caller: Caller, request: LaunchRequest) -> LaunchAnswer:
        def ask(tx: Transaction, files: str) -> tuple[LaunchAnswer, Sequence[str]]:
            return self.desk.launch(tx, request, caller.user, files)

        return await self._ask_with_files(caller, "launch", request, ask)

    async def exec(self, caller: Caller, name: str, request: ExecRequest) -> LaunchAnswer:
        def ask(tx: Transaction, files: str) -> tuple[LaunchAnswer, Sequence[str]]:
            return self.desk.exec(tx, name, request, caller.user, files)

        return await self._ask_with_files(caller, f"exec {name}", request, ask)

    async def cancel(self, caller: Caller, name: str, request: CancelRequest) -> CancelAnswer:
        def ask(tx: Transaction) -> tuple[CancelAnswer, Sequence[str]]:
            return self.desk.cancel(tx, name, request)

        return await self.ask(caller, f"cancel {name}", request, CancelAnswer, ask)

    async def stop(self, caller: Caller, name: str) -> ClusterInfo:
        return await self._move(caller, "stop", name, self.desk.stop)

    async def start(self, caller: Caller, name: str) -> ClusterInfo:
        return await self._move(caller, "start", name, self.desk.start)

    async def down(self, caller: Caller, name: str) -> ClusterInfo:
        return await self._move(caller, "down", name, self.desk.down)

    async def autostop(self, caller: Caller, name: str, request: AutostopRequest) -> ClusterInfo:
        def ask(tx: Transaction) -> tuple[ClusterInfo, Sequence[str]]:
            woken = self.desk.autostop(tx, name, request)
            return views.cluster_info(tx, views.find_cluster(tx, name)), woken

        return await self.ask(caller, f"autostop {name}", request, ClusterInfo, ask)

    async def clusters(self, names: Sequence[str] | None, ended: bool) -> list[ClusterInfo]:
        def read(tx: Transaction) -> list[ClusterInfo]:
            found = tx.find_all("cluster", names=names or None, live=not ended)
            own = [one for one in found if names or not one.spec_as(ClusterSpec).held_by]
            return views.cluster_infos(tx, own)

        return await self.read(read)

    async def cluster(self, name: str) -> ClusterInfo:
        return await self.read(lambda tx: views.cluster_info(tx, views.find_cluster(tx, name, ended=True)))

    async def refresh(self, request: RefreshRequest) -> RefreshInfo:
        """Asked for by somebody who wants to know now; reading alone never looks at an infra."""

        def nodes(tx: Transaction) -> list[Record]:
            names = request.clusters
            found = [views.find_cluster(tx, name) for name in names] if names else tx.find_all("cluster")
            slots = tx.below("node", [one.id for one in found])
            return [slot for some in slots.values() for slot in some if not slot.final]

        blind = await self.refresher.run(await self.read(nodes))
        clusters = await self.clusters(request.clusters or None, ended=False)
        return RefreshInfo(clusters=clusters, blind=blind)

    async def jobs(self, name: str) -> list[JobInfo]:
        def read(tx: Transaction) -> list[JobInfo]:
            cluster = views.find_cluster(tx, name, ended=True)
            return [
                views.job_info(child, cluster.name)
                for child in tx.children(cluster.id)
                if child.kind == "job"
            ]

        return await self.read(read)

    async def job(self, name: str, number: int) -> JobInfo:
        cluster, record = await self.job_record(name, number)
        return views.job_info(record, cluster.name)

    async def job_record(self, name: str, number: int) -> tuple[Record, Record]:
        """The cluster and the job; NotFoundError."""

        def read(tx: Transaction) -> tuple[Record, Record]:
            cluster = views.find_cluster(tx, name, ended=True)
            record = tx.get(job_id(cluster.id, number))
            if record is None:
                raise NotFoundError(f"cluster {name!r} has no job {number}", mend=f"`skynb queue {name}`")
            return cluster, record

        return await self.read(read)

    async def budgets(self) -> list[BudgetInfo]:
        def read(tx: Transaction) -> list[BudgetInfo]:
            return [views.budget_info(one) for one in tx.budgets() if not one.account.startswith("run:")]

        return await self.read(read)

    async def set_budget(self, caller: Caller, request: BudgetRequest) -> list[BudgetInfo]:
        def ask(tx: Transaction) -> tuple[list[BudgetInfo], Sequence[str]]:
            woken = self.desk.set_budget(tx, request, caller.user)
            return [
                views.budget_info(one) for one in tx.budgets() if not one.account.startswith("run:")
            ], woken

        return await self.ask(caller, "budget", request, list[BudgetInfo], ask)

    async def costs(self) -> list[CostInfo]:
        def read(tx: Transaction) -> list[CostInfo]:
            now = self.core.ledger.clock.now()
            return [views.cost_info(tx, record, now) for record in tx.find_all("cluster", live=False)]

        return await self.read(read)

    async def charges(self, name: str) -> list[ChargeInfo]:
        def read(tx: Transaction) -> list[ChargeInfo]:
            cluster = views.find_cluster(tx, name, ended=True)
            return views.charges_info(tx, cluster, self.core.ledger.clock.now())

        return await self.read(read)

    async def ssh(self, name: str) -> list[SshInfo]:
        nodes = await self.read(lambda tx: views.nodes_up(tx, name))
        found = [self.core.in_cloud(self.core.ssh, state) for _, state in nodes]
        entries = await asyncio.gather(*found)
        return [views.ssh_info(name, rank, entry) for (rank, _), entry in zip(nodes, entries, strict=True)]

    async def machines(self, *, foreign: bool = False) -> MachinesInfo:
        seen = await self.core.reaper.look(foreign=foreign)
        prices = await self.core.in_cloud(lambda: [price_of(one) for one in seen.found])
        found = [views.machine_info(one, price) for one, price in zip(seen.found, prices, strict=True)]
        return MachinesInfo(machines=found, blind=list(seen.blind), disabled=list(seen.disabled))

    async def reap(self, caller: Caller, request: ReapRequest) -> list[str]:
        """Asked twice it ends nothing twice: what has ended is not found, or no longer lives."""
        if not request.machines:
            raise SpecError("no machine is named", where="machines", mend="Name them as INFRA:ID")
        ended = await self.core.reaper.end(request.machines, caller.user, foreign=request.foreign)
        return [one.name for one in ended]

    async def rebuild(self, caller: Caller, request: RebuildRequest) -> RebuildInfo:
        """Asked twice, it finds nothing that is not written."""
        done = await self.rebuilder.run(request.machines, request.owner, caller.user)
        return RebuildInfo(clusters=list(done.clusters), left=done.left, blind=list(done.blind))

    async def runs(self, task: str) -> list[RunInfo]:
        if not task:
            raise SpecError("no task is named", where="task", mend="Add ?task=NAME")
        return await self.read(lambda tx: runs_of(tx, task))

    async def events(self, after: int, name: str | None = None) -> list[EventInfo]:
        def read(tx: Transaction) -> list[EventInfo]:
            scope = views.find_cluster(tx, name, ended=True).id if name else None
            return views.events_after(tx, after, *([scope] if scope else []))

        return await self.read(read)

    async def last_event(self) -> int:
        return await self.read(lambda tx: tx.last_event())

    async def gpus(self, cloud: str) -> list[Cheapest]:
        return await asyncio.to_thread(cheapest, cloud or None)

    async def spend(self, days: int) -> list[DayInfo]:
        def read(tx: Transaction) -> list[DayInfo]:
            return spent_by_day(tx, self.core.ledger.clock.now(), days)

        return await self.read(read)

    async def dask_up(self, caller: Caller, name: str, request: DaskRequest) -> DaskInfo:
        used = False

        def ask(tx: Transaction) -> tuple[DaskInfo, Sequence[str]]:
            nonlocal used
            woken = dasks.up(tx, name, request, files)
            used = True
            return self._dask(tx, name, secret=False), woken

        files = await asyncio.to_thread(self.desk.keep, request.task) if request.task else ""
        try:
            return await self.ask(caller, f"dask-up {name}", request, DaskInfo, ask)
        finally:
            if files and not used:
                self.core.snapshots.drop(files)

    async def dask_down(self, caller: Caller, name: str) -> DaskInfo:
        def ask(tx: Transaction) -> tuple[DaskInfo, Sequence[str]]:
            answer = self._dask(tx, name, secret=False)
            return answer, dasks.down(tx, name)

        return await self.ask(caller, f"dask-down {name}", None, DaskInfo, ask)

    async def dask(self, name: str) -> DaskInfo:
        return await self.read(lambda tx: self._dask(tx, name, secret=True))

    async def read(self, read: Callable[[Transaction], T]) -> T:
        """Read the ledger off the event loop."""

        def call() -> T:
            with self.core.ledger.read() as tx:
                return read(tx)

        return await self.core.reconciler.in_ledger(call)

    async def dashboard(self, name: str) -> Channel:
        """A line to the dashboard of the Dask on this cluster. NotFoundError, or UnreachableError for now."""

        def find(tx: Transaction) -> tuple[DaskInfo, Record | None]:
            return self._dask(tx, name, secret=False), tx.get(head_of(views.find_cluster(tx, name)))

        found, head = await self.read(find)
        if found.status != "UP" or not found.dashboard or head is None:
            mend = f"`skynb dask up {name}`, or SkyCluster({name!r}) in a cell"
            raise NotFoundError(
                f"no Dask with a dashboard is up on {name!r}", why=found.reason or None, mend=mend
            )
        target = f"tcp:{urlsplit(found.dashboard).netloc}"
        try:
            return await self.core.in_cloud(self.core.transport(head.state_as(NodeState)).connect, target)
        except ProviderError as error:
            raise UnreachableError(
                f"Dask's dashboard on {name!r} does not answer now", why=str(error)
            ) from None

    def _dask(self, tx: Transaction, name: str, *, secret: bool) -> DaskInfo:
        cluster = views.find_cluster(tx, name)
        record = dasks.live(tx, cluster)
        if record is None:
            ended = tx.find_all("dask", parent=cluster.id, live=False)
            if not ended:
                raise NotFoundError(f"no Dask runs on {name!r}", mend=f"`skynb dask up {name}`")
            record = ended[-1]
        state, spec = record.state_as(DaskState), record.spec_as(DaskSpec)
        return DaskInfo(
            cluster=name,
            status=record.status,
            wanted=spec.workers,
            names=list(wanted(spec)[1:]),
            threads=spec.threads,
            memory=spec.memory,
            per_node=spec.per_node,
            workers=list(state.workers),
            scheduler=state.scheduler,
            dashboard=state.dashboard,
            reason=record.reason,
            tls=self._dask_tls(cluster) if secret and not record.final else {},
        )

    def _dask_tls(self, cluster: Record) -> dict[str, str]:
        authority = tls.Pair(**self.core.secrets.get(cluster.spec_as(ClusterSpec).authority))
        pair = tls.issue(authority, "client")
        return {"ca": authority.cert, "cert": pair.cert, "key": pair.key}

    async def _move(
        self,
        caller: Caller,
        verb: str,
        name: str,
        move: Callable[[Transaction, str], Sequence[str]],
    ) -> ClusterInfo:
        def ask(tx: Transaction) -> tuple[ClusterInfo, Sequence[str]]:
            woken = move(tx, name)
            return views.cluster_info(tx, views.find_cluster(tx, name)), woken

        return await self.ask(caller, f"{verb} {name}", None, ClusterInfo, ask)

    async def _ask_with_files(
        self,
        caller: Caller,
        verb: str,
        request: LaunchRequest | ExecRequest,
        ask: Callable[[Transaction, str], tuple[LaunchAnswer, Sequence[str]]],
    ) -> LaunchAnswer:
        """The files are kept before the transaction, and dropped if no job came of it."""
        used = False

        def call(tx: Transaction) -> tuple[LaunchAnswer, Sequence[str]]:
            nonlocal used
            answer, woken = ask(tx, files)
            used = answer.job is not None
            return answer, woken

        files = await asyncio.to_thread(self.desk.prepare, request.task)
        try:
            return await self.ask(caller, verb, request, LaunchAnswer, call)
        finally:
            if files and not used:
                self.core.snapshots.drop(files)

    async def ask(
        self,
        caller: Caller,
        verb: str,
        request: Any,
        answer: type[T],
        ask: Callable[[Transaction], tuple[T, Sequence[str]]],
    ) -> T:
        """Do a request once per idempotency key, durably, and wake what it concerns."""
        digest = _digest(request)

        def call() -> tuple[T, Sequence[str]]:
            with self.core.ledger.transaction() as tx:
                known = tx.answered(caller.key, caller.user, verb, digest) if caller.key else None
                if known is not None:
                    return msgspec.json.decode(known, type=answer), ()
                result, woken = ask(tx)
                if caller.key:
                    tx.remember(caller.key, caller.user, verb, digest, msgspec.json.encode(result))
                return result, woken

        result, woken = await self.core.reconciler.in_ledger(call)
        for record in woken:
            self.core.wake(record)
        self.core.reconciler.notify()
        return result


def _digest(request: Any) -> str:
    """What tells one request from another; the secrets in it leave no trace."""
    plain = msgspec.to_builtins(request) if request is not None else {}
    plain.pop("secrets", None)
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()
