"""Whose turn it is: by priority, then whoever has least running, then by age. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

import msgspec

from skynb.control.ledger import Waiting


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """running: managed jobs at a time; per_user: of one person, 0 is as many as there are."""

    running: int = 1000
    per_user: int = 0


def room(limits: Limits, running: Mapping[str, int]) -> int:
    """How many more may run."""
    return max(0, limits.running - sum(running.values()))


def admit(
    waiting: Mapping[str, Sequence[Waiting]], running: Mapping[str, int], limits: Limits
) -> list[Waiting]:
    """Those whose turn comes now, in order. waiting: each person's line. running: how many each has."""
    had = dict(running)
    place = dict.fromkeys(waiting, 0)
    heads = [_rank(line[0], had) for line in waiting.values() if line]
    heapify(heads)
    admitted: list[Waiting] = []
    free = room(limits, running)
    while heads and len(admitted) < free:
        *_, owner = heappop(heads)
        if limits.per_user and had.get(owner, 0) >= limits.per_user:
            continue
        admitted.append(waiting[owner][place[owner]])
        had[owner] = had.get(owner, 0) + 1
        place[owner] += 1
        if place[owner] < len(waiting[owner]):
            heappush(heads, _rank(waiting[owner][place[owner]], had))
    return admitted


def _rank(head: Waiting, had: Mapping[str, int]) -> tuple[int, int, float, str, str]:
    return head.nice, had.get(head.owner, 0), head.created_at, head.id, head.owner
