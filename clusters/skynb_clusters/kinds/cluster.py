"""Clusters: looking at their nodes, work and idleness; wiring the agents together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from skynb.control.records import Decision, Effect, Event, Record
from skynb.errors import ProviderError
from skynb_agent.protocol import Methods
from skynb_clusters.deciders.cluster import decide_cluster
from skynb_clusters.deciders.views import ClusterView, Idle, JobSeen, NodeSeen, telling
from skynb_clusters.naming import job_id
from skynb_clusters.records import (
    ClusterSpec,
    ClusterState,
    DaskSpec,
    DropKept,
    FindOffers,
    JobSpec,
    JobState,
    NodeSpec,
    NodeState,
    SetAutostop,
    TakeJobs,
    TellLost,
    WireAgents,
    gang_of,
    head_of,
    offer_of,
)

if TYPE_CHECKING:
    from skynb_clusters.core import Core


class ClusterKind:
    """Kind `cluster`."""

    name = "cluster"

    def __init__(self, core: Core) -> None:
        self._core = core

    async def observe(self, record: Record) -> ClusterView:
        children = await self._core.children(record.id)
        slots = sorted(
            (child for child in children if child.kind == "node"), key=lambda c: _place(c.spec_as(NodeSpec))
        )
        spec, state = record.spec_as(ClusterSpec), record.state_as(ClusterState)
        own = set(gang_of(record))
        gang = [slot.state_as(NodeState) for slot in slots if slot.id in own]
        return ClusterView(
            spec=spec,
            state=state,
            nodes=tuple(_node(slot) for slot in slots),
            work=tuple(_work(child, spec) for child in children if child.kind != "node" and not child.final),
            strange=self._strange(record, children),
            idle=await self._idle(record) if record.status == "UP" else None,
            wiring=(*(node.address for node in gang), str(gang[0].head_port), *spec.peers),
            secrets=(spec.authority,) if spec.authority else (),
        )

    def decide(self, record: Record, observation: ClusterView, now: float) -> Decision:
        return telling(decide_cluster(record, observation, now), observation.spec.held_by)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        head = head_of(record)
        if isinstance(effect, WireAgents):
            await self._wire(record, effect.wiring)
            return {"wiring": list(effect.wiring)}
        if isinstance(effect, TellLost):
            for rank, agent in effect.lost:
                await self._core.hub.call(head, Methods.NODE_GONE, {"rank": rank, "node_id": agent})
        elif isinstance(effect, SetAutostop):
            wish = effect.autostop
            minutes = None if wish.idle_minutes < 0 else wish.idle_minutes
            params = {"idle_minutes": minutes, "down": wish.down, "wait_for": wish.wait_for}
            await self._core.hub.call(head, Methods.AUTOSTOP_SET, params)
        elif isinstance(effect, TakeJobs):
            known = self._core.hub.jobs(head) or {}
            words = [known[number] for number in effect.numbers if number in known]
            await self._core.reconciler.in_ledger(self._take, record, words)
            for number in effect.numbers:
                self._core.wake(job_id(record.id, number))
        elif isinstance(effect, FindOffers):
            offers = await self._core.in_cloud(self._core.further_offers, record.spec_as(ClusterSpec))
            return {"offers": msgspec.to_builtins(offers)}
        elif isinstance(effect, DropKept):
            self._core.drop(effect)
        return None

    def _strange(self, record: Record, children: Sequence[Record]) -> tuple[int, ...]:
        known = self._core.hub.jobs(head_of(record)) if record.status == "UP" else None
        return tuple(sorted(set(known or ()) - {int(job.name) for job in children if job.kind == "job"}))

    def _take(self, record: Record, words: Sequence[dict[str, Any]]) -> None:
        """Records of these jobs, each handed over to the head that tells of it."""
        with self._core.ledger.transaction() as tx:
            head = tx.get(head_of(record))
            for word in words:
                job = job_from(record, word, head.generation if head else 1)
                if tx.get(job.id) is None:
                    tx.insert(job)
                    found = Event("job.found", {"job": int(job.name)})
                    tx.append(found, record=job.id, scope=record.id)

    async def _wire(self, record: Record, wiring: tuple[str, ...]) -> None:
        gang = gang_of(record)
        addresses = list(wiring[: len(gang)])
        port, *peers = wiring[len(gang) :]
        whole = self._core.provider(offer_of(record)).capabilities.whole
        params: dict[str, Any] = {
            "node_ips": addresses,
            "head": {"host": addresses[0], "port": int(port)},
            "peers": {"lines": peers, "names": whole},
        }
        for node in gang:
            await self._core.hub.call(node, Methods.CONFIGURE, params)

    async def _idle(self, record: Record) -> Idle | None:
        try:
            status = await self._core.hub.call(head_of(record), Methods.STATUS)
        except ProviderError:
            return None
        idle = status["idle"]
        return Idle(idle_s=float(idle["idle_s"]), busy=tuple(idle["busy"]), due=bool(idle["due"]))


def job_from(cluster: Record, word: dict[str, Any], head: int) -> Record:
    """A job's record from an agent's word. head: the generation of the head that knows it."""
    number = int(word["id"])
    spec = JobSpec(
        number=number,
        num_nodes=int(word.get("num_nodes") or 1),
        priority=int(word.get("priority") or 0),
        title=str(word.get("name") or ""),
        task_id=str(word.get("task_id") or ""),
        user=str(word.get("user") or ""),
    )
    return Record(
        id=job_id(cluster.id, number),
        kind="job",
        name=str(number),
        parent=cluster.id,
        owner=cluster.owner,
        status="PENDING",
        target="DONE",
        spec=msgspec.json.encode(spec),
        state=msgspec.json.encode(JobState(handed_to=head)),
    )


def _place(spec: NodeSpec) -> tuple[int, int]:
    return spec.lane, spec.rank


def _node(slot: Record) -> NodeSeen:
    state, spec = slot.state_as(NodeState), slot.spec_as(NodeSpec)
    return NodeSeen(
        id=slot.id,
        rank=spec.rank,
        lane=spec.lane,
        status=slot.status,
        target=slot.target,
        lost_agent=state.lost_agent,
        address=state.address,
        reason=slot.reason,
        error=state.error,
    )


def _work(child: Record, cluster: ClusterSpec) -> JobSeen:
    secrets = child.spec_as(JobSpec).secrets if child.kind == "job" else ""
    extras: tuple[int, ...] = ()
    if child.kind == "dask" and child.target == "UP":
        spec = child.spec_as(DaskSpec)
        ranks = {spec.rank_of(number, cluster.num_nodes) for number in spec.members}
        extras = tuple(sorted(filter(cluster.is_extra, ranks)))
    return JobSeen(id=child.id, kind=child.kind, target=child.target, secrets=secrets, extras=extras)
