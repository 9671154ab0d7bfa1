"""Which cells an attempt runs, and why. Pure; nothing is executed.

A notebook goes on at the first cell that is not finished, or has changed since. Its kernel is a new one, so
that finished cells run again where a later cell uses what they make; `uses.py` says what that is. What they
gave to see stays as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from .uses import Use, uses_of

ALWAYS, ONCE, HOOK = "skynb-setup", "skynb-once", "skynb-checkpoint"


class Cell(NamedTuple):
    """A code cell: where it stands in the notebook, its text and tags."""

    at: int
    source: str
    tags: Sequence[str] = ()


class Step(NamedTuple):
    """What to do with a cell. action: `run`, `again` (for its effect; its outputs stay) or `keep`.

    `ran`: as `again`, and that is done already.
    """

    at: int
    action: str
    why: str = ""


def print_of(source: str) -> str:
    """What tells whether a cell is still the same."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def steps(cells: Sequence[Cell], finished: dict[int, str]) -> list[Step]:
    """One for each code cell. finished: the prints of cells that ended well, by place."""
    ended = [finished.get(cell.at) == print_of(cell.source) for cell in cells]
    if all(ended):
        return [Step(cell.at, "keep") for cell in cells]
    first, uses = ended.index(False), uses_of([cell.source for cell in cells])
    found: list[Step] = []
    wanted: dict[str, int] = {}
    for number in reversed(range(len(cells))):
        cell, use = cells[number], uses[number]
        if number >= first:
            step = Step(cell.at, "run", _why(cell, finished, is_first=number == first))
        else:
            step = _earlier(cell, use, wanted)
        if step.action != "keep":
            wanted.update(dict.fromkeys(use.reads, number + 1))
        found.append(step)
    return found[::-1]


def _earlier(cell: Cell, use: Use, wanted: dict[str, int]) -> Step:
    """A cell that is finished. wanted: names that later cells read which will run, and the number of one."""
    used = sorted(use.makes & set(wanted))
    if ALWAYS in cell.tags:
        return Step(cell.at, "again", f"tagged {ALWAYS}")
    if ONCE in cell.tags:
        return Step(cell.at, "keep", f"tagged {ONCE}")
    if use.blind:
        return Step(cell.at, "again", "what it does cannot be seen in its text")
    if used:
        return Step(cell.at, "again", f"cell {min(wanted[name] for name in used)} uses {', '.join(used)}")
    return Step(cell.at, "keep")


def _why(cell: Cell, finished: dict[int, str], *, is_first: bool) -> str:
    if cell.at not in finished:
        return "not finished before" if finished else ""
    return "changed since it was run" if is_first else "a cell before it was not finished, or has changed"
