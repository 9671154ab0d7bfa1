"""boto3, EC2, a machine, SSH, the agent, a job and the end: all of it real, behind a real server."""

from __future__ import annotations

import json
import os
import time

import pytest

from skynb.wire import ClusterInfo
from tests.support.ec2 import Ec2, ec2
from tests.support.hosts import lab_missing
from tests.support.site import Site, site, until

pytestmark = [
    pytest.mark.skipif(bool(lab_missing()), reason=f"no machines here: {lab_missing()}"),
    pytest.mark.timeout(300),
]
SECONDS = 90


@pytest.fixture(scope="module")
def cloud():
    with ec2(hosts=True) as made:
        yield made


@pytest.fixture(scope="module")
def here(cloud: Ec2):
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    os.environ.update(cloud.env)
    try:
        with site() as made:
            yield made
    finally:
        for name in cloud.env:
            os.environ.pop(name, None)
        os.environ.update(before)


def launch(here: Site, name: str, **resources):
    wanted = {"infra": "aws/us-east-1", "instance_type": "m5.large"} | resources
    return here.launch(name, resources=wanted, run="hostname; echo made > kept; sleep 1")


def settled(here: Site, name: str, status: str) -> ClusterInfo:
    return until(lambda: (found := here.cluster(name)).status == status and found, SECONDS)


def ended(here: Site, name: str, number: int):
    return until(lambda: (job := here.job(name, number)).logs_complete and job, SECONDS)


def left(cloud: Ec2) -> list[str]:
    """Instances, disks and groups of clusters that are there."""
    groups = cloud.client().describe_security_groups()["SecurityGroups"]
    volumes = cloud.client().describe_volumes()["Volumes"]
    return [
        *(one["InstanceId"] for one in cloud.instances()),
        *(volume["VolumeId"] for volume in volumes),
        *(group["GroupName"] for group in groups if group["GroupName"] not in {"default", "skynb"}),
    ]


def test_a_whole_life(here, cloud):
    """G1: a job with its log, a stop, a start with the disk kept, and nothing left after `down`."""
    launch(here, "life")
    assert ended(here, "life", 1).status == "SUCCEEDED"
    (instance,) = cloud.instances()
    assert here.log("life", 1).strip() == instance["InstanceId"]
    here.post("/clusters/life/stop")
    settled(here, "life", "STOPPED")
    assert cloud.instances()[0]["State"]["Name"] == "stopped"
    here.post("/clusters/life/start")
    settled(here, "life", "UP")
    number = here.exec("life", run="cat kept")
    assert ended(here, "life", number).status == "SUCCEEDED"
    assert here.log("life", number) == "made\n"
    here.down("life")
    until(lambda: left(cloud) == [], SECONDS)
    until(lambda: here.cluster("life").final, SECONDS)


def test_a_notice_is_in_the_history_before_the_machine_goes(here, cloud):
    """EC2 gives two minutes; the history has the notice, and the loss when it comes."""
    launch(here, "spot", use_spot=True)
    settled(here, "spot", "UP")
    (instance,) = cloud.instances()
    assert instance["InstanceLifecycle"] == "spot"
    at = int(time.time()) + 120
    cloud.set(notice={"instance": instance["InstanceId"], "at": at})
    until(lambda: "node.notice" in here.events("spot"), 20)
    cloud.set(interrupt=instance["InstanceId"])
    here.down("spot")
    until(lambda: left(cloud) == [], SECONDS)
    assert json.dumps(here.events("spot")).count("node.notice") == 1
