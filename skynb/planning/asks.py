"""From the task's words to the catalog's: each alternative of the resources becomes one `Ask`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from skynb.errors import NoOfferError, SpecError
from skynb_catalog import USUAL_ARCH, Amount, Query, UnknownAcceleratorError, by_memory, resolve

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from skynb.planning.words import AcceleratorLike, ItemLike, QuantityLike

LOCAL = "local"
HOSTS = "ssh"  # machines that somebody has: they cost nothing, and what is small is not in the way
WHOLE = "whole-"  # begins the instance type of a host that is given out undivided
SIMULATED = "sim"  # alone, or before the cloud it plays: `sim/aws`
# What SkyPilot's task files may name, whether or not the catalog has prices for it.
SKYPILOT_CLOUDS = frozenset(
    {
        "aws",
        "azure",
        "cudo",
        "do",
        "fluidstack",
        "gcp",
        "hyperbolic",
        "ibm",
        "kubernetes",
        "lambda",
        "mithril",
        "nebius",
        "oci",
        "paperspace",
        "primeintellect",
        "runpod",
        "scp",
        "seeweb",
        "shadeform",
        "slurm",
        "ssh",
        "vast",
        "verda",
        "vsphere",
        "yotta",
    }
)
_ALSO = {"k8s": "kubernetes"}
ARCH_LABEL = "kubernetes.io/arch"  # the well-known label; SkyPilot's resources have no field of their own
_ARCHES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
_DEFAULT_CPUS = Amount(8.0, at_least=True)
_DEFAULT_MEMORY = Amount(4.0, at_least=True, per_cpu=True)


@dataclass(frozen=True)
class Ask:
    """An alternative as a query of the catalog.

    cloud: the one its infra names. defaulted: the size is ours, not the task's. zone_name: an AWS zone by the
    account's own name, which no catalog can know.
    """

    alternative: int
    cloud: str | None
    query: Query
    defaulted: bool
    zone_name: str | None = None

    def without_defaults(self) -> Query:
        """For machines that are what they are: this one, whatever its size."""
        return self.query._replace(cpus=None, memory=None) if self.defaulted else self.query


def to_plain(wanted: Ask) -> dict[str, Any]:
    """The ask in plain JSON types, the query's words by name; `from_plain` is the reverse."""
    query = {
        name: _plain(value)
        for name, value in wanted.query._asdict().items()
        if value != Query._field_defaults[name]
    }
    return {**asdict(replace(wanted, query=Query())), "query": query}


def _plain(value: Any) -> Any:
    if isinstance(value, Amount):
        return value._asdict()
    return list(value) if isinstance(value, tuple) else value


def from_plain(page: dict[str, Any]) -> Ask:
    """The ask that `to_plain` wrote."""
    query: dict[str, Any] = {}
    for name, value in page["query"].items():
        if isinstance(value, dict):
            query[name] = Amount(**value)
        else:
            query[name] = tuple(value) if isinstance(value, list) else value
    return Ask(**{**page, "query": Query(**query)})


def ask(item: ItemLike, alternative: int, *, enabled: Sequence[str] | None, known: Collection[str]) -> Ask:
    """The query for one alternative.

    enabled: the clouds that may be used, None for all; known: every cloud that offers exist for. Raises
    SpecError for a name nobody knows and NoOfferError for a cloud without offers.
    """
    cloud = _cloud(item.infra.cloud, known)
    region, zone = item.infra.region, item.infra.zone
    account_zone = cloud == "aws" and bool(zone) and re.fullmatch(r".*-\d[a-z]", zone or "") is not None
    names, count = _accelerators(item.accelerators)
    bare = not names and item.cpus is None and item.memory is None and item.instance_type is None
    defaulted = bare and cloud != LOCAL
    disk, disk_kind = _local_disk(item.local_disk)
    query = Query(
        accelerators=names,
        count=float(count),
        cpus=_DEFAULT_CPUS if defaulted else _amount(item.cpus),
        memory=_DEFAULT_MEMORY if defaulted else _amount(item.memory),
        clouds=_within(cloud, enabled),
        region=region,
        zone=None if account_zone else zone,
        instance_type=item.instance_type,
        spot=bool(item.use_spot),
        max_hourly_micro=None if item.max_hourly_cost is None else round(item.max_hourly_cost * 1_000_000),
        arch=_arch(item.labels, usual=not names and item.instance_type is None and cloud != LOCAL),
        local_disk=disk,
        local_disk_kind=disk_kind,
    )
    return Ask(alternative, cloud, query, defaulted, zone if account_zone else None)


def cloud_name(name: str) -> str:
    """A cloud's canonical name, for any case."""
    lower = name.strip().casefold()
    return _ALSO.get(lower, lower)


def simulated(cloud: str) -> bool:
    """Whether a cloud is played by local processes."""
    return cloud.partition("/")[0] == SIMULATED


def _within(cloud: str | None, enabled: Sequence[str] | None) -> tuple[str, ...] | None:
    if cloud is None:
        return None if enabled is None else tuple(enabled)
    return (cloud,) if enabled is None or cloud in enabled or cloud == LOCAL else ()


def _cloud(name: str | None, known: Collection[str]) -> str | None:
    if name is None:
        return None
    cloud = cloud_name(name)
    if cloud == LOCAL or cloud in known:
        return cloud
    if simulated(cloud):
        if any(cloud == SIMULATED and simulated(one) for one in known):
            return cloud
        raise NoOfferError(
            f"no machines of {cloud} are simulated here",
            mend="Set SKYNB_REHEARSE=1, or name a real cloud",
            where="resources.infra",
        )
    if cloud in SKYPILOT_CLOUDS:
        raise NoOfferError(
            f"no prices are known for {cloud}",
            why="The catalog has no rows for it",
            mend=f"Clouds with prices: {_listed(sorted(known))}",
            where="resources.infra",
        )
    from difflib import get_close_matches  # only a mistake pays for it

    near = get_close_matches(cloud, sorted({*known, *SKYPILOT_CLOUDS, LOCAL}), n=2, cutoff=0.5)
    raise SpecError(
        f"no cloud is called {name!r}",
        mend=f"Did you mean {' or '.join(near)}?" if near else f"Known: {_listed(sorted(known))}",
        where="resources.infra",
    )


def _accelerators(asked: Sequence[AcceleratorLike]) -> tuple[tuple[str, ...], float]:
    if not asked:
        return (), 1
    one = asked[0]
    if one.name is not None:
        try:
            found = resolve(one.name)
        except UnknownAcceleratorError as error:
            raise SpecError(error.what, mend=error.mend, where="resources.accelerators") from error
    else:
        gib = one.memory_gb or 0
        found = by_memory(gib, at_least=one.memory_at_least, vendor=one.manufacturer)
        if not found:
            maker = f"{one.manufacturer} " if one.manufacturer else ""
            raise NoOfferError(
                f"no {maker}accelerator has {gib:g} GB",
                mend=_sizes(one.manufacturer),
                where="resources.accelerators",
            )
    return tuple(accelerator.name for accelerator in found), one.count


def _arch(labels: Mapping[str, str], *, usual: bool) -> str | None:
    """The architecture that the label names; without one, what programs are usually built for."""
    asked = labels.get(ARCH_LABEL)
    if asked is None:
        return USUAL_ARCH if usual else None
    if asked.casefold() not in _ARCHES:
        raise SpecError(
            f"{asked!r} is not an architecture",
            mend="Write `amd64` or `arm64`",
            where=f"resources.labels.{ARCH_LABEL}",
        )
    return _ARCHES[asked.casefold()]


def _local_disk(spelling: str | None) -> tuple[Amount | None, str | None]:
    """GB of the disks in the machine, and the kind; `ssd` admits NVMe ones."""
    if spelling is None:
        return None, None
    kind, _, size = spelling.partition(":")
    gigabytes = int(size.removesuffix("+"))
    return Amount(gigabytes * 1e9 / 2**30, size.endswith("+")), kind if kind == "nvme" else None


def _sizes(vendor: str | None) -> str:
    sizes = sorted({known.memory_gib for known in by_memory(0, at_least=True, vendor=vendor)})
    if not sizes:
        return "Known makers: nvidia, amd, aws, google, intel, qualcomm"
    return f"There are {', '.join(f'{size:g}' for size in sizes)} GB"


def _amount(quantity: QuantityLike | None) -> Amount | None:
    if quantity is None:
        return None
    # `4x` means four GiB for each vCPU or more, as in SkyPilot.
    return Amount(float(quantity.value), quantity.at_least or quantity.per_cpu, quantity.per_cpu)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
