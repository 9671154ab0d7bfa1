"""What the API offers of kernels, without HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skynb.control.ledger import Transaction
from skynb.errors import ConflictError, ProviderError, UnreachableError
from skynb.wire import KernelInfo, KernelRequest
from skynb_clusters import kernels
from skynb_clusters.contract import Channel
from skynb_clusters.deciders.kernel import service_name
from skynb_clusters.records import KernelSpec, NodeState, gang_of

if TYPE_CHECKING:
    from skynb_jupyter.service import Caller, Service


CONNECT_SECONDS = 5.0
PAUSE_S = 0.03


class Kernels:
    """The operations on kernels; each answers from the ledger."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._attached: Counter[str] = Counter()

    async def start(self, caller: Caller, name: str, request: KernelRequest) -> KernelInfo:
        def ask(tx: Transaction) -> tuple[KernelInfo, Sequence[str]]:
            record = kernels.start(tx, name, request, caller.user)
            return kernels.info(record, name), (record.id,)

        return await self._service.ask(caller, f"kernel {name}", request, KernelInfo, ask)

    async def end(self, caller: Caller, name: str, number: int) -> KernelInfo:
        def ask(tx: Transaction) -> tuple[KernelInfo, Sequence[str]]:
            record = kernels.find(tx, name, number)
            return kernels.info(record, name), kernels.end(tx, record)

        return await self._service.ask(caller, f"kernel-end {name} {number}", None, KernelInfo, ask)

    async def one(self, name: str, number: int) -> KernelInfo:
        found = await self._service.read(lambda tx: kernels.info(kernels.find(tx, name, number), name))
        return self._marked(found)

    async def listed(self, name: str = "", *, ended: bool = False) -> list[KernelInfo]:
        found = await self._service.read(lambda tx: kernels.listed(tx, name, ended=ended))
        return [self._marked(one) for one in found]

    async def connect(self, name: str, number: int) -> Channel:
        """The way to the keeper of a kernel. One that starts is waited for.

        UnreachableError while there is no way, ConflictError once the kernel has ended.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_SECONDS
        while True:
            try:
                return await self._connect(name, number)
            except ProviderError as error:
                if loop.time() > deadline:
                    raise UnreachableError(
                        f"kernel {number} of {name!r} cannot be reached now", why=str(error)
                    ) from None
            await asyncio.sleep(PAUSE_S)

    async def _connect(self, name: str, number: int) -> Channel:
        core = self._service.core
        record = await self._service.read(lambda tx: kernels.find(tx, name, number))
        cluster = await core.get(str(record.parent))
        if record.final or cluster is None:
            raise ConflictError(f"kernel {number} of {name!r} has ended", why=record.reason or None)
        node = await core.get(gang_of(cluster)[record.spec_as(KernelSpec).rank])
        if node is None or node.status != "UP" or record.status != "UP":
            raise ProviderError(record.reason or f"it is {record.status}", retryable="unknown")
        transport = core.transport(node.state_as(NodeState))
        return await core.in_cloud(transport.connect, f"unix:{service_name(record)}.sock")

    @contextmanager
    def attached(self, name: str, number: int) -> Iterator[None]:
        """Somebody is connected for as long as this lasts."""
        key = f"{name}/{number}"
        self._attached[key] += 1
        try:
            yield
        finally:
            self._attached[key] -= 1

    def _marked(self, found: KernelInfo) -> KernelInfo:
        found.attached = self._attached[f"{found.cluster}/{found.id}"] > 0
        return found
