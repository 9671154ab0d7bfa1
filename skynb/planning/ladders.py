"""Where a launch goes next: every candidate of a planned task, best first, to the last one."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from skynb.planning.asks import from_plain
from skynb.planning.blocks import covers
from skynb.planning.candidates import preferred, ranked
from skynb.planning.market import Market
from skynb.planning.shared import shared_catalog
from skynb.planning.terms import own_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from skynb.planning.blocks import Block
    from skynb.planning.model import Candidate, TaskPlan


def ladder(
    task: TaskPlan, *, blocks: Callable[[], Iterable[Block]] = tuple, market: Market | None = None
) -> Iterator[Candidate]:
    """The choice, the alternatives, then whatever else there is: types, zones, regions and clouds.

    blocks is asked before each step, so that a failure on one rung takes away the rungs it disproves. Nothing
    is planned anew: the rest is read from the market (by default the catalog's) only when the kept rungs are
    used up.
    """
    seen = set()
    for one in chain((task.choice,), task.alternatives, _rest(task, market)):
        if one.key not in seen and not any(covers(held.scope, one) for held in blocks()):
            yield one
        seen.add(one.key)


def _rest(task: TaskPlan, market: Market | None) -> Iterator[Candidate]:
    source = market or Market(shared_catalog(), terms=own_terms())
    groups = [source.best(wanted, task.task, task.num_nodes, None) for wanted in map(from_plain, task.asks)]
    yield from preferred(groups) if task.ordered else ranked(groups, source.rank)
