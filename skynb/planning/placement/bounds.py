"""How cheap a network can be at best: costs moved along its links until what every placement pays is proved.

The sum to be minimised has a term for each task's way and one for each link's two ways. Moving an amount from
a term to its neighbour changes no total. `sweep` moves as much as it can towards one end of the order, always
leaving every term at or above zero, and whatever a task then pays in any case is proved to be paid by all.
One sweep along a chain or a tree is the usual dynamic programme and proves the optimum; on other networks it
is repeated to and fro (sequential tree-reweighted message passing). A way that would cost more than the best
known placement is dropped.

A link costs nothing within a place, less within a cloud than out of it: so a message needs one look at each
way.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb.planning.placement.network import Network, Path, Way

FINE = 1 << 10  # costs are counted in 1,024ths, so that shares can be split without much loss


class Field:
    """The terms of a network, of which some ways have been ruled out.

    ways: those left, by task. left: what a task's ways cost now. given: what the ends of link n have moved
    into it, its first task's at 2n and its last one's at 2n + 1. delays: what link n costs above its price if
    its data moves at all. pressure: the price of a second on a path. proved: what every placement pays. All
    are FINE times too large.
    """

    __slots__ = ("delays", "given", "left", "network", "pressure", "proved", "spans", "ways")

    def __init__(self, network: Network) -> None:
        self.network = network
        self.delays = [0] * len(network.links)
        self.pressure: dict[Path, int] = {}
        self.ways: list[Sequence[Way]] = list(network.ways)
        self.left = [[way.micro * FINE for way in ways] for ways in network.ways]
        self.given = [
            [0] * len(network.ways[end]) for link in network.links for end in (link.first, link.then)
        ]
        self.spans = [_spans(ways) for ways in network.ways]
        self.proved = 0

    def copy(self) -> Field:
        """Another with the same terms; lists are replaced, never changed, so they may be shared."""
        other = object.__new__(Field)
        other.network, other.proved = self.network, self.proved
        other.delays, other.pressure = list(self.delays), self.pressure
        other.ways, other.left = list(self.ways), list(self.left)
        other.given, other.spans = list(self.given), list(self.spans)
        return other

    @property
    def empty(self) -> bool:
        """Whether some task has no way left."""
        return not all(self.ways)

    def keep(self, task: int, kept: Sequence[bool]) -> None:
        """Rule out the ways of a task that are not marked."""
        self.ways[task] = list(compress(self.ways[task], kept))
        self.left[task] = list(compress(self.left[task], kept))
        for number in self.network.before[task]:
            self.given[2 * number + 1] = list(compress(self.given[2 * number + 1], kept))
        for number in self.network.after[task]:
            self.given[2 * number] = list(compress(self.given[2 * number], kept))
        self.spans[task] = _spans(self.ways[task])


def _spans(ways: Sequence[Way]) -> list[tuple[int, int, int, list[int]]]:
    """Of each cloud: its number, where its ways begin and end, and their places."""
    spans = []
    start = 0
    for end in range(1, len(ways) + 1):
        if end == len(ways) or ways[end].cloud != ways[start].cloud:
            spans.append((ways[start].cloud, start, end, [way.place for way in ways[start:end]]))
            start = end
    return spans


def sweep(field: Field, order: Sequence[int], limit: int) -> None:
    """Move costs from earlier to later tasks of the order, and drop ways above the limit (in 1,024ths)."""
    seen = [False] * len(order)
    for task in order:
        left = field.left[task]
        ahead = []
        for end, other in _ends(field.network, task):
            if seen[other]:
                least = _message(field, end ^ 1)
                own = field.given[end]
                left = [one + two + three for one, two, three in zip(left, least, own, strict=True)]
                field.given[end] = [-one for one in least]
            else:
                ahead.append(end)
        seen[task] = True
        always = min(left)
        if always:
            field.proved += always
            left = [one - always for one in left]
        field.left[task] = left
        room = limit - field.proved
        if max(left) > room:
            field.keep(task, [one <= room for one in left])
            left = field.left[task]
            if not left:
                return
        if ahead:
            _hand_on(field, task, ahead)


def _hand_on(field: Field, task: int, ahead: Sequence[int]) -> None:
    left = field.left[task]
    shares = [one // len(ahead) for one in left]
    for end in ahead:
        field.given[end] = [one + two for one, two in zip(field.given[end], shares, strict=True)]
    field.left[task] = [one - two * len(ahead) for one, two in zip(left, shares, strict=True)]


def _ends(network: Network, task: int) -> list[tuple[int, int]]:
    """The ends of links at a task, each with the task at the other end."""
    return [(2 * n, network.links[n].then) for n in network.after[task]] + [
        (2 * n + 1, network.links[n].first) for n in network.before[task]
    ]


def _message(field: Field, end: int) -> list[int]:
    """For each way at the other end of a link, the least of the link and what this end has given."""
    number, last = divmod(end, 2)
    link, delay, given = field.network.links[number], field.delays[number], field.given[end]
    source, target = (link.then, link.first) if last else (link.first, link.then)
    at: dict[int, int] = {}
    for way, cost in zip(field.ways[source], given, strict=True):
        if cost < at.get(way.place, cost + 1):
            at[way.place] = cost
    lows = {cloud: min(given[start:stop]) for cloud, start, stop, _ in field.spans[source]}
    away = [cost * FINE + delay for cost in link.away]
    lowest = min(lows.values()) if last else min(low + away[cloud] for cloud, low in lows.items())
    least: list[int] = []
    for cloud, _, _, places in field.spans[target]:
        elsewhere = lowest + away[cloud] if last else lowest
        if cloud in lows:
            elsewhere = min(elsewhere, lows[cloud] + link.near[cloud] * FINE + delay)
        least += [one if (one := at.get(place, elsewhere)) < elsewhere else elsewhere for place in places]
    return least


def order_of(network: Network) -> list[int]:
    """The tasks in an order that makes one sweep exact on a tree: leaves first, what lies on circles last."""
    ends = [_ends(network, task) for task in range(len(network.tasks))]
    degree = [len(own) for own in ends]
    order = [task for task, count in enumerate(degree) if count <= 1]
    done = set(order)
    for task in order:  # grows as it goes
        for _, other in ends[task]:
            degree[other] -= 1
            if other not in done and degree[other] <= 1:
                done.add(other)
                order.append(other)
    return order + [task for task in range(len(degree)) if task not in done]


def decode(field: Field, order: Sequence[int]) -> list[Way]:
    """What the terms suggest after a sweep in this order: from its end back, each task's cheapest way.

    It is the cheapest if the network is a tree. Of equal ways the one that stands first in the input.
    """
    chosen: list[Way | None] = [None] * len(order)
    for task in reversed(order):
        rated = zip(
            scores(field, task, chosen),
            (way.number for way in field.ways[task]),
            field.ways[task],
            strict=True,
        )
        chosen[task] = min(rated)[2]
    return chosen  # type: ignore[return-value]


def scores(field: Field, task: int, chosen: Sequence[Way | None]) -> list[int]:
    """What each way of a task adds; the other neighbours' part has come with the sweeps."""
    found = field.left[task]
    for end, other in _ends(field.network, task):
        there = chosen[other]
        if there is not None:
            prices = _prices(field, end, there)
            found = [
                one + two + three for one, two, three in zip(found, field.given[end], prices, strict=True)
            ]
    return found


def _prices(field: Field, end: int, there: Way) -> list[int]:
    number, last = divmod(end, 2)
    link, delay = field.network.links[number], field.delays[number]
    task = link.then if last else link.first
    prices: list[int] = []
    for cloud, _, _, places in field.spans[task]:
        rates = link.near if cloud == there.cloud else link.away
        price = rates[there.cloud if last else cloud] * FINE + delay
        prices += [price if place != there.place else 0 for place in places]
    return prices
