"""The cheapest offer of each cloud, region and accelerator: what a plan over several places begins with.

It is one walk over `place`: in each region from the price on below which nothing fits in the whole cloud, up
to the first machine that does. Where a zone, a type or a scope leaves out the offer that was found so, the
region is read until one remains.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from skynb_catalog.search import COLUMNS, JOINS, bounds, first, offer
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
    asked = query._replace(max_hourly_micro=min(limits, default=None), limit=1)
    scoped = bounds(db, query)
    found: list[tuple[Shape, Row]] = []
    refused: list[tuple[int, int]] = []
    for shape, row in _walked(db, asked):
        if _admitted(asked, scoped, shape, row):
            found.append((shape, row))
        else:
            refused.append((shape.accelerator_id, row[1]))
    if refused:
        found.extend(_read(db, asked, scoped, refused))
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
        SELECT s.id, 0, 0, {OF_SHAPE}, o.{price}, {COLUMNS}
        FROM found CROSS JOIN place s ON s.rowid = found.id {OF_NAMES}
        CROSS JOIN offer o ON o.shape = s.id AND o.{price} = s.{price} AND o.region = s.region
        AND o.zone = s.{zone} AND o.type = s.{kind} {JOINS}
        """  # noqa: S608 - our own names
    return sql, (*fits.values, *limit.values, *fits.values, *region.values)


def _walked(db: sqlite3.Connection, query: Query) -> Iterator[tuple[Shape, Row]]:
    sql, values = walk_statement(query)
    width = len(Shape._fields)
    for row in db.execute(sql, values):
        yield Shape(*row[:width]), row[width:]


def _admitted(query: Query, scoped: Bounds | None, shape: Shape, row: Row) -> bool:
    """Whether zone, type and scopes leave an offer in; all else has been asked already."""
    _, region, zone, kind, *_, zone_name, type_name, _, _, _ = row
    return (
        (query.zone is None or zone_name in {"", query.zone})
        and query.instance_type in {None, type_name}
        and (scoped is None or scoped.admits(shape, region, zone, kind))
    )


def _read(
    db: sqlite3.Connection, query: Query, scoped: Bounds | None, places: Sequence[tuple[int, int]]
) -> Iterator[tuple[Shape, Row]]:
    """The best of what remains in these accelerators' regions."""
    fitting: dict[int, dict[int, tuple[Shape, Sequence[Clause]]]] = {}
    for shape in shapes(db, query):
        inside = scoped.of(shape) if scoped else ()
        if inside is not None:
            fitting.setdefault(shape.accelerator_id, {})[shape.id] = shape, inside
    for accelerator, region in places:
        if accelerator in fitting:
            yield from _first_in(db, query, region, accelerator, fitting[accelerator])


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
        f"SELECT id, {price} FROM place WHERE accelerator = ? AND region = ? AND {price} >= ? "  # noqa: S608
        f"ORDER BY {price}"
    )
    best: tuple[Shape, Row] | None = None
    lowest = min(shape.floor for shape, _ in known.values())
    for number, cheapest in db.execute(sql, (accelerator, region, lowest)):
        if best is not None and best[1][0] < cheapest:
            break
        if number in known:
            shape, inside = known[number]
            for row in islice(first(db, query, shape, region, inside), 1):
                if best is None or row[:4] < best[1][:4]:
                    best = shape, row
    if best is not None:
        yield best
