"""What is left on EC2 when a server forgets: found by its tags, written again, or ended. All of it real."""

from __future__ import annotations

import pytest

from skynb.client import sdk
from tests.support.ec2 import Ec2, ec2
from tests.support.hosts import lab_missing
from tests.support.site import Site, site, until

pytestmark = [
    pytest.mark.skipif(bool(lab_missing()), reason=f"no machines here: {lab_missing()}"),
    pytest.mark.timeout(300),
]
SECONDS = 90


@pytest.fixture
def cloud():
    with ec2(hosts=True) as made, made.around():
        yield made


@pytest.fixture
def here(cloud: Ec2):
    with site() as made:
        yield made


def lose_ledger(here: Site) -> None:
    here.kill_server()
    for rest in here.home.glob("ledger.db*"):
        rest.unlink()


def rented(cloud: Ec2, image: str, tags: list[dict[str, str]]) -> str:
    """A machine made behind the server's back, as `INFRA:ID`."""
    given = [{"ResourceType": "instance", "Tags": tags}] if tags else []
    asked = {"ImageId": image, "InstanceType": "t3.micro", "TagSpecifications": given}
    made = cloud.client().run_instances(MinCount=1, MaxCount=1, **asked)
    return f"aws:{made['Instances'][0]['InstanceId']}"


def test_a_lost_ledger_comes_back_from_ec2_and_strays_are_ended(here, cloud):
    """G1, G9: the cluster has its machine and its running job; what no record claims goes when asked."""
    wanted = {"infra": "aws/us-east-1", "instance_type": "m5.large"}
    here.launch("lost", resources=wanted, run="echo began; sleep 300")
    until(lambda: here.job("lost", 1).status == "RUNNING", SECONDS)
    [instance] = cloud.instances()
    own = f"aws:{instance['InstanceId']}"
    lose_ledger(here)
    assert [(one.name, one.claim) for one in sdk.forgotten()] == [(own, "unknown")]

    done = sdk.rebuild()
    assert (done.clusters, done.left, done.blind) == (["lost"], {}, [])
    until(lambda: here.cluster("lost").status == "UP", SECONDS)
    until(lambda: [(job.id, job.status) for job in here.jobs("lost")] == [(1, "RUNNING")], SECONDS)
    until(lambda: "began" in here.log("lost", 1, follow=False), SECONDS)
    assert [one["InstanceId"] for one in cloud.instances()] == [instance["InstanceId"]]
    assert list(sdk.forgotten()) == []

    tags = [
        {**tag, "Value": "node-stray-0"} if tag["Key"] == "skynb-record" else tag for tag in instance["Tags"]
    ]
    stray, foreign = (rented(cloud, instance["ImageId"], some) for some in (tags, []))
    until(lambda: [(one.name, one.claim) for one in sdk.forgotten()] == [(stray, "unknown")], SECONDS)
    assert [(one.name, one.claim) for one in sdk.strangers() if one.claim == "foreign"] == [
        (foreign, "foreign")
    ]
    assert sdk.reap() == [stray]
    assert {f"aws:{one['InstanceId']}" for one in cloud.instances()} == {own, foreign}
    assert sdk.reap(foreign, foreign=True) == [foreign]
    here.down("lost")
    until(lambda: cloud.instances() == [], SECONDS)
