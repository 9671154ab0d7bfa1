"""What a refresh starts from: the rows in force, or for a cloud the shipped ones where these are newer."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from skynb_catalog import cache, editions
from skynb_catalog.offers import Fact, Stamp, day
from skynb_catalog.snapshots import CONFIDENCES, NONE, unpack

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
        theirs = _by_cloud(facts(cache.SHIPPED.read_bytes()))
        clouds = theirs | {name: rows for name, rows in clouds.items() if name in records}
    return Base(clouds, stamp, records)


def facts(packed: bytes) -> list[Fact]:
    """The rows of a snapshot's bytes, prices and places as they went in; sizes as it keeps them."""
    snapshot = unpack(packed)
    tables = snapshot.tables
    accelerators = [name for (name,) in tables["accelerator"]]
    found = []
    for row in zip(*(snapshot.columns[name] for name in _ORDER), strict=True):
        shape, price, region, zone, kind, spot, as_of, spot_as_of, source, confidence = row
        accelerator, count, vcpus, memory, arch, cloud = tables["shape"][shape]
        _, name, _, each = tables["type"][kind]
        found.append(
            Fact(
                cloud=tables["cloud"][cloud][0],
                region=tables["region"][region][1] or None,
                zone=tables["zone"][zone][0] or None,
                instance_type=name,
                vcpus=vcpus / 1000 or None,
                memory_gib=memory / 1024 or None,
                accelerator=accelerators[accelerator] or None,
                accelerator_count=count / 1000 or None,
                accelerator_memory_gib=each / 1024 or None,
                arch=arch or None,
                hourly_micro=None if price == NONE else price,
                spot_hourly_micro=None if spot == NONE else spot,
                as_of=day(as_of),
                spot_as_of=day(spot_as_of),
                source=tables["source"][source][0],
                confidence=CONFIDENCES[confidence],
            )
        )
    return found


_ORDER = ("shape", "price", "region", "zone", "type", "spot", "as_of", "spot_as_of", "source", "confidence")


def _by_cloud(rows: list[Fact]) -> dict[str, list[Fact]]:
    found: dict[str, list[Fact]] = defaultdict(list)
    for fact in rows:
        found[fact.cloud].append(fact)
    return dict(found)
