"""The cheapest placement of a network, within a deadline or not: branch and bound, best bound first."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from skynb.planning.placement.bounds import FINE, Field, decode, order_of, sweep
from skynb.planning.placement.frontier import TooManyError, finish
from skynb.planning.placement.haste import choose_in_time, hasten, in_time
from skynb.planning.placement.network import Found
from skynb.planning.placement.settle import settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb.planning.placement.network import Network, Way

_ROUNDS = 20  # at most, of two sweeps each, at one node
_PATIENCE = 5  # with a deadline it takes so many before the price of time is held to be right
_STEP, _SHORTER = 0.5, 0.6  # of the price of time: the first step, and what a vain one leaves of it
_VAIN = 40_000  # work that is lost on a front that grows too wide
_LITTLE = 20  # a round that closes less than this part of the gap is the last


def cheapest(
    network: Network, effort: int, deadline: int | None = None, known: Sequence[Way] | None = None
) -> Found:
    """The least cost.

    effort: how many ways it looks at before it gives up proving, all sweeps counted. deadline: in seconds;
    `known` is a placement that keeps it, to start from.
    """
    search = _Search(network, deadline, known or [ways[0] for ways in network.ways])
    return search.run(effort)


class _Search:
    """best, micro: the cheapest placement so far, and its cost. work: how many ways have been looked at."""

    def __init__(self, network: Network, deadline: int | None, known: Sequence[Way]) -> None:
        self.network = network
        self.deadline = deadline
        # Within a deadline tasks are chosen in order of time; else in the order that is exact on trees.
        self.order = order_of(network) if deadline is None else list(range(len(network.tasks)))
        self.best = list(known)
        self.micro = network.micro(known)
        self.work = 0

    def run(self, effort: int) -> Found:
        numbers = count()
        waiting = [(0, next(numbers), Field(self.network))]
        while waiting:
            proved, _, field = heappop(waiting)
            if proved > self._limit:
                break
            if self.work > effort:
                return Found(self.best, self.micro, max(0, -(-proved // FINE)))
            field = self._tightened(field)
            if not field.empty and field.proved <= self._limit and not self._finished(field):
                for part in self._parts(field):
                    heappush(waiting, (part.proved, next(numbers), part))
        return Found(self.best, self.micro, self.micro)

    @property
    def _limit(self) -> int:
        """What a placement that is cheaper than the best may cost, as a field counts."""
        return (self.micro - 1) * FINE

    def _tightened(self, field: Field) -> Field:
        """The field, its bound raised while that brings something; placements met on the way are tried."""
        tightest = field
        step, patience = _STEP, _PATIENCE if self.deadline is not None else 1
        for _ in range(_ROUNDS):
            bound, size = tightest.proved, _size(field)
            chosen = self._round(field)
            if field.empty or field.proved > self._limit:
                return field
            if field.proved >= bound:
                tightest = field.copy()
            gap = self._limit - tightest.proved
            if (tightest.proved - bound) * _LITTLE < gap and _size(field) * 10 > size * 9:
                patience -= 1
                if not patience:
                    break
                step *= _SHORTER
            if self.deadline is not None:
                hasten(field, chosen, self.deadline, int(gap * step))
        return tightest

    def _finished(self, field: Field) -> bool:
        """Whether all ways left have been looked at, and the best of them tried."""
        if self.deadline is None:
            return False  # the bounds are close enough there
        try:
            chosen = finish(field, self.deadline, self._limit)
        except TooManyError:
            self.work += _VAIN
            return False
        if chosen:
            self._try(chosen)
        return True

    def _round(self, field: Field) -> list[Way]:
        """A sweep there and back. The placement that the field suggests, unless a task has no way left."""
        self.work += _size(field)
        chosen: list[Way] = []
        for order in (self.order, self.order[::-1]):
            if self.deadline is not None:
                in_time(field, self.deadline)
            if not field.empty:
                sweep(field, order, self._limit)
            if field.empty:
                break
            chosen = decode(field, order)
            self._try(chosen)
        if self.deadline is not None and not field.empty:
            timely = choose_in_time(field, self.deadline)
            if timely:
                self._try(timely)
        return chosen

    def _try(self, chosen: Sequence[Way]) -> None:
        if self.deadline is None or self.network.seconds(chosen) <= self.deadline:
            micro = self.network.micro(chosen)
            if micro < self.micro:
                self.best = settled(self.network, chosen, self.deadline)
                self.micro = self.network.micro(self.best)

    def _parts(self, field: Field) -> list[Field]:
        """The field in two: a task goes to the cloud that looks best or to another; else so by place."""
        free = [task for task, ways in enumerate(field.ways) if len(ways) > 1]
        if not free:
            return []
        task = min(free, key=lambda task: self._leverage(field, task))
        ways = field.ways[task]
        best = decode(field, self.order)[task]
        depth = next(n for n in (1, 2, 5) if any(way[:n] != best[:n] for way in ways))
        same = [way[:depth] == best[:depth] for way in ways]
        there, elsewhere = field.copy(), field.copy()
        there.keep(task, same)
        elsewhere.keep(task, [not one for one in same])
        return [there, elsewhere]

    def _leverage(self, field: Field, task: int) -> tuple[int, int]:
        """What to decide first: the task with most links; within a deadline with fewest ways (measured)."""
        links = len(self.network.before[task]) + len(self.network.after[task])
        ways = len(field.ways[task])
        return (-links, ways) if self.deadline is None else (ways, -links)


def _size(field: Field) -> int:
    return sum(map(len, field.ways))
