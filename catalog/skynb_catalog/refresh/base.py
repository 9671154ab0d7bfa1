"""What a refresh starts from: the rows in force, or for a cloud the shipped ones where these are newer."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from skynb_catalog import cache, editions
from skynb_catalog.offers import Fact, Stamp
from skynb_catalog.snapshots import facts

if TYPE_CHECKING:
    from skynb_catalog.editions import CloudRecord


class Base(NamedTuple):
    """Rows by cloud, what is in force now, and what is known of each cloud's refresh."""

    clouds: dict[str, list[Fact]]
    stamp: Stamp
    records: dict[str, CloudRecord]


def load() -> Base:
    """The newest rows of every cloud. Raises CatalogError, OSError if the package is damaged."""
    packed, stamp = editions.packed_in_force()
    shipped = cache.shipped_stamp()
    records = editions.records(stamp) if stamp != shipped else {}
    records = {name: one for name, one in records.items() if one.refreshed >= shipped.collected}
    clouds = _by_cloud(facts(packed))
    if stamp != shipped:
        theirs = _by_cloud(facts(cache.shipped_packed()))
        clouds = theirs | {name: rows for name, rows in clouds.items() if name in records}
    return Base(clouds, stamp, records)


def _by_cloud(rows: list[Fact]) -> dict[str, list[Fact]]:
    found: dict[str, list[Fact]] = defaultdict(list)
    for fact in rows:
        found[fact.cloud].append(fact)
    return dict(found)
