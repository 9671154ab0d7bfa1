"""What the API offers of managed jobs, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from skynb.control.ledger import Filter, Transaction
from skynb.control.records import Record
from skynb.errors import SpecError
from skynb.wire import (
    MANAGED_STATUSES,
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
from skynb_clusters import views
from skynb_clusters.naming import job_id
from skynb_jobs.pool_requests import PoolsDesk, find_pool, pool_info, pool_infos
from skynb_jobs.pools import drop_kept
from skynb_jobs.records import TaskState
from skynb_jobs.requests import JobsDesk
from skynb_jobs.views import PAGE, find_managed, infos, page

if TYPE_CHECKING:
    from skynb_jupyter.service import Caller, Service

MOST = 1000


class Piece(NamedTuple):
    """One log of a task: a job on the cluster of an attempt. again: not the first one there."""

    cluster: str
    job: int
    attempt: int
    again: bool


class Managed:
    """The operations on managed jobs; each answers from the ledger."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._core = service.core
        self._desk = JobsDesk(service.core, service.desk)
        self._pools = PoolsDesk(service.core, service.desk)

    async def launch(self, caller: Caller, request: ManagedRequest) -> ManagedAnswer:
        """The files are kept before the transaction, and dropped if no job came of them."""
        prepared = await asyncio.to_thread(self._desk.prepare, request)
        used = False

        def ask(tx: Transaction) -> tuple[ManagedAnswer, Sequence[str]]:
            nonlocal used
            answer = self._desk.launch(tx, request, prepared, caller.user)
            used = True
            return answer

        try:
            return await self._service.ask(caller, "jobs launch", request, ManagedAnswer, ask)
        finally:
            if not used:
                self._desk.discard(prepared.files)

    async def cancel(self, caller: Caller, request: ManagedCancel) -> CancelAnswer:
        def ask(tx: Transaction) -> tuple[CancelAnswer, Sequence[str]]:
            return self._desk.cancel(tx, request, caller.user)

        return await self._service.ask(caller, "jobs cancel", request, CancelAnswer, ask)

    async def apply_pool(self, caller: Caller, name: str, request: PoolRequest) -> PoolInfo:
        """As `launch`; what an older version of the pool had kept is dropped once the new one is written."""
        prepared = await asyncio.to_thread(self._pools.prepare, request)
        used, unused = False, None

        def ask(tx: Transaction) -> tuple[PoolInfo, Sequence[str]]:
            nonlocal used, unused
            answer, woken, unused = self._pools.apply(tx, name, request, prepared, caller.user)
            used = True
            return answer, woken

        try:
            answer = await self._service.ask(caller, f"pool {name}", request, PoolInfo, ask)
        finally:
            if not used:
                self._pools.discard(prepared)
        if unused is not None:
            await asyncio.to_thread(drop_kept, self._core, unused)
        return answer

    async def down_pool(self, caller: Caller, name: str) -> PoolInfo:
        def ask(tx: Transaction) -> tuple[PoolInfo, Sequence[str]]:
            woken = self._pools.down(tx, name)
            return pool_info(tx, find_pool(tx, name)), woken

        return await self._service.ask(caller, f"pool down {name}", None, PoolInfo, ask)

    async def pools(self, names: Sequence[str]) -> list[PoolInfo]:
        return await self._service.read(lambda tx: pool_infos(tx, names))

    async def queue(self, wanted: Filter, limit: int = PAGE, infra: str = "") -> ManagedPage:
        if not 1 <= limit <= MOST:
            raise SpecError(f"a page has 1 to {MOST} jobs", where="limit")
        if unknown := set(wanted.statuses) - set(MANAGED_STATUSES):
            mend = f"One of {', '.join(MANAGED_STATUSES)}"
            raise SpecError(f"{min(unknown)!r} is no status", where="status", mend=mend)
        return await self._service.read(lambda tx: page(tx, wanted, limit, infra))

    async def job(self, number: int) -> ManagedInfo:
        return await self._service.read(lambda tx: infos(tx, [find_managed(tx, number)])[0])

    async def record(self, number: int) -> Record:
        return await self._service.read(lambda tx: find_managed(tx, number))

    async def events(self, after: int, number: int) -> list[EventInfo]:
        """The history of the job and of every cluster that it was given."""

        def read(tx: Transaction) -> list[EventInfo]:
            record = find_managed(tx, number)
            tasks = [task.state_as(TaskState) for task in tx.children(record.id)]
            clusters = [one.cluster for task in tasks for one in task.attempts if not one.worker]
            return views.events_after(tx, after, record.id, *clusters)

        return await self._service.read(read)

    async def pieces(self, record: Record) -> dict[int, list[Piece]]:
        """The logs that there are so far, by task, in order."""

        def read(tx: Transaction) -> dict[int, list[Piece]]:
            return {
                int(task.name): [
                    Piece(one.cluster, job, one.number, job > one.jobs[0])
                    for one in task.state_as(TaskState).attempts
                    for job in one.jobs
                    if tx.get(job_id(one.cluster, job)) is not None
                ]
                for task in tx.children(record.id)
            }

        return await self._service.read(read)
