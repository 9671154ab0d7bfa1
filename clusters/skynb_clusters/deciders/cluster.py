"""The life of a cluster: a gang of nodes that is up, off or gone as a whole.

    INIT -> UP -> STOPPING -> STOPPED -> INIT ...        any -> TERMINATING -> TERMINATED (final)
    INIT -> (all offers refused) -> FAILED (final, after every machine is gone)

Targets: UP, STOPPED, TERMINATED. The nodes do the work; this decider moves their targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from skynb.control.records import Decision, Event, Move, Record
from skynb_clusters.records import (
    Autostop,
    ClusterSpec,
    ClusterState,
    DropKept,
    SetAutostop,
    TellLost,
    WireAgents,
)

DRAIN_S = 20.0
LAST_WORDS_S = 60.0  # a record below that cannot end holds its cluster, whose machines are gone, so long
ATTEMPTS_AN_OFFER = 3
_NO_MACHINE = {"PENDING", "ENDED"}
_DISPROVED = {"capacity", "quota", "auth"}  # the same offer again would be refused again


class NodeSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A node slot, as its record says."""

    id: str
    rank: int
    status: str
    target: str
    address: str = ""
    reason: str = ""
    error: dict[str, object] | None = None
    lost_agent: str = ""


class JobSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A job or a Dask cluster below this cluster that is not final."""

    id: str
    kind: str
    target: str
    secrets: str = ""


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """The head's word on idleness; `due` means that the autostop time has passed."""

    idle_s: float
    busy: tuple[str, ...] = ()
    due: bool = False


class ClusterView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a cluster may rest on.

    nodes: in order of rank. work: what is not final below. wiring: the nodes' addresses and the head's port,
    as every agent must know them.
    """

    spec: ClusterSpec
    state: ClusterState
    nodes: tuple[NodeSeen, ...]
    work: tuple[JobSeen, ...] = ()
    idle: Idle | None = None
    wiring: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


def decide_cluster(record: Record, view: ClusterView, now: float) -> Decision:
    """The next step of a cluster. Pure."""
    if record.target == "TERMINATED":
        return _terminating(record, view, now)
    if record.target == "STOPPED" and record.status not in {"STOPPING", "STOPPED"}:
        return Decision(status="STOPPING", events=(Event("cluster.stop", {}),), wake_in=0.001)
    return _STEPS[record.status](record, view, now)


def _init(record: Record, view: ClusterView, now: float) -> Decision:
    state, nodes = view.state, view.nodes
    if state.phase == "releasing":
        return _next_offer(record, view, now)
    failed = [node for node in nodes if node.status == "FAILED"]
    lost = [node for node in nodes if node.status == "PENDING" and node.target == "RELEASED" and node.error]
    if state.phase == "launching" and (failed or lost):
        return _give_up_offer(view, (failed or lost)[0])
    if state.phase == "ready" and (failed or lost or any(node.target == "STOPPED" for node in nodes)):
        return _degraded(record, view)
    starting = _moves(nodes, "UP")
    if starting:
        return Decision(moves=starting, wakes=_work(view))
    if all(node.status == "UP" for node in nodes):
        return _configure(record, view) or _to_up(record, view, now)
    return Decision()


def _configure(record: Record, view: ClusterView) -> Decision | None:
    """Tell the agents of each other when that changed; None when they know."""
    if view.wiring == view.state.configured:
        return None
    outcome = record.outcome
    if outcome and outcome.effect == "WireAgents" and outcome.value == {"wiring": list(view.wiring)}:
        return Decision(state=msgspec.structs.replace(view.state, configured=view.wiring), wake_in=0.001)
    return Decision(effects=(WireAgents(view.wiring),), wake_in=1.0)


def _to_up(record: Record, view: ClusterView, now: float) -> Decision:
    state = msgspec.structs.replace(view.state, phase="ready", error=None, up_at=view.state.up_at or now)
    event = Event("cluster.up", {"addresses": [node.address for node in view.nodes]})
    return Decision(
        status="UP", reason="", state=state, events=(event,), wakes=_work(view), seen=True, wake_in=0.001
    )


def _give_up_offer(view: ClusterView, node: NodeSeen) -> Decision:
    """One node cannot be had: all or none, so this attempt's machines are given back first."""
    state = view.state
    offer = view.spec.offers[state.offer]
    error = dict(node.error or {})
    entry = {"offer": msgspec.to_builtins(offer), "error": error, "attempt": state.attempt}
    releasing = msgspec.structs.replace(state, phase="releasing", error=error, tried=(*state.tried, entry))
    return Decision(
        state=releasing,
        reason=f"{offer.cloud} {offer.instance_type}: {error.get('what', node.reason)}",
        moves=_moves(view.nodes, "RELEASED"),
        events=(Event("launch.refused", entry),),
        wake_in=0.001,
    )


def _next_offer(record: Record, view: ClusterView, now: float) -> Decision:
    if unreleased := _moves(view.nodes, "RELEASED"):
        return Decision(moves=unreleased)
    if any(node.status not in _NO_MACHINE for node in view.nodes):
        return Decision()
    state = view.state
    if (state.error or {}).get("code") not in _DISPROVED and state.attempt < ATTEMPTS_AN_OFFER:
        chosen = msgspec.structs.replace(state, phase="launching", attempt=state.attempt + 1, configured=())
    elif state.offer + 1 < len(view.spec.offers):
        chosen = msgspec.structs.replace(
            state, phase="launching", offer=state.offer + 1, attempt=1, configured=()
        )
    else:
        return _out_of_offers(record, view)
    event = Event("launch.retry", {"offer": chosen.offer, "attempt": chosen.attempt})
    return Decision(state=chosen, events=(event,), moves=_moves(view.nodes, "UP"))


def _out_of_offers(record: Record, view: ClusterView) -> Decision:
    failed = msgspec.structs.replace(view.state, phase="failed")
    return Decision(
        status="TERMINATING",
        target="TERMINATED",
        state=failed,
        events=(Event("launch.failed", {"tried": list(view.state.tried)}),),
        wake_in=0.001,
    )


def _degraded(record: Record, view: ClusterView) -> Decision:
    """It was up and is not whole now. Nothing is rented again unasked: `start` repairs, `down` ends."""
    nodes = view.nodes
    if all(node.status == "STOPPED" for node in nodes):
        reason = nodes[0].reason or "stopped outside skynb"
        event = Event("cluster.stopped", {"by": "outside", "reason": reason})
        return Decision(
            status="STOPPED", target="STOPPED", reason=reason, events=(event,), wakes=_work(view), seen=True
        )
    hurt = [node for node in nodes if node.status != "UP"]
    names = ", ".join(f"node {node.rank} ({node.reason or node.status.lower()})" for node in hurt)
    reason = f"not whole: {names}; `start` repairs it"
    if telling := _tell_lost(record, view):
        return telling
    off = _moves([node for node in nodes if node.status == "FAILED"], "STOPPED")  # its disk is the user's
    return Decision(reason=reason, moves=off, wakes=_work(view) if reason != record.reason else ())


def _tell_lost(record: Record, view: ClusterView) -> Decision | None:
    """The head may hold jobs with ranks on machines that are gone; it is told until it has heard."""
    if view.nodes[0].status != "UP":
        return None
    lost = tuple((node.rank, node.lost_agent) for node in view.nodes[1:] if node.lost_agent)
    if not lost or lost == view.state.told_lost:
        return None
    if record.outcome and record.outcome.effect == "TellLost" and not record.outcome.error:
        return Decision(state=msgspec.structs.replace(view.state, told_lost=lost), wake_in=0.001)
    return Decision(effects=(TellLost(lost),), wake_in=2.0)


def _up(record: Record, view: ClusterView, now: float) -> Decision:
    if any(node.status != "UP" for node in view.nodes):
        hurt = [node.rank for node in view.nodes if node.status != "UP"]
        return Decision(status="INIT", events=(Event("cluster.hurt", {"nodes": hurt}),), wake_in=0.001)
    if rewiring := _configure(record, view) or _tell_lost(record, view):
        return rewiring
    outcome = record.outcome
    if outcome and outcome.effect == "SetAutostop" and not outcome.error:
        applied = msgspec.structs.replace(view.state, autostop_applied=view.spec.autostop)
        return Decision(state=applied, wake_in=1.0)
    wanted = view.spec.autostop
    if wanted != view.state.autostop_applied:
        return Decision(effects=(SetAutostop(wanted or Autostop(idle_minutes=-1)),), wake_in=2.0)
    working = any(item.kind == "job" for item in view.work)  # also one that no agent has heard of yet
    if view.idle and view.idle.due and wanted is not None and wanted.idle_minutes >= 0 and not working:
        target = "TERMINATED" if wanted.down else "STOPPED"
        data = {"idle_s": round(view.idle.idle_s), "target": target, "idle_minutes": wanted.idle_minutes}
        why = f"idle for {wanted.idle_minutes:g} min"
        return Decision(target=target, reason=why, events=(Event("autostop", data),), wake_in=0.001)
    return Decision(wake_in=5.0, seen=False)


def _stopping(record: Record, view: ClusterView, now: float) -> Decision:
    if record.target == "UP":
        calm = msgspec.structs.replace(view.state, draining_since=None, configured=())
        return Decision(status="INIT", state=calm, moves=_moves(view.nodes, "UP"), wake_in=0.001)
    if waiting := _drain(view, now):
        return waiting
    if moves := _moves(view.nodes, "STOPPED"):
        return Decision(moves=moves)
    if any(node.status not in {"STOPPED", "PENDING"} for node in view.nodes):
        return Decision()
    calm = msgspec.structs.replace(view.state, draining_since=None, configured=(), autostop_applied=None)
    return Decision(status="STOPPED", state=calm, events=(Event("cluster.stopped", {"by": "request"}),))


def _stopped(record: Record, view: ClusterView, now: float) -> Decision:
    if record.target != "UP":
        return Decision()
    phase = "launching" if view.state.up_at is None else "ready"  # once up, its disks hold the user's data
    waking = msgspec.structs.replace(view.state, phase=phase, draining_since=None, configured=())
    return Decision(status="INIT", reason="", state=waking, moves=_moves(view.nodes, "UP"))


def _terminating(record: Record, view: ClusterView, now: float) -> Decision:
    if record.status != "TERMINATING":
        return Decision(status="TERMINATING", events=(Event("cluster.down", {}),), wake_in=0.001)
    if waiting := _drain(view, now):
        return waiting
    if moves := _moves(view.nodes, "ENDED"):
        return Decision(moves=moves)
    if any(node.status != "ENDED" for node in view.nodes):
        return Decision()
    patient = view.state.draining_since is not None and now - view.state.draining_since < LAST_WORDS_S
    if view.work and patient:
        return Decision(wakes=_work(view), wake_in=5.0)
    if view.secrets and not (record.outcome and record.outcome.effect == "DropKept"):
        return Decision(effects=(DropKept(view.secrets),), wake_in=5.0)
    failed = view.state.phase == "failed"
    return Decision(
        status="FAILED" if failed else "TERMINATED",
        final=True,
        events=(Event("cluster.ended", {"failed": failed}),),
    )


def _drain(view: ClusterView, now: float) -> Decision | None:
    """Jobs are cancelled and their logs brought home before machines go; bounded, and said in the history."""
    if not view.work:
        return None
    since = view.state.draining_since
    if since is None:
        state = msgspec.structs.replace(view.state, draining_since=now)
        return Decision(state=state, moves=_cancel(view.work), wake_in=DRAIN_S)
    if now - since < DRAIN_S:
        return Decision(moves=_cancel(view.work), wake_in=max(0.1, DRAIN_S - (now - since)))
    return None


def _cancel(work: Sequence[JobSeen]) -> tuple[Move, ...]:
    ends = {"job": "CANCELLED", "dask": "ENDED"}
    return tuple(Move(item.id, ends[item.kind]) for item in work if item.target != ends[item.kind])


def _moves(nodes: Sequence[NodeSeen], target: str) -> tuple[Move, ...]:
    return tuple(Move(node.id, target) for node in nodes if node.target != target and node.status != "ENDED")


def _work(view: ClusterView) -> tuple[str, ...]:
    return tuple(item.id for item in view.work)


_STEPS: dict[str, Callable[[Record, ClusterView, float], Decision]] = {
    "INIT": _init,
    "UP": _up,
    "STOPPING": _stopping,
    "STOPPED": _stopped,
}
