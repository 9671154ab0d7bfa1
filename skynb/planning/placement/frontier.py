"""The rest of a search, once few ways are left: all placements side by side, task after task, the hopeless dropped.

What the future can see of a partial placement is where the data is that later tasks need, when it is ready, and what
all has cost. One that is nowhere later and no dearer than another in the same places makes the other needless. On a
chain this is the usual list of Pareto labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from skynb.planning.placement.bounds import FINE
from skynb.planning.placement.schedule import reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skynb.planning.placement.bounds import Field
    from skynb.planning.placement.network import Link, Way

_PAIRS = 100_000  # of ways at the two ends of a link, over all links
_STATES = 3_000  # that are kept after a task


class TooManyError(Exception):
    """More partial placements than are worth while; the search has to branch first."""


class _State(NamedTuple):
    """A partial placement. seen: for each task that later ones wait for, its way's position and end.

    proved: what every placement that begins so costs, as a field counts. trail: all ways, last first, as pairs.
    """

    micro: int
    ends: tuple[int, ...]
    ways: tuple[int, ...]
    proved: int
    trail: tuple[object, ...]


def finish(field: Field, deadline: int | None, limit: int) -> list[Way] | None:
    """The cheapest placement with the ways left, or None if none is within the limit (and the deadline).

    Raises TooManyError if that is too much work.
    """
    network = field.network
    if sum(len(field.ways[link.first]) * len(field.ways[link.then]) for link in network.links) > _PAIRS:
        raise TooManyError
    tails = reach(network, field.ways, back=True) if deadline is not None else None
    open_tasks: list[int] = []
    states = [_State(0, (), (), field.proved, ())]
    for task in range(len(network.tasks)):
        left = [max(network.links[n].then for n in network.after[one]) > task if network.after[one] else False for one in [*open_tasks, task]]
        rest = None if tails is None else [deadline - tail for tail in tails[task]]
        grown = _grown(field, task, open_tasks, states, rest, limit)
        keep = [position for position, waits in enumerate(left) if waits]
        open_tasks = [[*open_tasks, task][position] for position in keep]
        states = _undominated(field, open_tasks, keep, grown)
        if len(states) > _STATES:
            raise TooManyError
        if not states:
            return None
    trail = min(states).trail
    chosen: list[Way] = []
    while trail:
        way, trail = trail
        chosen.append(way)
    return chosen[::-1]


def _grown(field, task, open_tasks, states, rest, limit):
    network = field.network
    inputs = [(open_tasks.index(network.links[n].first), *_tables(field, n)) for n in network.before[task]]
    ways = field.ways[task]
    for micro, ends, at, proved, trail in states:
        costs = [proved + one for one in field.left[task]]
        micros = [micro + way.micro for way in ways]
        starts = [0] * len(ways)
        for position, terms, prices, delays in inputs:
            own = at[position]
            costs = [one + two for one, two in zip(costs, terms[own])]
            micros = [one + two for one, two in zip(micros, prices[own])]
            if rest is not None:
                end = ends[position]
                starts = [max(one, end + two) for one, two in zip(starts, delays[own])]
        for number, cost in enumerate(costs):
            if cost <= limit:
                end = starts[number] + ways[number].seconds if rest is not None else 0
                if rest is None or starts[number] <= rest[number]:
                    yield _State(micros[number], (*ends, end), (*at, number), cost, (ways[number], trail))


def _tables(field: Field, number: int) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Of a link for each pair of ways: its term of the bound, its price, its delay."""
    link, delay = field.network.links[number], field.delays[number]
    firsts, thens = field.ways[link.first], field.ways[link.then]
    given, taken = field.given[2 * number], field.given[2 * number + 1]
    prices = [[link.micro(first, then) for then in thens] for first in firsts]
    delays = [[link.delay(first, then) for then in thens] for first in firsts]
    terms = [
        [price * FINE + (delay if first.place != then.place else 0) + own + other for price, then, other in zip(row, thens, taken)]
        for row, first, own in zip(prices, firsts, given)
    ]
    return terms, prices, delays


def _undominated(field: Field, open_tasks, keep, grown) -> list[_State]:
    groups: dict[tuple[int, ...], list[_State]] = {}
    for micro, ends, at, proved, trail in grown:
        at = tuple(at[position] for position in keep)
        places = tuple(field.ways[task][way].place for task, way in zip(open_tasks, at))
        state = _State(micro, tuple(ends[position] for position in keep), at, proved, trail)
        groups.setdefault(places, []).append(state)
    return [state for group in groups.values() for state in _front(group)]


def _front(group: list[_State]) -> list[_State]:
    kept: list[_State] = []
    for state in sorted(group, key=lambda state: state[:3]):
        ends = state.ends
        if not any(all(map(int.__le__, other.ends, ends)) for other in kept):
            kept.append(state)
    return kept
