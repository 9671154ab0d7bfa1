"""Dask on a cluster's nodes: scheduler and workers as services of the agents, in the user's environment."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from skynb_agent.protocol import Methods

from skynb.control.records import Decision, Effect, Record
from skynb.errors import ProviderError
from skynb_clusters import core as names
from skynb_clusters.contract import Transport
from skynb_clusters.deciders.dask import DaskView, decide_dask, wanted
from skynb_clusters.links import AgentError
from skynb_clusters.records import ApplyDask, ClusterSpec, DaskSpec, DaskState, NodeState

if TYPE_CHECKING:
    from skynb_clusters.core import Core

SCHEDULER_SECONDS = 30.0
DEATH_SECONDS = 60


class DaskKind:
    """Kind `dask`, below a cluster."""

    name = "dask"

    def __init__(self, core: Core) -> None:
        self._core = core

    async def observe(self, record: Record) -> DaskView:
        scope = str(record.parent)
        cluster, head = await self._core.get(scope), await self._core.get(names.node_id(scope, 0))
        if cluster is None or head is None:
            raise ProviderError(f"{record.id} has no cluster in the ledger")
        phase: Literal["up", "waiting", "gone"] = "up" if cluster.status == "UP" else "waiting"
        if head.status in {"PENDING", "ENDED", "STOPPED"} and cluster.target != "UP":
            phase = "gone"
        running = await self._running(scope, cluster.spec_as(ClusterSpec).num_nodes)
        return DaskView(
            spec=record.spec_as(DaskSpec), state=record.state_as(DaskState), cluster=phase, running=running
        )

    def decide(self, record: Record, observation: DaskView, now: float) -> Decision:
        return decide_dask(record, observation, now)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        scope = str(record.parent)
        cluster = await self._core.get(scope)
        if cluster is None:
            raise ProviderError(f"{record.id} has no cluster in the ledger")
        nodes = [names.node_id(scope, rank) for rank in range(cluster.spec_as(ClusterSpec).num_nodes)]
        if isinstance(effect, ApplyDask):
            return await self._apply(record, nodes)
        for node in nodes:
            for service in await self._services(node):
                await self._core.hub.call(node, Methods.SERVICE_STOP, {"name": service, "grace_s": 3})
        return None

    async def _apply(self, record: Record, nodes: list[str]) -> dict[str, Any]:
        spec = record.spec_as(DaskSpec)
        address, dashboard = await self._scheduler(record, nodes[0])
        keep = set(wanted(spec))
        for node in nodes:
            for service in await self._services(node):
                if service not in keep:
                    await self._core.hub.call(node, Methods.SERVICE_STOP, {"name": service, "grace_s": 3})
        workers = wanted(spec)[1:]
        for number, name in enumerate(workers):
            await self._worker(record, nodes[number % len(nodes)], name, address)
        state = DaskState(scheduler=address, dashboard=dashboard, workers=workers)
        return dict(msgspec.to_builtins(state))

    async def _scheduler(self, record: Record, head: str) -> tuple[str, str]:
        """Start the scheduler if it does not run; its address and its dashboard's."""
        transport, state = await self._node(head)
        card = f"{transport.root}/{record.id}.json"
        command = [*_dask(transport, "scheduler"), "--host", f"tls://{state.address}", "--port", "0"]
        command += ["--dashboard-address", f"{state.address}:0", "--scheduler-file", card]
        await self._start(head, "dask-scheduler", command)
        deadline = asyncio.get_running_loop().time() + SCHEDULER_SECONDS
        while True:
            found = await self._core.in_cloud(_read, transport, card)
            if found:
                facts = json.loads(found)
                port = facts.get("services", {}).get("dashboard")
                return str(facts["address"]), f"http://{state.address}:{port}/status" if port else ""
            if asyncio.get_running_loop().time() > deadline:
                raise ProviderError(
                    "the Dask scheduler did not come up", mend="Is `distributed` installed on the nodes?"
                )
            await asyncio.sleep(0.1)

    async def _worker(self, record: Record, node: str, name: str, scheduler: str) -> None:
        spec = record.spec_as(DaskSpec)
        transport, state = await self._node(node)
        command = [*_dask(transport, "worker"), scheduler, "--name", name, "--no-nanny", "--no-dashboard"]
        command += ["--host", f"tls://{state.address}", "--nthreads", str(spec.threads)]
        command += ["--memory-limit", spec.memory, "--death-timeout", str(DEATH_SECONDS)]
        command += ["--local-directory", f"{transport.root}/dask"]
        await self._start(node, name, command)

    async def _start(self, node: str, name: str, argv: list[str]) -> None:
        params = {"name": name, "argv": argv, "env": {}, "idle_ok": True}
        try:
            await self._core.hub.call(node, Methods.SERVICE_START, params)
        except AgentError as error:
            if error.agent_code != "conflict":
                raise
            await self._core.hub.call(node, Methods.SERVICE_STOP, {"name": name, "grace_s": 3})
            await self._core.hub.call(node, Methods.SERVICE_START, params)

    async def _node(self, node: str) -> tuple[Transport, NodeState]:
        record = await self._core.get(node)
        if record is None:
            raise ProviderError(f"there is no {node} in the ledger")
        state = record.state_as(NodeState)
        return self._core.transport(state), state

    async def _running(self, scope: str, num_nodes: int) -> tuple[str, ...] | None:
        try:
            found = [
                name for rank in range(num_nodes) for name in await self._services(names.node_id(scope, rank))
            ]
        except ProviderError:
            return None
        return tuple(found)

    async def _services(self, node: str) -> list[str]:
        answer = await self._core.hub.call(node, Methods.SERVICE_LIST)
        return [
            str(service["name"])
            for service in answer["services"]
            if service["state"] == "RUNNING" and str(service["name"]).startswith("dask-")
        ]


def _dask(transport: Transport, what: str) -> list[str]:
    """The command line of a Dask process with the cluster's certificate, in the environment that jobs see."""
    folder = f"{transport.root}/tls"
    flags = ["--tls-ca-file", f"{folder}/ca.pem", "--tls-cert", f"{folder}/cert.pem"]
    return ["python", "-m", f"distributed.cli.dask_{what}", *flags, "--tls-key", f"{folder}/key.pem"]


def _read(transport: Transport, path: str) -> bytes:
    """A file of the node; empty if it is not there yet."""
    process = transport.exec(["cat", path])
    try:
        process.stdin.close()
        data = process.stdout.read()
        return data if process.wait(10) == 0 else b""
    finally:
        process.close()
