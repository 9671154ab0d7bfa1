"""A deadline as a price: seconds on the paths that are late cost money, until the bound can rise no further.

This is Lagrangian relaxation. A placement in time pays for each pressed path at most what the deadline is
worth, so the least of the sum less that worth is a bound on the cost of all placements in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skynb.planning.placement.bounds import scores
from skynb.planning.placement.schedule import begins, reach, shortest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb.planning.placement.bounds import Field
    from skynb.planning.placement.network import Path, Way


def in_time(field: Field, deadline: int) -> None:
    """Rule out every way that no placement within the deadline can go."""
    for task, least in enumerate(shortest(field.network, field.ways)):
        if max(least) > deadline:
            field.keep(task, [one <= deadline for one in least])


def choose_in_time(field: Field, deadline: int) -> list[Way] | None:
    """A cheap placement within the deadline, from the first task to the last; None if none was found.

    Each task goes the way that looks cheapest of those that seem to leave enough time for what follows.
    """
    network = field.network
    tails = reach(network, field.ways, back=True)
    chosen: list[Way | None] = [None] * len(tails)
    ends: list[int] = []
    for task, ways in enumerate(field.ways):
        starts = begins(network, task, ways, chosen, ends)
        rated = [
            (score, way.number, start, way)
            for score, start, tail, way in zip(
                scores(field, task, chosen), starts, tails[task], ways, strict=True
            )
            if start + tail <= deadline
        ]
        if not rated:
            return None
        _, _, start, chosen[task] = way = min(rated)
        ends.append(start + way[3].seconds)
    return chosen  # type: ignore[return-value]


def hasten(field: Field, chosen: Sequence[Way], deadline: int, gap: int) -> None:
    """Change the price of time: up on paths on which this placement is late, down where it has time left.

    gap: how far the bound is from the best known cost; it sets the size of the step.
    """
    network = field.network
    paths = dict.fromkeys((*field.pressure, network.critical(chosen)))
    late = {path: network.along(path, chosen) - deadline for path in paths}
    late = {path: by for path, by in late.items() if by > 0 or (by and path in field.pressure)}
    length = sum(max(by * by, (deadline // 20) ** 2) for by in late.values())
    for path, by in late.items():
        old = field.pressure.get(path, 0)
        new = max(0, old + gap * by // length)
        if new != old:
            _press(field, path, new - old, deadline)
            field.pressure = {**field.pressure, path: new}


def _press(field: Field, path: Path, by: int, deadline: int) -> None:
    """Make a second of the path dearer, or cheaper, and keep every term at or above zero."""
    field.proved -= by * deadline
    for task in path.tasks:
        field.left[task] = [
            one + by * way.seconds for one, way in zip(field.left[task], field.ways[task], strict=True)
        ]
    for number in path.links:
        link = field.network.links[number]
        field.delays[number] += by * link.seconds
        if by < 0:
            end = 2 * number + 1
            field.given[end] = [one - by * link.seconds for one in field.given[end]]
            field.left[link.then] = [one + by * link.seconds for one in field.left[link.then]]
    for task in path.tasks:
        least = min(field.left[task])
        if least < 0:
            field.proved += least
            field.left[task] = [one - least for one in field.left[task]]
