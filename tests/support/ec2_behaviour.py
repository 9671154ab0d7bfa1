"""What moto's EC2 lacks of the real one, by patches of its classes: refusals, tokens, time and machines.

Imported by the server process only (`ec2_server`). `FAULTS` is what a test may change over the control path.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from typing import Any

# moto reads these when it is imported; without them it takes any type and image.
os.environ["MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION"] = "true"
os.environ["MOTO_ENABLE_AMI_VALIDATION"] = "true"
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

from moto.ec2 import ec2_backends
from moto.ec2.exceptions import EC2ClientError, InvalidInstanceIdError
from moto.ec2.models import EC2Backend
from moto.ec2.models import instances as moto_instances
from moto.ec2.models.amis import Ami
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ssm.models import Parameter, SimpleSystemManagerBackend

from tests.support.ec2_images import AMIS, IMAGES
from tests.support.hosts import Host, Lab

FAULTS: dict[str, Any] = {
    "no_capacity": [],  # [type or *, zone or *]
    "not_in_zone": [],  # the same, for types that the zone does not have
    "vcpu_quota": None,
    "pending_s": 0.0,
    "ending_s": 0.0,
    "stopping_s": 0.0,
    "invisible_s": 0.0,
    "fail": {},  # action: {code, message, status, times, after}
    "lose": {},  # action: how many answers are lost, after the deed
    "guard_s": None,  # instead of what the boot command says
    "lie": {},  # action: how many are answered, and not done
}
_METADATA = "/usr/local/bin/metadata.py"

lab: Lab | None = None
lock = threading.RLock()
_tokens: dict[tuple[str, str], tuple[str, Any]] = {}
_due: dict[str, tuple[float, str, int]] = {}
_born: dict[str, float] = {}
_hosts: dict[str, Host] = {}

_run = moto_instances.InstanceBackend.run_instances
_reservations = moto_instances.InstanceBackend.all_reservations
_start = moto_instances.Instance.start
_stop = moto_instances.Instance.stop
_terminate = moto_instances.Instance.terminate
_modify_groups = moto_instances.InstanceBackend.modify_instance_security_groups
_drop_group = EC2Backend.delete_security_group
_get_parameter = SimpleSystemManagerBackend.get_parameter
_describe_images = EC2Backend.describe_images


# What is refused


def _refuse_by_place(instance_type: str, zone: str) -> None:
    for kind, place in FAULTS["no_capacity"]:
        if kind in {instance_type, "*"} and place in {zone, "*"}:
            text = f"We currently do not have sufficient {instance_type} capacity in {zone}."
            raise EC2ClientError("InsufficientInstanceCapacity", text)
    for kind, place in FAULTS["not_in_zone"]:
        if kind in {instance_type, "*"} and place in {zone, "*"}:
            text = f"Your requested instance type ({instance_type}) is not supported in your requested "
            raise EC2ClientError("Unsupported", f"{text}Availability Zone ({zone}).")


def _refuse_by_quota(backend: Any, instance_type: str) -> None:
    """One limit for an account and region; EC2 has one for each family and market."""
    limit = FAULTS["vcpu_quota"]
    if limit is None:
        return
    living = [i for i in instances(backend) if i._state.name in {"pending", "running"}]
    if sum(_vcpus(i.instance_type) for i in living) + _vcpus(instance_type) > limit:
        text = f"You have requested more vCPU capacity than your current vCPU limit of {limit} allows."
        raise EC2ClientError("VcpuLimitExceeded", text)


def _vcpus(instance_type: str) -> int:
    return int(INSTANCE_TYPES.get(instance_type, {}).get("VCpuInfo", {}).get("DefaultVCpus", 0))


def _zone(backend: Any, asked: dict[str, Any]) -> str:
    subnet = asked.get("subnet_id") or next(
        (n["SubnetId"] for n in asked.get("nics", []) if "SubnetId" in n), ""
    )
    return backend.get_subnet(subnet).availability_zone if subnet else f"{backend.region_name}a"


def lies(action: str) -> bool:
    """Whether this call is answered and not done."""
    left = int(FAULTS["lie"].get(action, 0))
    if left:
        FAULTS["lie"][action] = left - 1
    return bool(left)


# What is done


def run_instances(self, image_id, count, user_data, security_group_names, **asked):
    with lock:
        token = asked["client_token"]
        print_ = json.dumps([image_id, count, str(user_data), asked], sort_keys=True, default=str)
        known = _tokens.get((self.region_name, token)) if token != "ABCDE" else None
        if known is not None:
            return _again(known, print_)
        for group in (group for card in asked["nics"] for group in card.get("Groups", [])):
            if self.get_security_group_from_id(group) is None:
                raise EC2ClientError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
        _refuse_by_place(asked["instance_type"], _zone(self, asked))
        _refuse_by_quota(self, asked["instance_type"])
        made = _run(self, image_id, count, user_data, security_group_names, **asked)
        _tokens[self.region_name, token] = (print_, made)
        for instance in made.instances:
            _dress(instance)
            _born[instance.id] = time.monotonic()
            _move(instance, "pending", 0, "running", 16, FAULTS["pending_s"])
            if lab is not None:
                _boot(instance)
        return made


def _again(known: tuple[str, Any], print_: str) -> Any:
    before, made = known
    if before != print_:
        text = (
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)"
        )
        raise EC2ClientError("IdempotentParameterMismatch", text)
    if any(i._state.name in {"shutting-down", "terminated"} for i in made.instances):
        text = "The client token you have provided is associated with an instance that's terminated."
        raise EC2ClientError("IdempotentInstanceTerminated", text)
    return made


def _dress(instance: Any) -> None:
    """What moto leaves out: the groups of a network interface are the instance's."""
    card = instance.nics[0]
    instance.security_groups = list({group.id: group for group in card.group_set}.values())
    card._group_set = []


def _boot(instance: Any) -> None:
    assert lab is not None
    host = _hosts.get(instance.id)
    if host is None:
        host = _hosts[instance.id] = lab.up(instance.id)
        off = host.disk / "usr/local/sbin/shutdown"
        off.write_text("#!/bin/sh\nkill -TERM 1\n")
        off.chmod(0o755)
        for user in _cloud_config(instance).get("users", []):
            if isinstance(user, dict):
                host.add_user(user["name"], sudo=True, key=user["ssh_authorized_keys"][0])
    host.boot()
    for argv in _cloud_config(instance).get("bootcmd", []):
        after = FAULTS["guard_s"]
        host.ssh([str(after) if after and word.isdigit() else word for word in argv], user="root")
    card = instance.nics[0]
    card.private_ip_address = card.public_ip = host.address
    if instance.lifecycle == "spot":
        _serve_metadata(host)


def user_data(instance: Any) -> str:
    """What cloud-init would read."""
    return instance.user_data.decode() if instance.user_data else ""


def _cloud_config(instance: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(user_data(instance).partition("\n")[2] or "{}")
    return found


def _serve_metadata(host: Host) -> None:
    from pathlib import Path

    script = host.disk / _METADATA.lstrip("/")
    script.write_text((Path(__file__).with_name("metadata.py")).read_text())
    serve = f"python3 {_METADATA} 169.254.169.254 80 /usr/local/metadata"
    quiet = "</dev/null >/dev/null 2>&1 &"
    host.ssh(["sh", "-c", f"ip addr add 169.254.169.254/32 dev lo; nohup {serve} {quiet}"], user="root")


def give_notice(instance: Any, at: float) -> None:
    """The metadata service of the machine tells from now on that it will be taken then."""
    folder = _hosts[instance.id].disk / "usr/local/metadata"
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    (folder / "draft").write_text(json.dumps({"action": "terminate", "time": when}))
    (folder / "draft").rename(folder / "preemption")


def start(self):
    with lock:
        if self._state.name in {"terminated", "shutting-down", "stopping"}:
            text = f"The instance '{self.id}' is not in a state from which it can be started."
            raise EC2ClientError("IncorrectInstanceState", text)
        if self._state.name != "stopped":
            return _now(self)
        _refuse_by_place(self.instance_type, str(self._placement.zone))
        before = _start(self)
        _move(self, "pending", 0, "running", 16, FAULTS["pending_s"])
        if lab is not None:
            _boot(self)
        return before


def stop(self):
    with lock:
        if self._state.name in {"terminated", "shutting-down", "pending"}:
            text = f"The instance '{self.id}' is not in a state from which it can be stopped."
            raise EC2ClientError("IncorrectInstanceState", text)
        if self.lifecycle == "spot":
            text = f"You can't stop '{self.id}': it is of a one-time Spot request."
            raise EC2ClientError("UnsupportedOperation", text)
        if self._state.name != "running" or lies("StopInstances"):
            return _now(self)
        return _off(self)


def _off(self) -> Any:
    before = _stop(self)
    _move(self, "stopping", 64, "stopped", 80, FAULTS["stopping_s"])
    if host := _hosts.get(self.id):
        host.kill()
    return before


def terminate(self):
    with lock:
        if self._state.name in {"terminated", "shutting-down"} or lies("TerminateInstances"):
            return _now(self)
        return _end(self)


def _end(self) -> Any:
    before = _terminate(self)
    _move(self, "shutting-down", 32, "terminated", 48, FAULTS["ending_s"])
    if host := _hosts.pop(self.id, None):
        host.down()
    return before


def _now(instance: Any) -> Any:
    return moto_instances.InstanceState(instance._state.name, instance._state.code)


def _move(instance: Any, name: str, code: int, then: str, then_code: int, seconds: float) -> None:
    _due.pop(instance.id, None)  # what was to follow does not any more
    if seconds > 0:
        instance._state.name, instance._state.code = name, code
        _due[instance.id] = (time.monotonic() + seconds, then, then_code)


def advance() -> None:
    """Let time pass: slow states end, and a machine that shut itself down is seen to be off."""
    with lock:
        for instance in all_instances():
            at, name, code = _due.get(instance.id, (float("inf"), "", 0))
            if time.monotonic() >= at:
                del _due[instance.id]
                instance._state.name, instance._state.code = name, code
            host = _hosts.get(instance.id)
            if host and not host.running() and instance._state.name == "running":
                shut_down(instance)


def shut_down(instance: Any) -> None:
    """It was shut down from inside."""
    (_end if instance.instance_initiated_shutdown_behavior == "terminate" else _off)(instance)
    _because(instance, "Client.InstanceInitiatedShutdown")


def interrupt(instance: Any) -> None:
    """A spot machine is taken away."""
    _end(instance)
    _because(instance, "Server.SpotInstanceTermination")


def _because(instance: Any, code: str) -> None:
    instance.state_reason = moto_instances.StateReason(f"{code}: so it was", code)


# What is seen


def all_reservations(self, filters=None):
    filters = dict(filters or {})
    tokens = filters.pop("client-token", None)
    found = _reservations(self, filters=filters)
    for reservation in found:
        reservation.instances = [
            i for i in reservation.instances if _seen(i) and (tokens is None or i.client_token in tokens)
        ]
    return [reservation for reservation in found if reservation.instances]


def get_multi_instances_by_id(self, instance_ids, filters=None):
    known = {i.id: i for i in instances(self) if _seen(i)}
    missing = [name for name in instance_ids if name not in known]
    if missing:
        raise InvalidInstanceIdError(missing)
    return [known[name] for name in instance_ids]


def _seen(instance: Any) -> bool:
    return time.monotonic() >= _born.get(instance.id, 0.0) + float(FAULTS["invisible_s"])


def delete_security_group(self, name=None, group_id=None):
    for instance in instances(self):
        held = {group.id for group in instance.security_groups}
        if instance._state.name != "terminated" and group_id in held:
            raise EC2ClientError("DependencyViolation", f"resource {group_id} has a dependent object")
    return _drop_group(self, name, group_id)


def modify_instance_security_groups(self, instance_id, new_group_id_list):
    instance = self.get_instance(instance_id)
    if instance._state.name in {"shutting-down", "terminated"}:
        raise EC2ClientError("IncorrectInstanceState", "The instance is not in a valid state")
    return _modify_groups(self, instance_id, new_group_id_list)


def get_parameter(self, name):
    if name in AMIS:
        plain = {
            "description": None,
            "allowed_pattern": None,
            "keyid": None,
            "data_type": "text",
            "version": 1,
        }
        now = moto_instances.utcnow()
        return Parameter(self.account_id, name, AMIS[name], "String", last_modified_date=now, **plain)
    return _get_parameter(self, name)


def describe_images(self, *args, **kwargs):
    for name, ami in AMIS.items():
        if ami not in self.amis:
            self.amis[ami] = Ami(self, ami, name=name, public=True, architecture=IMAGES[name])
    return _describe_images(self, *args, **kwargs)


def instances(backend: Any) -> list[Any]:
    """Every instance of a region, in any state."""
    return [i for reservation in list(backend.reservations.values()) for i in reservation.instances]


def all_instances() -> list[Any]:
    """Every instance of every region."""
    with suppress(RuntimeError):
        return [
            i for regions in ec2_backends.values() for one in list(regions.values()) for i in instances(one)
        ]
    return []


def install() -> None:
    """Put it all in place."""
    backend = moto_instances.InstanceBackend
    for name in ("run_instances", "all_reservations", "get_multi_instances_by_id"):
        setattr(backend, name, globals()[name])
    backend.modify_instance_security_groups = modify_instance_security_groups
    for name in ("start", "stop", "terminate"):
        setattr(moto_instances.Instance, name, globals()[name])
    EC2Backend.delete_security_group = delete_security_group
    EC2Backend.describe_images = describe_images
    SimpleSystemManagerBackend.get_parameter = get_parameter
