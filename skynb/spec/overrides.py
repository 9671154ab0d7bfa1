"""`config` of a task: settings of the platform that it overrides, and hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skynb.spec.checks import (
    anything,
    below,
    boolean,
    choice,
    either,
    fail,
    filled,
    integer,
    list_of,
    number,
    open_mapping,
    show,
    text,
)
from skynb.spec.records import Field, Record

_text_or_list = either((list, tuple), list_of(text), text)
_EVENTS = ("stop", "preemption", "down")


def _hook_command(value: Any, where: str) -> str:
    if not 1 <= len(text(value, where)) <= 16384:
        fail(where, f"a command has 1 to 16384 characters, this one {len(value)}", mend="Put it into a file")
    return str(value)


def _events(value: Any, where: str) -> tuple[str, ...]:
    events = list_of(choice(*_EVENTS), least=1)(value, where)
    if len(set(events)) < len(events):
        fail(where, "an event is there twice", mend="Name each once")
    return events


def _custom_metadata(value: Any, where: str) -> Mapping[str, Any]:
    for key in ("name", "namespace"):
        if isinstance(value, Mapping) and key in value:
            fail(below(where, key), f"`{key}` is chosen by the platform", mend="Use labels or annotations")
    return open_mapping(value, where)


def _docker_in_pod(value: Any, where: str) -> Any:
    if isinstance(value, bool):
        return value
    return either(Mapping, PodDocker.parse, choice("ALL", "BUILD"))(value, where)


def _pod_limits(value: Any, where: str) -> bool | float:
    return value if isinstance(value, bool) else number(1)(value, where)


def _remote_identity(value: Any, where: str) -> Any:
    if isinstance(value, (str, Mapping, list, tuple)):
        return anything(value, where)
    return fail(
        where,
        f"{show(value)} is not an identity",
        mend="Write LOCAL_CREDENTIALS, SERVICE_ACCOUNT or NO_UPLOAD",
    )


class Hook(Record):
    """A command run before the cluster stops, goes or is preempted; it sees SKYPILOT_HOOK_EVENT. Seconds."""

    ROOT = "config.hooks"
    run = Field(_hook_command, required=True)
    events = Field(_events, _EVENTS)
    timeout = Field(integer(1), 3600)


class Docker(Record):
    run_options = Field(_text_or_list)


class NvidiaGpus(Record):
    disable_ecc = Field(boolean)


class ManagedInstanceGroup(Record):
    run_duration = Field(integer(1), 0, required=True)
    provision_timeout = Field(integer(0))


class Gcp(Record):
    vpc_name = Field(filled)
    subnet_names = Field(_text_or_list)
    enable_gvnic = Field(boolean)
    enable_gpu_direct = Field(boolean)
    placement_policy = Field(filled)
    managed_instance_group = Field(ManagedInstanceGroup.parse)


class Azure(Record):
    vpc_name = Field(filled)
    remote_identity = Field(_remote_identity)


class Kueue(Record):
    local_queue_name = Field(filled)
    admission_timeout = Field(integer(-1))


class Quota(Record):
    queue = Field(filled)


class SlurmQuota(Quota):
    account = Field(filled)


class Dws(Record):
    enabled = Field(boolean)
    max_run_duration = Field(either((int, float), integer(1), filled))


class PodDocker(Record):
    mode = Field(choice("ALL", "BUILD"))
    cache_volume = Field(anything)


class PodOverrides(Record):
    pod_config = Field(open_mapping)
    provision_timeout = Field(integer(-1))
    custom_metadata = Field(_custom_metadata)


class Kubernetes(PodOverrides):
    kueue = Field(Kueue.parse)
    quota = Field(Quota.parse)
    dws = Field(Dws.parse)
    remote_identity = Field(_remote_identity)
    set_pod_resource_limits = Field(_pod_limits)
    enable_docker = Field(_docker_in_pod)


class Slurm(Record):
    sbatch_options = Field(open_mapping)
    quota = Field(SlurmQuota.parse)
    cpu_partition = Field(filled)


class Vast(Record):
    datacenter_only = Field(boolean)
    create_instance_kwargs = Field(open_mapping)


class Overrides(Record):
    """What a task may set of the platform's configuration, and its hooks."""

    ROOT = "config"
    docker = Field(Docker.parse)
    nvidia_gpus = Field(NvidiaGpus.parse)
    active_workspace = Field(filled)
    gcp = Field(Gcp.parse)
    azure = Field(Azure.parse)
    kubernetes = Field(Kubernetes.parse)
    ssh = Field(PodOverrides.parse)
    slurm = Field(Slurm.parse)
    vast = Field(Vast.parse)
    hooks = Field(list_of(Hook.parse, most=32), ())
