"""From machines, their tags and what their agents say to the records that a ledger would have. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from skynb.control.records import Record
from skynb.wire import LeaseInfo
from skynb_clusters.agents import Greeting
from skynb_clusters.contract import Machine
from skynb_clusters.naming import cluster_of, node_of, slot_of
from skynb_clusters.records import Autostop, ClusterSpec, ClusterState, NodeState, Offer, node_slot

UNHEARD_FIRST_JOB = 1001  # a head that could not be asked has jobs; hardly so many
_OFF = frozenset({"stopping", "stopped"})


class Relic(msgspec.Struct, frozen=True):
    """A machine that no ledger knows. greeting: of its agent, None if none answered."""

    infra: str
    machine: Machine
    greeting: Greeting | None = None

    @property
    def name(self) -> str:
        """As a person names it: `INFRA:ID`."""
        return f"{self.infra}:{self.machine.id}"

    @property
    def slot(self) -> tuple[int, int] | None:
        """Rank and lane, as its tags say."""
        return slot_of(self.machine.tags.get("skynb-record", ""))


class Rebuilt(msgspec.Struct, frozen=True):
    """A cluster's records. authority: the reference to its certificates; budget_micro: of its run."""

    cluster: Record
    nodes: tuple[Record, ...]
    machines: tuple[str, ...]
    authority: str = ""
    budget_micro: int | None = None


def relic_tags(cluster: Record, offer: Offer) -> dict[str, str]:
    """What a machine bears besides its name, so that its records can be had from it alone."""
    spec = cluster.spec_as(ClusterSpec)
    gpus = f"{offer.accelerator}:{offer.accelerator_count:g}" if offer.accelerator else ""
    tags = {
        "skynb-user": cluster.owner,
        "skynb-nodes": str(spec.num_nodes),
        "skynb-type": offer.instance_type,
        "skynb-region": offer.region or "",
        "skynb-zone": offer.zone or "",
        "skynb-gpus": gpus,
        "skynb-hourly-micro": str(offer.hourly_micro),
        "skynb-budget-micro": "" if spec.budget_micro is None else str(spec.budget_micro),
        "skynb-authority": spec.authority,
    }
    return {key: value for key, value in tags.items() if value}


def rebuild(
    relics: Sequence[Relic], lease: LeaseInfo, now: float, *, blind: bool = False
) -> tuple[list[Rebuilt], dict[str, str]]:
    """The clusters that these machines are, and by machine why the others belong to none.

    blind: not everything could be seen. A cluster that lacks machines then waits: what is not seen may run.
    """
    families: dict[str, list[Relic]] = {}
    left = {}
    for relic in relics:
        if relic.slot is None or not relic.machine.tags.get("skynb-cluster"):
            left[relic.name] = "its tags do not say which node of which cluster it is"
        else:
            families.setdefault(cluster_of(relic.machine.tags["skynb-record"]), []).append(relic)
    rebuilt = []
    for cluster_id, family in sorted(families.items()):
        lane, gang = _gang(family)
        chosen = {relic.name for relic in gang.values()}
        others = [relic.name for relic in family if relic.name not in chosen]
        left |= dict.fromkeys(others, "another machine is this node, and newer or further")
        count = _count(gang)
        there = sum(rank < count for rank in gang)
        if blind and there < count:
            why = f"{there} of {count} nodes of its cluster are seen, and not everything can be seen now"
            left |= dict.fromkeys(chosen, why)
        else:
            rebuilt.append(_rebuilt(cluster_id, lane, gang, count, lease, now))
    return rebuilt, left


def _gang(family: Sequence[Relic]) -> tuple[int, dict[int, Relic]]:
    """The lane with most machines, and its machine for each rank: one that runs, then the newest."""
    lanes: dict[int, dict[int, Relic]] = {}
    for relic in sorted(family, key=_worth):
        rank, lane = relic.slot or (0, 0)
        lanes.setdefault(lane, {})[rank] = relic
    lane = max(lanes, key=lambda one: (len(lanes[one]), -one))
    return lane, lanes[lane]


def _worth(relic: Relic) -> tuple[bool, int, str]:
    generation = _number(relic.machine.tags, "skynb-generation") or 1
    return relic.machine.state not in _OFF, generation, relic.machine.id


def _count(gang: Mapping[int, Relic]) -> int:
    told = [_number(relic.machine.tags, "skynb-nodes") for relic in gang.values()]
    return max((count for count in told if count), default=max(gang) + 1)


def _rebuilt(
    cluster_id: str, lane: int, gang: Mapping[int, Relic], count: int, lease: LeaseInfo, now: float
) -> Rebuilt:
    first = gang[min(gang)]
    tags = first.machine.tags
    own = [relic for rank, relic in gang.items() if rank < count]
    off = bool(own) and all(relic.machine.state in _OFF for relic in own)
    heard = [relic.greeting for relic in own if _own(relic)]
    head = next((greeting for greeting in heard if greeting and greeting.jobs is not None), None)
    autostop = _autostop(head)
    offer = _offer(first)
    budget = _number(tags, "skynb-budget-micro")
    spec = ClusterSpec(
        num_nodes=count,
        offers=(offer,),
        plan_hash="",
        autostop=autostop,
        presence_s=lease.presence_s,
        envelope_s=lease.envelope_s,
        gpus_per_node=offer.accelerator_count,
        budget_micro=budget,
        first_job=max(head.jobs or (0,)) + 1 if head and head.jobs is not None else UNHEARD_FIRST_JOB,
    )
    state = ClusterState(phase="ready", lane=lane, autostop_applied=autostop, up_at=now)
    owner = tags.get("skynb-user", "")
    cluster = Record(
        id=cluster_id,
        kind="cluster",
        name=tags["skynb-cluster"],
        parent=None,
        owner=owner,
        status="STOPPED" if off else "INIT",
        target="STOPPED" if off else "UP",
        spec=msgspec.json.encode(spec),
        state=msgspec.json.encode(state),
    )
    nodes = tuple(
        _node(cluster, rank, lane, gang[rank], now) if rank in gang else _missing(cluster, rank, lane, now)
        for rank in sorted({*range(count), *gang})  # extra ones go at once: what wanted them is not known
    )
    names = tuple(relic.name for relic in gang.values())
    return Rebuilt(cluster, nodes, names, tags.get("skynb-authority", ""), budget)


def _node(cluster: Record, rank: int, lane: int, relic: Relic, now: float) -> Record:
    machine = relic.machine
    off = machine.state in _OFF
    generation = _number(machine.tags, "skynb-generation") or 1
    state = NodeState(
        offer=_offer(relic),
        token=machine.token,
        machine=machine.id,
        place=machine.place,
        address=machine.address,
        reach=machine.reach,
        boots=_boots(relic, generation),
        billed_from=None if off else machine.billed_from or machine.created_at or now,
        booted_at=now,
    )
    status = {"stopping": "STOPPING", "stopped": "STOPPED"}.get(machine.state, "BOOTING")
    return _slot(cluster, rank, lane, status, "STOPPED" if off else "UP", generation, state)


def _missing(cluster: Record, rank: int, lane: int, now: float) -> Record:
    """A slot without its machine; its next generation is later than any that it may have had."""
    error = {"code": "lost", "what": "the machine was not found", "retryable": "yes"}
    return _slot(cluster, rank, lane, "PENDING", "RELEASED", int(now), NodeState(error=error))


def _slot(
    cluster: Record, rank: int, lane: int, status: str, target: str, generation: int, state: NodeState
) -> Record:
    return msgspec.structs.replace(
        node_slot(cluster, rank, lane, target),
        status=status,
        generation=generation,
        reason=str((state.error or {}).get("what", "")),
        state=msgspec.json.encode(state),
    )


def _offer(relic: Relic) -> Offer:
    machine, tags = relic.machine, relic.machine.tags
    accelerator, _, count = tags.get("skynb-gpus", "").partition(":")
    return Offer(
        cloud=relic.infra,
        instance_type=tags.get("skynb-type") or machine.instance_type,
        region=tags.get("skynb-region") or machine.place or None,
        zone=tags.get("skynb-zone") or machine.zone or None,
        spot=machine.spot,
        accelerator=accelerator or None,
        accelerator_count=_amount(count),
        hourly_micro=_number(tags, "skynb-hourly-micro") or 0,
        source="tags",
    )


def _own(relic: Relic) -> bool:
    """The agent that answered is this node's; addresses are used again, identities are not."""
    greeting = relic.greeting
    return greeting is not None and node_of(greeting.node_id) == relic.machine.tags["skynb-record"]


def _boots(relic: Relic, generation: int) -> int:
    """A worker's agent counts its boots; see `incarnation`."""
    if not _own(relic) or relic.greeting is None:
        return 0
    _, _, number = relic.greeting.node_id.rpartition(".")
    return max(0, int(number) - generation * 1000) if number.isdigit() else 0


def _autostop(head: Greeting | None) -> Autostop | None:
    terms = head.autostop if head else None
    if not terms or terms.get("idle_minutes") is None:
        return None
    return msgspec.convert(terms, Autostop)


def _number(tags: Mapping[str, str], key: str) -> int | None:
    text = tags.get(key, "")
    return int(text) if text.isdecimal() and len(text) <= 18 else None


def _amount(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
