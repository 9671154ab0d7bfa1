"""Small steps downhill: one task at a time to a better way, until none is left. It also settles ties."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb.planning.placement.network import Network, Way


def settled(network: Network, chosen: Sequence[Way], deadline: int | None) -> list[Way]:
    """A placement that no single task can better: by cost, then by an option earlier in the input.

    deadline: seconds that must not be exceeded; `chosen` keeps them.
    """
    now = list(chosen)
    todo = list(range(len(now)))
    while todo:
        task = todo.pop(0)
        way = _best(network, now, task, deadline)
        if way is not now[task]:
            now[task] = way
            # A task that is done sooner may leave time to any other.
            again = range(len(now)) if deadline is not None else _neighbours(network, task)
            todo.extend(other for other in again if other not in todo)
    return now


def _best(network: Network, chosen: Sequence[Way], task: int, deadline: int | None) -> Way:
    """The way of one task that costs least if all others stay, of equal ones that which stands first."""
    into = [network.links[number] for number in network.before[task]]
    out = [network.links[number] for number in network.after[task]]
    ways = network.ways[task]
    if deadline is not None:
        ends, tails = network.ends(chosen), network.tails(chosen)
        ways = tuple(
            way
            for way in ways
            if max((ends[link.first] + link.delay(chosen[link.first], way) for link in into), default=0)
            + way.seconds
            + max((tails[link.then] + link.delay(way, chosen[link.then]) for link in out), default=0)
            <= deadline
        )
    return min(
        ways,
        key=lambda way: (
            way.micro
            + sum(link.micro(chosen[link.first], way) for link in into)
            + sum(link.micro(way, chosen[link.then]) for link in out),
            way.number,
        ),
    )


def _neighbours(network: Network, task: int) -> list[int]:
    return [network.links[number].first for number in network.before[task]] + [
        network.links[number].then for number in network.after[task]
    ]
