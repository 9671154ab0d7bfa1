"""The odds of finishing under preemption, against what is known in closed form."""

from __future__ import annotations

from math import exp, expm1, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.planning.odds import Work, expected_hours, odds, simulated_hours

WORKS = [
    Work(5, preemptions=0.2),
    Work(5, nodes=4, preemptions=0.1, restart_minutes=10),
    Work(24, preemptions=0.1, checkpoint_minutes=30, restart_minutes=5),
    Work(100, nodes=8, preemptions=0.05, checkpoint_minutes=45, restart_minutes=6),  # many, drawn as a sum
    Work(7.3, preemptions=1, checkpoint_minutes=60, restart_minutes=3),  # a shorter last stretch
    Work(6, preemptions=1),  # hundreds of attempts
]


def walked(work, rng):
    """One trial, preemption by preemption."""
    rate, step = work.nodes * work.preemptions, (work.checkpoint_minutes or inf) / 60
    done = spent = 0.0
    while True:
        lasts = rng.expovariate(rate)
        if done + lasts >= work.hours:
            return spent + work.hours - done
        spent += lasts + work.restart_minutes / 60
        if step < inf:
            done += step * ((lasts + 1e-12) // step)


def test_without_preemption_nothing_is_left_to_chance():
    """The hours, the money and the deadline are what they are."""
    work = Work(10, nodes=4, hourly_micro=3_000_000, deadline_hours=10)
    assert odds(work) == (10, 10, 30_000_000, 30_000_000, 1.0)
    assert odds(work._replace(deadline_hours=9.9)).in_time == 0
    assert odds(work._replace(deadline_hours=None)).in_time is None


@pytest.mark.parametrize("hours", [0.5, 3, 10])
def test_starting_over_takes_its_known_time(hours):
    """(exp(rate x hours) - 1) / rate on average, and exp(-rate x hours) to be done without a loss."""
    work = Work(hours, nodes=2, preemptions=0.15, deadline_hours=hours, hourly_micro=10**6)
    assert expected_hours(work) == pytest.approx(expm1(0.3 * hours) / 0.3)
    assert odds(work).expected_micro == round(expected_hours(work) * 10**6)
    assert odds(work, trials=20_000).in_time == pytest.approx(exp(-0.3 * hours), abs=0.015)


@pytest.mark.parametrize("work", WORKS)
def test_trials_agree_with_the_mean_and_with_a_walk(work):
    """The mean of many trials is the exact one; the quantiles are those of a plain simulation."""
    from random import Random

    hours = simulated_hours(work, trials=20_000)
    assert sum(hours) / len(hours) == pytest.approx(expected_hours(work), rel=0.03)
    rng = Random(1)
    plain = sorted(walked(work, rng) for _ in range(3_000))
    for part in (0.1, 0.5, 0.9):
        assert hours[int(part * 20_000)] == pytest.approx(plain[int(part * 3_000)], rel=0.12)


@given(
    hours=st.floats(0, 200),
    nodes=st.integers(1, 64),
    rate=st.floats(0, 2),
    checkpoint=st.none() | st.floats(0.1, 600),
    restart=st.floats(0, 60),
    seed=st.integers(0, 9),
)
def test_odds_of_anything(hours, nodes, rate, checkpoint, restart, seed):
    """Same seed, same odds; no less than the work itself; and where it never ends nothing is promised."""
    work = Work(hours, nodes, rate, checkpoint, restart, 10**6, deadline_hours=hours * 2)
    found = odds(work, trials=60, seed=seed)
    assert found == odds(work, trials=60, seed=seed)
    if expected_hours(work) == inf:
        assert found.p50_hours is found.expected_micro is None
    else:
        assert hours - 1e-9 <= found.p50_hours <= found.p90_hours
        assert found.expected_micro >= round(hours * 10**6) - 1
    assert 0 <= found.in_time <= 1


def test_checkpoints_help():
    """The more often, the sooner it ends."""
    works = [
        Work(12, preemptions=0.3, checkpoint_minutes=minutes, restart_minutes=5)
        for minutes in (5, 30, 120, None)
    ]
    means = [expected_hours(work) for work in works]
    assert means == sorted(means)
    medians = [odds(work).p50_hours for work in works]
    assert medians == sorted(medians)


def test_numbers_below_zero_are_refused():
    """They are a mistake of the caller."""
    with pytest.raises(ValueError, match="below 0"):
        odds(Work(-1))
    with pytest.raises(ValueError, match="too often"):
        odds(Work(1, checkpoint_minutes=0))
