"""Where each task of a DAG runs, so that the whole costs least or ends soonest.

Pure: numbers in, numbers out. It knows no catalog and no task of a user. `problem.py` has the words,
`tariffs.py` the prices of moving data; start reading at `place.py`, which asks the solvers. The
proof that nothing is cheaper comes from `bounds.py`.
"""

from __future__ import annotations

from skynb.planning.placement.group import together
from skynb.planning.placement.place import place
from skynb.planning.placement.problem import (
    Edge,
    Goal,
    NoCommonPlaceError,
    NoPlacementError,
    Option,
    Placement,
    PlacementError,
    Transfer,
)
from skynb.planning.placement.tariffs import Rate, Tariff

__all__ = [
    "Edge",
    "Goal",
    "NoCommonPlaceError",
    "NoPlacementError",
    "Option",
    "Placement",
    "PlacementError",
    "Rate",
    "Tariff",
    "Transfer",
    "place",
    "together",
]
