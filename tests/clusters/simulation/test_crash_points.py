"""The server crashes at every numbered point of every workflow; the promises hold all the same."""

from __future__ import annotations

import pytest

from tests.support.simulation import At
from tests.support.workflows import WORKFLOWS, Workflow, live, promises

GANGS = {
    "gang of 4": 3,
    "partial gang": 2,
    "repair": 2,
    "dask that grows and shrinks": 3,
}  # ranks are alike: one in so many points


def crashes(workflow: Workflow) -> list[At]:
    """Every point: before it, and for a call into the world also after it and with its answer lost.

    A crash after a commit leaves the same ledger and world as one before the next point.
    """
    with live(workflow) as calm:
        assert list(promises(calm)) == []
        points = list(calm.points)
    return [
        At(number, how)
        for number, name in enumerate(points)
        for how in (("before",) if name.startswith("commit") else ("before", "after", "response lost"))
    ]


def broken_at(workflow: Workflow, chosen: list[At]) -> dict[At, tuple[str, list[str]]]:
    broken = {}
    for at in chosen:
        with live(workflow, crash=[at]) as lived:
            if found := list(promises(lived)):
                broken[at] = (lived.points[at.number], found)
    return broken


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_crash_breaks_no_promise(workflow):
    """G1, G2, G3, G5, G10 and the bill, for each point of this workflow alone; of a gang, for some."""
    assert broken_at(workflow, crashes(workflow)[:: GANGS.get(workflow.name, 1)]) == {}


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "workflow", [one for one in WORKFLOWS if one.name in GANGS], ids=lambda one: one.name
)
def test_a_crash_at_any_point_of_a_gang_breaks_no_promise(workflow):
    """The same for each point that there is."""
    assert broken_at(workflow, crashes(workflow)) == {}
