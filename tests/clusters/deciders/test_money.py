"""No budget is ever passed: what is reserved and settled stays below the cap at every step."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from skynb_clusters.deciders.money import END_S, LEAST_S
from skynb_clusters.records import ClusterState
from tests.support.world import OFFERS, World

HOUR = OFFERS[0].hourly_micro


def live(world: World, seconds: float, step_s: float = 5.0) -> None:
    """Let the world go on for so long, and hold the promise at every step."""
    end = world.now + seconds
    while world.now < end:
        world.step_cluster()
        for rank in range(len(world.nodes)):
            world.step_node(rank)
            assert world.cap is None or world.committed <= world.cap
        world.now += step_s


def test_a_capped_cluster_reserves_its_whole_envelope_before_it_rents():
    """Two nodes, an envelope of ten hours: twenty machine-hours are held before the first create."""
    world = World(cap=100 * HOUR, envelope_s=36_000.0)
    world.settle()
    assert world.cluster.status == "UP"
    assert world.committed == 20 * HOUR


def test_a_cap_below_the_envelope_is_shared_evenly_and_the_nodes_know_their_end():
    """$6 for two nodes of $3.60 an hour: half each, and both are told until when that lasts."""
    world = World(cap=HOUR * 2)
    world.settle()
    live(world, 60)
    assert world.cluster.status == "UP"
    assert world.committed == HOUR * 2
    assert len({until for until in world.paid if until}) >= 1
    begun = world.state(0).billed_from
    assert max(until for until in world.paid if until) <= begun + 3600 + 1


def test_too_little_money_rents_nothing_and_says_why():
    """Less than a quarter of an hour for all nodes: refused, no machine, no retry elsewhere."""
    world = World(cap=HOUR * 2 * LEAST_S // 3600 - 10)
    world.settle()
    assert world.cluster.status == "FAILED"
    assert world.created == []
    assert world.cluster.state_as(ClusterState).error["code"] == "budget"


def test_a_cluster_ends_before_its_money_does():
    """An hour for each node: stopped by the server END_S before, nothing runs past it, the cap is kept."""
    world = World(cap=HOUR * 2)
    world.settle()
    begun = world.state(0).billed_from
    live(world, 3600 - END_S - (world.now - begun) - 30)
    assert world.cluster.status == "UP"
    live(world, END_S)
    assert world.cluster.status == "STOPPED"
    assert world.cluster.reason == "the budget is used up"
    assert world.living() == []
    assert world.committed <= world.cap
    assert "budget.spent" in world.events


def test_money_that_comes_free_lets_the_work_go_on():
    """A raised cap is used for the envelope before the node has to end."""
    world = World(cap=HOUR * 2, envelope_s=7200.0)
    world.settle()
    live(world, 1800)
    world.cap = HOUR * 20
    live(world, 7200)
    assert world.cluster.status == "UP"


def test_without_a_cap_nothing_is_told_and_nothing_ends():
    """No budget: a day passes, the node is never limited."""
    world = World()
    world.settle()
    live(world, 86_400, step_s=60)
    assert world.cluster.status == "UP"
    assert world.paid == {}


@settings(max_examples=60)
@given(
    cap=st.integers(0, 30 * HOUR),
    envelope_s=st.integers(900, 40_000),
    lanes=st.integers(1, 2),
    refused=st.sets(st.sampled_from(["small", "other"])),
    unseen=st.lists(st.integers(0, 400), max_size=3),
)
def test_whatever_happens_the_cap_holds(cap, envelope_s, lanes, refused, unseen):
    """G7: any cap, envelope, race and refusals, with the infra out of sight at times."""
    disproved = dict.fromkeys(refused, "capacity")
    world = World(cap=cap, envelope_s=float(envelope_s), lanes=lanes, disproved=disproved)
    for step in range(400):
        world.unseen = step in unseen
        live(world, 60, step_s=30)
    if world.cluster.status != "UP":
        world.unseen = False
        live(world, 300)
        assert world.living() == []
