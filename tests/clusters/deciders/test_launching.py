"""A launch finishes: offers in order, what refusals disprove, races, the search beyond the plan, waiting."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from skynb_clusters.records import ClusterState, Offer
from tests.support.world import World

ZONES = tuple(
    Offer(cloud="x", region=region, zone=f"{region}{zone}", instance_type=f"t-{region}{zone}", hourly_micro=1)
    for region in ("east", "west")
    for zone in "abc"
)


def state(world: World) -> ClusterState:
    return world.cluster.state_as(ClusterState)


def tried(world: World) -> list[str]:
    return [entry["offer"]["instance_type"] for entry in state(world).tried]


def unspent(world: World) -> bool:
    return world.money["reserve"] == world.money["settle"] + world.money["release"]


def test_offers_are_tried_in_the_plans_order_until_one_can_be_had():
    """Three zones without capacity: the fourth is taken, and each refusal is kept with its reason."""
    world = World(offers=ZONES, disproved={f"t-east{zone}": "capacity" for zone in "abc"})
    world.settle()
    assert world.cluster.status == "UP"
    assert tried(world) == ["t-easta", "t-eastb", "t-eastc"]
    assert world.state(0).offer == ZONES[3]


def test_a_refusal_takes_away_what_it_disproves_and_nothing_else():
    """A region that refuses is not asked zone by zone; a zone that does says nothing of the next."""
    world = World(offers=ZONES, disproved={"t-easta": "region"})
    world.settle()
    assert tried(world) == ["t-easta"]
    assert world.state(0).offer == ZONES[3]


def test_when_the_plan_is_used_up_the_catalog_is_searched_once():
    """What lies beyond the plan's offers is tried before the launch is given up."""
    beyond = (msgspec.structs.replace(ZONES[0], region="far", zone=None, instance_type="t-far"),)
    refused = {offer.instance_type: "capacity" for offer in ZONES}
    world = World(offers=ZONES, further=beyond, disproved=refused)
    world.settle()
    assert world.cluster.status == "UP"
    assert world.state(0).offer == beyond[0]


def test_out_of_offers_says_how_many_were_tried_and_why_the_last_was_refused():
    """FAILED, final, nothing left; the error names the count and the last reason."""
    world = World(offers=ZONES, disproved={offer.instance_type: "capacity" for offer in ZONES})
    world.settle()
    assert world.cluster.status == "FAILED"
    assert world.machines == {}
    assert "6 offers" in state(world).error["what"]
    assert "none free" in state(world).error["why"]


def test_retry_until_up_waits_and_goes_on_when_capacity_comes_back():
    """With retry the launch pauses, and takes the best offer that is not refused any more."""
    world = World(offers=ZONES, retry=True, disproved={offer.instance_type: "capacity" for offer in ZONES})
    world.settle()
    assert world.cluster.status == "INIT"
    assert state(world).phase == "waiting"
    assert world.machines == {}
    assert unspent(world)
    world.disproved.clear()
    world.now += 31.0
    world.settle()
    assert world.cluster.status == "UP"
    assert world.state(0).offer == ZONES[0]


def test_down_while_waiting_ends_the_launch():
    """A launch that waits for capacity is ended like any other."""
    world = World(offers=ZONES, retry=True, disproved={offer.instance_type: "capacity" for offer in ZONES})
    world.settle()
    world.ask("TERMINATED")
    world.settle()
    assert world.cluster.status == "TERMINATED"


def test_of_two_raced_offers_the_first_whole_gang_stays_and_the_other_ends_at_once():
    """Two lanes create in parallel; one wins; the loser's machines and its money are given back."""
    world = World(offers=ZONES, lanes=2)
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.created) == 4
    assert len(world.living()) == 2
    assert all(node.final for node in world.nodes[2:])
    world.ask("TERMINATED")
    world.settle()
    assert world.cluster.final
    assert all(node.final for node in world.nodes)
    assert world.machines == {}
    assert unspent(world)


def test_a_lane_that_cannot_be_had_takes_the_next_offer_while_the_other_goes_on():
    """The first zone refuses; the second lane wins, and its offer is the cluster's."""
    world = World(offers=ZONES, lanes=2, disproved={"t-easta": "capacity"})
    world.settle()
    assert world.cluster.status == "UP"
    assert state(world).lane == 1
    assert world.state(2).offer == ZONES[1]
    assert world.cluster.state_as(ClusterState).offer == 1


def test_a_race_with_fewer_offers_than_lanes_creates_nothing_for_the_spare_lane():
    """Two lanes and one offer: one gang, no second machine of the same offer."""
    world = World(offers=ZONES[:1], lanes=2)
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.created) == 2


def test_stop_during_a_race_ends_the_other_lane():
    """Stopped while two lanes run: one gang is kept off, nothing of the other is left."""
    world = World(offers=ZONES, lanes=2)
    for _ in range(2):
        world.step_cluster()
        for rank in range(4):
            world.step_node(rank)
    world.ask("STOPPED")
    world.settle()
    assert world.cluster.status == "STOPPED"
    assert world.living() == []
    world.ask("UP")
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.living()) == 2


@given(
    refused=st.dictionaries(
        st.sampled_from([offer.instance_type for offer in ZONES]),
        st.sampled_from(["capacity", "zone", "type", "quota", "region"]),
    ),
    lanes=st.integers(1, 3),
    gone=st.booleans(),
)
def test_whatever_is_refused_a_launch_ends_whole_or_leaves_nothing(refused, lanes, gone):
    """Any set of refusals: UP on an offer that nobody refused with one gang, or FAILED with nothing left."""
    world = World(offers=ZONES, lanes=lanes, disproved=refused)
    world.settle(200)
    if world.cluster.status == "UP":
        offer = world.state(state(world).lane * 2).offer
        assert offer is not None
        assert offer.instance_type not in refused
        assert len(world.living()) == 2
    else:
        assert world.cluster.status == "FAILED"
        assert world.machines == {}
    if gone:
        world.ask("TERMINATED")
        world.settle(200)
        assert world.machines == {}
        assert all(node.final for node in world.nodes)
    if world.cluster.final:
        assert unspent(world)
