"""Small steps downhill: one task at a time to a better way, until none is left. It also settles ties."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skynb.planning.placement.network import Network, Way


def settled(network: Network, chosen: Sequence[Way], deadline: int | None) -> list[Way]:
    """A placement that no single task can better: by cost, then by an option that stands earlier in the input.

    deadline: seconds that must not be exceeded; `chosen` keeps them.
    """
    now = list(chosen)
    todo = list(range(len(now)))
    while todo:
        task = todo.pop(0)
        for way in _better(network, now, task):
            then = [*now[:task], way, *now[task + 1 :]]
            if deadline is None or network.seconds(then) <= deadline:
                now = then
                again = range(len(now)) if deadline is not None else _neighbours(network, task)
                todo.extend(other for other in again if other not in todo)
                break
    return now


def _better(network: Network, chosen: Sequence[Way], task: int) -> Iterator[Way]:
    """The ways of one task that cost less than its own, or as much and stand earlier; best first."""
    costs = []
    for way in network.ways[task]:
        into = (network.links[number] for number in network.before[task])
        out = (network.links[number] for number in network.after[task])
        moved = sum(link.micro(chosen[link.first], way) for link in into)
        moved += sum(link.micro(way, chosen[link.then]) for link in out)
        costs.append((way.micro + moved, way.index, way))
    own = next(cost for cost in costs if cost[2] is chosen[task])
    return (way for _, _, way in sorted(cost for cost in costs if cost < own))


def _neighbours(network: Network, task: int) -> list[int]:
    return [network.links[number].first for number in network.before[task]] + [
        network.links[number].then for number in network.after[task]
    ]
