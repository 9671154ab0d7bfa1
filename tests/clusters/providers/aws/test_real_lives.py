"""boto3, EC2, a machine, SSH, the agent, a job and the end: all of it real, behind a real server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from skynb.wire import ClusterInfo
from skynb_clusters.agents import AgentHub
from skynb_clusters.contract import Machine, NodeRequest
from skynb_clusters.deploy import start_agent
from skynb_clusters.providers.aws import AwsProvider
from skynb_clusters.transports.ssh import hang_up
from tests.support.ec2 import Ec2, ec2
from tests.support.hosts import lab_missing
from tests.support.site import Site, site, until

pytestmark = [
    pytest.mark.skipif(bool(lab_missing()), reason=f"no machines here: {lab_missing()}"),
    pytest.mark.timeout(300),
]
SECONDS = 90
SPOT_PRICE = """\
offers:
  - infra: aws/us-east-1
    instance_type: m5.large
    cpus: 2
    memory: 8
    hourly_cost: 0.096
    spot_hourly_cost: 0.03
"""


@pytest.fixture(scope="module")
def cloud():
    with ec2(hosts=True) as made:
        yield made


@pytest.fixture(scope="module")
def here(cloud: Ec2):
    with cloud.around(), site() as made:
        yield made


def launch(here: Site, name: str, mounts: dict[str, str] | None = None, **resources):
    wanted = {"infra": "aws/us-east-1", "instance_type": "m5.large"} | resources
    script = "hostname; echo made > kept; sleep 1"
    return here.launch(name, resources=wanted, run=script, file_mounts=mounts)


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


def test_a_whole_life(here, cloud, tmp_path):
    """G1: a job with its log and files, a stop, a start with the disk kept, and nothing left after `down`."""
    (tmp_path / "word").write_text("sent\n")
    launch(here, "life", {"/data/words": str(tmp_path)})
    assert ended(here, "life", 1).status == "SUCCEEDED"
    (instance,) = cloud.instances()
    assert here.log("life", 1).strip() == instance["InstanceId"]
    here.post("/clusters/life/stop")
    settled(here, "life", "STOPPED")
    assert cloud.instances()[0]["State"]["Name"] == "stopped"
    here.post("/clusters/life/start")
    settled(here, "life", "UP")
    number = here.exec("life", run="cat kept /data/words/word")
    assert ended(here, "life", number).status == "SUCCEEDED"
    assert here.log("life", number) == "made\nsent\n"
    here.down("life")
    until(lambda: left(cloud) == [], SECONDS)
    until(lambda: here.cluster("life").final, SECONDS)


@pytest.mark.parametrize(
    ("autostop", "behaviour"),
    [(None, "terminate"), ({"idle_minutes": 30}, "stop"), ({"idle_minutes": 30, "down": True}, "terminate")],
)
def test_a_machine_that_ends_itself_keeps_its_disk_if_that_was_asked(here, cloud, autostop, behaviour):
    """EC2 knows from creation what a shutdown from inside means; only a stopping autostop keeps the disk."""
    name = f"itself-{behaviour}-{'idle' if autostop else 'never'}"
    launch(here, name, autostop=autostop)
    instance = until(lambda: next(iter(cloud.instances()), None), SECONDS)
    asked = cloud.client().describe_instance_attribute(
        InstanceId=instance["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
    )
    here.down(name)
    until(lambda: left(cloud) == [], SECONDS)
    assert asked["InstanceInitiatedShutdownBehavior"]["Value"] == behaviour


def test_a_zone_without_room_is_passed_over(here, cloud):
    """The plan's first zone has no capacity; the machine is in another, and the history says why."""
    zones = cloud.client().describe_availability_zones()["AvailabilityZones"]
    first = min(zones, key=lambda zone: zone["ZoneId"])["ZoneName"]
    cloud.set(no_capacity=[["m5.large", first]])
    try:
        launch(here, "room")
        settled(here, "room", "UP")
        (instance,) = cloud.instances()
        assert instance["Placement"]["AvailabilityZone"] != first
        assert "launch.refused" in here.events("room")
    finally:
        cloud.set(no_capacity=[])
    here.down("room")
    until(lambda: left(cloud) == [], SECONDS)


def test_a_notice_reaches_whoever_keeps_the_history(cloud, tmp_path, monkeypatch):
    """From the metadata service of a spot machine over its agent to the server's hub."""
    for name, value in cloud.env.items():
        monkeypatch.setenv(name, value)
    provider = AwsProvider(tmp_path / "aws")
    tags = {"skynb-owner": "o", "skynb-cluster": "spot", "skynb-record": "node-spot-0"}
    wanted = {"instance_type": "m5.large", "region": "us-east-1", "spot": True}
    machine = provider.create(NodeRequest(token="skynb-spot", name="spot-0", tags=tags, **wanted))
    try:
        transport = provider.transport(machine)
        start_agent(transport, config_of(provider, machine))
        at = float(int(time.time()) + 120)
        heard = asyncio.run(
            heard_after(transport, lambda: cloud.set(notice={"instance": machine.id, "at": at}))
        )
        assert heard == ({"kind": "preemption", "at": at},)
        cloud.set(interrupt=machine.id)
        (seen,) = provider.list(tags, "us-east-1").machines
        assert (seen.state, seen.ended_by) == ("terminated", "preemption")
    finally:
        provider.terminate(machine)
        hang_up()


def test_a_machine_that_no_agent_guards_ends_itself(cloud, tmp_path, monkeypatch):
    """G1, G7: it booted while the server was away. With an agent, which has a lease, it lives on."""
    for name, value in cloud.env.items():
        monkeypatch.setenv(name, value)
    provider = AwsProvider(tmp_path / "aws")
    tags = {"skynb-owner": "o", "skynb-cluster": "guard", "skynb-record": "node-guard-0"}
    wanted = {"instance_type": "m5.large", "region": "us-east-1", "tags": tags}
    cloud.set(guard_s=8)
    guarded, alone = (
        provider.create(NodeRequest(token=f"skynb-{name}", name=name, **wanted)) for name in ("a", "b")
    )
    try:
        start_agent(provider.transport(guarded), config_of(provider, guarded))
        until(lambda: alone.id not in [one["InstanceId"] for one in cloud.instances()], SECONDS)
        time.sleep(2)  # the other one booted earlier
        assert [one["InstanceId"] for one in cloud.instances()] == [guarded.id]
    finally:
        cloud.set(guard_s=None)
        for machine in (guarded, alone):
            provider.terminate(machine)
        hang_up()


def config_of(provider: AwsProvider, machine: Machine) -> dict[str, Any]:
    transport = provider.transport(machine)
    return {
        "cluster_id": "spot",
        "node_id": "node-spot-0",
        "rank": 0,
        "role": "head",
        "home": transport.home,
        "notices": list(provider.notice_command(machine)),
    }


async def heard_after(transport, deed) -> Any:
    """Notices in the agent's hello, once the hub was told after the deed that there is news of the node."""
    news = asyncio.Event()
    hub = AgentHub(lambda *_: None, lambda _: news.set())
    try:
        facts = await hub.reach("node", "node-spot-0", transport)
        assert facts.notices == ()
        await asyncio.wait_for(news.wait(), 20)  # its jobs are known
        news.clear()
        await asyncio.to_thread(deed)
        await asyncio.wait_for(news.wait(), 20)
        return (await hub.reach("node", "node-spot-0", transport)).notices
    finally:
        hub.close()


def test_a_notice_is_in_the_history_before_the_machine_goes(here, cloud):
    """EC2 gives two minutes; the history has the notice once, and the task's hook runs in them."""
    (here.home / "offers.yaml").write_text(SPOT_PRICE)
    hook = {"run": "echo saved at $SKYPILOT_HOOK_EVENT; touch saved", "events": ["preemption"]}
    wanted = {"infra": "aws/us-east-1", "instance_type": "m5.large", "use_spot": True}
    work = "until [ -e saved ]; do sleep 0.1; done"
    here.launch("spot", resources=wanted, run=work, config={"hooks": [hook]})
    until(lambda: here.job("spot", 1).status == "RUNNING", SECONDS)
    (instance,) = cloud.instances()
    cloud.set(notice={"instance": instance["InstanceId"], "at": int(time.time()) + 120})
    until(lambda: "node.notice" in here.events("spot"), 20)
    assert ended(here, "spot", 1).status == "SUCCEEDED"
    assert here.log("spot", 1) == "saved at preemption\n"
    here.down("spot")
    until(lambda: left(cloud) == [], SECONDS)
    assert here.events("spot").count("node.notice") == 1
