"""What the deciders of clusters see."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from skynb.control.records import Decision, Move
from skynb_clusters.records import ClusterSpec, ClusterState


class NodeSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A node slot, as its record says."""

    id: str
    rank: int
    lane: int = 0
    status: str
    target: str
    address: str = ""
    reason: str = ""
    error: dict[str, object] | None = None
    lost_agent: str = ""


class JobSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A job, a kernel or a Dask cluster below this cluster that is not final. extras: nodes that it wants."""

    id: str
    kind: str
    target: str
    secrets: str = ""
    extras: tuple[int, ...] = ()


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """The head's word on idleness; `due` means that the autostop time has passed."""

    idle_s: float
    busy: tuple[str, ...] = ()
    due: bool = False


class ClusterView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a cluster may rest on.

    nodes: in order of lane and rank. work: what is not final below. strange: numbers of jobs that the head
    knows and the ledger does not. wiring: the nodes' addresses, the head's port and peers, as every
    agent must know them.
    """

    spec: ClusterSpec
    state: ClusterState
    nodes: tuple[NodeSeen, ...]
    work: tuple[JobSeen, ...] = ()
    strange: tuple[int, ...] = ()
    idle: Idle | None = None
    wiring: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()

    @property
    def gang(self) -> tuple[NodeSeen, ...]:
        """The cluster's own nodes, without what raced with them and without extra nodes."""
        return tuple(node for node in self._lane if not self.spec.is_extra(node.rank))

    @property
    def extras(self) -> tuple[NodeSeen, ...]:
        """Nodes beyond the gang."""
        return tuple(node for node in self._lane if self.spec.is_extra(node.rank))

    @property
    def _lane(self) -> tuple[NodeSeen, ...]:
        return tuple(node for node in self.nodes if node.lane == self.state.lane)

    @property
    def others(self) -> tuple[NodeSeen, ...]:
        """Nodes of lanes that did not win."""
        return tuple(node for node in self.nodes if node.lane != self.state.lane)


def moves(nodes: Iterable[NodeSeen], target: str) -> tuple[Move, ...]:
    """Moves that bring these nodes towards a target."""
    return tuple(Move(node.id, target) for node in nodes if node.target != target and node.status != "ENDED")


def telling(decision: Decision, holder: str) -> Decision:
    """The decision, and whoever the record works for looks at what it changes."""
    if not holder or not (decision.status or decision.target or decision.events or decision.final):
        return decision
    return msgspec.structs.replace(decision, wakes=(*decision.wakes, holder))
