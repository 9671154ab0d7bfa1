"""Decides which queued jobs start now. Pure.

Order is priority (higher first), then submission. A job that fits starts. The first one that does not, B,
gets a claim: the lowest-ranked nodes that could hold it if they were empty. Later jobs may start around B
(backfill) only if on every claimed node B would still fit beside everything that is behind B in order.
So whatever is let past B never stands in its way: B starts at the latest when the jobs that ran when it
became first have ended. Jobs of higher priority may still overtake it; that is what priority means.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

_EPSILON = 1e-9


class Node(NamedTuple):
    """What one node offers. `reachable` false: it exists, but nothing may start there now."""

    rank: int
    cpus: float
    gpus: Tuple[str, ...] = ()
    reachable: bool = True


class Need(NamedTuple):
    """What a job asks of each of its nodes."""

    job: int
    num_nodes: int
    cpus: float
    gpus: float
    priority: int = 0
    order: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the queue; smaller is sooner."""
        return (-self.priority, self.order)


class Seat(NamedTuple):
    """What one rank of a started job holds on a node: GPU ids, and how much of each."""

    node: int
    cpus: float
    gpus: Tuple[str, ...] = ()
    share: float = 1.0


class Holding(NamedTuple):
    """A started job and its seats, one per rank."""

    need: Need
    seats: List[Seat]


class _Room:
    """Free capacity of one node while a decision is made."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.cpus = node.cpus
        self.gpus = dict.fromkeys(node.gpus, 1.0)

    def take(self, seat: Seat) -> None:
        self.cpus -= seat.cpus
        for gpu in seat.gpus:
            self.gpus[gpu] = self.gpus.get(gpu, 0.0) - seat.share

    def seat(self, need: Need) -> Seat | None:
        """Where `need` would sit on this node, or None. A fraction prefers the fullest GPU that has room."""
        if need.cpus > self.cpus + _EPSILON:
            return None
        if 0 < need.gpus < 1:
            roomy = [gpu for gpu, free in self.gpus.items() if free + _EPSILON >= need.gpus]
            if not roomy:
                return None
            return Seat(self.node.rank, need.cpus, (min(roomy, key=lambda gpu: self.gpus[gpu]),), need.gpus)
        count = whole(need.gpus)
        free = tuple(gpu for gpu, share in self.gpus.items() if share >= 1 - _EPSILON)
        return Seat(self.node.rank, need.cpus, free[:count]) if len(free) >= count else None


def whole(gpus: float) -> int:
    """How many GPUs a job sees: fractions round up."""
    return int(gpus) + (gpus > int(gpus))


def never_fits(need: Need, nodes: Sequence[Node]) -> str | None:
    """Why `need` could not start even if every node were idle, or None if it could."""
    if need.num_nodes > len(nodes):
        return f"the job asks for {need.num_nodes} nodes and the cluster has {len(nodes)}"
    if len(_claim(need, nodes)) == need.num_nodes:
        return None
    gpus, cpus = max(len(node.gpus) for node in nodes), max(node.cpus for node in nodes)
    if whole(need.gpus) > gpus:
        return f"the job asks for {need.gpus:g} GPUs on a node and the largest node has {gpus}"
    if need.cpus > cpus + _EPSILON:
        return f"the job asks for {need.cpus:g} CPUs on a node and the largest node has {cpus:g}"
    return f"fewer than {need.num_nodes} nodes have {need.cpus:g} CPUs and {need.gpus:g} GPUs"


def decide(waiting: Sequence[Need], nodes: Sequence[Node], running: Sequence[Holding]) -> list[Holding]:
    """The jobs of `waiting` to start now with their seats, in order of rank; rank 0 on the lowest node."""
    rooms = {node.rank: _Room(node) for node in sorted(nodes)}
    for holding in running:
        _occupy(rooms, holding)
    started: list[Holding] = []
    first_blocked: Need | None = None
    for need in sorted(waiting, key=lambda need: need.place):
        seats = _seats(need, rooms)
        if seats is not None and first_blocked is not None:
            behind = [h for h in (*running, *started) if h.need.place > first_blocked.place]
            if _delays(first_blocked, nodes, [*behind, Holding(need, seats)]):
                seats = None
        if seats is None:
            first_blocked = first_blocked or need
            continue
        started.append(Holding(need, seats))
        _occupy(rooms, started[-1])
    return started


def _occupy(rooms: Dict[int, _Room], holding: Holding) -> None:
    for seat in holding.seats:
        if seat.node in rooms:
            rooms[seat.node].take(seat)


def _seats(need: Need, rooms: Dict[int, _Room]) -> Optional[List[Seat]]:
    seats: list[Seat] = []
    for room in rooms.values():
        seat = room.seat(need) if room.node.reachable else None
        if seat is not None:
            seats.append(seat)
        if len(seats) == need.num_nodes:
            return seats
    return None


def _claim(need: Need, nodes: Sequence[Node]) -> list[int]:
    # Only from what nodes are, never from what is free, so that it does not wander while the job waits.
    able = [node.rank for node in sorted(nodes) if _Room(node).seat(need) is not None]
    return able[: need.num_nodes]


def _delays(first: Need, nodes: Sequence[Node], behind: list[Holding]) -> bool:
    claim = set(_claim(first, nodes))
    rooms = {node.rank: _Room(node) for node in nodes if node.rank in claim}
    for holding in behind:
        _occupy(rooms, holding)
    return any(room.seat(first) is None for room in rooms.values())
