"""The rest of a search, once few ways are left: all placements side by side, the hopeless dropped.

What the future can see of a partial placement is where the data is that later tasks need, when it is ready,
and what all has cost. One that is nowhere later and no dearer than another in the same places makes the other
needless. On a chain this is the usual list of Pareto labels.
"""

from __future__ import annotations

from itertools import islice
from operator import add, itemgetter, le
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb.planning.placement.bounds import FINE
from skynb.planning.placement.schedule import reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from skynb.planning.placement.bounds import Field
    from skynb.planning.placement.network import Network, Way

_PAIRS = 100_000  # of ways at the two ends of a link, over all links
_GROWN = 30_000  # partial placements, over all tasks


class TooManyError(Exception):
    """More partial placements than are worth while; the search has to branch first."""


class _State(NamedTuple):
    """A partial placement.

    ends, ways: of each task whose data is still wanted, when it ends and its way's position. proved: what
    every placement that begins so costs, as a field counts. trail: all ways, last first, as pairs.
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
    links = field.network.links
    if sum(len(field.ways[link.first]) * len(field.ways[link.then]) for link in links) > _PAIRS:
        raise TooManyError
    tails = [[0] * len(ways) for ways in field.ways]
    if deadline is not None:
        tails = reach(field.network, field.ways, back=True)
    waiting: list[int] = []  # tasks whose data is still wanted
    states = [_State(0, (), (), field.proved, ())]
    room = _GROWN
    for task, tail in enumerate(tails):
        latest = None if deadline is None else [deadline - one for one in tail]
        grown = list(islice(_grown(field, task, waiting, states, latest, limit), room + 1))
        room -= len(grown)
        if room < 0:
            raise TooManyError
        seen = [*waiting, task]
        keep = [place for place, one in enumerate(seen) if _wanted(field.network, one, task)]
        waiting = [seen[place] for place in keep]
        states = _undominated(field, waiting, keep, grown)
    return _ways(min(states, key=itemgetter(0, 1, 2))) if states else None


def _wanted(network: Network, task: int, now: int) -> bool:
    return any(network.links[number].then > now for number in network.after[task])


def _grown(
    field: Field,
    task: int,
    waiting: Sequence[int],
    states: Sequence[_State],
    latest: Sequence[int] | None,
    limit: int,
) -> Iterator[_State]:
    """Every state with every way of one more task. latest: when each way must have started, or None."""
    network, ways = field.network, field.ways[task]
    inputs = [
        (waiting.index(network.links[number].first), _tables(field, number))
        for number in network.before[task]
    ]
    for state in states:
        proved = [state.proved + one for one in field.left[task]]
        micros = [state.micro + way.micro for way in ways]
        starts = [0] * len(ways)
        for position, tables in inputs:
            terms, prices, delays = tables[state.ways[position]]
            proved = list(map(add, proved, terms))
            micros = list(map(add, micros, prices))
            if latest is not None:
                end = state.ends[position]
                starts = [max(one, end + two) for one, two in zip(starts, delays, strict=True)]
        for number, one in enumerate(proved):
            if one <= limit and (latest is None or starts[number] <= latest[number]):
                end = 0 if latest is None else starts[number] + ways[number].seconds
                trail = (ways[number], state.trail)
                yield _State(micros[number], (*state.ends, end), (*state.ways, number), one, trail)


def _tables(field: Field, number: int) -> list[tuple[list[int], list[int], list[int]]]:
    """Of a link for each way at its first end, by the ways at its other: term of the bound, price, delay."""
    link, delay = field.network.links[number], field.delays[number]
    given, taken = field.given[2 * number], field.given[2 * number + 1]
    tables = []
    for first, own in zip(field.ways[link.first], given, strict=True):
        thens = field.ways[link.then]
        prices = [link.micro(first, then) for then in thens]
        moved = [delay if first.place != then.place else 0 for then in thens]
        terms = [
            price * FINE + more + own + other for price, more, other in zip(prices, moved, taken, strict=True)
        ]
        tables.append((terms, prices, [link.delay(first, then) for then in thens]))
    return tables


def _undominated(
    field: Field, waiting: Sequence[int], keep: Sequence[int], grown: Iterable[_State]
) -> list[_State]:
    groups: dict[tuple[int, ...], list[_State]] = {}
    for one in grown:
        ways = tuple([one.ways[position] for position in keep])
        ends = tuple([one.ends[position] for position in keep])
        places = tuple([field.ways[task][way].place for task, way in zip(waiting, ways, strict=True)])
        groups.setdefault(places, []).append(one._replace(ways=ways, ends=ends))
    return [state for group in groups.values() for state in _front(group)]


def _front(group: list[_State]) -> list[_State]:
    """Those that no other equals or betters in cost and in every end."""
    kept: list[_State] = []
    for state in sorted(group, key=itemgetter(0, 1, 2)):
        if not any(all(map(le, other.ends, state.ends)) for other in kept):
            kept.append(state)
    return kept


def _ways(state: _State) -> list[Way]:
    chosen: list[Way] = []
    trail: Any = state.trail
    while trail:
        way, trail = trail
        chosen.append(way)
    return chosen[::-1]
