"""Which fields the server carries out today; whoever makes another one work moves its row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from skynb.spec.records import Record

if TYPE_CHECKING:
    from skynb.spec.resources import Resources
    from skynb.spec.task import Task

Unexecuted = Callable[[Any], list[str]]  # of a field that is set: the paths below it that nobody executes


def _executed(_value: Any) -> list[str]:
    return []


def _not_yet(_value: Any) -> list[str]:
    return [""]


def _not_below(value: Any) -> list[str]:
    """Not one by one: the paths down to two levels, so that a message names what was written."""
    return [f".{key}{rest}" for key, inner in _entries(value) for rest in _level(inner)]


def _config(config: Any) -> list[str]:
    """Hooks for the loss of a machine run; other events, and settings of the platform, are not heeded yet."""
    hooks = [
        f".hooks[{number}].events"
        for number, hook in enumerate(config.hooks)
        if tuple(hook.events) != ("preemption",)
    ]
    return [name for name in _not_below(config) if not name.startswith(".hooks")] + hooks


def _unless(*executed: Any) -> Unexecuted:
    return lambda value: [] if value in executed else [""]


def _references(secrets: Any) -> list[str]:
    return [f".{name}" for name in secrets.having("reference")]


def _objects(value: Any) -> list[str]:
    return [] if isinstance(value, str) else [""]


def _hook(autostop: Any) -> list[str]:
    return [".hook"] if getattr(autostop, "hook", None) else []


def _mounts(mounts: Any) -> list[str]:
    """Files of this machine are sent; buckets are not mounted yet."""
    return [
        f".{target}" for target, source in mounts.items() if not isinstance(source, str) or "://" in source
    ]


def _containers(image: Any) -> list[str]:
    images = image.values() if isinstance(image, Mapping) else (image,)
    return [""] if any(one.startswith("docker:") for one in images) else []


def _alternatives(items: Any) -> list[str]:
    return [f"[{index}]{path}" for index, item in enumerate(items) for path in _below(item, RESOURCES)]


TASK: Mapping[str, Unexecuted] = {
    "name": _executed,
    "workdir": _objects,  # a local folder, not a git checkout
    "num_nodes": _executed,
    "setup": _executed,
    "run": _executed,
    "envs": _executed,
    "secrets": _references,  # values, not references to kept ones
    "managed_secrets": _not_yet,
    "resources": lambda resources: _below(resources, RESOURCES),
    "file_mounts": _mounts,
    "service": _not_yet,
    "pool": _executed,  # by managed jobs; refused elsewhere
    "volumes": _not_yet,
    "volume_mounts": _not_yet,
    "inputs": _executed,  # a plan counts with them
    "outputs": _executed,  # as above
    "config": _config,
    "event_callback": _not_yet,
    "api_server_access": _not_yet,
    "file_mounts_mapping": _not_yet,
    "_metadata": _executed,  # written by a server for itself
    "_user_specified_yaml": _executed,  # as above
}

RESOURCES: Mapping[str, Unexecuted] = {
    "infra": _executed,
    "cloud": _executed,
    "region": _executed,
    "zone": _executed,
    "accelerators": _executed,
    "accelerator_args": _not_yet,
    "cpus": _executed,
    "memory": _executed,
    "instance_type": _executed,
    "use_spot": _executed,
    "job_recovery": _executed,  # by managed jobs; a cluster needs none
    "any_of": _alternatives,
    "ordered": _alternatives,
    "disk_size": _executed,  # accepted
    "ephemeral_storage": _executed,  # accepted and ignored, as SkyPilot does
    "disk_tier": _executed,
    "network_tier": _unless("standard"),
    "local_disk": _not_yet,
    "max_hourly_cost": _executed,
    "ports": _executed,
    "image_id": _containers,
    "labels": _executed,
    "autostop": _hook,
    "priority": _executed,
    "priority_class": _not_yet,
    "volumes": _not_yet,
    "_docker_login_config": _not_yet,
    "_is_image_managed": _executed,  # written by a server for itself, as those below
    "_requires_fuse": _executed,
    "_cluster_config_overrides": _not_yet,
    "_no_missing_accel_warnings": _executed,
}


def unexecuted_fields(task: Task) -> list[str]:
    """The dotted paths of the fields that are set to more than the default, and not executed yet."""
    return [path.removeprefix(".") for path in _below(task, TASK)]


def _below(record: Task | Resources, table: Mapping[str, Unexecuted]) -> list[str]:
    values = ((key, record.given[key]) for key in record.FIELDS if _is_set(record, key))
    return [f".{key}{path}" for key, value in values for path in table[key](value)]


def _is_set(record: Record, key: str) -> bool:
    if not record.is_given(key):
        return False
    value = record.given[key]
    return value != record.FIELDS[key].default and value not in ((), {}, None)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    for key, inner in (value.to_plain() if isinstance(value, Record) else value).items():
        if inner not in ({}, []):
            yield key, inner


def _level(value: Any) -> list[str]:
    return [f".{key}" for key, _ in _entries(value)] if isinstance(value, Mapping) else [""]
