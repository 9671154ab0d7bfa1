"""Time: how early a task can end, how much must follow it, and the quickest placement of a network."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from skynb.planning.placement.network import Found

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skynb.planning.placement.network import Link, Network, Way


def shortest(network: Network, ways: Sequence[Sequence[Way]]) -> list[list[int]]:
    """For each way of each task the least seconds of any placement in which the task goes that way.

    A lower bound: each path is looked at by itself, so it is exact where one path decides.
    """
    heads = reach(network, ways)
    tails = reach(network, ways, back=True)
    return [
        [head + tail - way.seconds for head, tail, way in zip(*task, strict=True)]
        for task in zip(heads, tails, ways, strict=True)
    ]


def reach(network: Network, ways: Sequence[Sequence[Way]], *, back: bool = False) -> list[list[int]]:
    """For each way the least time to its end from any start; or back, from its start to the last end."""
    found: list[list[int]] = [[] for _ in ways]
    for task in reversed(range(len(ways))) if back else range(len(ways)):
        waits = [0] * len(ways[task])
        for number in (network.after if back else network.before)[task]:
            link = network.links[number]
            other = link.then if back else link.first
            least = _arrivals(link, ways[other], found[other], ways[task])
            waits = [max(pair) for pair in zip(waits, least, strict=True)]
        found[task] = [wait + way.seconds for wait, way in zip(waits, ways[task], strict=True)]
    return found


def _arrivals(link: Link, sources: Sequence[Way], times: Sequence[int], targets: Sequence[Way]) -> list[int]:
    at: dict[int, int] = {}
    for way, time in zip(sources, times, strict=True):
        if time < at.get(way.place, time + 1):
            at[way.place] = time
    moved = min(times) + link.seconds
    return [min(at.get(way.place, moved), moved) for way in targets]


def quickest(network: Network, effort: int, enough: int = 0) -> Found:
    """The least seconds; any placement that takes no more than `enough` will do.

    Branch and bound, best bound first. effort: how many ways it looks at before it gives up proving.
    """
    numbers = count()
    start = _fastest(network)
    chosen = _follow(network, start)
    best = Found(chosen, network.seconds(chosen), 0)
    waiting = [(0, next(numbers), start)]
    while waiting:
        bound, _, ways = heappop(waiting)
        if bound >= best.value or best.value <= enough or effort < 0:
            return best._replace(bound=min(bound, best.value))
        effort -= sum(map(len, ways))
        bound, ways = _hopeful(network, ways, best.value)
        if not all(ways):
            continue
        chosen = _follow(network, ways)
        best = min(best, Found(chosen, network.seconds(chosen), 0), key=lambda found: found.value)
        free = [task for task, mine in enumerate(ways) if len(mine) > 1]
        if free and bound < best.value:
            task = _branching(network, free, chosen)
            rest = [way for way in ways[task] if way is not chosen[task]]
            for part in ([chosen[task]], rest):
                heappush(waiting, (bound, next(numbers), [*ways[:task], part, *ways[task + 1 :]]))
    return best._replace(bound=best.value)


def _hopeful(network: Network, ways: list[Sequence[Way]], below: int) -> tuple[int, list[Sequence[Way]]]:
    """A bound, and of each task the ways that may end the whole earlier than `below`."""
    least = shortest(network, ways)
    hopeful = [
        [way for way, seconds in zip(*task, strict=True) if seconds < below]
        for task in zip(ways, least, strict=True)
    ]
    return max(map(min, least)), hopeful  # type: ignore[return-value]


def _fastest(network: Network) -> list[Sequence[Way]]:
    """Of each place the fastest way, for nothing slower can be part of the need."""
    best: list[Sequence[Way]] = []
    for ways in network.ways:
        found = {
            way.place: way for way in sorted(ways, key=lambda way: (-way.seconds, -way.micro, -way.number))
        }
        best.append(sorted(found.values()))
    return best


def _follow(network: Network, ways: Sequence[Sequence[Way]]) -> list[Way]:
    """Tasks in order, each where the whole seems to end the soonest, given where its data is."""
    tails = reach(network, ways, back=True)
    chosen: list[Way] = []
    ends: list[int] = []
    for task, mine in enumerate(ways):
        starts = begins(network, task, mine, chosen, ends)
        number = min(
            range(len(mine)), key=lambda n: (starts[n] + tails[task][n], starts[n] + mine[n].seconds)
        )
        chosen.append(mine[number])
        ends.append(starts[number] + mine[number].seconds)
    return chosen


def begins(
    network: Network, task: int, ways: Iterable[Way], chosen: Sequence[Way | None], ends: Sequence[int]
) -> list[int]:
    """For each way of a task when it can start, after tasks that have been chosen and end when they end."""
    before = [
        (network.links[number], there)
        for number in network.before[task]
        if (there := chosen[network.links[number].first]) is not None
    ]
    return [
        max((ends[link.first] + link.delay(there, way) for link, there in before), default=0) for way in ways
    ]


def _branching(network: Network, free: Sequence[int], chosen: Sequence[Way]) -> int:
    """Of the tasks that have a choice one on the path that decides, if there is any; with most links."""
    deciding = [task for task in network.critical(chosen).tasks if task in free]
    return max(
        deciding or free, key=lambda task: (len(network.before[task]) + len(network.after[task]), -task)
    )
