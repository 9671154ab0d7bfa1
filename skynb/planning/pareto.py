"""Which of many answers are worth showing: those that no other beats in everything."""

from __future__ import annotations

from operator import le
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def pareto(points: Sequence[tuple[float, ...]]) -> list[int]:
    """The positions of the points that no other equals or undercuts in every coordinate, lowest points first.

    Of equal points the first counts.
    """
    kept: list[int] = []
    for number in sorted(range(len(points)), key=lambda number: (points[number], number)):
        point = points[number]
        if not any(all(map(le, points[one], point)) for one in kept):
            kept.append(number)
    return kept
