"""What can be had of a host, as instance types: all of it, or parts of it."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timezone

import msgspec

from skynb.errors import ProviderError
from skynb.planning.asks import HOSTS, WHOLE
from skynb_catalog import Offer, by_driver_name
from skynb_clusters.providers.ssh.pools import Allocation

_TYPE = re.compile(r"(whole-)?(\d+)cpu-(\d+)gib(?:-(\d+)x(.+))?")
_REGION = "ssh-"
_ARCHES = {"amd64": "x86_64", "aarch64": "arm64"}


class Gpu(msgspec.Struct, frozen=True):
    """One GPU as the driver lists it."""

    index: int
    name: str
    mib: float


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a host said of itself. address: where its sshd was reached."""

    node: str
    cpus: int
    memory_gib: float
    disk_gib: float
    gpus: tuple[Gpu, ...] = ()
    gpu_error: str = ""
    arch: str = ""
    python: str = ""
    rsync: bool = False
    sudo: bool = False
    address: tuple[str, ...] = ()

    @property
    def model(self) -> tuple[str, float] | None:
        """The kind of most of its GPUs and the GiB of one; None if nobody knows them."""
        known = (by_driver_name(gpu.name, gpu.mib / 1024) for gpu in self.gpus)
        most = Counter(kind for kind in known if kind is not None).most_common(1)
        return (most[0][0].name, most[0][0].memory_gib) if most else None


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a host: what an instance type's name says."""

    cpus: int
    memory_gib: int
    gpus: int = 0
    model: str = ""
    whole: bool = False

    @property
    def name(self) -> str:
        """As in `whole-064cpu-503gib-8xH100` or `008cpu-62gib-1xH100`, so that the smaller sorts first."""
        accelerated = f"-{self.gpus}x{self.model}" if self.gpus else ""
        return f"{WHOLE if self.whole else ''}{self.cpus:03}cpu-{self.memory_gib}gib{accelerated}"

    def fits(self, facts: Facts, allocation: Allocation) -> bool:
        """Whether a host that is free could give it."""
        has = _all_of(facts)
        return (
            self.whole == (allocation == "exclusive")
            and (self.cpus, self.memory_gib, self.gpus) <= (has.cpus, has.memory_gib, has.gpus)
            and self.cpus <= has.cpus
            and self.memory_gib <= has.memory_gib
            and self.gpus <= has.gpus
            and (not self.gpus or self.model == has.model)
        )


def parse(instance_type: str) -> Shape:
    """The shape of that name; ProviderError if it is none of ours."""
    found = _TYPE.fullmatch(instance_type)
    if found is None:
        raise ProviderError(f"ssh has no instance type {instance_type!r}", retryable="no", disproves="type")
    whole, cpus, memory, gpus, model = found.groups()
    return Shape(
        cpus=int(cpus), memory_gib=int(memory), gpus=int(gpus or 0), model=model or "", whole=bool(whole)
    )


def shapes(facts: Facts, allocation: Allocation) -> list[Shape]:
    """All of a host; or, if it is shared, parts of 1, 2, 4, ... GPUs or CPUs with their share of the rest."""
    every = _all_of(facts)
    if allocation == "exclusive":
        return [msgspec.structs.replace(every, whole=True)]
    parts = [_part(every, share, every.cpus, 0) for share in _steps(every.cpus)]
    return [*parts, *(_part(every, share, every.gpus, share) for share in _steps(every.gpus))]


def offer(pool: str, shape: Shape, facts: Facts) -> Offer:
    """A shape as an offer, for nothing."""
    model = facts.model
    return Offer(
        cloud=HOSTS,
        region=region_of(pool),
        zone=None,
        instance_type=shape.name,
        vcpus=float(shape.cpus),
        memory_gib=float(shape.memory_gib),
        accelerator=shape.model or None,
        accelerator_count=float(shape.gpus) if shape.gpus else None,
        accelerator_memory_gib=model[1] if model and shape.gpus else None,
        arch=_ARCHES.get(facts.arch.lower(), facts.arch.lower()) or None,
        hourly_micro=0,
        spot_hourly_micro=None,
        as_of=datetime.now(timezone.utc).date().isoformat(),
        spot_as_of=None,
        source="your hosts",
        confidence="high",
    )


def region_of(pool: str) -> str:
    """The pool as a region: a task's `ssh/pool` is read so, to keep it apart from a Kubernetes context."""
    return f"{_REGION}{pool}"


def pool_of(region: str) -> str:
    """The pool of a region, however it was written."""
    return region.removeprefix(_REGION)


def _all_of(facts: Facts) -> Shape:
    model = facts.model
    return Shape(
        cpus=facts.cpus,
        memory_gib=int(facts.memory_gib),
        gpus=len(facts.gpus) if model else 0,
        model=model[0] if model else "",
    )


def _part(every: Shape, share: int, of: int, gpus: int) -> Shape:
    return Shape(
        cpus=max(1, every.cpus * share // of),
        memory_gib=every.memory_gib * share // of,
        gpus=gpus,
        model=every.model if gpus else "",
    )


def _steps(count: int) -> list[int]:
    """1, 2, 4, ... and the count itself."""
    return sorted({1 << power for power in range(count.bit_length()) if 1 << power <= count} | {count} - {0})
