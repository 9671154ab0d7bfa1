"""Dask on a cluster's nodes: scheduler and workers as services of the agents, in the user's environment."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from skynb.control.records import Decision, Effect, Record
from skynb.errors import ProviderError
from skynb_agent.protocol import Codes, Methods
from skynb_clusters.contract import Transport
from skynb_clusters.deciders.dask import SCHEDULER, DaskView, decide_dask, wanted, worker_name
from skynb_clusters.kinds.node import devices
from skynb_clusters.links import AgentError
from skynb_clusters.records import (
    ApplyDask,
    ClusterSpec,
    ClusterState,
    DaskSpec,
    DaskState,
    DropKept,
    NodeSpec,
    NodeState,
    head_of,
)

if TYPE_CHECKING:
    from skynb_clusters.core import Core

SCHEDULER_SECONDS = 30.0
SETUP_SECONDS = 1800.0
DEATH_SECONDS = 60
GRACE_S = 3
DASHBOARD_HOST = "127.0.0.1"
_ALIVE = {"RUNNING", "STOPPING"}
Services = dict[int, list[dict[str, Any]]]  # as the agents list them, by the rank of their node


class DaskKind:
    """Kind `dask`, below a cluster."""

    name = "dask"

    def __init__(self, core: Core) -> None:
        self._core = core

    async def observe(self, record: Record) -> DaskView:
        scope = str(record.parent)
        cluster = await self._core.get(scope)
        head = await self._core.get(head_of(cluster)) if cluster else None
        if cluster is None or head is None:
            raise ProviderError(f"{record.id} has no cluster in the ledger")
        phase: Literal["up", "waiting", "gone"] = "up" if cluster.status == "UP" else "waiting"
        if head.status in {"PENDING", "ENDED", "STOPPED"} and cluster.target != "UP":
            phase = "gone"
        nodes = await self._nodes(cluster)
        seen = await self._seen(nodes)
        spec, state = record.spec_as(DaskSpec), record.state_as(DaskState)
        if 0 not in seen or (record.target == "ENDED" and seen.keys() != nodes.keys()):
            return DaskView(spec=spec, state=state, cluster=phase)
        services = [service for some in seen.values() for service in some]
        ended = [service for service in services if service["state"] == "EXITED"]
        own = cluster.spec_as(ClusterSpec).num_nodes
        away = [number for number in spec.members if spec.rank_of(number, own) not in seen]
        return DaskView(
            spec=spec,
            state=state,
            cluster=phase,
            running=tuple(str(service["name"]) for service in services if service["state"] in _ALIVE),
            away=tuple(worker_name(number) for number in away),
            why=cluster.reason,
            unused=any(item["name"] == SCHEDULER and item["exit_code"] == 0 for item in ended),
        )

    def decide(self, record: Record, observation: DaskView, now: float) -> Decision:
        return decide_dask(record, observation, now)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        scope = str(record.parent)
        cluster = await self._core.get(scope)
        if cluster is None:
            raise ProviderError(f"{record.id} has no cluster in the ledger")
        if isinstance(effect, DropKept):
            self._core.drop(effect)
            return None
        nodes = await self._nodes(cluster)
        seen = await self._seen(nodes)
        if isinstance(effect, ApplyDask):
            there = {rank: nodes[rank] for rank in seen}
            return await self._apply(record, there, seen, cluster.spec_as(ClusterSpec))
        await self._stop_others(nodes, seen, keep=set())
        return None

    async def _apply(
        self, record: Record, nodes: dict[int, str], seen: Services, cluster: ClusterSpec
    ) -> dict[str, Any]:
        """Scheduler first, then the workers; safe to do again, and what runs as it should is left alone."""
        spec = record.spec_as(DaskSpec)
        if 0 not in nodes:
            raise ProviderError("the head does not answer")
        await self._prepare(record, spec, nodes[0])
        address, dashboard = await self._scheduler(record, nodes[0], cluster)
        await self._stop_others(nodes, seen, keep={*wanted(spec), _setup_of(spec)})
        ranks = {number: spec.rank_of(number, cluster.num_nodes) for number in spec.members}
        there = [number for number, rank in ranks.items() if rank in nodes]

        async def begin(rank: int) -> None:
            node, own = nodes[rank], [number for number in there if ranks[number] == rank]
            await self._prepare(record, spec, node)
            await asyncio.gather(*(self._worker(spec, cluster, node, number, address) for number in own))

        begun = await asyncio.gather(*map(begin, {ranks[number] for number in there}), return_exceptions=True)
        if failed := next((one for one in begun if one is not None), None):
            raise failed  # only now: the other nodes' workers do not wait for it
        workers = tuple(worker_name(number) for number in there)
        state = DaskState(scheduler=address, dashboard=dashboard, workers=workers)
        return dict(msgspec.to_builtins(state))

    async def _prepare(self, record: Record, spec: DaskSpec, node: str) -> None:
        """The files and the setup, once on a node; ProviderError with its last words where that fails."""
        if not (spec.setup or spec.files):
            return
        name = _setup_of(spec)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETUP_SECONDS
        found = await self._service(node, name)
        if found.get("state") == "EXITED" and found.get("exit_code") == 0:
            return
        if found.get("state") not in _ALIVE:
            if spec.files:
                transport, _ = await self._node(node)
                await self._core.in_cloud(self._core.snapshots.send, spec.files, transport)
            await self._start(node, name, ["/bin/sh", "-c", spec.setup or ":"])
        while (found := await self._service(node, name)).get("state") in _ALIVE:
            now = await self._core.get(record.id)
            if loop.time() > deadline or now is None or now.target == "ENDED":
                await self._core.hub.call(node, Methods.SERVICE_STOP, {"name": name, "grace_s": GRACE_S})
                raise ProviderError("the setup of Dask did not end", retryable="no")
            await asyncio.sleep(0.2)
        if found.get("exit_code") != 0:
            raise ProviderError(
                f"the setup of Dask failed on {node}",
                why=await self._last_words(node, name) or f"exit code {found.get('exit_code')}",
            )

    async def _stop_others(self, nodes: dict[int, str], seen: Services, keep: set[str]) -> None:
        """Answered when nothing is left of them: the agent ends their whole process groups."""
        stops = [
            self._core.hub.call(
                nodes[rank], Methods.SERVICE_STOP, {"name": service["name"], "grace_s": GRACE_S}
            )
            for rank, services in seen.items()
            for service in services
            if service["state"] in _ALIVE and service["name"] not in keep
        ]
        await asyncio.gather(*stops)

    async def _scheduler(self, record: Record, head: str, cluster: ClusterSpec) -> tuple[str, str]:
        """Start the scheduler if it does not run; its address and its dashboard's.

        A running one is left alone whatever its arguments were: ending it would end everybody's work.
        """
        transport, state = await self._node(head)
        card = f"{transport.root}/{record.id}.json"
        if (await self._service(head, SCHEDULER)).get("state") not in _ALIVE:
            await self._core.in_cloud(_forget, transport, card)  # that of an earlier scheduler misleads
            command = _dask(transport, "scheduler", record.spec_as(DaskSpec))
            command += ["--host", state.address, "--port", "0", "--protocol", "tls", "--scheduler-file", card]
            command += ["--dashboard-address", f"{DASHBOARD_HOST}:0"]  # plain HTTP: for the node itself only
            if cluster.autostop and cluster.autostop.idle_minutes > 0:
                command += ["--idle-timeout", f"{cluster.autostop.idle_minutes * 60:g} seconds"]
            await self._start(head, SCHEDULER, command)
        facts = await self._card(transport, head, card)
        port = facts.get("services", {}).get("dashboard")
        return str(facts["address"]), f"http://{DASHBOARD_HOST}:{port}/status" if port else ""

    async def _card(self, transport: Transport, head: str, card: str) -> dict[str, Any]:
        """What the scheduler wrote about itself; ProviderError with its last words if it ends instead."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SCHEDULER_SECONDS
        while True:
            with suppress(ValueError):  # not there, or not whole yet
                return dict(json.loads(await self._core.in_cloud(_read, transport, card)))
            ended = (await self._service(head, SCHEDULER)).get("state") not in _ALIVE
            if ended or loop.time() > deadline:
                raise ProviderError(
                    "the Dask scheduler did not come up",
                    why=await self._last_words(head, SCHEDULER),
                    mend="Python and `distributed` must be on the nodes",
                )
            await asyncio.sleep(0.1)

    async def _worker(
        self, spec: DaskSpec, cluster: ClusterSpec, node: str, number: int, scheduler: str
    ) -> None:
        name = worker_name(number)
        transport, state = await self._node(node)
        command = _dask(transport, "worker", spec)
        command += [scheduler, "--name", name, "--no-nanny", "--no-dashboard"]
        command += ["--host", state.address, "--protocol", "tls", "--nthreads", str(spec.threads)]
        command += ["--memory-limit", spec.memory, "--death-timeout", str(DEATH_SECONDS)]
        command += ["--local-directory", f"{transport.root}/dask"]
        await self._start(node, name, command, _gpus_of(number, spec, devices(transport, cluster)))

    async def _start(self, node: str, name: str, argv: list[str], env: dict[str, str] | None = None) -> None:
        """Start, or leave alone what runs with these arguments. Dask is work: its node is not idle."""
        params = {"name": name, "argv": argv, "env": env or {}, "idle_ok": False}
        try:
            await self._core.hub.call(node, Methods.SERVICE_START, params)
        except AgentError as error:
            if error.agent_code != Codes.CONFLICT:
                raise
            await self._core.hub.call(node, Methods.SERVICE_STOP, {"name": name, "grace_s": GRACE_S})
            await self._core.hub.call(node, Methods.SERVICE_START, params)

    async def _node(self, node: str) -> tuple[Transport, NodeState]:
        record = await self._core.get(node)
        if record is None:
            raise ProviderError(f"there is no {node} in the ledger")
        state = record.state_as(NodeState)
        return self._core.transport(state), state

    async def _nodes(self, cluster: Record) -> dict[int, str]:
        """The nodes that are up, extra ones too, by rank."""
        lane = cluster.state_as(ClusterState).lane
        slots = [child for child in await self._core.children(cluster.id) if child.kind == "node"]
        places = {slot.id: slot.spec_as(NodeSpec) for slot in slots if slot.status == "UP"}
        return {place.rank: node for node, place in places.items() if place.lane == lane}

    async def _seen(self, nodes: dict[int, str]) -> Services:
        """Dask's services by the rank of their node; without the nodes that cannot be asked."""
        found = await asyncio.gather(
            *(self._services(node) for node in nodes.values()), return_exceptions=True
        )
        seen = {}
        for rank, services in zip(nodes, found, strict=True):
            if isinstance(services, BaseException) and not isinstance(services, ProviderError):
                raise services
            if not isinstance(services, BaseException):
                seen[rank] = services
        return seen

    async def _services(self, node: str) -> list[dict[str, Any]]:
        answer = await self._core.hub.call(node, Methods.SERVICE_LIST)
        return [service for service in answer["services"] if str(service["name"]).startswith("dask-")]

    async def _service(self, node: str, name: str) -> dict[str, Any]:
        return next((item for item in await self._services(node) if item["name"] == name), {})

    async def _last_words(self, node: str, name: str) -> str | None:
        params = {"name": name, "limit": 2000}
        text = str((await self._core.hub.call(node, Methods.SERVICE_LOG, params))["text"]).strip()
        return text.splitlines()[-1].strip() if text else None


def _gpus_of(number: int, spec: DaskSpec, every: list[str]) -> dict[str, str] | None:
    """A worker's own share of its node's GPUs, where workers have places on nodes."""
    if not spec.per_node or len(every) < spec.per_node:
        return None
    share, place = len(every) // spec.per_node, number % spec.per_node
    return {"CUDA_VISIBLE_DEVICES": ",".join(every[place * share : (place + 1) * share])}


# $0 is a word for `ps`; the rest are the module and its arguments. Some systems have no plain `python`.
_PYTHON = 'p=$(command -v python || command -v python3) && exec "$p" -m "$@"'


def _setup_of(spec: DaskSpec) -> str:
    """The service that prepares a node, by what it does."""
    return f"dask-setup-{hashlib.sha256(f'{spec.files} {spec.setup}'.encode()).hexdigest()[:12]}"


def _dask(transport: Transport, what: str, spec: DaskSpec) -> list[str]:
    """The command line of a Dask process with the cluster's certificate, in the environment that jobs see."""
    folder = f"{transport.root}/tls"
    flags = ["--tls-ca-file", f"{folder}/ca.pem", "--tls-cert", f"{folder}/cert.pem"]
    flags += ["--tls-key", f"{folder}/key.pem"]
    script = f"{spec.prelude}\n{_PYTHON}" if spec.prelude else _PYTHON
    return ["/bin/sh", "-c", script, f"skynb-dask-{what}", f"distributed.cli.dask_{what}", *flags]


def _read(transport: Transport, path: str) -> bytes:
    """A file of the node; empty if it is not there yet."""
    process = transport.exec(["cat", path])
    try:
        process.stdin.close()
        data = process.stdout.read()
        return data if process.wait(10) == 0 else b""
    finally:
        process.close()


def _forget(transport: Transport, path: str) -> None:
    process = transport.exec(["rm", "-f", path])
    try:
        process.wait(10)
    except TimeoutError as error:
        raise ProviderError("the node does not answer", why=str(error)) from error
    finally:
        process.close()
