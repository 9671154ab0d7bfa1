"""Records as users see them. Reading never changes anything, and shows how old what it shows is."""

from __future__ import annotations

from collections.abc import Sequence

from skynb.control.budgets import Budget
from skynb.control.ledger import Money, Transaction
from skynb.control.records import Charge, Record
from skynb.errors import ConflictError, NotFoundError
from skynb.spec.infra import Infra
from skynb.wire import (
    AutostopRequest,
    BudgetInfo,
    ChargeInfo,
    ClusterInfo,
    CostInfo,
    EventInfo,
    JobInfo,
    LeaseInfo,
    MachineInfo,
    NodeInfo,
    SshInfo,
)
from skynb_clusters.contract import SshEntry
from skynb_clusters.deciders.money import price_row
from skynb_clusters.reaper import Found
from skynb_clusters.records import (
    JOB_FINAL,
    ClusterSpec,
    ClusterState,
    JobSpec,
    JobState,
    NodeSpec,
    NodeState,
    Offer,
    offer_of,
)


def find_cluster(tx: Transaction, name: str, *, ended: bool = False) -> Record:
    """The live cluster of that name, or with `ended` the last one that had it; NotFoundError."""
    if not name.isprintable():  # no cluster has such a name, and not every database takes it as a question
        raise NotFoundError(f"there is no cluster {name!r}", mend="`skynb status` lists the clusters")
    record = tx.find("cluster", name)
    if record is None and ended:
        record = next(reversed(tx.find_all("cluster", names=[name], live=False)), None)
    if record is None:
        raise NotFoundError(f"there is no cluster {name!r}", mend="`skynb status` lists the clusters")
    return record


def cluster_info(tx: Transaction, record: Record) -> ClusterInfo:
    """A cluster with its nodes and its bill so far."""
    return cluster_infos(tx, [record])[0]


def cluster_infos(tx: Transaction, records: Sequence[Record]) -> list[ClusterInfo]:
    """The same for many, with as few queries as for one."""
    names = [record.id for record in records]
    slots, monies = tx.below("node", names), tx.monies(names)
    return [_cluster_info(record, slots[record.id], monies[record.id]) for record in records]


def _cluster_info(record: Record, slots: Sequence[Record], money: Money) -> ClusterInfo:
    spec, state = record.spec_as(ClusterSpec), record.state_as(ClusterState)
    offer = offer_of(record)
    nodes = [_node_info(slot) for slot in _in_use(record, slots)]
    seen = [node.observed_at for node in nodes if node.observed_at is not None]
    return ClusterInfo(
        id=record.id,
        name=record.name,
        status=record.status,
        target=record.target,
        reason=record.reason,
        owner=record.owner,
        num_nodes=len(nodes),
        infra=infra_of(offer),
        instance_type=offer.instance_type,
        accelerators=accelerators_of(offer),
        hourly_micro=offer.hourly_micro * len(nodes),
        settled_micro=money.settled,
        reserved_micro=money.reserved,
        plan_hash=spec.plan_hash,
        created_at=record.created_at,
        up_at=state.up_at,
        ended_at=record.updated_at if record.final else None,
        observed_at=min(seen, default=None),
        autostop=_autostop(spec),
        lease=LeaseInfo(presence_s=spec.presence_s, envelope_s=spec.envelope_s),
        nodes=nodes,
        final=record.final,
        error=state.error,
    )


def _in_use(cluster: Record, slots: Sequence[Record]) -> list[Record]:
    """The slots of a cluster's own nodes, and of the extra ones that are there or on their way; by rank."""
    spec, lane = cluster.spec_as(ClusterSpec), cluster.state_as(ClusterState).lane
    places = [(slot.spec_as(NodeSpec), slot) for slot in slots]
    found = [
        (place.rank, slot)
        for place, slot in places
        if place.lane == lane
        and (not spec.is_extra(place.rank) or slot.target == "UP" or slot.status not in {"PENDING", "ENDED"})
    ]
    return [slot for _, slot in sorted(found, key=lambda one: one[0])]


def job_info(record: Record, cluster: str) -> JobInfo:
    """A job of a cluster of that name."""
    spec, state = record.spec_as(JobSpec), record.state_as(JobState)
    return JobInfo(
        cluster=cluster,
        id=spec.number,
        name=spec.title,
        status=record.status,
        reason=record.reason,
        user=spec.user,
        num_nodes=spec.num_nodes,
        priority=spec.priority,
        created_at=record.created_at,
        started_at=state.started_at,
        ended_at=state.ended_at,
        exit_codes=[rank.get("exit_code") for rank in state.ranks],
        final=record.status in JOB_FINAL,
        logs_complete=record.final,
    )


def cost_info(tx: Transaction, record: Record, now: float) -> CostInfo:
    """The bill of a cluster: what is settled, each second with its price in the ledger, and what runs on."""
    offer = offer_of(record)
    money = tx.money(scope=record.id)
    slots = [child for child in tx.children(record.id) if child.kind == "node"]
    running, count = sum(_unsettled(slot, now) for slot in slots), len(_in_use(record, slots))
    return CostInfo(
        cluster=record.name,
        id=record.id,
        status=record.status,
        infra=infra_of(offer),
        instance_type=offer.instance_type,
        num_nodes=count,
        hourly_micro=offer.hourly_micro * count,
        node_seconds=tx.seconds(record.id) + running,
        running_micro=round(offer.hourly_micro * running / 3600),
        settled_micro=money.settled,
        reserved_micro=money.reserved,
        created_at=record.created_at,
        ended_at=record.updated_at if record.final else None,
    )


def charges_info(tx: Transaction, record: Record, now: float) -> list[ChargeInfo]:
    """The bill of a cluster, a line for each node and price, with what runs on unsettled."""
    nodes = {child.id: child for child in tx.children(record.id) if child.kind == "node"}
    running = [charge for node in nodes.values() if (charge := running_charge(node, now)) is not None]
    found = [*((charge, True) for charge in tx.charges(record.id)), *((charge, False) for charge in running)]
    return [
        ChargeInfo(
            node=nodes[charge.record].name if charge.record in nodes else "",
            infra=str(Infra(str(price.get("cloud") or ""), price.get("region"), price.get("zone"))),
            instance_type=str(price.get("instance_type") or ""),
            spot=bool(price.get("spot")),
            hourly_micro=int(price.get("hourly_micro") or 0),
            as_of=price.get("as_of"),
            source=str(price.get("source") or ""),
            begin=charge.begin,
            end=charge.end,
            seconds=charge.seconds,
            micro=charge.micro_usd,
            settled=settled,
        )
        for charge, settled in found
        for price in (charge.price,)
    ]


def running_charge(node: Record, now: float) -> Charge | None:
    """What a machine has cost since its last settlement; None for one that costs nothing now."""
    offer, seconds = node.state_as(NodeState).offer, _unsettled(node, now)
    if offer is None or not seconds:
        return None
    micro = round(offer.hourly_micro * seconds / 3600)
    return Charge(node.id, price_row(offer), now - seconds, now, seconds, micro)


def budget_info(budget: Budget) -> BudgetInfo:
    """A cap and where it stands."""
    return BudgetInfo(
        account=budget.account,
        cap_micro=budget.cap,
        settled_micro=budget.settled,
        reserved_micro=budget.reserved,
        free_micro=budget.free,
    )


def nodes_up(tx: Transaction, name: str) -> list[tuple[int, NodeState]]:
    """Rank and state of a cluster's nodes that are up; ConflictError where none is."""
    cluster = find_cluster(tx, name)
    slots = [child for child in tx.children(cluster.id) if child.kind == "node"]
    up = [slot for slot in _in_use(cluster, slots) if slot.status == "UP"]
    if not up:
        mend = f"`skynb start {name}` brings it up"
        raise ConflictError(f"no node of cluster {name!r} is up: it is {cluster.status}", mend=mend)
    return [(slot.spec_as(NodeSpec).rank, slot.state_as(NodeState)) for slot in up]


def ssh_info(cluster: str, rank: int, entry: SshEntry) -> SshInfo:
    """A node's entry, under the name that `ssh` takes."""
    return SshInfo(
        name=f"{cluster}-{rank}" if rank else cluster,
        rank=rank,
        **{field: getattr(entry, field) for field in entry.__struct_fields__},
    )


def machine_info(one: Found, hourly_micro: int | None) -> MachineInfo:
    """A machine of a look, and what it costs."""
    machine = one.machine
    return MachineInfo(
        name=one.name,
        state=machine.state,
        claim=one.verdict.claim,
        why=one.verdict.why,
        cluster=machine.tags.get("skynb-cluster", ""),
        owner=machine.tags.get("skynb-owner", ""),
        place=machine.place,
        instance_type=machine.instance_type,
        spot=machine.spot,
        created_at=machine.created_at,
        hourly_micro=hourly_micro,
    )


def events_after(tx: Transaction, after: int, *scopes: str) -> list[EventInfo]:
    """The history after an event's number, of these clusters and jobs or of everything."""
    return [
        EventInfo(seq=event.seq, at=event.at, name=event.name, record=event.record, data=event.data)
        for event in tx.events(after=after, scopes=scopes)
    ]


def infra_of(offer: Offer) -> str:
    """The place as a task writes it."""
    return str(Infra(offer.cloud, offer.region, offer.zone))


def accelerators_of(offer: Offer) -> str:
    """As a task writes it; empty without accelerators."""
    return f"{offer.accelerator}:{offer.accelerator_count:g}" if offer.accelerator else ""


def _autostop(spec: ClusterSpec) -> AutostopRequest | None:
    wish = spec.autostop
    if wish is None or wish.idle_minutes < 0:
        return None
    return AutostopRequest(idle_minutes=wish.idle_minutes, down=wish.down, wait_for=wish.wait_for)


def _unsettled(node: Record, now: float) -> float:
    """Seconds of a machine since its last settlement."""
    state = node.state_as(NodeState)
    if state.billed_from is None or node.final:
        return 0.0
    return max(0.0, now - (state.settled_to if state.settled_to is not None else state.billed_from))


def _node_info(record: Record) -> NodeInfo:
    state = record.state_as(NodeState)
    return NodeInfo(
        rank=record.spec_as(NodeSpec).rank,
        status=record.status,
        address=state.address,
        machine=state.machine,
        reason=record.reason,
        observed_at=record.observed_at,
    )
