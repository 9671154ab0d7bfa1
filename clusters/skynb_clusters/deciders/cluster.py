"""The life of a cluster: a gang of nodes that is up, off or gone as a whole.

    INIT -> UP -> STOPPING -> STOPPED -> INIT ...        any -> TERMINATING -> TERMINATED (final)
    INIT -> (all offers refused) -> FAILED (final, after every machine is gone)

Targets: UP, STOPPED, TERMINATED. The nodes do the work; this decider moves their targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from skynb.control.records import Decision, Event, Move, Record
from skynb_clusters.deciders.extras import extras, unwanted
from skynb_clusters.deciders.launching import alone, launch
from skynb_clusters.deciders.views import ClusterView, JobSeen, NodeSeen, moves
from skynb_clusters.records import (
    Autostop,
    DropKept,
    SetAutostop,
    TakeJobs,
    TellLost,
    WireAgents,
)

DRAIN_S = 20.0
LAST_WORDS_S = 60.0  # a record below that cannot end holds its cluster, whose machines are gone, so long


def decide_cluster(record: Record, view: ClusterView, now: float) -> Decision:
    """The next step of a cluster. Pure."""
    if record.target == "TERMINATED":
        return _terminating(record, view, now)
    if record.target == "STOPPED" and record.status not in {"STOPPING", "STOPPED"}:
        return Decision(status="STOPPING", events=(Event("cluster.stop", {}),), wake_in=0.001)
    return _STEPS[record.status](record, view, now)


def _init(record: Record, view: ClusterView, now: float) -> Decision:
    nodes = view.gang
    if view.state.phase != "ready":
        if searching := launch(record, view, now):
            return searching
    elif freeing := unwanted(view):
        return Decision(moves=freeing)
    elif any(_hurt(node) for node in nodes):
        return _degraded(record, view)
    elif starting := moves(nodes, "UP"):
        return Decision(moves=starting, wakes=_work(view))
    if all(node.status == "UP" for node in nodes):
        return _configure(record, view) or _to_up(record, view, now)
    return Decision()


def _hurt(node: NodeSeen) -> bool:
    lost = node.status == "PENDING" and node.target == "RELEASED" and node.error
    return node.status == "FAILED" or bool(lost) or node.target == "STOPPED"


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


def _degraded(record: Record, view: ClusterView) -> Decision:
    """It was up and is not whole now. Nothing is rented again unasked: `start` repairs, `down` ends."""
    nodes = view.gang
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
    off = moves([node for node in nodes if node.status == "FAILED"], "STOPPED")  # its disk is the user's
    return Decision(reason=reason, moves=off, wakes=_work(view) if reason != record.reason else ())


def _tell_lost(record: Record, view: ClusterView) -> Decision | None:
    """The head may hold jobs with ranks on machines that are gone; it is told until it has heard."""
    if view.gang[0].status != "UP":
        return None
    lost = tuple((node.rank, node.lost_agent) for node in view.gang[1:] if node.lost_agent)
    if not lost or lost == view.state.told_lost:
        return None
    if record.outcome and record.outcome.effect == "TellLost" and not record.outcome.error:
        return Decision(state=msgspec.structs.replace(view.state, told_lost=lost), wake_in=0.001)
    return Decision(effects=(TellLost(lost),), wake_in=2.0)


def _up(record: Record, view: ClusterView, now: float) -> Decision:
    if any(node.status != "UP" for node in view.gang):
        hurt = [node.rank for node in view.gang if node.status != "UP"]
        return Decision(status="INIT", events=(Event("cluster.hurt", {"nodes": hurt}),), wake_in=0.001)
    if rewiring := _configure(record, view) or _tell_lost(record, view):
        return rewiring
    if view.strange:
        return Decision(effects=(TakeJobs(view.strange),), wake_in=2.0)
    outcome = record.outcome
    if outcome and outcome.effect == "SetAutostop" and not outcome.error:
        applied = msgspec.structs.replace(view.state, autostop_applied=view.spec.autostop)
        return Decision(state=applied, wake_in=1.0)
    wanted = view.spec.autostop
    if wanted != view.state.autostop_applied:
        return Decision(effects=(SetAutostop(wanted or Autostop(idle_minutes=-1)),), wake_in=2.0)
    if changing := extras(record, view, now):
        return changing
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
        return Decision(status="INIT", state=calm, moves=moves(view.gang, "UP"), wake_in=0.001)
    if waiting := _drain(view, now):
        return waiting
    extra = moves(view.extras, "RELEASED")
    if halting := (*moves(view.gang, "STOPPED"), *extra, *moves(view.others, "ENDED")):
        return Decision(moves=halting)
    if any(node.status not in {"STOPPED", "PENDING"} for node in (*view.gang, *view.extras)):
        return Decision()
    calm = msgspec.structs.replace(
        alone(view.state), draining_since=None, configured=(), autostop_applied=None
    )
    return Decision(status="STOPPED", state=calm, events=(Event("cluster.stopped", {"by": "request"}),))


def _stopped(record: Record, view: ClusterView, now: float) -> Decision:
    if record.target != "UP":
        return Decision(moves=unwanted(view))
    phase = "launching" if view.state.up_at is None else "ready"  # once up, its disks hold the user's data
    waking = msgspec.structs.replace(view.state, phase=phase, draining_since=None, configured=())
    return Decision(status="INIT", reason="", state=waking, moves=moves(view.gang, "UP"))


def _terminating(record: Record, view: ClusterView, now: float) -> Decision:
    if record.status != "TERMINATING":
        return Decision(status="TERMINATING", events=(Event("cluster.down", {}),), wake_in=0.001)
    if waiting := _drain(view, now):
        return waiting
    if ending := moves(view.nodes, "ENDED"):
        return Decision(moves=ending)
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
    """Jobs are cancelled and their logs brought home before machines go; bounded, and said in the history.

    Where no machine is left that could answer, there is nothing to wait for.
    """
    if not view.work:
        return None
    since = view.state.draining_since
    if since is None:
        heard = any(node.status in {"BOOTING", "UP"} for node in view.gang)
        state = msgspec.structs.replace(view.state, draining_since=now if heard else now - DRAIN_S)
        return Decision(state=state, moves=_cancel(view.work), wake_in=DRAIN_S if heard else 0.001)
    if now - since < DRAIN_S:
        return Decision(moves=_cancel(view.work), wake_in=max(0.1, DRAIN_S - (now - since)))
    return None


def _cancel(work: Sequence[JobSeen]) -> tuple[Move, ...]:
    ends = {"job": "CANCELLED", "dask": "ENDED", "kernel": "ENDED"}
    return tuple(Move(item.id, ends[item.kind]) for item in work if item.target != ends[item.kind])


def _work(view: ClusterView) -> tuple[str, ...]:
    return tuple(item.id for item in view.work)


_STEPS: dict[str, Callable[[Record, ClusterView, float], Decision]] = {
    "INIT": _init,
    "UP": _up,
    "STOPPING": _stopping,
    "STOPPED": _stopped,
}
