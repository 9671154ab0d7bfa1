"""Extra nodes: machines beyond a cluster's gang. They come one by one, and go when nobody wants them. Pure.

What lives below the cluster says which it wants, by rank. The cluster is up without them; one that cannot be
had is asked for again later, one that is lost at once, and none has a disk that anybody keeps.
"""

from __future__ import annotations

import msgspec

from skynb.control.records import Decision, Event, Move, Record
from skynb_clusters.deciders.views import ClusterView, NodeSeen, moves
from skynb_clusters.records import node_slot

PAUSES_S = (15.0, 30.0, 60.0, 120.0, 300.0)
_USELESS = {"FAILED", "STOPPED"}


def unwanted(view: ClusterView) -> tuple[Move, ...]:
    """Moves that give back the machines of extra nodes that nothing below the cluster wants."""
    wanted = _wanted(view)
    return moves([node for node in view.extras if node.rank not in wanted], "RELEASED")


def extras(record: Record, view: ClusterView, now: float) -> Decision | None:
    """The next step of the extra nodes of a cluster that is up; None where there is nothing to do."""
    if freeing := unwanted(view):
        return Decision(moves=freeing)
    wanted, state = _wanted(view), view.state
    if useless := [node for node in view.extras if node.status in _USELESS and node.target != "RELEASED"]:
        return _refused(view, useless, now)
    if now < (state.extra_at or 0.0):
        return None
    without = [node for node in view.extras if _without(node) and node.rank in wanted]
    new = sorted(wanted - {node.rank for node in view.extras})
    if without or new:
        ranks = sorted([*new, *(node.rank for node in without)])
        return Decision(
            inserts=tuple(node_slot(record, rank, state.lane, target="UP") for rank in new),
            moves=moves(without, "UP"),
            events=(Event("nodes.more", {"nodes": ranks}),),
        )
    if state.extra_round and all(node.status == "UP" for node in view.extras if node.rank in wanted):
        calm = msgspec.structs.replace(state, extra_round=0, extra_at=None)
        return Decision(state=calm, reason="", wake_in=0.001)
    return None


def _refused(view: ClusterView, useless: list[NodeSeen], now: float) -> Decision:
    """Their machines go, and they are asked for again after a pause, a longer one each time."""
    state = view.state
    if now >= (state.extra_at or 0.0):
        pause = PAUSES_S[min(state.extra_round, len(PAUSES_S) - 1)]
        state = msgspec.structs.replace(state, extra_round=state.extra_round + 1, extra_at=now + pause)
    first = useless[0]
    what = str((first.error or {}).get("what") or first.reason or first.status.lower())
    data = {"nodes": [node.rank for node in useless], "error": first.error, "again_at": state.extra_at}
    return Decision(
        state=state,
        reason=f"{len(useless)} extra node{'s' * (len(useless) > 1)} could not be had: {what}",
        moves=moves(useless, "RELEASED"),
        events=(Event("nodes.refused", data),),
        wake_in=1.0,
    )


def _wanted(view: ClusterView) -> set[int]:
    return {rank for item in view.work for rank in item.extras}


def _without(node: NodeSeen) -> bool:
    return node.status == "PENDING" and node.target == "RELEASED"
