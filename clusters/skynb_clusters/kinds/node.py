"""Node slots: looking at machines and agents, and the deeds that bring them up and end them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from skynb.control.ledger import Transaction
from skynb.control.records import Decision, Effect, Record
from skynb.errors import AuthError, ProviderError
from skynb_agent.protocol import PROTOCOL, Methods
from skynb_clusters import naming as names
from skynb_clusters import tls
from skynb_clusters.contract import Machine, NodeRequest, Provider, Transport
from skynb_clusters.deciders.money import END_S
from skynb_clusters.deciders.node import HEARTBEAT_S, AgentSeen, MachineSeen, NodeView, decide_node
from skynb_clusters.deciders.rebuilding import relic_tags
from skynb_clusters.deciders.views import telling
from skynb_clusters.deploy import start_agent
from skynb_clusters.records import (
    Adjustable,
    AdjustMachine,
    ClusterSpec,
    CreateMachine,
    NodeSpec,
    NodeState,
    Offer,
    RenewLease,
    StartAgent,
    StartMachine,
    StopMachine,
    TerminateMachine,
    adjustable,
    agent_name,
    incarnation,
    machine_of,
    offer_of,
)

if TYPE_CHECKING:
    from skynb_clusters.core import Core

BEATS_A_LEASE = 4
_SILENT = AgentSeen("silent")


class NodeKind:
    """Kind `node`, a slot of a cluster; its record's name is its rank."""

    name = "node"

    def __init__(self, core: Core) -> None:
        self._core = core

    async def observe(self, record: Record) -> NodeView:
        rank, lane = record.spec_as(NodeSpec).rank, record.spec_as(NodeSpec).lane
        cluster, head, free, sharers = await self._core.reconciler.in_ledger(self._around, record, lane)
        state = record.state_as(NodeState)
        offer = offer_of(cluster, lane)
        machine = await self._machine(record, state)
        agent = AgentSeen("untried")
        if machine.machine is not None and machine.machine.state == "running":
            agent = await self._agent(record, state, machine.machine)
            if agent.presence == "silent" and record.status == "UP":  # it took a while to see that
                machine = await self._machine(record, state)
        spec = cluster.spec_as(ClusterSpec)
        capabilities = self._core.provider(state.offer or offer).capabilities
        can_stop = self._core.can_stop(state.offer or offer)
        return NodeView(
            state=state,
            offer=offer,
            machine=machine,
            agent=agent,
            consistency_s=capabilities.consistency_s,
            heartbeat_s=min(HEARTBEAT_S, min(spec.presence_s, spec.envelope_s) / BEATS_A_LEASE),
            free_micro=free,
            sharers=sharers,
            envelope_s=min(spec.envelope_s, spec.hold_s or spec.envelope_s),
            can_stop=can_stop,
            wanted=adjustable(spec, state.offer or offer, rank, can_stop=can_stop, capped=free is not None),
            head_known=head.id == record.id or bool(head.state_as(NodeState).head_port),
            held_by=spec.held_by,
        )

    def decide(self, record: Record, observation: NodeView, now: float) -> Decision:
        return telling(decide_node(record, observation, now), observation.held_by)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        state = record.state_as(NodeState)
        provider = self._core.provider(state.offer or Offer(cloud="?", instance_type=""))
        if isinstance(effect, CreateMachine):
            request = await self._request(record, state)
            machine = await self._core.in_cloud(provider.create, request)
            adjusted = Adjustable(on_shutdown=request.on_shutdown, ports=request.ports)
            return {"machine": machine.id, "adjusted": _plain(adjusted)}
        if isinstance(effect, StartAgent):
            return await self._start_agent(record, state)
        if isinstance(effect, RenewLease):
            return await self._renew(record, effect)
        if isinstance(effect, AdjustMachine):
            await self._core.in_cloud(_adjust, provider, effect)
            return _plain(effect.to)
        if isinstance(effect, StartMachine):
            await self._core.in_cloud(provider.start, effect.machine)
        elif isinstance(effect, StopMachine):
            self._core.hub.drop(record.id)
            await self._core.in_cloud(provider.stop, effect.machine)
        elif isinstance(effect, TerminateMachine):
            self._core.hub.drop(record.id)
            await self._core.in_cloud(provider.terminate, effect.machine)
        return None

    def _around(self, record: Record, lane: int) -> tuple[Record, Record, int | None, int]:
        """The cluster, its head of this lane, what the budgets leave, and how many slots share that."""
        with self._core.ledger.read() as tx:
            cluster = tx.get(str(record.parent))
            head = tx.get(names.node_id(str(record.parent), 0, lane))
            if cluster is None or head is None:
                raise ProviderError(f"{record.id} has no cluster in the ledger")
            return cluster, head, *_free(tx, record, cluster)

    def _left(self, cluster: Record) -> int | None:
        with self._core.ledger.read() as tx:
            return _left(tx, cluster)

    async def _renew(self, record: Record, effect: RenewLease) -> dict[str, Any]:
        cluster = await self._core.get(str(record.parent))
        if cluster is None:
            raise ProviderError(f"{record.id} has no cluster in the ledger")
        terms = _lease(cluster.spec_as(ClusterSpec), effect.until, self._core.ledger.clock.now())
        params = {**terms, "paid_end": "stop" if effect.stop else "down"}
        await self._core.hub.call(record.id, Methods.LEASE_RENEW, params)
        return {"until": effect.until}

    async def _machine(self, record: Record, state: NodeState) -> MachineSeen:
        """What the infra lists under this slot's tags; while ending, whatever bears them counts."""
        if state.offer is None or not state.token:
            return MachineSeen("absent")
        provider = self._core.provider(state.offer)
        if record.status == "BOOTING" and (
            lately := self._core.sightings.recent(provider, state.offer.region)
        ):
            found = _choose(lately.by_record.get(record.id, ()), state.token, any_token=False)
            if found is not None and found.state == "running":  # its agent's answer says more than a new look
                return MachineSeen("present", found)
        try:
            seen = await self._core.sightings.of(provider, state.offer.region)
        except (ProviderError, AuthError):
            return MachineSeen("unknown")
        machines = seen.by_record.get(record.id, ())
        found = _choose(machines, state.token, any_token=record.status == "ENDING")
        if found is not None:
            return MachineSeen("present", found)
        hidden = seen.blind and (not state.place or state.place in seen.blind)
        return MachineSeen("unknown" if hidden else "absent")

    async def _agent(self, record: Record, state: NodeState, machine: Machine) -> AgentSeen:
        if record.status not in {"BOOTING", "UP"} or state.offer is None:
            return AgentSeen("untried")
        transport = self._core.provider(state.offer).transport(machine)
        name, new = agent_name(record, state), record.status == "BOOTING"
        facts = await self._core.hub.reach(record.id, name, transport, new=new)
        if facts is None:
            return _SILENT
        return AgentSeen("answering", facts.head_port or 0, facts.version, _noted(facts.notices))

    async def _request(self, record: Record, state: NodeState) -> NodeRequest:
        cluster = await self._core.get(str(record.parent))
        if state.offer is None or cluster is None:
            raise ProviderError(f"{record.id} has no offer to create from")
        spec = cluster.spec_as(ClusterSpec)
        rank = record.spec_as(NodeSpec).rank
        free = await self._core.reconciler.in_ledger(self._left, cluster)
        can_stop = self._core.can_stop(state.offer)
        wanted = adjustable(spec, state.offer, rank, can_stop=can_stop, capped=free is not None)
        wish = spec.wish(state.offer)
        tags = {
            "skynb-owner": self._core.owner,
            "skynb-record": record.id,
            "skynb-generation": str(record.generation),
            "skynb-lease-until": str(int(self._core.ledger.clock.now() + spec.presence_s)),
            "skynb-cluster": cluster.name,
            "skynb-rank": str(rank),
            **relic_tags(cluster, state.offer),
        }
        return NodeRequest(
            token=state.token,
            name=f"{cluster.name}-{rank}",
            tags=tags,
            instance_type=state.offer.instance_type,
            region=state.offer.region,
            zone=state.offer.zone,
            spot=state.offer.spot,
            image=wish.image_in(state.offer.region),
            disk_gib=wish.disk_gib,
            disk_tier=wish.disk_tier,
            ports=wanted.ports,
            labels=wish.labels,
            on_shutdown=wanted.on_shutdown,
            hourly_micro=state.offer.hourly_micro,
        )

    async def _start_agent(self, record: Record, state: NodeState) -> dict[str, Any]:
        cluster = await self._core.get(str(record.parent))
        lane = record.spec_as(NodeSpec).lane
        head = await self._core.get(names.node_id(str(record.parent), 0, lane))
        if cluster is None or head is None or state.offer is None:
            raise ProviderError(f"{record.id} has no cluster in the ledger")
        config = await self._core.in_cloud(self._config, record, state, cluster, head.state_as(NodeState))
        facts = await self._core.in_cloud(start_agent, self._core.transport(state), config)
        return {"head_port": facts.get("head_port"), "version": facts.get("version")}

    def _config(self, record: Record, state: NodeState, cluster: Record, head: NodeState) -> dict[str, Any]:
        spec = cluster.spec_as(ClusterSpec)
        rank, gang = record.spec_as(NodeSpec).rank, spec.num_nodes
        if spec.is_extra(rank):  # it is no part of the gang: its agent takes no jobs of it and heads itself
            rank, gang = 0, 1
        provider = self._core.provider(state.offer or offer_of(cluster))
        transport = self._core.transport(state)
        machine = machine_of(state)
        authority = tls.Pair(**self._core.secrets.get(spec.authority))
        name = agent_name(record, state)
        pair = tls.issue(authority, name, [state.address])
        return {
            "protocol": PROTOCOL,
            "cluster": cluster.name,
            "cluster_id": cluster.id,
            "node_id": name,
            "rank": rank,
            "num_nodes": gang,
            "generation": incarnation(record, state),
            "role": "head" if rank == 0 else "worker",
            "bind": state.address,
            "head": None if rank == 0 else {"host": head.address, "port": head.head_port},
            "node_ips": [state.address],
            "tls": {"ca": authority.cert, "cert": pair.cert, "key": pair.key},
            "slots": {
                "cpus": state.offer.vcpus if state.offer else None,
                "gpus": devices(transport, spec),
            },
            "env": dict(transport.env),
            "home": transport.home,
            "end": {
                "stop": list(provider.end_command(machine, "stop")),
                "down": list(provider.end_command(machine, "down")),
            },
            "notices": list(provider.notice_command(machine)),
            "lease": _lease(spec, None, 0.0),
        }


def _left(tx: Transaction, cluster: Record) -> int | None:
    """What the budgets leave for a cluster; None where nothing caps it."""
    return tx.free(cluster.id, cluster.owner, rehearsed=offer_of(cluster).rehearsed)


def _free(tx: Transaction, record: Record, cluster: Record) -> tuple[int | None, int]:
    """What is left, and how many slots of the cluster have nothing reserved yet."""
    free = _left(tx, cluster)
    if free is None:
        return None, 1
    slots = [child for child in tx.children(cluster.id) if child.kind == "node"]
    bare = [one for one in slots if one.target == "UP" and not one.state_as(NodeState).reserved_micro]
    return free, len(bare) if any(one.id == record.id for one in bare) else max(1, len(slots))


def devices(transport: Transport, spec: ClusterSpec) -> list[str]:
    """The GPUs of a node that are the cluster's, as CUDA_VISIBLE_DEVICES names them."""
    count = int(spec.gpus_per_node) if spec.gpus_per_node >= 1 else int(spec.gpus_per_node > 0)
    named = transport.env.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def _adjust(provider: Provider, effect: AdjustMachine) -> None:
    """Set a living machine; the ports of infra that opens none are left to whoever owns its network."""
    provider.set_on_shutdown(effect.machine, effect.to.on_shutdown)
    if effect.to.ports and provider.capabilities.ports:
        provider.open_ports(effect.machine, effect.to.ports)


def _plain(adjusted: Adjustable) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(adjusted)
    return plain


def _lease(spec: ClusterSpec, paid_until: float | None, now: float) -> dict[str, float]:
    """The lease as the agent takes it; the node ends itself after the server would, before its money ends."""
    terms = {"presence_s": spec.presence_s, "envelope_s": spec.envelope_s}
    return terms if paid_until is None else terms | {"paid_s": max(0.0, paid_until - now - END_S / 2)}


def _noted(notices: Sequence[dict[str, Any]] | None) -> tuple[tuple[str, float], ...]:
    """What an agent heard of its infra, as (kind, at)."""
    return tuple((str(found.get("kind")), float(found.get("at") or 0)) for found in notices or ())


def _choose(machines: Sequence[Machine], token: str, *, any_token: bool) -> Machine | None:
    """The machine of this token, or of any; a living one before a terminated one, ours before another."""
    ours = [machine for machine in machines if any_token or machine.token == token]
    return min(
        ours,
        key=lambda machine: (machine.state == "terminated", machine.token != token, machine.id),
        default=None,
    )
