"""The SQLite file that answers queries: its tables, its indices, and how a snapshot becomes one.

A *shape* is what a query asks about (accelerator, count, vCPUs, memory, architecture, local disk) in one
cloud. There are about a thousand, each with its cheapest price, so a query first finds its shapes and then
reads, shape by shape in the order of their cheapest price, only the offers it returns. A *place* is a shape
in a region, with its cheapest offer there. `offer` holds what may be chosen and nothing else; what may not
stands in `aside` with its reason.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from itertools import compress
from typing import TYPE_CHECKING

from skynb_catalog.sanity import REASONS
from skynb_catalog.snapshots import CONFIDENCES, NONE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from skynb_catalog.offers import Stamp
    from skynb_catalog.snapshots import Snapshot

# Units: count and vcpus in thousandths, memory in MiB, price and spot in micro-dollars per hour, as_of in
# days since 1970. 0 (for a name: '') stands for unknown, except that an unknown spot price is NULL.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cloud (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    as_of INTEGER NOT NULL, spot_as_of INTEGER NOT NULL -- of its newest prices
);
CREATE TABLE region (id INTEGER PRIMARY KEY, cloud INTEGER NOT NULL, name TEXT NOT NULL);
CREATE TABLE zone (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE accelerator (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE source (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE confidence (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE reason (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE type (
    id INTEGER PRIMARY KEY, cloud INTEGER NOT NULL, name TEXT NOT NULL, shape INTEGER NOT NULL,
    accelerator_memory INTEGER NOT NULL, offers INTEGER NOT NULL, asides INTEGER NOT NULL,
    price INTEGER, region INTEGER, zone INTEGER -- of its cheapest offer
);
CREATE TABLE offer (
    shape INTEGER NOT NULL, price INTEGER NOT NULL, region INTEGER NOT NULL, zone INTEGER NOT NULL,
    type INTEGER NOT NULL, spot INTEGER, as_of INTEGER NOT NULL, spot_as_of INTEGER NOT NULL,
    source INTEGER NOT NULL, confidence INTEGER NOT NULL,
    PRIMARY KEY (shape, price, region, zone, type)
) WITHOUT ROWID;
CREATE TABLE aside (
    type INTEGER NOT NULL, region INTEGER NOT NULL, zone INTEGER NOT NULL, price INTEGER, spot INTEGER,
    as_of INTEGER NOT NULL, spot_as_of INTEGER NOT NULL, source INTEGER NOT NULL, confidence INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    PRIMARY KEY (type, region, zone)
) WITHOUT ROWID;
CREATE TABLE shape (
    accelerator INTEGER NOT NULL, count INTEGER NOT NULL, vcpus INTEGER NOT NULL, memory INTEGER NOT NULL,
    arch TEXT NOT NULL, cloud INTEGER NOT NULL, disk INTEGER NOT NULL, disk_kind TEXT NOT NULL,
    id INTEGER NOT NULL UNIQUE,
    floor INTEGER, offers INTEGER NOT NULL, spot_floor INTEGER, spot_offers INTEGER NOT NULL,
    PRIMARY KEY (accelerator, count, vcpus, memory, arch, cloud, disk, disk_kind)
) WITHOUT ROWID;
CREATE TABLE place (
    id INTEGER NOT NULL, region INTEGER NOT NULL,
    offers INTEGER NOT NULL, price INTEGER NOT NULL, zone INTEGER NOT NULL, type INTEGER NOT NULL,
    spot_offers INTEGER NOT NULL, spot INTEGER, spot_zone INTEGER, spot_type INTEGER,
    accelerator INTEGER NOT NULL, count INTEGER NOT NULL, vcpus INTEGER NOT NULL, memory INTEGER NOT NULL,
    arch TEXT NOT NULL, cloud INTEGER NOT NULL, disk INTEGER NOT NULL, disk_kind TEXT NOT NULL
); -- id is that of the shape
CREATE TABLE market (
    cloud INTEGER NOT NULL, accelerator INTEGER NOT NULL, region INTEGER NOT NULL,
    PRIMARY KEY (cloud, accelerator, region)
) WITHOUT ROWID;
CREATE TEMP TABLE bare_shape (
    id INTEGER PRIMARY KEY, accelerator, count, vcpus, memory, arch, cloud, disk, disk_kind
);
CREATE TEMP TABLE bare_place (
    id, region, offers, price, zone, type, spot_offers, spot, spot_zone, spot_type
);
"""

_INDICES = """
CREATE INDEX offer_by_spot ON offer (
    shape, spot, region, zone, type, price, as_of, spot_as_of, source, confidence
) WHERE spot IS NOT NULL;
CREATE INDEX offer_by_region ON offer (region, shape, price, zone, type);
CREATE INDEX region_by_name ON region (name, cloud);
CREATE INDEX zone_by_name ON zone (name);
CREATE INDEX type_by_name ON type (name);
CREATE INDEX type_by_shape ON type (shape);
INSERT INTO place
SELECT p.*, b.accelerator, b.count, b.vcpus, b.memory, b.arch, b.cloud, b.disk, b.disk_kind
FROM bare_place p JOIN bare_shape b ON b.id = p.id;
CREATE INDEX place_by_shape ON place (id, region, offers, spot_offers);
CREATE INDEX place_by_price ON place (
    accelerator, region, price, zone, type, count, vcpus, memory, arch, disk, disk_kind
);
CREATE INDEX place_by_spot ON place (
    accelerator, region, spot, spot_zone, spot_type, count, vcpus, memory, arch, disk, disk_kind
) WHERE spot IS NOT NULL;
UPDATE cloud SET as_of = newest.as_of, spot_as_of = newest.spot_as_of FROM (
    SELECT t.cloud, MAX(o.as_of) AS as_of, MAX(IIF(o.spot IS NULL, 0, o.spot_as_of)) AS spot_as_of
    FROM offer o JOIN type t ON t.id = o.type GROUP BY t.cloud
) newest WHERE newest.cloud = cloud.id;
INSERT INTO market SELECT DISTINCT cloud, accelerator, region FROM place;
INSERT INTO shape
SELECT b.accelerator, b.count, b.vcpus, b.memory, b.arch, b.cloud, b.disk, b.disk_kind, b.id,
    MIN(p.price), IFNULL(SUM(p.offers), 0), MIN(p.spot), IFNULL(SUM(p.spot_offers), 0)
FROM bare_shape b LEFT JOIN place p ON p.id = b.id GROUP BY b.id;
"""


def write(snapshot: Snapshot, stamp: Stamp, path: Path) -> None:
    """Write the whole catalog into a new SQLite file. Raises sqlite3.Error (full or read-only disk)."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        # The file is renamed into place only when complete, so a journal would protect nothing.
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;")
        db.execute("BEGIN")
        for statement in _statements(_TABLES):
            db.execute(statement)
        _write_names(db, snapshot, stamp)
        marks = ", ".join("?" * 10)
        db.executemany(f"INSERT INTO offer VALUES ({marks})", _choosable(snapshot))  # noqa: S608 - marks only
        db.executemany(f"INSERT INTO aside VALUES ({marks})", _set_aside(snapshot))  # noqa: S608 - marks only
        marks = ", ".join("?" * 10)
        db.executemany(f"INSERT INTO bare_place VALUES ({marks})", _places(snapshot))  # noqa: S608 - marks only
        for statement in _statements(_INDICES):
            db.execute(statement)
        db.execute("COMMIT")


def _statements(script: str) -> list[str]:
    # executescript would commit the transaction that makes loading fast.
    return [part for part in script.split(";") if part.strip()]


def _write_names(db: sqlite3.Connection, snapshot: Snapshot, stamp: Stamp) -> None:
    tables = snapshot.tables | {
        "confidence": [[name] for name in CONFIDENCES],
        "reason": [[""], *([text] for text in REASONS)],
    }
    tables["bare_shape"] = tables.pop("shape")
    tables["type"] = _types(snapshot)
    tables["cloud"] = [[name, 0, 0] for (name,) in tables["cloud"]]
    for table, rows in tables.items():
        if rows:
            marks = ", ".join("?" * (1 + len(rows[0])))
            numbered = ([number, *row] for number, row in enumerate(rows))
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", numbered)  # noqa: S608 - our own names
    meta = {"hash": stamp.hash, "collected": stamp.collected, "rows": stamp.rows}
    db.executemany("INSERT INTO meta VALUES (?, ?)", [(key, str(value)) for key, value in meta.items()])


def _types(snapshot: Snapshot) -> list[list[int | None]]:
    """The rows of `type`, with what has been counted of each and where it is cheapest."""
    c = snapshot.columns
    refused = Counter(compress(c["type"], c["reason"]))
    every = Counter(c["type"])
    cheapest: dict[int, tuple[int, int, int]] = {}
    for kind, price, region, zone, reason in zip(
        c["type"], c["price"], c["region"], c["zone"], c["reason"], strict=True
    ):
        if not reason and kind not in cheapest:  # a shape's rows are in the order of price
            cheapest[kind] = price, region, zone
    return [
        [*row, every[number] - refused[number], refused[number], *cheapest.get(number, (None, None, None))]
        for number, row in enumerate(snapshot.tables["type"])
    ]


def _places(snapshot: Snapshot) -> Iterator[tuple[int | None, ...]]:
    """The rows of `place`: a shape in a region, how many offers it has there, the first of them by rank."""
    c = snapshot.columns
    offers: dict[tuple[int, int], tuple[int, ...]] = {}
    spots: dict[tuple[int, int], tuple[int, ...]] = {}
    number: Counter[tuple[int, int]] = Counter()
    spot_number: Counter[tuple[int, int]] = Counter()
    names = ("shape", "region", "price", "zone", "type", "spot", "reason")
    for shape, region, price, zone, kind, spot, reason in zip(*(c[name] for name in names), strict=True):
        if reason:
            continue
        place = shape, region
        number[place] += 1
        if place not in offers:
            offers[place] = price, zone, kind
        if spot != NONE:
            spot_number[place] += 1
            found = spots.get(place)
            if found is None or (spot, zone, kind) < found:
                spots[place] = spot, zone, kind
    for place, first in offers.items():
        yield (*place, number[place], *first, spot_number[place], *spots.get(place, (None, None, None)))


def _choosable(snapshot: Snapshot) -> Iterator[tuple[int | None, ...]]:
    c = snapshot.columns
    rows = zip(
        c["shape"],
        c["price"],
        c["region"],
        c["zone"],
        c["type"],
        (None if spot == NONE else spot for spot in c["spot"]),
        c["as_of"],
        c["spot_as_of"],
        c["source"],
        c["confidence"],
        strict=True,
    )
    return (row for row, reason in zip(rows, c["reason"], strict=True) if not reason)


def _set_aside(snapshot: Snapshot) -> list[tuple[int | None, ...]]:
    c = snapshot.columns
    rows = zip(
        c["type"],
        c["region"],
        c["zone"],
        (None if price == NONE else price for price in c["price"]),
        (None if spot == NONE else spot for spot in c["spot"]),
        c["as_of"],
        c["spot_as_of"],
        c["source"],
        c["confidence"],
        c["reason"],
        strict=True,
    )
    return sorted((row for row in rows if row[-1]), key=lambda row: row[:3])
