"""`together`: the tasks of a job group, which start at the same time, in one common place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skynb.planning.placement.problem import (
    LEAST_COST,
    NoCommonPlaceError,
    NoPlacementError,
    Placement,
    check,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from skynb.planning.placement.problem import Goal, Option

    Place = tuple[str, str]


def together(options: Sequence[Sequence[Option]], goal: Goal = LEAST_COST) -> Placement:
    """All tasks in one (cloud, region): for the least sum, or for the earliest end and of that the least sum.

    Of equal placements the one with the earliest options, counted from the first task. Raises PlacementError
    for a task without options, NoCommonPlaceError naming tasks that share no place, NoPlacementError for the
    deadline.
    """
    check(options, [])
    if not options:
        return Placement((), 0, 0, ())
    ways = [_by_place(mine) for mine in options]
    common = set.intersection(*map(set, ways))
    if not common:
        raise NoCommonPlaceError(_strangers(ways))
    spans = {place: max(min(one.seconds for _, one in mine[place]) for mine in ways) for place in common}
    soonest = min(spans.values())
    deadline = goal.deadline_seconds
    if deadline is not None and soonest > deadline:
        raise NoPlacementError(deadline, soonest)
    limit = soonest if goal.minimize == "time" else deadline
    micro, chosen, seconds = min(
        _at(place, ways, limit) for place in common if limit is None or spans[place] <= limit
    )
    return Placement(chosen, micro, seconds, (), bound=seconds if goal.minimize == "time" else micro)


def _by_place(options: Sequence[Option]) -> dict[Place, list[tuple[int, Option]]]:
    found: dict[Place, list[tuple[int, Option]]] = {}
    for index, one in enumerate(options):
        found.setdefault((one.cloud, one.region), []).append((index, one))
    return found


def _at(
    place: Place, ways: Sequence[dict[Place, list[tuple[int, Option]]]], limit: int | None
) -> tuple[int, tuple[int, ...], int]:
    """The cheapest in this place: micro-dollars, options, seconds."""
    taken = [
        min(
            (one.micro, index, one.seconds)
            for index, one in mine[place]
            if limit is None or one.seconds <= limit
        )
        for mine in ways
    ]
    return (
        sum(micro for micro, _, _ in taken),
        tuple(index for _, index, _ in taken),
        max(seconds for _, _, seconds in taken),
    )


def _strangers(ways: Sequence[Collection[Place]]) -> tuple[int, ...]:
    """A smallest choice of tasks without a common place: with any one of them gone there would be one."""
    needed = list(range(len(ways)))
    for task in range(len(ways)):
        rest = [other for other in needed if other != task]
        if not set.intersection(*(set(ways[other]) for other in rest)):
            needed = rest
    return tuple(needed)
