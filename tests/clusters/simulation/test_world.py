"""The simulated cloud by itself: what it remembers, what it charges, how its prices wander."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.errors import CapacityError, ProviderError
from skynb_clusters.contract import NodeRequest
from skynb_clusters.deciders.money import cost
from skynb_clusters.providers.sim.bill import Span, charge
from skynb_clusters.providers.sim.faults import parse_faults
from skynb_clusters.providers.sim.market import Market
from skynb_clusters.providers.sim.units import Memory, Terms
from skynb_clusters.providers.sim.world import World
from skynb_clusters.records import Offer
from tests.conftest import ManualClock


def world(clock: ManualClock, faults: str = "", **options) -> World:
    memory = Memory(seed="1", began_at=clock.now(), faults=parse_faults(faults))
    return World(memory, clock.now, **options)


def request(token: str = "t", **changes) -> NodeRequest:
    place = {"region": "aws/us-east-1", "zone": "us-east-1a", "instance_type": "g5.xlarge"}
    options = {"token": token, "name": "n", "tags": {"skynb-record": "r"}, "hourly_micro": 3_600_000}
    return NodeRequest(**{**options, **place, **changes})


def test_a_machine_takes_its_time(clock):
    """Pending, running, terminating, terminated, forgotten; the same token is the same machine meanwhile."""
    here = world(clock)
    made = here.create(request())
    assert made.state == "pending"
    clock.time += 60
    assert here.create(request()).state == "running"
    here.terminate(made.id)
    assert here.list({}).machines[0].state == "terminating"
    clock.time += 60
    assert here.list({}).machines[0].state == "terminated"
    clock.time += 7200
    assert here.list({}).machines == ()
    with pytest.raises(ProviderError, match="has ended"):
        here.create(request())


def test_a_world_is_plain_data(clock, tmp_path):
    """Written to a file and read again, it goes on as if nothing had been."""
    here = world(clock, "list-stale chance=0.5; preempted-30s-notice")
    made = here.create(request())
    path = Path(tmp_path / "world.json")
    path.write_bytes(msgspec.json.encode(here.memory))
    again = World(msgspec.json.decode(path.read_bytes(), type=Memory), clock.now)
    clock.time += 170
    for one in (here, again):
        unit = one.unit(made.id)
        assert (unit.state, len(unit.notices)) == ("running", 1)
    clock.time += 600
    assert here.list({}) == again.list({})
    assert here.bill() == again.bill()


@given(hourly=st.integers(0, 10**9), seconds=st.floats(0, 10**7, allow_nan=False))
def test_the_cloud_and_the_ledger_round_alike(hourly, seconds):
    """Two sums written apart, the bill's and the ledger's, agree for every price and time."""
    assert charge(Span(0.0, hourly, seconds), 0.0) == cost(
        Offer(cloud="x", instance_type="y", hourly_micro=hourly), seconds
    )


def test_a_stopped_machine_costs_nothing_and_each_start_is_a_line(clock):
    """An hour on, an hour off, an hour on: two hours on the bill."""
    here = world(clock)
    made = here.create(request())
    for _ in range(2):
        clock.time += 3600
        here.stop(made.id)
        clock.time += 3600
        here.start(made.id)
    here.terminate(made.id)
    assert [line.micro_usd for line in here.bill()] == [3_600_000, 3_600_000, 0]


def test_faults_have_place_type_count_and_time(clock):
    """One strikes in its zone, for its type, so often and in its time; elsewhere nothing happens."""
    here = world(clock, "no-capacity-zone place=aws/us-east-1/us-east-1a type=g5.* times=1 after=10 until=20")
    here.create(request("early"))
    clock.time += 10
    here.create(request("elsewhere", zone="us-east-1b"))
    here.create(request("other", instance_type="p4d.24xlarge"))
    with pytest.raises(CapacityError) as caught:
        here.create(request("there"))
    assert caught.value.disproves == "zone"
    here.create(request("there"))
    assert len(here.list({}).machines) == 4


def test_two_clouds_of_one_region_are_two_places(clock):
    """A fault of `aws/us-east-1` does not strike in `aws/us-east-10`."""
    here = world(clock, "no-capacity-region place=aws/us-east-1")
    here.create(request(region="aws/us-east-10"))
    with pytest.raises(CapacityError):
        here.create(request("b"))


def test_prices_wander_and_come_back():
    """The same seed gives the same walk, another one another; it stays near the usual price."""
    market, same, other = Market("1", 0.0), Market("1", 0.0), Market("2", 0.0)
    times = [step * 3600.0 for step in range(500)]
    walk = [market.factor("zone type", at) for at in times]
    assert walk == [same.factor("zone type", at) for at in times]
    assert walk != [other.factor("zone type", at) for at in times]
    assert 0.4 < min(walk) < 1 < max(walk) < 2.5


def test_spot_machines_are_taken_when_the_price_is_high(clock):
    """The interruption is where the walk says, with a notice two minutes before; on-demand stays."""
    market = Market("3", clock.now(), swing=0.1)
    taken = market.taken_at("aws/us-east-1/us-east-1a g5.xlarge", clock.now())
    here = world(clock, market=market, terms=Terms(boot_s=1.0))
    spot, kept = here.create(request("spot", spot=True)), here.create(request("kept"))
    clock.time = taken - 60
    assert len(here.unit(spot.id).notices) == 1
    clock.time = taken + 1
    assert here.unit(spot.id).ended_by == "preemption"
    assert here.unit(kept.id).state == "running"
