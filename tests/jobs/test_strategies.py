"""Recovery strategies: where a task goes next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.errors import SpecError
from skynb_clusters.records import Offer
from skynb_jobs.strategies import Past, ordered, strategy, zone_of

OFFERS = st.lists(
    st.builds(
        Offer,
        cloud=st.sampled_from(["aws", "gcp"]),
        region=st.sampled_from(["east", "west", None]),
        zone=st.sampled_from(["a", "b", None]),
        instance_type=st.sampled_from(["small", "large"]),
        spot=st.booleans(),
        hourly_micro=st.integers(0, 10_000_000),
    ),
    min_size=1,
    max_size=12,
    unique=True,
)


def offer(region: str, price: int, *, zone: str = "a", spot: bool = True) -> Offer:
    return Offer(
        cloud="aws",
        region=region,
        zone=zone,
        instance_type="large",
        spot=spot,
        hourly_micro=price * 1_000_000,
    )


@given(offers=OFFERS, lost=OFFERS, name=st.sampled_from(["CHEAPEST", "EAGER_NEXT_REGION", "FAILOVER"]))
def test_a_strategy_loses_and_invents_nothing(offers, lost, name):
    """Every offer of the plan is tried, each once."""
    found = ordered(offers, Past(lost=tuple(lost)), name)
    assert sorted(found, key=repr) == sorted(offers, key=repr)


def test_eager_next_region_leaves_the_region_that_took_the_machine():
    """Another region first, in the plan's order; the old one is the last resort."""
    offers = [offer("east", 1), offer("east", 2, zone="b"), offer("west", 3), offer("north", 4)]
    found = ordered(offers, Past(lost=(offer("east", 1),)), "EAGER_NEXT_REGION")
    assert [one.region for one in found] == ["west", "north", "east", "east"]


def test_failover_stays_first():
    """The region of the last attempt first, then elsewhere."""
    offers = [offer("east", 1), offer("west", 3), offer("west", 5, zone="b")]
    found = ordered(offers, Past(lost=(offer("west", 3),)), "failover")
    assert [one.region for one in found] == ["west", "west", "east"]


def test_the_cheapest_counts_what_preemptions_take():
    """A zone that takes machines every hour is dearer than its price; quiet ones keep theirs."""
    rough, calm = offer("east", 10), offer("west", 11)
    assert ordered([rough, calm], Past(), "CHEAPEST")[0] == rough
    hours = {zone_of(rough): 200.0, zone_of(calm): 200.0}
    past = Past(hours=hours, preemptions={zone_of(rough): 200, zone_of(calm): 0})
    assert ordered([rough, calm], past, "CHEAPEST")[0] == calm


def test_machines_that_nobody_takes_cost_their_price():
    """On-demand machines have no preemptions, whatever happened in their zone."""
    demand = offer("east", 10, spot=False)
    assert (
        Past(hours={zone_of(demand): 1.0}, preemptions={zone_of(demand): 50}).hourly_preemptions(demand) == 0
    )


def test_alternatives_that_the_task_ranks_stay_ranked():
    """`ordered` is the user's word, and stands before prices."""
    dear, cheap = offer("east", 10), offer("west", 1)
    assert ordered([dear, cheap], Past(ordered=True), "CHEAPEST") == (dear, cheap)


def test_an_unknown_strategy_is_named_with_those_that_there_are():
    """A wrong word is one clear message."""
    with pytest.raises(SpecError, match="EAGER_NEXT_REGION"):
        strategy("EAGER")
