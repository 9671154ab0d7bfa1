"""How long work takes decides what it costs."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.errors import NoOfferError, SpecError
from skynb.planning import plan
from skynb.planning.estimates import Estimates, Run

NOW = date(2026, 1, 2)


@pytest.fixture
def fleet(catalog_of, say):
    """An H100 at 4 $/h, an A100 at 2 $/h and a T4 at 0.50 $/h."""
    prices = {"H100": 4_000_000, "A100": 2_000_000, "T4": 500_000}
    return catalog_of(
        [
            say.fact(instance_type=name.lower(), accelerator=name, accelerator_count=1.0, hourly_micro=price)
            for name, price in prices.items()
        ]
    )


def any_of_three(say, **changes):
    return say.task(say.gpu("H100"), say.gpu("A100"), say.gpu("T4"), **changes)


def order(found):
    return [one.instance_type for one in (found.choice, *found.alternatives)]


def test_without_estimates_every_machine_takes_an_hour(fleet, say):
    """So the cheapest an hour is the cheapest, and the plan says that the hour is assumed."""
    found = plan(any_of_three(say), catalog=fleet, now=NOW)
    assert order(found) == ["t4", "a100", "h100"]
    assert (found.cost_micro, found.seconds, found.tasks[0].estimate) == (500_000, 3600, "assumed: 1 h")


def test_the_cheapest_run_is_not_the_cheapest_hour(fleet, say):
    """4 $/h x 1 h = 4 $; 2 $/h x 3 h = 6 $; 0.50 $/h x 10 h = 5 $."""
    found = plan(any_of_three(say), hours={"H100": 1, "A100": 3, "T4": 10}, catalog=fleet, now=NOW)
    assert order(found) == ["h100", "t4", "a100"]
    assert [one.cost_micro() for one in (found.choice, *found.alternatives)] == [
        4_000_000,
        5_000_000,
        6_000_000,
    ]
    assert found.tasks[0].estimate == "estimated by the user"


def test_nodes_count_in_the_cost(fleet, say):
    """3 nodes x 0.50 $/h x 10 h = 15 $."""
    found = plan(any_of_three(say, num_nodes=3), hours=10, catalog=fleet, now=NOW)
    assert (found.choice.instance_type, found.cost_micro) == ("t4", 15_000_000)


def test_least_time_then_least_cost(fleet, say):
    """The H100 is done first; with equal hours the cheaper one leads."""
    hours = {"H100": 1, "A100": 3, "T4": 10}
    assert order(plan(any_of_three(say), minimize="time", hours=hours, catalog=fleet, now=NOW)) == [
        "h100",
        "a100",
        "t4",
    ]
    assert order(plan(any_of_three(say), minimize="time", hours=2, catalog=fleet, now=NOW))[0] == "t4"


def test_a_deadline_takes_the_cheapest_that_meets_it(fleet, say):
    """Within 4 h the T4 is out; within half an hour all are, and the error says how long each takes."""
    hours = {"H100": 1, "A100": 1.5, "T4": 10}
    found = plan(any_of_three(say), deadline_hours=4, hours=hours, catalog=fleet, now=NOW)
    assert order(found) == ["a100", "h100"]
    assert any("10 h on T4, later than the deadline" in one.reason for one in found.tasks[0].rejected)
    with pytest.raises(NoOfferError, match=r"1 h on H100, later than the deadline"):
        plan(say.task(say.gpu("H100")), deadline_hours=0.5, hours=hours, catalog=fleet, now=NOW)


def test_machines_without_an_estimate_are_not_compared(fleet, say):
    """One hour for some would be a guess against numbers."""
    found = plan(any_of_three(say), hours={"H100": 1, "A100": 3}, catalog=fleet, now=NOW)
    assert order(found) == ["h100", "a100"]
    assert any("no estimate" in one.reason and "T4" in one.reason for one in found.tasks[0].rejected)


def test_measured_runs_count_and_the_user_goes_over_them(fleet, say):
    """Runs of this task by accelerator; the name of another task changes nothing."""
    runs = [Run("train", "T4", 1, 12.0, 5), Run("train", "A100", 1, 2.0, 3), Run("other", "H100", 1, 0.1, 9)]
    found = plan(any_of_three(say), measured=runs, catalog=fleet, now=NOW)
    assert order(found) == ["a100", "t4"]
    assert found.tasks[0].estimate == "median of 3 runs"
    found = plan(any_of_three(say), measured=runs, hours={"H100": 0.5}, catalog=fleet, now=NOW)
    assert order(found) == ["h100", "a100", "t4"]


def test_a_function_may_estimate(fleet, say):
    """Called with the accelerator and its count."""
    found = plan(
        any_of_three(say), hours=lambda name, count: {"H100": 1}.get(name, 20) / count, catalog=fleet, now=NOW
    )
    assert order(found) == ["h100", "t4", "a100"]


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        ({"H1000:8": 1}, "H1000"),
        ({"H100:x": 1}, "'x' is not a count"),
        ({"80GB+:8": 1}, "several"),
        (0, "0 is not a number of hours"),
        (-1, "hours"),
        ({"H100": float("nan")}, "hours for H100"),
        ({"H100": True}, "hours"),
    ],
)
def test_estimates_that_are_none_are_refused(hours, said):
    """By name, with what to write."""
    with pytest.raises(SpecError, match=said):
        Estimates(hours)


def test_the_narrowest_word_wins():
    """TASK/ACCELERATOR:COUNT, TASK/ACCELERATOR, TASK, ACCELERATOR:COUNT, ACCELERATOR, a number for all."""
    words = {"": 9.0, "h100": 8.0, "H100:8": 7.0, "train": 6.0, "train/H100": 5.0, "train/h100-sxm:8": 4.0}
    estimates = Estimates(words)
    assert estimates.seconds("train", "H100", 8) == 4 * 3600
    assert estimates.seconds("train", "H100", 1) == 5 * 3600
    assert estimates.seconds("train", "L4", 1) == 6 * 3600
    assert estimates.seconds("eval", "H100", 8) == 7 * 3600
    assert estimates.seconds("eval", "H100", 1) == 8 * 3600
    assert estimates.seconds("eval", None, None) == 9 * 3600
    assert Estimates({"cpu": 2}).seconds(None, None, None) == 2 * 3600


@given(st.floats(min_value=1e-4, max_value=9e5))
def test_hours_become_whole_seconds(hours):
    """Rounded, and never nothing."""
    assert Estimates(hours).seconds(None, "H100", 1) == max(1, round(hours * 3600))
