"""A two-node world for walking the deciders: machines that appear, vanish, stop and lie.

It runs the real deciders over plain values, as the reconciler would, and is small enough to be walked whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from skynb.control.records import Decision, Outcome, Record
from skynb_clusters.contract import Machine
from skynb_clusters.deciders.cluster import decide_cluster
from skynb_clusters.deciders.node import AgentSeen, MachineSeen, NodeView, decide_node
from skynb_clusters.deciders.views import ClusterView, Idle, JobSeen, NodeSeen
from skynb_clusters.naming import node_id, slot_name
from skynb_clusters.records import (
    ClusterSpec,
    ClusterState,
    CreateMachine,
    NodeSpec,
    NodeState,
    Offer,
    RenewLease,
    StartAgent,
    StartMachine,
    StopMachine,
    TerminateMachine,
    offer_of,
)

OFFERS = (
    Offer(cloud="x", instance_type="small", hourly_micro=3_600_000),
    Offer(cloud="x", instance_type="other", hourly_micro=7_200_000),
)


def node_record(rank: int, lane: int = 0) -> Record:
    return Record(
        id=node_id("cluster-1", rank, lane),
        kind="node",
        name=slot_name(rank, lane),
        parent="cluster-1",
        owner="ann",
        status="PENDING",
        target="RELEASED",
        spec=msgspec.json.encode(NodeSpec(rank=rank, lane=lane)),
        state=msgspec.json.encode(NodeState()),
    )


def cluster_record() -> Record:
    return Record(
        id="cluster-1",
        kind="cluster",
        name="c",
        parent=None,
        owner="ann",
        status="INIT",
        target="UP",
        state=msgspec.json.encode(ClusterState()),
    )


@dataclass
class World:
    """The ledger (`cluster`, `nodes`) and the infra (`machines` by token) of one small cluster."""

    num_nodes: int = 2
    lanes: int = 1
    retry: bool = False
    cap: int | None = None
    envelope_s: float = 72 * 3600.0
    offers: tuple[Offer, ...] = OFFERS
    further: tuple[Offer, ...] = ()
    now: float = 1000.0
    cluster: Record = field(default_factory=cluster_record)
    nodes: list[Record] = field(default_factory=list)
    machines: dict[str, Machine] = field(default_factory=dict)
    agents: set[str] = field(default_factory=set)
    refuse: set[str] = field(default_factory=set)
    disproved: dict[str, str] = field(default_factory=dict)
    unseen: bool = False
    events: list[str] = field(default_factory=list)
    money: dict[str, int] = field(default_factory=lambda: {"reserve": 0, "settle": 0, "release": 0})
    work: tuple[JobSeen, ...] = ()
    idle: Idle | None = None
    created: list[str] = field(default_factory=list)
    paid: dict[float | None, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = self.nodes or [
            node_record(rank, lane) for lane in range(self.lanes) for rank in range(self.num_nodes)
        ]

    # The faults

    def crash_machine(self, rank: int) -> None:
        """Power off: the disk stays."""
        self._change(rank, "stopped")

    def lose_machine(self, rank: int) -> None:
        """The infra ends it, disk and all."""
        token = self.state(rank).token
        self.machines.pop(token, None)
        self.agents.discard(token)

    def kill_agent(self, rank: int) -> None:
        self.agents.discard(self.state(rank).token)

    def _change(self, rank: int, state: Any) -> None:
        token = self.state(rank).token
        if token in self.machines:
            self.machines[token] = msgspec.structs.replace(self.machines[token], state=state)
            self.agents.discard(token)

    # The reconciler, one step at a time

    def state(self, rank: int) -> NodeState:
        return self.nodes[rank].state_as(NodeState)

    def step_node(self, rank: int, *, act: bool = True, lose_outcome: bool = False) -> Decision | None:
        """Observe, decide, commit and, unless the server is killed here, act."""
        record = self.nodes[rank]
        if record.final:
            return None
        decision = decide_node(record, self._node_view(rank), self.now)
        self.nodes[rank] = record = self._commit(record, decision)
        self._move(decision)
        for effect in decision.effects if act else ():
            outcome = self._act(effect, self.state(rank).offer)
            if not lose_outcome:
                self.nodes[rank] = msgspec.structs.replace(self.nodes[rank], outcome=outcome)
            if outcome.error:
                break
        return decision

    def step_cluster(self, *, act: bool = True) -> Decision | None:
        record = self.cluster
        if record.final:
            return None
        view = self._cluster_view()
        decision = decide_cluster(record, view, self.now)
        self.cluster = self._commit(record, decision)
        self._move(decision)
        for effect in decision.effects if act else ():
            name = type(effect).__name__
            value: dict[str, Any] | None = {"wiring": list(view.wiring)} if name == "WireAgents" else None
            if name == "FindOffers":
                value = {"offers": msgspec.to_builtins(self.further)}
            self.cluster = msgspec.structs.replace(
                self.cluster, outcome=Outcome(effect=name, at=self.now, value=value)
            )
        return decision

    def _move(self, decision: Decision) -> None:
        for move in decision.moves:
            if move.record == self.cluster.id and self.cluster.target != move.unless:
                self.cluster = msgspec.structs.replace(
                    self.cluster, target=move.target, reason=move.reason or self.cluster.reason
                )
            for rank, node in enumerate(self.nodes):
                if node.id == move.record and not node.final:
                    self.nodes[rank] = msgspec.structs.replace(node, target=move.target)
            self.work = tuple(
                replace_target(item, move.target) if item.id == move.record else item for item in self.work
            )

    def settle(self, rounds: int = 60) -> None:
        """Step everything until nothing changes, time moving on."""
        for _ in range(rounds):
            before = (self.cluster, list(self.nodes), dict(self.machines))
            self.step_cluster()
            for rank in range(len(self.nodes)):
                self.step_node(rank)
            self.now += 1.0
            if before == (self.cluster, self.nodes, self.machines):
                return

    def ask(self, target: str) -> None:
        """A person's request, as the front desk writes it."""
        self.cluster = msgspec.structs.replace(self.cluster, target=target)
        if target == "UP":
            lane = self.cluster.state_as(ClusterState).lane
            self.nodes = [
                node
                if node.final or node.spec_as(NodeSpec).lane != lane
                else msgspec.structs.replace(node, target="UP")
                for node in self.nodes
            ]

    @property
    def committed(self) -> int:
        """What is settled and reserved, in micro-dollars."""
        return self.money["reserve"] - self.money["release"]

    def living(self) -> list[Machine]:
        """Machines that cost money."""
        return [
            machine for machine in self.machines.values() if machine.state not in {"stopped", "terminated"}
        ]

    def _commit(self, record: Record, decision: Decision) -> Record:
        changes = {
            name: getattr(decision, name)
            for name in ("status", "target", "generation", "final", "reason")
            if getattr(decision, name) is not None
        }
        if decision.state is not None:
            changes["state"] = msgspec.json.encode(decision.state)
        self.events += [event.name for event in decision.events]
        for entry in decision.spend:
            self.money[entry.entry] += entry.micro_usd
        return msgspec.structs.replace(record, outcome=None, **changes)

    def _node_view(self, rank: int) -> NodeView:
        record, state = self.nodes[rank], self.state(rank)
        machine = self.machines.get(state.token) if state.token else None
        if self.unseen and state.token:
            seen = MachineSeen("unknown")
        else:
            seen = MachineSeen("present", machine) if machine else MachineSeen("absent")
        agent = AgentSeen("untried")
        if machine and machine.state == "running" and record.status in {"BOOTING", "UP"}:
            answering = state.token in self.agents and not self.unseen
            agent = AgentSeen("answering", 7000, "1") if answering else AgentSeen("silent")
        shown = msgspec.structs.replace(self.cluster, spec=msgspec.json.encode(self.spec))
        offer = offer_of(shown, record.spec_as(NodeSpec).lane)
        slots = [one for one in self.nodes if one.target == "UP"]
        bare = [one for one in slots if not one.state_as(NodeState).reserved_micro]
        return NodeView(
            state=state,
            offer=offer,
            machine=seen,
            agent=agent,
            free_micro=None if self.cap is None else self.cap - self.committed,
            sharers=len(bare) if record in bare else max(1, len(slots)),
            envelope_s=self.envelope_s,
        )

    def _cluster_view(self) -> ClusterView:
        seen = tuple(
            NodeSeen(
                id=node.id,
                rank=node.spec_as(NodeSpec).rank,
                lane=node.spec_as(NodeSpec).lane,
                status=node.status,
                target=node.target,
                address=self.state(rank).address,
                reason=node.reason,
                error=self.state(rank).error,
            )
            for rank, node in enumerate(self.nodes)
        )
        state = self.cluster.state_as(ClusterState)
        return ClusterView(
            spec=self.spec,
            state=state,
            nodes=seen,
            work=self.work,
            idle=self.idle,
            wiring=tuple(node.address for node in seen if node.lane == state.lane),
        )

    @property
    def spec(self) -> ClusterSpec:
        return ClusterSpec(
            num_nodes=self.num_nodes,
            offers=self.offers,
            plan_hash="p",
            lanes=self.lanes,
            retry=self.retry,
        )

    def _act(self, effect: Any, offer: Offer | None) -> Outcome:
        name = type(effect).__name__
        error = self._refusal(effect, offer)
        value = None
        if error is None and isinstance(effect, CreateMachine):
            value = {"machine": self._create(effect.token).id}
        elif isinstance(effect, RenewLease):
            self.paid[effect.until] = effect.stop
            value = {"until": effect.until}
        elif error is None and not isinstance(effect, StartAgent):
            self._change_by_id(effect)
        elif error is None:
            token = next(token for token, machine in self.machines.items() if machine.id == effect.machine)
            self.agents.add(token)
        return Outcome(effect=name, at=self.now, error=error, value=value)

    def _refusal(self, effect: Any, offer: Offer | None) -> dict[str, Any] | None:
        if isinstance(effect, CreateMachine) and offer and offer.instance_type in self.disproved:
            disproves = self.disproved[offer.instance_type]
            return {"code": "capacity", "what": "none free", "retryable": "yes", "disproves": disproves}
        if type(effect).__name__ in self.refuse:
            return {"code": "capacity", "what": "none free", "retryable": "yes", "disproves": "capacity"}
        return None

    def _create(self, token: str) -> Machine:
        if token not in self.machines:
            self.created.append(token)
            number = len(self.created)
            self.machines[token] = Machine(
                id=f"m{number}", token=token, state="running", tags={}, address=f"10.0.0.{number}"
            )
        return self.machines[token]

    def _change_by_id(self, effect: Any) -> None:
        for token, machine in list(self.machines.items()):
            if machine.id != effect.machine.id:
                continue
            if isinstance(effect, TerminateMachine):
                del self.machines[token]
                self.agents.discard(token)
            elif isinstance(effect, StopMachine):
                self.machines[token] = msgspec.structs.replace(machine, state="stopped")
                self.agents.discard(token)
            elif isinstance(effect, StartMachine):
                self.machines[token] = msgspec.structs.replace(machine, state="running")


def replace_target(item: JobSeen, target: str) -> JobSeen:
    return msgspec.structs.replace(item, target=target)


def copy_of(world: World) -> World:
    """A world that can go another way from here."""
    return replace(
        world,
        nodes=list(world.nodes),
        machines=dict(world.machines),
        agents=set(world.agents),
        refuse=set(world.refuse),
        disproved=dict(world.disproved),
        events=list(world.events),
        money=dict(world.money),
        created=list(world.created),
        paid=dict(world.paid),
    )
