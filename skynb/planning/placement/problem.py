"""The words of a placement: options, edges, a goal, and the answer. Data only.

Money is in whole micro-dollars and time in whole seconds, so that sums are exact and no order of adding
matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Option(NamedTuple):
    """One way to run one task.

    cloud, region: the place; equal strings are the same place, and '' is a region like any other. micro: what
    the task costs there, in micro-dollars. seconds: how long it runs there.
    """

    cloud: str
    region: str
    micro: int
    seconds: int


class Edge(NamedTuple):
    """Data that task `then` needs of task `first` (positions in the list of tasks), in GB."""

    first: int
    then: int
    gigabytes: float


class Goal(NamedTuple):
    """Least cost, or least time and of that the least cost; with a deadline (seconds) or none."""

    minimize: Literal["cost", "time"] = "cost"
    deadline_seconds: int | None = None


LEAST_COST = Goal()


class Transfer(NamedTuple):
    """What moving the data of one edge costs, and how long it takes."""

    micro: int
    seconds: int


class Placement(NamedTuple):
    """Where each task runs.

    chosen: the position of the option taken, for each task. micro: tasks and transfers. seconds: from the
    first start to the last end. transfers: one for each edge, in the order given. exact: whether this is
    proved to be the best. bound: no placement has less micro (or seconds, if the goal is time); equal to it
    if exact.
    """

    chosen: tuple[int, ...]
    micro: int
    seconds: int
    transfers: tuple[Transfer, ...]
    exact: bool = True
    bound: int = 0


class PlacementError(ValueError):
    """The problem cannot be read: a task without options, an edge to nowhere, a circle, a negative number."""


class NoPlacementError(Exception):
    """The deadline cannot be met.

    deadline_seconds: what was asked. least_seconds: the shortest time found. proved: whether nothing is
    shorter; if not, the search ended early and the deadline may be possible after all.
    """

    def __init__(self, deadline_seconds: int, least_seconds: int, *, proved: bool = True) -> None:
        found = "the least possible is" if proved else "the least found is"
        super().__init__(f"not to be done in {deadline_seconds} s: {found} {least_seconds} s")
        self.deadline_seconds = deadline_seconds
        self.least_seconds = least_seconds
        self.proved = proved


class NoCommonPlaceError(Exception):
    """Tasks of a group have no place in common. tasks: as few as already have none."""

    def __init__(self, tasks: tuple[int, ...]) -> None:
        super().__init__(f"no place is common to tasks {', '.join(map(str, tasks))}")
        self.tasks = tasks


def check(options: Sequence[Sequence[Option]], edges: Sequence[Edge]) -> None:
    """Raise PlacementError with the first thing that is wrong."""
    for task, ways in enumerate(options):
        if not ways:
            raise PlacementError(f"task {task} has no options")
        for number, way in enumerate(ways):
            if way.micro < 0 or way.seconds < 0:
                raise PlacementError(f"option {number} of task {task} has a negative price or time")
    for edge in edges:
        if not (0 <= edge.first < len(options) and 0 <= edge.then < len(options)):
            raise PlacementError(f"edge {edge.first} -> {edge.then}: there are {len(options)} tasks")
        if not 0 <= edge.gigabytes < float("inf"):
            raise PlacementError(f"edge {edge.first} -> {edge.then} moves {edge.gigabytes} GB")
