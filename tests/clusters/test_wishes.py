"""What a task wishes of its machines, and which infra can fulfil it."""

import msgspec
import pytest

from skynb.spec import Resources, Task
from skynb_clusters.contract import Capabilities
from skynb_clusters.records import Autostop, ClusterSpec, MachineWish, Offer
from skynb_clusters.wishes import Wishes, goes_outside, narrowed

ABLE = Capabilities(
    stop=True,
    spot=True,
    ports=True,
    guest_shutdown_stops_billing=True,
    consistency_s=0.0,
    whole=True,
    images=True,
    disk_tiers=True,
)
PLAIN = Capabilities(
    stop=False, spot=False, ports=False, guest_shutdown_stops_billing=True, consistency_s=0.0
)
STOP, DOWN = Autostop(idle_minutes=5), Autostop(idle_minutes=5, down=True)


@pytest.mark.parametrize(
    ("resources", "autostop", "where"),
    [
        ({"ports": [8080, "9000-9010"], "labels": {"a": "b"}, "disk_size": 100}, None, None),
        ({"image_id": "ami-1"}, None, "resources.image_id"),
        ({"image_id": {"us-east-1": "ami-1"}}, None, "resources.image_id"),
        ({"disk_tier": "best"}, None, None),
        ({"disk_tier": "high"}, None, "resources.disk_tier"),
        ({}, STOP, "autostop"),
        ({}, DOWN, None),
        ({}, Autostop(idle_minutes=-1), None),
    ],
)
def test_infra_that_cannot_is_refused_by_what_it_lacks(resources, autostop, where):
    """Infra that can do everything refuses nothing; plain hosts name the field that they cannot fulfil."""
    wishes = Wishes.of(Resources.parse(resources, "resources"), autostop)
    assert wishes.unmet("able", ABLE) is None
    refused = wishes.unmet("plain", PLAIN)
    assert (refused and refused.where) == where
    assert refused is None or (refused.what.startswith("plain ") and refused.mend)


def test_spot_machines_do_not_stop():
    """An autostop that keeps the disk wants machines that come back."""
    assert Wishes(stops=True).unmet("able", ABLE, spot=True).where == "autostop"
    assert Wishes().unmet("able", ABLE, spot=True) is None


def test_images_go_by_region():
    """The image of a region stands before the one for any region; each named region is an alternative."""
    mixed = Wishes.of(Resources.parse({"image_id": {"us-east-1": "ami-1", None: "ami-0"}}, "resources"), None)
    assert (mixed.machines[0].images, mixed.machines[0].image) == ({"us-east-1": "ami-1"}, "ami-0")
    only = Resources.parse(
        {"infra": "aws", "image_id": {"us-east-1": "ami-1", "us-west-2": "ami-2"}}, "resources"
    )
    _, choices = only.alternatives()
    assert [(one.cloud, one.region) for one in choices] == [("aws", "us-east-1"), ("aws", "us-west-2")]
    (wish,) = Wishes.of(only, None).machines
    assert wish.images == {"us-east-1": "ami-1", "us-west-2": "ami-2"}


def test_alternatives_may_wish_differently():
    """Each has its own; infra that fulfils one of them will do, for that one."""
    resources = Resources.parse({"any_of": [{"image_id": "ami-1"}, {"ports": 81}]}, "resources")
    wishes = Wishes.of(resources, None)
    assert [(one.image, one.ports) for one in wishes.machines] == [("ami-1", ()), (None, ("81",))]
    assert wishes.unmet("plain", PLAIN) is None
    first, second = (Offer(cloud="x", instance_type="x", alternative=number) for number in (0, 1))
    assert wishes.of_offer(first).unmet("plain", PLAIN).where == "resources.image_id"
    assert wishes.of_offer(second).unmet("plain", PLAIN) is None


def test_wishes_that_differ_are_kept_by_offer():
    """Machines are asked for as the alternative of their offer says; ports opened later are for all."""
    resources = Resources.parse({"any_of": [{"image_id": "ami-1", "ports": 80}, {"ports": 81}]}, "resources")
    wishes = Wishes.of(resources, None)
    spec = ClusterSpec(num_nodes=1, offers=(), plan_hash="p", **wishes.in_spec())
    assert Wishes.kept(spec) == wishes
    spec = msgspec.structs.replace(spec, ports=("9000",))
    offer = Offer(cloud="x", instance_type="x", alternative=1)
    assert (spec.wish(offer).ports, spec.wish(offer).image) == (("81", "9000"), None)


@pytest.mark.parametrize(
    ("items", "left"),
    [
        ([{"image_id": "ami-1", "infra": "plain"}, {"infra": "able"}], [{"infra": "able"}]),
        ([{"image_id": "ami-1"}, {"ports": 80}], [{"image_id": "ami-1", "cloud": "able"}, {"ports": 80}]),
        (
            [{"image_id": "ami-1"}, {"image_id": "ami-2", "infra": "plain"}],
            [{"image_id": "ami-1", "cloud": "able"}],
        ),
        ([{"ports": 80, "infra": "plain"}, {"ports": 81, "infra": "able"}], None),
        ([{"image_id": "ami-1", "infra": "plain"}, {"image_id": "ami-2", "infra": "plain"}], None),
        ([{"image_id": "ami-1", "cpus": 1}, {"image_id": "ami-1", "cpus": 2}], None),
    ],
)
@pytest.mark.parametrize("key", ["any_of", "ordered"])
def test_alternatives_that_nothing_fulfils_go(key, items, left):
    """The rest stays in order; a task of which nothing would be left stays whole, to be refused by name."""
    clouds = {"able": ABLE, "plain": PLAIN}
    task = Task.from_wire({"run": "true", "resources": {key: items}}, {})

    def unable(cloud, wishes):
        return wishes.unmet(cloud, clouds[cloud])

    found, passed = narrowed(task, list(clouds), unable)
    if left is None:
        assert (found, passed) == (task, ())
        return
    assert {(one.alternative, one.cloud) for one in passed} <= {(0, "plain"), (1, "plain")}
    assert [one.reason for one in passed] == ["plain has no images to start from"] * len(passed) != []
    in_order, choices = found.resources.alternatives()
    assert (in_order, [one.to_plain() for one in choices]) == (
        key == "ordered",
        [Resources.parse(one, "resources").to_plain() for one in left],
    )
    assert narrowed(found, list(clouds), unable) == (found, ())


def test_files_anywhere_want_machines_of_their_own():
    """A path outside of the home is for infra whose machines are the cluster's alone."""
    task = Task(run="true", file_mounts={"~/in": "x", "/data": "y"})
    wishes = Wishes.of(task.resources, None, outside=goes_outside(task))
    assert wishes.unmet("able", ABLE) is None
    assert wishes.unmet("plain", PLAIN).where == "file_mounts"
    assert not goes_outside(Task(run="true", file_mounts={"~/in": "x", "y": "y", "/bucket": "s3://b"}))


def test_a_cluster_keeps_its_wishes():
    """What a launch asked for is what further offers are judged by."""
    wish = MachineWish(ports=("80",), image="ami-1", disk_tier="high")
    wishes = Wishes(machines=(wish,), stops=True)
    spec = ClusterSpec(num_nodes=1, offers=(), plan_hash="p", autostop=STOP, **wishes.in_spec())
    assert Wishes.kept(spec) == wishes
