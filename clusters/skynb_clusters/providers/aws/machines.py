"""Between EC2's words and ours: an instance as a Machine, a NodeRequest as the parameters of RunInstances."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from skynb.errors import ProviderError
from skynb_clusters.contract import Machine, MachineState, NodeRequest
from skynb_clusters.providers.aws.images import Image, disks
from skynb_clusters.providers.aws.network import Site, pairs
from skynb_clusters.settings import AwsSettings

MARK = ("skynb", "machine")
UNGUARDED_S = 1800  # after a boot; the server gives up on one after 15 minutes
_STATES: dict[str, MachineState] = {
    "pending": "pending",
    "running": "running",
    "stopping": "stopping",
    "stopped": "stopped",
    "shutting-down": "terminating",
    "terminated": "terminated",
}
_ENDED_BY = {
    "Server.SpotInstanceTermination": "preemption",
    "Server.SpotInstanceShutdown": "preemption",
    "Client.UserInitiatedShutdown": "request",
    "Client.InstanceInitiatedShutdown": "node",
}
_ENDED = {"stopping", "stopped", "terminating", "terminated"}
# Runs as root at each boot: a machine that no agent guards by then ends itself. An agent holds its lock.
_GUARD = """
(sleep "$1"; [ -e "$2/daemon.lock" ] && ! flock -n "$2/daemon.lock" true && exit
 PATH="$PATH:/usr/sbin:/sbin" shutdown -h now) >/dev/null 2>&1 </dev/null &
"""
_KEY_CHARS, _VALUE_CHARS, _TAGS = 128, 256, 50


def machine(found: Mapping[str, Any], region: str, *, internal: bool) -> Machine:
    """An instance as DescribeInstances shows it. internal: it is reached at its private address."""
    state = _STATES[found["State"]["Name"]]
    private, public = found.get("PrivateIpAddress") or "", found.get("PublicIpAddress") or ""
    launched = found.get("LaunchTime")
    reason = found.get("StateReason", {}).get("Code", "")
    return Machine(
        id=found["InstanceId"],
        token=found.get("ClientToken") or "",
        state=state,
        tags={tag["Key"]: tag["Value"] for tag in found.get("Tags", [])},
        address=private,
        reach="" if internal or public == private else public,
        place=region,
        zone=found.get("Placement", {}).get("AvailabilityZone") or "",
        instance_type=found.get("InstanceType") or "",
        spot=found.get("InstanceLifecycle") == "spot",
        created_at=launched.timestamp() if launched is not None else None,
        ended_by=_ENDED_BY.get(reason, "") if state in _ENDED else "",
    )


def parameters(
    request: NodeRequest, settings: AwsSettings, image: Image, site: Site, authorized_key: str
) -> dict[str, Any]:
    """All of RunInstances: the same request gives the same parameters, or EC2 refuses the token."""
    tags = all_tags(request, settings)
    asked: dict[str, Any] = {
        "ClientToken": request.token,
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": image.id,
        "InstanceType": request.instance_type,
        "BlockDeviceMappings": disks(image, request, encrypted=settings.disk_encrypted),
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "InstanceInitiatedShutdownBehavior": "terminate" if request.spot else request.on_shutdown,
        "UserData": user_data(settings.ssh_user, authorized_key),
        "TagSpecifications": [{"ResourceType": kind, "Tags": pairs(tags)} for kind in ("instance", "volume")],
    }
    if site.subnet is None:
        asked["SecurityGroupIds"] = list(site.groups)
    else:
        card = {
            "DeviceIndex": 0,
            "SubnetId": site.subnet,
            "Groups": list(site.groups),
            "AssociatePublicIpAddress": not settings.use_internal_ips,
            "DeleteOnTermination": True,
        }
        asked["NetworkInterfaces"] = [card]
    if settings.remote_identity:
        asked["IamInstanceProfile"] = {"Name": settings.remote_identity}
    if request.spot:
        once = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        asked["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": once}
    return asked


def all_tags(request: NodeRequest, settings: AwsSettings) -> dict[str, str]:
    """Skynb's tags over the task's labels over those of the settings; ProviderError for what EC2 refuses."""
    tags = {**settings.labels, **request.labels, "Name": request.name, **request.tags, MARK[0]: MARK[1]}
    bad = [
        key
        for key, value in tags.items()
        if not 0 < len(key) <= _KEY_CHARS or len(value) > _VALUE_CHARS or key.lower().startswith("aws:")
    ]
    if bad or len(tags) > _TAGS:
        raise ProviderError(
            f"EC2 takes no such label: {', '.join(sorted(bad))}"
            if bad
            else "these are too many labels for EC2",
            why=f"at most {_TAGS} tags, keys of {_KEY_CHARS}, values of {_VALUE_CHARS}, none with `aws:`",
            mend="Change `labels` of the task or `aws.labels` in config.yaml",
            retryable="no",
        )
    return tags


def user_data(user: str, authorized_key: str) -> str:
    """What cloud-init does: the login user, with our key and no password, and a guard at every boot.

    JSON is YAML.
    """
    login = {
        "name": user,
        "shell": "/bin/bash",
        "lock_passwd": True,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": [authorized_key],
    }
    guard = ["/bin/sh", "-c", _GUARD, "guard", str(UNGUARDED_S), agent_root(user)]
    return "#cloud-config\n" + json.dumps({"users": ["default", login], "bootcmd": [guard]}, indent=1) + "\n"


def home_of(user: str) -> str:
    """The home folder of a login."""
    return "/root" if user == "root" else f"/home/{user}"


def agent_root(user: str) -> str:
    """Where the agent lives."""
    return f"{home_of(user)}/.skynb-node"
