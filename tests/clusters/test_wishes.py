"""What a task wishes of its machines, and which infra can fulfil it."""

import pytest

from skynb.errors import UnsupportedError
from skynb.spec import Resources, Task
from skynb_clusters.contract import Capabilities
from skynb_clusters.records import Autostop, ClusterSpec
from skynb_clusters.wishes import Wishes, goes_outside

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
    assert (mixed.images, mixed.image) == ({"us-east-1": "ami-1"}, "ami-0")
    only = Resources.parse(
        {"infra": "aws", "image_id": {"us-east-1": "ami-1", "us-west-2": "ami-2"}}, "resources"
    )
    _, choices = only.alternatives()
    assert [(one.cloud, one.region) for one in choices] == [("aws", "us-east-1"), ("aws", "us-west-2")]
    assert Wishes.of(only, None).images == {"us-east-1": "ami-1", "us-west-2": "ami-2"}


def test_alternatives_wish_the_same():
    """What differs between alternatives is named, instead of taking the first one's."""
    resources = Resources.parse({"any_of": [{"ports": 80}, {"ports": 81}]}, "resources")
    with pytest.raises(UnsupportedError) as refused:
        Wishes.of(resources, None)
    assert refused.value.where == "resources.ports"


def test_files_anywhere_want_machines_of_their_own():
    """A path outside of the home is for infra whose machines are the cluster's alone."""
    task = Task(run="true", file_mounts={"~/in": "x", "/data": "y"})
    wishes = Wishes.of(task.resources, None, outside=goes_outside(task))
    assert wishes.unmet("able", ABLE) is None
    assert wishes.unmet("plain", PLAIN).where == "file_mounts"
    assert not goes_outside(Task(run="true", file_mounts={"~/in": "x", "y": "y", "/bucket": "s3://b"}))


def test_a_cluster_keeps_its_wishes():
    """What a launch asked for is what further offers are judged by."""
    wishes = Wishes(ports=("80",), image="ami-1", disk_tier="high", stops=True)
    spec = ClusterSpec(num_nodes=1, offers=(), plan_hash="p", autostop=STOP, **wishes.in_spec())
    assert Wishes.kept(spec) == wishes
