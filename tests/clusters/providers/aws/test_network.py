"""Networks and security groups: made once, found again, and not left behind."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from skynb.errors import ProviderError
from skynb_clusters.providers.aws import AwsProvider
from skynb_clusters.providers.aws.network import MADE_TAG, PORTS_TAG
from tests.support.ec2 import REGION


def groups(cloud, region=REGION):
    found = cloud.client(region=region).describe_security_groups()["SecurityGroups"]
    return {group["GroupName"]: group for group in found if group["GroupName"] != "default"}


def open_to_the_world(group):
    return {
        (rule["FromPort"], rule["ToPort"])
        for rule in group["IpPermissions"]
        if {"CidrIp": "0.0.0.0/0"} in [{"CidrIp": r["CidrIp"]} for r in rule["IpRanges"]]
    }


def named_vpc(cloud, name):
    client = cloud.client()
    vpc = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    client.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": name}])
    subnets = []
    for number, zone in enumerate(("us-east-1a", "us-east-1b", "us-east-1b")):
        cidr = f"10.9.{number}.0/24"
        made = client.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        client.create_tags(Resources=[made], Tags=[{"Key": "Name", "Value": f"{name}-{number}"}])
        subnets.append(made)
    return vpc, subnets


def test_one_group_for_all_machines(provider, cloud, ask, tmp_path):
    """SSH from anywhere and all among themselves; another server finds the same one."""
    with ThreadPoolExecutor(8) as pool:
        others = [AwsProvider(tmp_path / f"{n}" / "aws") for n in range(8)]
        list(pool.map(lambda one: one.create(ask(region="us-west-2", zone="us-west-2a")), others))
    shared = groups(cloud, "us-west-2")["skynb"]
    assert open_to_the_world(shared) == {(22, 22)}
    among = [rule for rule in shared["IpPermissions"] if rule["IpProtocol"] == "-1"]
    assert [pair["GroupId"] for pair in among[0]["UserIdGroupPairs"]] == [shared["GroupId"]]
    assert list(groups(cloud, "us-west-2")) == ["skynb"]
    for one in cloud.instances("us-west-2"):
        assert [group["GroupName"] for group in one["SecurityGroups"]] == ["skynb"]
    cloud.client(region="us-west-2").terminate_instances(
        InstanceIds=[one["InstanceId"] for one in cloud.instances("us-west-2")]
    )


def test_a_group_without_its_rules_is_mended(provider, cloud, ask):
    """As a crash between making it and opening it leaves it."""
    client = cloud.client(region="us-east-2")
    vpc = client.describe_vpcs()["Vpcs"][0]["VpcId"]
    client.create_security_group(GroupName="skynb", Description="x", VpcId=vpc)
    made = provider.create(ask(region="us-east-2", zone="us-east-2a"))
    assert open_to_the_world(groups(cloud, "us-east-2")["skynb"]) == {(22, 22)}
    provider.terminate(made)


def test_a_group_that_somebody_removed_is_made_again(provider, cloud, ask):
    """The create says that it may be tried again, and then it does."""
    made = provider.create(ask(region="eu-west-2", zone="eu-west-2a"))
    provider.terminate(made)
    shared = groups(cloud, "eu-west-2")["skynb"]["GroupId"]
    cloud.client(region="eu-west-2").delete_security_group(GroupId=shared)
    request = ask(region="eu-west-2", zone="eu-west-2a")
    with pytest.raises(ProviderError) as caught:
        provider.create(request)
    assert caught.value.retryable == "yes"
    provider.terminate(provider.create(request))


def test_ports_belong_to_a_cluster_and_go_with_its_last_machine(provider, cloud, ask):
    """Two machines, one group; the first end leaves it, the second takes it away."""
    first, second = (provider.create(ask(ports=("8080", "9000-9010"))) for _ in range(2))
    (name,) = [name for name in groups(cloud) if name != "skynb"]
    assert open_to_the_world(groups(cloud)[name]) == {(8080, 8080), (9000, 9010)}
    provider.terminate(first)
    assert name in groups(cloud)
    provider.terminate(second)
    assert name not in groups(cloud)


def test_ports_can_be_opened_later(provider, cloud, ask):
    """Twice is as good as once; a machine without tags in hand will do."""
    made = provider.create(ask())
    for ports in (("7000",), ("7000", "7001")):
        provider.open_ports(made, ports)
    (instance,) = cloud.instances()
    names = {group["GroupName"] for group in instance["SecurityGroups"]}
    assert len(names) == 2
    (name,) = names - {"skynb"}
    assert open_to_the_world(groups(cloud)[name]) == {(7000, 7000), (7001, 7001)}
    provider.terminate(made)
    assert name not in groups(cloud)


def test_a_group_that_a_lost_machine_left_goes_with_the_next_end(provider, cloud, ask):
    """Its machine was taken away, nobody asked to end it; a young group stays: it may be about to be used."""
    lost = provider.create(ask(spot=True, ports=("80",), tags={"skynb-owner": "o", "skynb-cluster": "lost"}))
    cloud.set(interrupt=lost.id)
    provider.terminate(provider.create(ask()))
    (name,) = [name for name, group in groups(cloud).items() if name != "skynb"]
    group = groups(cloud)[name]["GroupId"]
    old = str(int(time.time()) - 3600)
    cloud.client().create_tags(Resources=[group], Tags=[{"Key": MADE_TAG, "Value": old}])
    assert PORTS_TAG in {tag["Key"] for tag in groups(cloud)[name]["Tags"]}
    provider.terminate(provider.create(ask()))
    assert list(groups(cloud)) == ["skynb"]


def test_a_machine_is_ended_even_if_its_ports_cannot_be_closed(provider, cloud, ask):
    """A permission that is missing for groups must not keep a machine running."""
    made = provider.create(ask(ports=("80",)))
    cloud.fail("DescribeSecurityGroups", "UnauthorizedOperation", times=5)
    provider.terminate(made)
    assert cloud.instances() == []


def test_a_named_network_is_used(provider, cloud, ask, settings):
    """By tag; subnets in the order of the settings, by zone."""
    vpc, subnets = named_vpc(cloud, "lab")
    settings("vpc_name: lab\nsubnet_names: [lab-2, lab-1, lab-0]")
    made = provider.create(ask())
    (instance,) = cloud.instances()
    assert (instance["VpcId"], instance["SubnetId"]) == (vpc, subnets[2])
    assert provider.create(ask(zone="us-east-1a")).zone == "us-east-1a"
    with pytest.raises(ProviderError, match="no subnet in us-east-1d") as caught:
        provider.create(ask(zone="us-east-1d"))
    assert caught.value.disproves == "zone"
    provider.terminate(made)


def test_a_named_group_is_used_as_it_is(provider, cloud, ask, settings):
    """Its rules are left alone; one that is not there is refused, and named."""
    client = cloud.client()
    vpc = client.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    client.create_security_group(GroupName="mine", Description="x", VpcId=vpc)
    settings("security_group_name: mine")
    provider.create(ask())
    assert [group["GroupName"] for group in cloud.instances()[0]["SecurityGroups"]] == ["mine"]
    assert groups(cloud)["mine"]["IpPermissions"] == []
    settings("security_group_name: yours")
    with pytest.raises(ProviderError, match="no security group yours"):
        provider.create(ask())


def test_a_region_without_a_default_network_says_how_to_get_one(provider, cloud, ask):
    """The whole region is ruled out, and the mend is a command."""
    client = cloud.client(region="ap-south-1")
    vpc = client.describe_vpcs()["Vpcs"][0]["VpcId"]
    for subnet in client.describe_subnets()["Subnets"]:
        client.delete_subnet(SubnetId=subnet["SubnetId"])
    client.delete_vpc(VpcId=vpc)
    with pytest.raises(ProviderError, match="create-default-vpc --region ap-south-1") as caught:
        provider.create(ask(region="ap-south-1", zone="ap-south-1a"))
    assert caught.value.disproves == "region"


def test_a_zone_may_be_named_by_its_id(provider, cloud, ask):
    """As catalogs do, since names of zones differ between accounts."""
    zones = cloud.client().describe_availability_zones()["AvailabilityZones"]
    for zone in zones[:3]:
        assert provider.create(ask(zone=zone["ZoneId"])).zone == zone["ZoneName"]


def test_without_a_zone_ec2_chooses(provider, cloud, ask):
    """No subnet is named, so that EC2 may take the zone that has the machine."""
    assert provider.create(ask(zone=None)).zone.startswith("us-east-1")
    assert [group["GroupName"] for group in cloud.instances()[0]["SecurityGroups"]] == ["skynb"]
