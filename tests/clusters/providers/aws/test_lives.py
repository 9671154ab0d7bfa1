"""Machines over time: slow states, stale looks, deeds that lie, and regions that cannot be seen."""

from __future__ import annotations

import time

import msgspec
import pytest

from skynb.errors import ProviderError
from skynb_clusters.contract import Machine
from tests.support.ec2 import REGION
from tests.support.site import until


def look(provider, machine):
    found = provider.list(machine.tags, REGION).machines
    return found[0] if found else None


def test_slow_states_have_names(provider, cloud, ask):
    """pending, stopping, terminating: each is seen while it lasts."""
    cloud.set(pending_s=0.6, stopping_s=0.6, ending_s=0.6)
    made = provider.create(ask())
    assert made.state == "pending"
    until(lambda: look(provider, made).state == "running")
    provider.stop(made)
    assert look(provider, made).state == "stopping"
    until(lambda: (seen := look(provider, made)).state == "stopped" and seen.ended_by == "request")
    provider.start(made)
    assert look(provider, made).state == "pending"
    until(lambda: look(provider, made).state == "running")
    provider.terminate(made)
    assert look(provider, made).state == "terminating"
    until(lambda: look(provider, made).state == "terminated")


def test_every_deed_may_be_done_twice(provider, ask):
    """Starting what runs, stopping what is off, ending what has ended."""
    made = provider.create(ask())
    provider.start(made)
    provider.stop(made)
    provider.stop(made)
    provider.start(made)
    provider.terminate(made)
    provider.terminate(made)
    assert look(provider, made).state == "terminated"
    with pytest.raises(ProviderError):
        provider.start(made)


def test_ending_an_absent_machine_does_nothing(provider, cloud):
    """skypilot#632: ended elsewhere, forgotten by EC2, with and without its region known."""
    nobody = Machine(id="i-0123456789abcdef0", token="", state="running", tags={}, place=REGION)
    provider.terminate(nobody)
    provider.terminate(msgspec.structs.replace(nobody, place=""))
    for deed in (provider.start, provider.stop):
        with pytest.raises(ProviderError) as caught:
            deed(nobody)
        assert caught.value.retryable == "unknown"


def test_a_machine_whose_region_is_not_known_is_ended(provider, cloud, ask):
    """Only its id is known, as after a crash: it is found wherever it is."""
    made = provider.create(ask(region="eu-west-1", zone="eu-west-1a"))
    provider.terminate(Machine(id=made.id, token="", state="running", tags={}))
    assert cloud.instances("eu-west-1") == []


def test_a_fresh_machine_may_not_be_seen_at_once(provider, cloud, ask):
    """skypilot#4431: the look says nothing, and the window that the provider declares covers it."""
    cloud.set(invisible_s=0.5)
    made = provider.create(ask())
    assert look(provider, made) is None
    assert provider.capabilities.consistency_s >= 30
    until(lambda: look(provider, made))


def test_an_end_that_lies_is_seen_as_it_is(provider, cloud, ask):
    """Skypilot PR#4443: accepted, not done; the look says running, and the next call does it."""
    made = provider.create(ask())
    cloud.set(lie={"TerminateInstances": 1})
    provider.terminate(made)
    assert look(provider, made).state == "running"
    provider.terminate(made)
    assert look(provider, made).state == "terminated"


def test_foreign_machines_are_never_listed(provider, cloud, ask):
    """What skynb did not make is not shown, whatever is asked for."""
    image = provider.create(ask())
    ami = cloud.instances()[0]["ImageId"]
    cloud.client().run_instances(ImageId=ami, MinCount=1, MaxCount=1, InstanceType="m5.large")
    listed = provider.list({}, REGION).machines
    assert [machine.id for machine in listed if machine.state == "running"] == [image.id]


def test_many_pages_are_one_list(provider, cloud, ask):
    """No page is left out, and every tag must hold."""
    made = {provider.create(ask(tags={"skynb-owner": "o", "n": str(n)})).id for n in range(12)}
    assert {machine.id for machine in provider.list({"skynb-owner": "o"}, REGION).machines} >= made
    assert len(provider.list({"skynb-owner": "o", "n": "3"}, REGION).machines) == 1


def test_everywhere_is_every_region(provider, ask):
    """Machines of two regions in one look, each with its place."""
    here, there = provider.create(ask()), provider.create(ask(region="eu-west-1", zone="eu-west-1a"))
    owner = {"skynb-owner": here.tags["skynb-owner"]}
    listing = provider.list(owner)
    assert {(machine.id, machine.place) for machine in listing.machines} == {
        (here.id, REGION),
        (there.id, "eu-west-1"),
    }
    assert listing.blind == ()
    provider.terminate(there)


def test_a_region_that_fails_is_blind_and_the_others_are_seen(provider, cloud, ask):
    """One error hides one region; an error everywhere is an error."""
    made = provider.create(ask())
    provider.list({})  # the regions are known from here on
    cloud.fail("DescribeInstances", "UnauthorizedOperation", times=1)
    listing = provider.list(made.tags)
    assert len(listing.blind) == 1
    assert bool(listing.machines) == (REGION not in listing.blind)
    cloud.fail("DescribeInstances", "UnauthorizedOperation", times=999)
    with pytest.raises(Exception, match="identity may not"):
        provider.list(made.tags)


def test_one_region_that_fails_raises(provider, cloud):
    """An error never becomes an empty answer."""
    cloud.fail("DescribeInstances", "InternalError", status=500, times=2)
    with pytest.raises(ProviderError):
        provider.list({}, REGION)


def test_an_ended_machine_leaves_no_disk(provider, cloud, ask):
    """Nothing that is billed is left."""
    made = provider.create(ask())
    assert len(cloud.client().describe_volumes()["Volumes"]) == 1
    provider.terminate(made)
    assert cloud.client().describe_volumes()["Volumes"] == []
    assert cloud.client().describe_addresses()["Addresses"] == []


def test_its_age_is_that_of_the_machine(provider, ask):
    """Seconds since the epoch."""
    assert abs(provider.create(ask()).created_at - time.time()) < 120


def test_strangers_are_what_skynb_did_not_rent(provider, cloud, ask):
    """They are told of, and can be ended where that is asked."""
    provider.create(ask())
    image = cloud.instances()[0]["ImageId"]
    [foreign] = cloud.client().run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1)[
        "Instances"
    ]
    [stranger] = [one for one in provider.strangers().machines if one.state != "terminated"]
    assert (stranger.id, stranger.instance_type) == (foreign["InstanceId"], "m5.large")
    provider.terminate(stranger)
    states = {one["InstanceId"]: one["State"]["Name"] for one in cloud.instances()}
    assert states.get(stranger.id, "terminated") in {"shutting-down", "terminated"}
    assert len(provider.list({"skynb-owner": ask().tags["skynb-owner"]}).machines) == 1
