"""A catalog of any size, for measuring: the shipped machines in more regions, zones, sizes and variants.

The same number gives the same rows. Prices differ by region and a little by zone; one row in two thousand is
wrong in a way that the catalog must set aside.
"""

from __future__ import annotations

import sqlite3
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from skynb_catalog import Catalog, cache
from skynb_catalog.offers import Fact
from skynb_catalog.snapshots import facts as facts_of
from skynb_catalog.snapshots import pack, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

ZONES = ("a", "b", "c")
COLLECTED = "2026-11-23"
_OFFERED = 0.7  # of a cloud's types in each of its regions
_SPOT = 0.6
_WRONG = 1 / 2000


def facts(number: int) -> Iterator[Fact]:
    """As many rows as asked, from the shipped machines as they are to ever more variants of them."""
    return islice(_rows(Random(number)), number)


def catalog(number: int, folder: Path) -> Catalog:
    """An open catalog of that many rows, built in a folder if it is not there."""
    path = folder / f"synthetic-{cache.SCHEMA}-{number}.sqlite"
    if not path.exists():
        packed = pack(list(facts(number)), preset=0)
        cache.build(path, stamp(packed, COLLECTED, number), packed)
    db = sqlite3.connect(f"file:{path.absolute()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    (digest,) = db.execute("SELECT value FROM meta WHERE key = 'hash'").fetchone()
    return Catalog(db, stamp(b"", COLLECTED, number)._replace(hash=digest))


def _rows(random: Random) -> Iterator[Fact]:
    machines, regions = _shipped()
    factors = {(cloud, region): random.uniform(0.95, 1.6) for cloud, its in regions.items() for region in its}
    for variant in count():
        for machine in machines:
            one = _variant(machine, variant, random)
            for region in regions[one.cloud]:
                if random.random() < _OFFERED:
                    yield from _in_zones(one, region, factors[one.cloud, region], random)


def _shipped() -> tuple[list[Fact], dict[str, list[str | None]]]:
    """Every machine of the shipped snapshot at its lowest price, and every cloud's regions."""
    cheapest: dict[tuple[str, str], Fact] = {}
    regions: dict[str, set[str | None]] = {}
    for fact in facts_of(cache.shipped_packed()):
        regions.setdefault(fact.cloud, set()).add(fact.region)
        known = cheapest.get((fact.cloud, fact.instance_type))
        if known is None or (fact.hourly_micro or 10**12) < (known.hourly_micro or 10**12):
            cheapest[fact.cloud, fact.instance_type] = fact
    ordered = {cloud: sorted(its, key=str) for cloud, its in sorted(regions.items())}
    return [cheapest[key] for key in sorted(cheapest)], ordered


def _variant(machine: Fact, variant: int, random: Random) -> Fact:
    """The machine itself, or one like it with other memory, at a price to match."""
    if not variant:
        return machine
    more = random.choice((0.5, 1.0, 1.0, 1.5, 2.0))
    factor = (0.7 + 0.3 * more) * random.uniform(0.9, 1.2)
    price = machine.hourly_micro and round(machine.hourly_micro * factor)
    memory = machine.memory_gib and machine.memory_gib * more
    name = f"{machine.instance_type}.x{variant}"
    return machine._replace(instance_type=name, memory_gib=memory, hourly_micro=price)


def _in_zones(one: Fact, region: str | None, factor: float, random: Random) -> Iterator[Fact]:
    for zone in ZONES:
        price = one.hourly_micro and round(one.hourly_micro * factor)
        spot = price and round(price * random.uniform(0.3, 0.7)) if random.random() < _SPOT else None
        if random.random() < _WRONG:
            dear = price and price * 20
            price, spot = random.choice(((0, None), (dear, spot), (price, dear)))
        place = {"region": region, "zone": region and f"{region}-{zone}"}
        yield one._replace(**place, hourly_micro=price, spot_hourly_micro=spot, spot_as_of=spot and COLLECTED)
        if region is None:
            return


def main() -> None:
    """Build one and say how large it is: python benchmarks/synthetic.py NUMBER FOLDER."""
    import sys
    import time

    start = time.perf_counter()
    number, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    made = catalog(number, folder)
    size = sum(path.stat().st_size for path in folder.glob(f"*-{number}.sqlite"))
    print(
        f"{number} rows, {size / 2**20:.0f} MiB, {time.perf_counter() - start:.1f} s, {made.stamp.hash[:12]}"
    )


if __name__ == "__main__":
    main()
