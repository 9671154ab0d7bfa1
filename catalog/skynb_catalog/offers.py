"""What is asked of the catalog and what it answers. Money is micro-dollars per hour; memory is GiB."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import NamedTuple

_EPOCH = date(1970, 1, 1).toordinal()


class Fact(NamedTuple):
    """One row on its way into a snapshot: an instance type in a region and zone, as its source states it.

    None means unknown. Prices are micro-dollars per hour for the whole instance; dates are ISO.
    """

    cloud: str
    region: str | None
    zone: str | None
    instance_type: str
    vcpus: float | None
    memory_gib: float | None
    accelerator: str | None
    accelerator_count: float | None
    accelerator_memory_gib: float | None
    arch: str | None
    hourly_micro: int | None
    spot_hourly_micro: int | None
    as_of: str | None
    spot_as_of: str | None
    source: str
    confidence: str
    local_disk_gib: float | None = None
    local_disk_kind: str | None = None  # nvme or ssd


class Offer(NamedTuple):
    """A machine that can be rented at a known price.

    region None: the price holds wherever the cloud offers the type. zone None: any zone of the region.
    hourly_micro, spot_hourly_micro: micro-dollars per hour for the whole machine; spot None: not offered or
    not known. as_of, spot_as_of: ISO date of the price at its source, None where the source carries none.
    accelerator_memory_gib: GiB of each accelerator. local_disk_gib: GiB of all disks in the machine; None:
    none, or not known. local_disk_kind: `nvme` or `ssd`.
    """

    cloud: str
    region: str | None
    zone: str | None
    instance_type: str
    vcpus: float | None
    memory_gib: float | None
    accelerator: str | None
    accelerator_count: float | None
    accelerator_memory_gib: float | None
    arch: str | None
    hourly_micro: int
    spot_hourly_micro: int | None
    as_of: str | None
    spot_as_of: str | None
    source: str
    confidence: str
    local_disk_gib: float | None = None
    local_disk_kind: str | None = None


class Scope(NamedTuple):
    """A part of the catalog: what a failure disproves, a discount covers, a reservation holds.

    An offer belongs to it if it states every word that is given here; None leaves a word open. instance_type
    is a name or a shell pattern (`p5.*`), accelerator a canonical name. spot: offers asked for by their
    spot price (True), by their on-demand price (False).
    """

    cloud: str | None = None
    region: str | None = None
    zone: str | None = None
    instance_type: str | None = None
    accelerator: str | None = None
    spot: bool | None = None


class Listing(NamedTuple):
    """One row of `skynb gpus`: an accelerator in a machine, with the cheapest price known for it.

    accelerator_count None: the source does not say how many. hourly_micro None: the type exists, its price is
    not known. launchable False: a list price of one accelerator, which nobody rents by this name. The spot
    price is that of the same offer, not the lowest of any. as_of, spot_as_of: ISO dates of the two prices.
    """

    accelerator: str
    accelerator_count: float | None
    cloud: str
    instance_type: str
    vcpus: float | None
    memory_gib: float | None
    accelerator_memory_gib: float | None
    hourly_micro: int | None
    spot_hourly_micro: int | None
    region: str | None
    as_of: str | None
    confidence: str
    launchable: bool
    spot_as_of: str | None = None
    source: str = ""
    arch: str | None = None
    local_disk_gib: float | None = None
    local_disk_kind: str | None = None


class Amount(NamedTuple):
    """A number of vCPUs or GiB: exact, or the least that will do; per_cpu counts memory per vCPU."""

    value: float
    at_least: bool = False
    per_cpu: bool = False


USUAL_ARCH = "x86_64"  # of machines of which nobody says it


class Query(NamedTuple):
    """What an offer must be.

    accelerators: canonical names, any of which will do, `count` of them; none named means a machine without
    any, unless `instance_type` names the machine. A region or zone also admits offers that state none.
    spot: only offers with a spot price, ranked by it. max_hourly_micro limits the price that ranks.
    arch `x86_64` also admits offers that state none. local_disk: GiB; local_disk_kind `nvme` admits that
    only, None any. within: only offers of this scope; without: none of any of these. clouds None: every
    cloud. limit None: all.
    """

    accelerators: tuple[str, ...] = ()
    count: float = 1  # type: ignore[assignment]  # hides tuple.count, which a query has no use for
    cpus: Amount | None = None
    memory: Amount | None = None
    clouds: tuple[str, ...] | None = None
    region: str | None = None
    zone: str | None = None
    instance_type: str | None = None
    spot: bool = False
    max_hourly_micro: int | None = None
    arch: str | None = None
    local_disk: Amount | None = None
    local_disk_kind: str | None = None
    within: Scope | None = None
    without: tuple[Scope, ...] = ()
    limit: int | None = None


class Stamp(NamedTuple):
    """What a snapshot is: sha256 of its packed bytes, the ISO date it was collected, how many rows it has."""

    hash: str
    collected: str
    rows: int


def day_number(iso: str | None) -> int:
    """Days since 1970 of an ISO date; 0 for none."""
    return date.fromisoformat(iso).toordinal() - _EPOCH if iso else 0


@cache  # thousands of rows share some hundred dates
def day(number: int) -> str | None:
    """The reverse of `day_number`."""
    return date.fromordinal(number + _EPOCH).isoformat() if number else None
