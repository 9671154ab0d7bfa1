"""Placements are the best there are: against trying everything, and by what must hold of any best."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skynb.planning.placement import (
    Edge,
    Goal,
    NoPlacementError,
    Option,
    PlacementError,
    Tariff,
    Transfer,
    place,
)
from tests.support.depth import examples
from tests.support.placements import best, options_like_a_catalog, small, worth

TARIFF = Tariff()
SEEDS = st.integers(0, 2**32)
GOALS = [
    Goal(),
    Goal("time"),
    *(Goal(one, limit) for one in ("cost", "time") for limit in (0, 100, 3600, 10_000)),
]


def problem(seed):
    return small(Random(seed))


def slower_twin(ways, number):
    """Whether another option is in the same place, no dearer and quicker."""
    mine = ways[number]
    return any(way[:2] == mine[:2] and way.micro <= mine.micro and way.seconds < mine.seconds for way in ways)


def answer(options, edges, goal):
    """What `place` finds, in the words of `best`; its own sums are checked on the way."""
    if best(options, edges, goal, TARIFF) is None:
        with pytest.raises(NoPlacementError) as refusal:
            place(options, edges, goal, TARIFF)
        assert refusal.value.proved
        assert (refusal.value.least_seconds,) == best(options, edges, Goal("time"), TARIFF)[:1]
        return None
    found = place(options, edges, goal, TARIFF)
    assert (found.micro, found.seconds) == worth(options, edges, TARIFF, found.chosen)
    assert found.exact
    assert found.bound == (found.seconds if goal.minimize == "time" else found.micro)
    return (found.seconds, found.micro) if goal.minimize == "time" else (found.micro,)


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"{goal.minimize}-{goal.deadline_seconds}")
def test_nothing_is_better_on_hundreds_of_small_dags(goal):
    """Cost, time and deadlines: the same value as trying every placement, or the same refusal."""
    for seed in range(300):
        options, edges = problem(seed)
        assert answer(options, edges, goal) == best(options, edges, goal, TARIFF), seed


@given(seed=SEEDS, goal=st.sampled_from(["cost", "time"]), limit=st.none() | st.integers(0, 20_000))
@settings(max_examples=examples(300))
def test_nothing_is_better_whatever_the_deadline(seed, goal, limit):
    """As above, for deadlines that fall anywhere."""
    options, edges = problem(seed)
    wanted = Goal(goal, limit)
    assert answer(options, edges, wanted) == best(options, edges, wanted, TARIFF)


@pytest.mark.parametrize("shape", ["chain", "star in", "star out", "mixed tree", "diamond", "clique", "none"])
def test_every_shape(shape):
    """Chains, trees in any direction, diamonds, cliques and lone tasks are all exact, for both goals."""
    pairs = {
        "chain": [(0, 1), (1, 2), (2, 3), (3, 4)],
        "star in": [(0, 4), (1, 4), (2, 4), (3, 4)],
        "star out": [(4, 0), (4, 1), (4, 2), (4, 3)],
        "mixed tree": [(0, 2), (1, 2), (2, 3), (4, 3)],
        "diamond": [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)],
        "clique": [(first, then) for then in range(5) for first in range(then)],
        "none": [],
    }[shape]
    for seed in range(8):
        rng = Random(seed)
        options = [options_like_a_catalog(rng, 3) for _ in range(5)]
        edges = [Edge(first, then, rng.uniform(0, 300)) for first, then in pairs]
        slow = place(options, edges).seconds
        fast = place(options, edges, Goal("time")).seconds
        for goal in (Goal(), Goal("time"), Goal("cost", (slow + fast) // 2)):
            assert answer(options, edges, goal) == best(options, edges, goal, TARIFF), seed


def test_data_keeps_tasks_together():
    """A cheaper machine is not worth it once moving the data costs more than it saves."""
    options = [
        [Option("aws", "us-east-1", 5_000_000, 60)],
        [Option("aws", "us-east-1", 5_000_000, 60), Option("lambda", "", 1_000_000, 60)],
    ]
    assert place(options, [Edge(0, 1, 10)]).chosen == (0, 1)
    assert place(options, [Edge(0, 1, 100)]).chosen == (0, 0)


def test_transfers_are_told_edge_by_edge():
    """Parallel edges are priced each by itself and told in the order given."""
    options = [[Option("aws", "a", 0, 0)], [Option("aws", "b", 0, 0)], [Option("gcp", "", 0, 0)]]
    found = place(options, [Edge(1, 2, 10), Edge(0, 1, 10), Edge(0, 1, 0)])
    assert found.transfers == (Transfer(900_000, 8), Transfer(200_000, 8), Transfer(0, 0))
    assert (found.micro, found.seconds) == (1_100_000, 16)


def test_no_tasks_cost_nothing():
    """An empty DAG is placed."""
    assert place([], []).micro == 0


@given(seed=SEEDS)
def test_one_more_option_never_makes_it_dearer(seed):
    """And one fewer never cheaper."""
    rng = Random(seed)
    options, edges = small(rng)
    task = rng.randrange(len(options))
    more = [*options]
    more[task] = [*options[task], Option("aws", "a", rng.randint(0, 10**6), rng.randint(0, 100))]
    assert place(more, edges).micro <= place(options, edges).micro
    assert place(more, edges, Goal("time")).seconds <= place(options, edges, Goal("time")).seconds


@given(seed=SEEDS, times=st.integers(2, 1000))
def test_prices_scale(seed, times):
    """If every price is so many times as high, so is the sum."""
    options, _ = problem(seed)
    edges = [Edge(0, 1, 0)] if len(options) > 1 else []
    dearer = [[way._replace(micro=way.micro * times) for way in ways] for ways in options]
    assert place(dearer, edges).micro == times * place(options, edges).micro


@given(seed=SEEDS, limit=st.integers(0, 10_000), more=st.integers(0, 10_000))
def test_more_time_is_never_dearer(seed, limit, more):
    """A later deadline costs as much or less."""
    options, edges = problem(seed)
    least = place(options, edges, Goal("time")).seconds
    costs = [place(options, edges, Goal("cost", least + wait)).micro for wait in (limit, limit + more)]
    assert costs[1] <= costs[0]


@given(seed=SEEDS)
def test_the_order_of_options_decides_nothing_but_ties(seed):
    """Options in another order cost the same, and no task alone could take an earlier option for the same."""
    rng = Random(seed)
    options, edges = small(rng)
    found = place(options, edges)
    assert place([rng.sample(ways, len(ways)) for ways in options], edges).micro == found.micro
    for task, own in enumerate(found.chosen):
        for other in range(own):
            if slower_twin(options[task], other):
                continue
            chosen = [*found.chosen[:task], other, *found.chosen[task + 1 :]]
            assert worth(options, edges, TARIFF, chosen)[0] > found.micro


def test_equal_options_are_taken_from_the_front():
    """Where nothing tells options apart the first is taken."""
    options = [[Option("aws", "a", 7, 7)] * 3, [Option("aws", "a", 7, 7)] * 3]
    for goal in (Goal(), Goal("time"), Goal("cost", 14)):
        assert place(options, [Edge(0, 1, 5)], goal).chosen == (0, 0)


def test_thirty_tasks_are_proved():
    """Large DAGs with many options each end with a proof; the same input gives the same answer."""
    for seed in range(3):
        rng = Random(seed)
        options = [options_like_a_catalog(rng, 60) for _ in range(30)]
        edges = [
            Edge(first, then, rng.uniform(0, 1000))
            for then in range(30)
            for first in range(then)
            if rng.random() < 0.15
        ]
        found = place(options, edges)
        assert found.exact
        assert found.bound == found.micro
        assert place(options, edges) == found


def test_what_is_not_proved_is_not_claimed():
    """With too little effort the answer is in time, is not called exact, and bounds the best from below."""
    rng = Random(1)
    options = [options_like_a_catalog(rng, 60) for _ in range(10)]
    edges = [
        Edge(first, first + step, rng.uniform(0, 300))
        for first in range(10)
        for step in (1, 2, 3)
        if first + step < 10
    ]
    limit = (place(options, edges).seconds + place(options, edges, Goal("time")).seconds) // 2
    proved = place(options, edges, Goal("cost", limit))
    hasty = place(options, edges, Goal("cost", limit), effort=0)
    assert proved.exact
    assert not hasty.exact
    assert hasty.seconds <= limit
    assert hasty.bound <= proved.micro <= hasty.micro


@pytest.mark.parametrize(
    ("options", "edges", "what"),
    [
        ([[]], [], "task 0 has no options"),
        ([[Option("aws", "", -1, 0)]], [], "negative"),
        ([[Option("aws", "", 0, 0)]], [Edge(0, 1, 1)], "there are 1 tasks"),
        ([[Option("aws", "", 0, 0)]], [Edge(0, 0, 1)], "wait for each other"),
        ([[Option("aws", "", 0, 0)]] * 2, [Edge(0, 1, 1), Edge(1, 0, 1)], "tasks 0, 1 wait"),
        ([[Option("aws", "", 0, 0)]] * 2, [Edge(0, 1, float("nan"))], "nan GB"),
        ([[Option("aws", "", 0, 0)]] * 2, [Edge(0, 1, -1)], "-1 GB"),
    ],
)
def test_a_problem_that_cannot_be_read_is_refused(options, edges, what):
    """The error names the first thing that is wrong."""
    with pytest.raises(PlacementError, match=what):
        place(options, edges)


def test_a_deadline_that_cannot_be_met_says_what_can():
    """The least possible seconds come with the refusal."""
    options = [[Option("aws", "", 1, 50), Option("aws", "", 9, 40)], [Option("gcp", "", 1, 2)]]
    with pytest.raises(NoPlacementError, match="least possible is 50 s") as caught:
        place(options, [Edge(0, 1, 10)], Goal("cost", 49))
    assert (caught.value.deadline_seconds, caught.value.least_seconds) == (49, 50)
