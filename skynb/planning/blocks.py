"""What failures have disproved, and for how long, so that whoever goes on plans around it. Pure.

A failure blocks exactly what it disproves and nothing else: that a zone has no H100 left says nothing about
the next zone, about another type in this one, or about tomorrow.
"""

from __future__ import annotations

from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

import msgspec

from skynb.errors import Disproved
from skynb_catalog import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

# Seconds for which a failure is believed. Capacity comes and goes; a type that a region does not have stays
# away.
LASTS: dict[Disproved, int] = {
    "capacity": 10 * 60,
    "zone": 10 * 60,
    "region": 10 * 60,
    "cloud": 10 * 60,
    "quota": 60 * 60,
    "type": 24 * 60 * 60,
}


class Placed(Protocol):
    """A machine at a place, whoever describes it: a candidate of a plan, an offer that a cluster tries."""

    @property
    def cloud(self) -> str: ...
    @property
    def region(self) -> str | None: ...
    @property
    def zone(self) -> str | None: ...
    @property
    def instance_type(self) -> str: ...
    @property
    def accelerator(self) -> str | None: ...
    @property
    def spot(self) -> bool: ...


class Block(msgspec.Struct, frozen=True):
    """A part of the catalog that is not to be tried until then. until: seconds since the epoch."""

    scope: Scope
    until: float
    reason: str

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.until, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        return f"{described(self.scope)} until {moment}: {self.reason}"


def block(failure: Disproved, tried: Placed, at: float, reason: str) -> Block:
    """The block that a failed attempt leaves. at: seconds since the epoch.

    capacity: this type in this zone, at this kind of price. zone, region, cloud: all of it. type: the region
    does not have this type. quota: the region's limit for this accelerator (or type), at this kind of price.
    """
    return Block(_disproved(failure, tried), at + LASTS[failure], reason)


def active(blocks: Iterable[Block], now: float) -> tuple[Block, ...]:
    """Those that still hold, in an order that does not depend on theirs."""
    held = {one for one in blocks if one.until > now}
    return tuple(sorted(held, key=lambda one: (tuple(map(str, one.scope)), one.until, one.reason)))


def covers(scope: Scope, one: Placed) -> bool:
    """Whether an offer belongs to a scope: it states every word that the scope names."""
    return (
        scope.cloud in {None, one.cloud}
        and scope.region in {None, one.region}
        and scope.zone in {None, one.zone}
        and scope.accelerator in {None, one.accelerator}
        and scope.spot in {None, one.spot}
        and (scope.instance_type is None or fnmatchcase(one.instance_type, scope.instance_type))
    )


def described(scope: Scope) -> str:
    """A scope in a few words: `spot p5.* on aws/us-east-1`."""
    place = "/".join(part for part in (scope.cloud, scope.region, scope.zone) if part) or "any cloud"
    price = {True: "spot ", False: "on-demand ", None: ""}[scope.spot]
    kind = scope.instance_type or scope.accelerator
    return f"{price}{kind} on {place}" if kind else f"{price}{place}"


def _disproved(failure: Disproved, tried: Placed) -> Scope:
    if failure == "cloud":
        return Scope(tried.cloud)
    if failure == "region":
        return Scope(tried.cloud, tried.region)
    if failure == "zone":
        return Scope(tried.cloud, tried.region, tried.zone)
    if failure == "type":
        return Scope(tried.cloud, tried.region, instance_type=tried.instance_type)
    if failure == "quota":
        kind = None if tried.accelerator else tried.instance_type
        return Scope(
            tried.cloud, tried.region, instance_type=kind, accelerator=tried.accelerator, spot=tried.spot
        )
    return Scope(tried.cloud, tried.region, tried.zone, tried.instance_type, spot=tried.spot)
