"""Where a task may run: `aws/us-east-1/us-east-1a`, `k8s/context`, `ssh/pool`, `slurm/cluster/partition`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from skynb.spec.checks import fail, show, text
from skynb.spec.plain import SpecValue

_CLOUD = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
ANY = "*"
_ALIASES = {"k8s": "kubernetes"}
_SSH_PREFIX = "ssh-"  # keeps a pool of hosts apart from a Kubernetes context of the same name
_SHAPE = "Write `cloud`, `cloud/region` or `cloud/region/zone`; `*` stands for any"


@dataclass(frozen=True, slots=True)
class Infra(SpecValue):
    """A cloud, region and zone, each None for any.

    The cloud is lower case, `kubernetes` also for `k8s`, and `sim/aws` for a simulated one. A Kubernetes
    region is the context, a Slurm region and zone are the cluster and partition, an SSH region is
    `ssh-` and the pool's name.
    """

    cloud: str | None = None
    region: str | None = None
    zone: str | None = None

    @classmethod
    def of(cls, cloud: str | None, region: str | None, zone: str | None) -> Infra:
        """The infra of three parts, each None or `*` for any."""
        return cls(*(None if part == ANY else part for part in (cloud, region, zone)))

    @classmethod
    def parse(cls, value: Any, where: str) -> Infra:
        """The infra that a text spells."""
        spelling = text(value, where).strip()
        parts = [part.strip() for part in spelling.strip("/").split("/")]
        if parts == [""]:
            return cls()
        prefix = ""
        if parts[0].lower() == "sim" and len(parts) > 1:
            prefix, parts = "sim/", parts[1:]
        if not all(parts):
            fail(where, f"{show(value)} has an empty part", mend=_SHAPE)
        cloud = cloud_name(parts[0], where)
        if cloud == "kubernetes":
            parts = [parts[0], "/".join(parts[1:]) or "*"]
        most = 2 if cloud == "ssh" else 3
        if len(parts) > most:
            fail(where, f"{show(value)} has more than {most} parts", mend=_SHAPE)
        region, zone = [part if part != ANY else None for part in (*parts[1:], ANY, ANY)][:2]
        if cloud == "ssh" and region:
            region = _SSH_PREFIX + region
        return cls(prefix + cloud if cloud != ANY else prefix[:-1] or None, region, zone)

    def to_plain(self) -> str:
        return str(self)

    def __str__(self) -> str:
        region = self.region
        if self.cloud == "ssh" and region:
            region = region.removeprefix(_SSH_PREFIX)
        parts = [self.cloud or "*", region or "*", self.zone or "*"]
        while len(parts) > 1 and parts[-1] == "*":
            parts.pop()
        return "/".join(parts)


def cloud_name(value: Any, where: str) -> str:
    """A cloud's name in lower case, or `*`; which clouds there are is the providers' business."""
    spelling = text(value, where).strip().lower()
    if spelling == ANY:
        return ANY
    name = _ALIASES.get(spelling, spelling)
    if not _CLOUD.fullmatch(name.removeprefix("sim/")):
        fail(where, f"{show(value)} is not the name of a cloud", mend=_SHAPE)
    return name


def place(value: Any, where: str) -> str:
    """A region or zone, or `*`."""
    spelling = text(value, where).strip()
    if not spelling:
        fail(where, "it is empty", mend="Write `*` for any")
    return spelling
