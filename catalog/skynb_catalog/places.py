"""The cheapest offer of each cloud, region and accelerator: what a plan over several places begins with.

Where a query asks for a machine only, the answer is one walk over `place`: in each region from the price on
below which nothing fits in the whole cloud, up to the first machine that does. A zone, a type or a scope may
leave out that first one, so there each region is read until an offer remains.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from skynb_catalog.search import COLUMNS, JOINS, bounds, first, offer, regions_of
from skynb_catalog.shapes import COLUMNS as OF_SHAPE
from skynb_catalog.shapes import JOINS as OF_NAMES
from skynb_catalog.shapes import Clause, Shape, both, machine, shapes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from skynb_catalog.offers import Offer, Query
    from skynb_catalog.scopes import Bounds
    from skynb_catalog.search import Row


def by_place(db: sqlite3.Connection, query: Query, ceiling_micro: int | None) -> list[Offer]:
    """The cheapest of each place, ranked, none dearer than the ceiling. At most `query.limit` of them."""
    limits = [limit for limit in (ceiling_micro, query.max_hourly_micro) if limit is not None]
    asked = query._replace(max_hourly_micro=min(limits, default=None))
    scoped = bounds(db, query)
    if scoped is None and query.zone is None and query.instance_type is None:
        found = list(_walked(db, asked))
    else:
        found = list(_read(db, asked, scoped))
    ranked = sorted(found, key=lambda one: one[1][:4])
    return [offer(shape, row) for shape, row in ranked[: query.limit]]


def walk_statement(query: Query) -> tuple[str, tuple[Any, ...]]:
    """The SQL that finds the first fitting machine of every region, and its parameters."""
    price, zone, kind, number, floor = (
        ("spot", "spot_zone", "spot_type", "s.spot_offers", "s.spot_floor")
        if query.spot
        else ("price", "zone", "type", "s.offers", "s.floor")
    )
    fits = both(machine(query))
    limit = (
        Clause("1")
        if query.max_hourly_micro is None
        else Clause(f"s.{price} <= ?", (query.max_hourly_micro,))
    )
    region = Clause("1")
    if query.region is not None:
        region = Clause("m.region IN (SELECT id FROM region WHERE name IN ('', ?))", (query.region,))
    sql = f"""
        WITH lowest(cloud, accelerator, price) AS MATERIALIZED (
            SELECT s.cloud, s.accelerator, MIN({floor}) FROM shape s
            WHERE {fits.sql} AND {number} > 0 GROUP BY s.cloud, s.accelerator
        ), found(id) AS MATERIALIZED (
            SELECT (
                SELECT s.rowid FROM place s INDEXED BY place_by_{price}
                WHERE s.accelerator = lowest.accelerator AND s.region = m.region
                AND s.{price} >= lowest.price AND {limit.sql} AND {fits.sql}
                ORDER BY s.{price}, s.{zone}, s.{kind} LIMIT 1
            ) FROM lowest CROSS JOIN market m ON m.cloud = lowest.cloud AND m.accelerator = lowest.accelerator
            WHERE {region.sql}
        )
        SELECT s.shape, 0, 0, {OF_SHAPE}, o.{price}, {COLUMNS}
        FROM found CROSS JOIN place s ON s.rowid = found.id {OF_NAMES}
        CROSS JOIN offer o ON o.shape = s.shape AND o.{price} = s.{price} AND o.region = s.region
        AND o.zone = s.{zone} AND o.type = s.{kind} {JOINS}
        """  # noqa: S608 - our own names
    return sql, (*fits.values, *limit.values, *fits.values, *region.values)


def _walked(db: sqlite3.Connection, query: Query) -> Iterator[tuple[Shape, Row]]:
    sql, values = walk_statement(query)
    width = len(Shape._fields)
    for row in db.execute(sql, values):
        yield Shape(*row[:width]), row[width:]


def _read(db: sqlite3.Connection, query: Query, scoped: Bounds | None) -> Iterator[tuple[Shape, Row]]:
    """For each place the best of what remains, by reading its shapes from the cheapest on."""
    fitting: dict[tuple[int, int], dict[int, tuple[Shape, Sequence[Clause]]]] = {}
    for shape in shapes(db, query):
        inside = scoped.of(shape) if scoped else ()
        if inside is not None:
            fitting.setdefault((shape.cloud_id, shape.accelerator_id), {})[shape.id] = shape, inside
    for (cloud, accelerator), known in fitting.items():
        named = regions_of(db, query, scoped, cloud)
        sql = "SELECT region FROM market WHERE cloud = ? AND accelerator = ?"
        for (region,) in db.execute(sql, (cloud, accelerator)).fetchall():
            if named == [None] or region in named:
                yield from _first_in(db, query, region, accelerator, known)


def _first_in(
    db: sqlite3.Connection,
    query: Query,
    region: int,
    accelerator: int,
    known: dict[int, tuple[Shape, Sequence[Clause]]],
) -> Iterator[tuple[Shape, Row]]:
    """The first offer of one region and accelerator, if there is any."""
    price = "spot" if query.spot else "price"
    sql = (
        f"SELECT shape, {price} FROM place WHERE accelerator = ? AND region = ? AND {price} >= ? "  # noqa: S608
        f"ORDER BY {price}"
    )
    best: tuple[Shape, Row] | None = None
    one = query._replace(limit=1)
    lowest = min(shape.floor for shape, _ in known.values())
    for number, cheapest in db.execute(sql, (accelerator, region, lowest)):
        if best is not None and best[1][0] < cheapest:
            break
        if number in known:
            shape, inside = known[number]
            for row in islice(first(db, one, shape, region, inside), 1):
                if best is None or row[:4] < best[1][:4]:
                    best = shape, row
    if best is not None:
        yield best
