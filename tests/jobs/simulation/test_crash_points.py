"""The server crashes at the points of every managed job's life; it ends once, and as it should."""

from __future__ import annotations

import pytest

from tests.support.managed_workflows import WORKFLOWS, Managed, broken, live
from tests.support.simulation import At

USUAL = 5  # lives of a workflow in each run of the suite, evenly over its points


def crashes(workflow: Managed) -> list[At]:
    """Every point: before it, and for a call into the world also after it and with its answer lost."""
    with live(workflow) as calm:
        assert list(broken(workflow, calm)) == []
        points = list(calm.points)
    return [
        At(number, how)
        for number, name in enumerate(points)
        for how in (("before",) if name.startswith("commit") else ("before", "after", "response lost"))
    ]


def broken_at(workflow: Managed, chosen: list[At]) -> dict[At, tuple[str, list[str]]]:
    found = {}
    for at in chosen:
        with live(workflow, crash=[at]) as lived:
            if wrong := list(broken(workflow, lived)):
                found[at] = (lived.points[at.number], wrong)
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_crash_breaks_no_promise(workflow):
    """G1, G2, G5, G6, G10 and the bill; no task is ever worked on by two attempts at once."""
    every = crashes(workflow)
    step = max(1, len(every) // USUAL)
    assert broken_at(workflow, every[::step]) == {}


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_crash_at_any_point_breaks_no_promise(workflow):
    """The same for each point there is."""
    assert broken_at(workflow, crashes(workflow)) == {}
