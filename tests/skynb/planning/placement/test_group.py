"""A job group runs in one place."""

from __future__ import annotations

from random import Random

import pytest

from skynb.planning.placement import (
    Goal,
    NoCommonPlaceError,
    NoPlacementError,
    Option,
    PlacementError,
    Tariff,
    together,
)
from tests.support.placements import everything, small

A, B = ("aws", "a"), ("gcp", "")


def test_the_cheapest_or_fastest_common_place():
    """Against trying everything: least sum, or earliest end and of that the least sum, in one place."""
    met = 0
    for seed in range(400):
        options, _ = small(Random(seed))
        joint = [
            (micro, max(options[task][one].seconds for task, one in enumerate(chosen)))
            for micro, _, chosen in everything(options, [], Tariff())
            if len({options[task][one][:2] for task, one in enumerate(chosen)}) == 1
        ]
        if not joint:
            with pytest.raises(NoCommonPlaceError):
                together(options)
            continue
        met += 1
        assert together(options).micro == min(joint)[0]
        found = together(options, Goal("time"))
        assert (found.seconds, found.micro) == min((seconds, micro) for micro, seconds in joint)
        late = Goal("cost", found.seconds)
        assert together(options, late).micro == min(
            micro for micro, seconds in joint if seconds <= found.seconds
        )
    assert met > 50


def test_ties_go_to_the_earliest_options():
    """Of places that cost the same the first task's earliest is taken."""
    options = [[Option(*B, 1, 1), Option(*A, 1, 1)], [Option(*A, 1, 1), Option(*B, 1, 1)]]
    assert together(options).chosen == (0, 1)


def test_tasks_without_a_common_place_are_named():
    """Only those that are needed for the quarrel."""
    options = [
        [Option(*A, 1, 1), Option(*B, 1, 1)],
        [Option(*A, 1, 1)],
        [Option(*A, 1, 1), Option(*B, 1, 1)],
        [Option(*B, 1, 1)],
    ]
    with pytest.raises(NoCommonPlaceError, match="tasks 1, 3") as caught:
        together(options)
    assert caught.value.tasks == (1, 3)


def test_a_deadline_no_place_keeps():
    """The least possible seconds come with the refusal; a task without options is a mistake."""
    with pytest.raises(NoPlacementError) as caught:
        together([[Option(*A, 1, 60)], [Option(*A, 1, 70), Option(*B, 1, 1)]], Goal("cost", 65))
    assert caught.value.least_seconds == 70
    with pytest.raises(PlacementError):
        together([[]])
