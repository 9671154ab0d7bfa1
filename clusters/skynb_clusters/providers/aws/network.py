"""Where a machine stands: network, subnet and zone, and the security groups that let people in."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from skynb.errors import ProviderError
from skynb_clusters.providers.aws.clients import Clients
from skynb_clusters.providers.aws.refusals import code_of, told
from skynb_clusters.settings import AwsSettings

GROUP = "skynb"
MADE_TAG = "skynb-made"
PORTS_TAG = "skynb-ports"
OWNER_TAG = "skynb-owner"
UNUSED_SECONDS = 900.0
SIGHTINGS = 10
SIGHTING_SECONDS = 0.5
_WORLD = "0.0.0.0/0"
_ZONE_ID = re.compile(r"-az[0-9]+$")  # catalogs name zones by id: names differ between accounts
_SETTINGS = "Check `aws.vpc_name`, `aws.subnet_names` and `aws.security_group_name` in config.yaml"


class Site(msgspec.Struct, frozen=True):
    """A place for a machine. subnet: None leaves zone and subnet of the default VPC to EC2."""

    vpc: str
    subnet: str | None
    groups: tuple[str, ...]


class Network:
    """Finds networks, and makes the security groups of skynb once. Safe to use from any thread."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._lock = threading.Lock()
        self._shared: dict[tuple[str, str], str] = {}

    def site(self, settings: AwsSettings, region: str, zone: str | None) -> Site:
        """Where in this region, and zone if one is named, a machine goes."""
        with told(f"looking up the network in {region}"):
            ec2 = self._clients.ec2(region)
            vpc = _vpc(ec2, settings.vpc_name, region)
            subnet = _subnet(ec2, settings, vpc, region, zone)
            group = self._named(ec2, settings.security_group_name, vpc) or self._common(ec2, region, vpc)
        return Site(vpc, subnet, (group,))

    def forget(self, region: str) -> None:
        """Look the shared groups of a region up again: somebody took one away."""
        with self._lock:
            self._shared = {key: group for key, group in self._shared.items() if key[0] != region}

    def ports_group(self, region: str, vpc: str, tags: Mapping[str, str], ports: Sequence[str]) -> str:
        """The group of a cluster that opens these ports to the world, made when there is none."""
        name = _ports_name(tags)
        with told(f"opening ports in {region}"):
            ec2 = self._clients.ec2(region)
            group = _find_group(ec2, vpc, name) or _make_group(
                ec2, vpc, name, {**_carried(tags), PORTS_TAG: name, MADE_TAG: str(int(time.time()))}
            )
            _allow(ec2, group, [_world("tcp", *_span(port)) for port in ports])
        return group

    def attach(self, region: str, instance: str, group: str) -> None:
        """Put a machine into one more group."""
        with told(f"opening ports of {instance}"):
            ec2 = self._clients.ec2(region)
            here = _groups_of(_instance(ec2, instance))
            if group not in here:
                ec2.modify_instance_attribute(InstanceId=instance, Groups=[*here, group])

    def release(self, region: str, instance: str) -> None:
        """Take a machine out of its ports group, which goes when it was the last one in it.

        Done before the machine is ended: afterwards nobody is asked again. A group that a machine lost
        otherwise has left behind goes with the next machine that is ended in this region.
        """
        ec2 = self._clients.ec2(region)
        with told(f"closing the ports of {instance}"):
            ours = ec2.describe_security_groups(Filters=[{"Name": "tag-key", "Values": [PORTS_TAG]}])
            groups = {found["GroupId"]: found for found in ours["SecurityGroups"]}
            if not groups:
                return
            here = _groups_of(_instance(ec2, instance))
        left = [group for group in here if group not in groups]
        if left and left != here:
            _quietly(ec2.modify_instance_attribute, InstanceId=instance, Groups=left)
        for group, found in groups.items():
            if group in here or _made_at(found) < time.time() - UNUSED_SECONDS:
                _quietly(ec2.delete_security_group, GroupId=group)  # refused while another machine is in it

    def _named(self, ec2: Any, name: str | None, vpc: str) -> str | None:
        if name is None:
            return None
        group = name if name.startswith("sg-") else _find_group(ec2, vpc, name)
        if group is None:
            raise ProviderError(
                f"there is no security group {name} in {vpc}",
                mend=_SETTINGS,
                retryable="no",
                disproves="region",
            )
        return group

    def _common(self, ec2: Any, region: str, vpc: str) -> str:
        """The group of all machines of skynb in a VPC: SSH from anywhere, anything among themselves."""
        with self._lock:
            group = self._shared.get((region, vpc))
            if group is None:
                group = _find_group(ec2, vpc, GROUP) or _make_group(ec2, vpc, GROUP, {"skynb": "group"})
                among = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
                _allow(ec2, group, [_world("tcp", 22, 22), among])
                self._shared[region, vpc] = group
        return group


def _vpc(ec2: Any, name: str | None, region: str) -> str:
    if name is None:
        wanted, mend = (
            [{"Name": "is-default", "Values": ["true"]}],
            (
                f"Make one with `aws ec2 create-default-vpc --region {region}`, or name a VPC: "
                "`aws.vpc_name` in config.yaml"
            ),
        )
    else:
        wanted, mend = [_by_name(name, "vpc-", "vpc-id")], _SETTINGS
    found = ec2.describe_vpcs(Filters=wanted)["Vpcs"]
    if not found:
        what = f"there is no VPC {name} in {region}" if name else f"{region} has no default VPC"
        raise ProviderError(what, mend=mend, retryable="no", disproves="region")
    return min(str(vpc["VpcId"]) for vpc in found)


def _subnet(ec2: Any, settings: AwsSettings, vpc: str, region: str, zone: str | None) -> str | None:
    """The first subnet in the order of the settings; else one that gives the addresses that are wanted."""
    usual = settings.vpc_name is None and not settings.subnet_names and not settings.use_internal_ips
    if usual and zone is None:
        return None
    wanted = [{"Name": "vpc-id", "Values": [vpc]}]
    if zone is not None:
        field = "availability-zone-id" if _ZONE_ID.search(zone) else "availability-zone"
        wanted.append({"Name": field, "Values": [zone]})
    found = ec2.describe_subnets(Filters=wanted)["Subnets"]
    if settings.subnet_names:
        found = [subnet for subnet in found if _rank(subnet, settings) < len(settings.subnet_names)]
    if not found:
        raise ProviderError(
            f"there is no subnet in {zone or region}",
            why=f"{vpc} has none that the settings allow",
            mend=_SETTINGS,
            retryable="no",
            disproves="zone" if zone else "region",
        )

    def order(subnet: Mapping[str, Any]) -> tuple[int, bool, bool, str]:
        public = bool(subnet.get("MapPublicIpOnLaunch"))
        private = public if settings.use_internal_ips else not public
        return _rank(subnet, settings), private, not subnet.get("DefaultForAz"), str(subnet["SubnetId"])

    return str(min(found, key=order)["SubnetId"])


def _rank(subnet: Mapping[str, Any], settings: AwsSettings) -> int:
    names = settings.subnet_names
    own = {subnet["SubnetId"], *(tag["Value"] for tag in subnet.get("Tags", []) if tag["Key"] == "Name")}
    return min((at for at, name in enumerate(names) if name in own), default=len(names))


def _by_name(name: str, prefix: str, field: str) -> dict[str, Any]:
    return {"Name": field if name.startswith(prefix) else "tag:Name", "Values": [name]}


def _find_group(ec2: Any, vpc: str, name: str) -> str | None:
    wanted = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": [name]}]
    found = ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]
    return str(found[0]["GroupId"]) if found else None


def _make_group(ec2: Any, vpc: str, name: str, tags: Mapping[str, str]) -> str:
    """A new group, or the one that somebody else made meanwhile, which may not be seen at once."""
    from botocore.exceptions import ClientError

    try:
        made = ec2.create_security_group(
            GroupName=name,
            Description="machines of skynb",
            VpcId=vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": pairs(tags)}],
        )
        return str(made["GroupId"])
    except ClientError as error:
        if code_of(error) != "InvalidGroup.Duplicate":
            raise
    for _ in range(SIGHTINGS):
        if group := _find_group(ec2, vpc, name):
            return group
        time.sleep(SIGHTING_SECONDS)
    raise ProviderError(f"the security group {name} is not seen yet", retryable="yes")


def _allow(ec2: Any, group: str, rules: Sequence[Mapping[str, Any]]) -> None:
    """Each rule by itself: of several, one that is there already would keep the others out."""
    from botocore.exceptions import ClientError

    for rule in rules:
        try:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
        except ClientError as error:
            if code_of(error) != "InvalidPermission.Duplicate":
                raise


def _quietly(call: Any, **parameters: Any) -> None:
    """What EC2 refuses here is tried again with the next machine that ends."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        call(**parameters)
    except (ClientError, BotoCoreError):
        return


def _instance(ec2: Any, instance: str) -> Mapping[str, Any]:
    found = ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [instance]}])["Reservations"]
    return dict(found[0]["Instances"][0]) if found else {}


def _groups_of(instance: Mapping[str, Any]) -> list[str]:
    return [group["GroupId"] for group in instance.get("SecurityGroups", [])]


def _made_at(group: Mapping[str, Any]) -> float:
    found = {tag["Key"]: tag["Value"] for tag in group.get("Tags", [])}.get(MADE_TAG, "")
    return float(found) if found.isdigit() else float("inf")


def _ports_name(tags: Mapping[str, str]) -> str:
    """One name for all machines of a cluster, and for no other of another server."""
    cluster = tags.get("skynb-cluster") or tags.get("skynb-record", "")
    mark = hashlib.sha256(f"{tags.get(OWNER_TAG, '')}/{cluster}".encode()).hexdigest()[:12]
    return f"{GROUP}-ports-{mark}"


def _carried(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: tags[key] for key in (OWNER_TAG, "skynb-cluster") if key in tags}


def _world(protocol: str, first: int, last: int) -> dict[str, Any]:
    return {"IpProtocol": protocol, "FromPort": first, "ToPort": last, "IpRanges": [{"CidrIp": _WORLD}]}


def _span(port: str) -> tuple[int, int]:
    first, _, last = port.partition("-")
    return int(first), int(last or first)


def pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 wants them, always in the same order."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]
