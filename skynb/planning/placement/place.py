"""`place`: every task of a DAG somewhere, so that the whole costs least or ends soonest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skynb.planning.placement.network import networks, transfers
from skynb.planning.placement.problem import (
    LEAST_COST,
    NoPlacementError,
    Placement,
    check,
)
from skynb.planning.placement.schedule import quickest
from skynb.planning.placement.search import cheapest
from skynb.planning.placement.settle import settled
from skynb.planning.placement.tariffs import Tariff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb.planning.placement.network import Found, Network
    from skynb.planning.placement.problem import Edge, Goal, Option

LIST = Tariff()
EFFORT = 400_000  # ways looked at: a few seconds, which only large DAGs within a deadline need


def place(
    options: Sequence[Sequence[Option]],
    edges: Sequence[Edge],
    goal: Goal = LEAST_COST,
    tariff: Tariff = LIST,
    *,
    effort: int = EFFORT,
) -> Placement:
    """The best way to run each task. Branches that do not wait for each other run at the same time.

    options: for each task every way to run it. effort: how many ways each search looks at before it gives up
    proving that its best is the best; what it has is then not `exact`. Raises PlacementError for a problem
    that cannot be read, NoPlacementError if the deadline cannot be met.

    Of equal placements one is taken in which no task alone could take an earlier option for the same money;
    of one place and price only the quickest option counts. The same input always gives the same answer.
    """
    check(options, edges)
    timed = goal.minimize == "time" or goal.deadline_seconds is not None
    parts = networks(options, edges, tariff, timed=timed)
    deadline = goal.deadline_seconds
    soonest = None
    if goal.minimize == "time":
        found = [quickest(part, effort) for part in parts]
        _refuse(found, deadline)
        soonest = max((one.bound for one in found), default=0)
        deadline = max((one.value for one in found), default=0)
        cheap = [_cheapest(part, deadline, effort, one) for part, one in zip(parts, found, strict=True)]
    else:
        cheap = _within(parts, deadline, effort)
    return _placement(options, edges, tariff, parts, cheap, deadline, soonest)


def _within(parts: Sequence[Network], deadline: int | None, effort: int) -> list[Found]:
    """The cheapest of each part; only those that it makes late need the search with a deadline."""
    cheap = [cheapest(part, effort) for part in parts]
    if deadline is None:
        return cheap
    late = [n for n, part in enumerate(parts) if part.seconds(cheap[n].chosen) > deadline]
    quick = {n: quickest(parts[n], effort, deadline) for n in late}
    if any(one.value > deadline for one in quick.values()):
        _refuse([quickest(part, effort) for part in parts], deadline)
    for n in late:
        hurried = _cheapest(parts[n], deadline, effort, quick[n])
        cheap[n] = hurried._replace(bound=max(hurried.bound, cheap[n].bound))
    return cheap


def _refuse(found: Sequence[Found], deadline: int | None) -> None:
    least = max((one.value for one in found), default=0)
    if deadline is not None and least > deadline:
        raise NoPlacementError(deadline, least, proved=least == max(one.bound for one in found))


def _cheapest(part: Network, deadline: int, effort: int, quick: Found) -> Found:
    return cheapest(part, effort, deadline, settled(part, quick.chosen, deadline))


def _placement(
    options: Sequence[Sequence[Option]],
    edges: Sequence[Edge],
    tariff: Tariff,
    parts: Sequence[Network],
    cheap: Sequence[Found],
    deadline: int | None,
    soonest: int | None,
) -> Placement:
    """The parts put together; soonest: the least seconds that were proved, if time is the goal."""
    chosen = [0] * len(options)
    seconds = 0
    for part, found in zip(parts, cheap, strict=True):
        ways = settled(part, found.chosen, deadline)
        seconds = max(seconds, part.seconds(ways))
        for task, way in zip(part.tasks, ways, strict=True):
            chosen[task] = way.number
    moved = transfers(options, edges, chosen, tariff)
    micro = sum(options[task][way].micro for task, way in enumerate(chosen)) + sum(one.micro for one in moved)
    exact = all(found.value == found.bound for found in cheap) and soonest in {None, seconds}
    bound = sum(found.bound for found in cheap) if soonest is None else soonest
    return Placement(tuple(chosen), micro, seconds, moved, exact, bound)
