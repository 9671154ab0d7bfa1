"""Queries over the database: which shapes fit, and their offers in the order of price.

The offers of one shape lie in that order on disk. Shapes are merged from the one with the cheapest price on,
and a shape is read only when the merge reaches its cheapest price; hence the cost of a query follows what it
returns, not what the catalog holds.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from skynb_catalog.offers import Offer, day
from skynb_catalog.shapes import Clause, both, floors, machine, marks, shape_of, shapes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from skynb_catalog.offers import Query
    from skynb_catalog.scopes import Bounds, Part
    from skynb_catalog.shapes import Shape

Row: TypeAlias = "tuple[Any, ...]"  # price, region, zone and type order any two; then what `offer` needs

COLUMNS = (
    "o.region, o.zone, o.type, o.price, o.spot, o.as_of, o.spot_as_of, r.name, z.name, t.name, "
    "t.accelerator_memory, n.text, k.name"
)
JOINS = (
    "CROSS JOIN type t ON t.id = o.type CROSS JOIN region r ON r.id = o.region "
    "CROSS JOIN zone z ON z.id = o.zone CROSS JOIN source n ON n.id = o.source "
    "CROSS JOIN confidence k ON k.id = o.confidence"
)


def offers(db: sqlite3.Connection, query: Query) -> list[Offer]:
    """What fits, ranked. At most `query.limit` of them."""
    return [offer(shape, row) for shape, row in islice(_ranked(db, query), query.limit)]


def count(db: sqlite3.Connection, query: Query) -> dict[str, int]:
    """How many offers fit, by cloud."""
    scoped = bounds(db, query)
    if scoped is None:
        sql, values = _count_statement(query)
        found = dict(db.execute(sql, values))
    elif scoped.within is None:
        found = count(db, query._replace(without=()))
        for shape in shapes(db, query, scoped.without.shapes):
            number = _count_in(db, query, shape, scoped.without.meeting(shape))
            if number:
                found[shape.cloud] -= number
    else:
        found = {}
        for shape in shapes(db, query, scoped.within.shapes):
            number = _count_in(db, query, shape, scoped.within.meeting(shape), scoped.without.meeting(shape))
            found[shape.cloud] = found.get(shape.cloud, 0) + number
    return {cloud: number for cloud, number in found.items() if number}


def bounds(db: sqlite3.Connection, query: Query) -> Bounds | None:
    """The query's scopes, None if it has none."""
    if query.within is None and not query.without:
        return None
    from skynb_catalog import scopes  # most queries have none

    return scopes.bounds(db, query)


def first(
    db: sqlite3.Connection, query: Query, shape: Shape, region: int | None, inside: Sequence[Clause]
) -> Iterator[Row]:
    """The rows of one shape in order, in one region or in all. At most `query.limit` of them."""
    sql, values = stream_statement(query, shape.id, region, inside)
    yield from db.execute(sql, values).fetchall()


def stream_statement(
    query: Query, shape: int, region: int | None, inside: Sequence[Clause] = ()
) -> tuple[str, tuple[Any, ...]]:
    """The SQL that reads a shape's offers in order, in one region or in all, and its parameters."""
    price = "o.spot" if query.spot else "o.price"
    clauses = [Clause("o.shape = ?", (shape,)), *_limits(query), *inside]
    if region is not None:
        clauses.append(Clause("o.region = ?", (region,)))
    if query.spot:
        clauses.append(Clause("o.spot IS NOT NULL"))
    where = both(clauses)
    sql = (
        f"SELECT {price}, {COLUMNS} FROM offer o {JOINS} WHERE {where.sql} "  # noqa: S608 - our own names
        f"ORDER BY {price}, o.region, o.zone, o.type LIMIT ?"
    )
    return sql, (*where.values, -1 if query.limit is None else query.limit)


def counts_of(db: sqlite3.Connection, accelerators: Sequence[str]) -> dict[str, list[float]]:
    """Per cloud, the counts in which these accelerators are rented."""
    found: dict[str, list[float]] = {}
    sql = (
        "SELECT DISTINCT c.name, s.count FROM shape s JOIN cloud c ON c.id = s.cloud "  # noqa: S608 - marks only
        f"WHERE s.accelerator IN (SELECT id FROM accelerator WHERE name IN ({marks(accelerators)})) "
        "AND s.count > 0 AND s.offers > 0 ORDER BY s.cloud, s.count"
    )
    for cloud, milli in db.execute(sql, tuple(accelerators)):
        found.setdefault(cloud, []).append(milli / 1000)
    return found


def regions(db: sqlite3.Connection, cloud: str) -> list[str]:
    """The regions of a cloud, by name."""
    sql = (
        "SELECT r.name FROM region r JOIN cloud c ON c.id = r.cloud "
        "WHERE c.name = ? AND r.name <> '' ORDER BY r.id"
    )
    return [name for (name,) in db.execute(sql, (cloud,))]


def instance_types(db: sqlite3.Connection, cloud: str | None) -> list[str]:
    """The instance types, of one cloud or of all, that are not list prices."""
    sql = (
        "SELECT DISTINCT t.name FROM type t JOIN cloud c ON c.id = t.cloud "
        "WHERE c.name = ? OR ? IS NULL ORDER BY 1"
    )
    found = (name for (name,) in db.execute(sql, (cloud, cloud)))
    return [name for name in found if not name.startswith("per-gpu:")]


def offer(shape: Shape, row: Row) -> Offer:
    """The offer that a row of `stream_statement` describes."""
    _, _, _, _, price, spot, as_of, spot_as_of, region, zone, name, memory, source, confidence = row
    return Offer(
        cloud=shape.cloud,
        region=region or None,
        zone=zone or None,
        instance_type=name,
        vcpus=shape.vcpus / 1000 or None,
        memory_gib=shape.memory / 1024 or None,
        accelerator=shape.accelerator or None,
        accelerator_count=shape.accelerator_count / 1000 or None,
        accelerator_memory_gib=memory / 1024 or None,
        arch=shape.arch or None,
        hourly_micro=price,
        spot_hourly_micro=spot,
        as_of=day(as_of),
        spot_as_of=day(spot_as_of),
        source=source,
        confidence=confidence,
        local_disk_gib=shape.disk / 1024 or None,
        local_disk_kind=shape.disk_kind or None,
    )


def regions_of(
    db: sqlite3.Connection, query: Query, scoped: Bounds | None, cloud: int
) -> Sequence[int | None]:
    """Ids of the regions that the query and its scope name, and of the cloud's nameless one; [None]: all."""
    named = scoped.regions if scoped else None
    if query.region is None:
        return [None] if named is None else sorted(named)
    sql = "SELECT id FROM region WHERE name IN ('', ?) AND cloud = ? ORDER BY id"
    found = [number for (number,) in db.execute(sql, (query.region, cloud))]
    return [number for number in found if named is None or number in named]


def _ranked(db: sqlite3.Connection, query: Query) -> Iterator[tuple[Shape, Row]]:
    """Every fitting offer in order; a shape is opened when nothing cheaper than its cheapest is left."""
    scoped = bounds(db, query)
    regions: dict[int, Sequence[int | None]] = {}
    opened: list[tuple[Row, Shape, Iterator[Row]]] = []
    for floor, number in floors(db, query):
        while opened and opened[0][0][0] < floor:
            yield _next(opened)
        shape = shape_of(db, query, number)
        inside = scoped.of(shape) if scoped else ()
        if inside is None:
            continue
        if shape.cloud_id not in regions:
            regions[shape.cloud_id] = regions_of(db, query, scoped, shape.cloud_id)
        for region in regions[shape.cloud_id]:
            _push(opened, shape, first(db, query, shape, region, inside))
    while opened:
        yield _next(opened)


def _next(opened: list[tuple[Row, Shape, Iterator[Row]]]) -> tuple[Shape, Row]:
    row, shape, rows = heappop(opened)
    _push(opened, shape, rows)
    return shape, row


def _push(opened: list[tuple[Row, Shape, Iterator[Row]]], shape: Shape, rows: Iterator[Row]) -> None:
    for row in islice(rows, 1):
        heappush(opened, (row, shape, rows))


def _limits(query: Query) -> list[Clause]:
    """What an offer o must meet beside its shape and region."""
    clauses = []
    if query.max_hourly_micro is not None:
        clauses.append(Clause(f"o.{'spot' if query.spot else 'price'} <= ?", (query.max_hourly_micro,)))
    if query.instance_type is not None:
        clauses.append(Clause("+o.type IN (SELECT id FROM type WHERE name = ?)", (query.instance_type,)))
    if query.zone is not None:
        clauses.append(Clause("+o.zone IN (SELECT id FROM zone WHERE name IN ('', ?))", (query.zone,)))
    return clauses


def _regional(query: Query, column: str = "+o.region") -> list[Clause]:
    if query.region is None:
        return []
    named = f"{column} IN (SELECT id FROM region WHERE name IN ('', ?))"  # noqa: S608 - our own names
    return [Clause(named, (query.region,))]


def _count_statement(query: Query) -> tuple[str, tuple[Any, ...]]:
    """From the tables' own sums where they are enough, else by reading what fits."""
    number = "s.spot_offers" if query.spot else "s.offers"
    limits = _limits(query)
    source = "shape s" if query.region is None else "place s"
    clauses = [*machine(query), *_regional(query, "s.region")]
    if limits:
        number = "1"
        source += " CROSS JOIN offer o ON o.shape = s.id"
        source += "" if query.region is None else " AND o.region = s.region"
        clauses += limits
        if query.spot:
            clauses.append(Clause("o.spot IS NOT NULL"))
    where = both(clauses)
    inner = f"SELECT s.cloud, SUM({number}) AS number FROM {source} WHERE {where.sql} GROUP BY s.cloud"  # noqa: S608
    return f"SELECT c.name, number FROM ({inner}) JOIN cloud c ON c.id = cloud", where.values  # noqa: S608


def _count_in(
    db: sqlite3.Connection, query: Query, shape: Shape, within: Sequence[Part], without: Sequence[Part] = ()
) -> int:
    """How many offers of a shape belong to one of the first scopes and to none of the others."""
    from skynb_catalog.scopes import belongs

    limits = _limits(query)
    outside = belongs(without, shape)
    clauses = [
        *limits,
        *_regional(query),
        belongs(within, shape),
        Clause(f"NOT ({outside.sql})", outside.values),
    ]
    if limits or any(part.fine for part in (*within, *without)):
        table, key, number = "offer", "shape", "COUNT(o.spot)" if query.spot else "COUNT(*)"
    else:  # nothing but regions tells them apart, so the sums of each will do
        table, key, number = "place", "id", f"IFNULL(SUM(o.{'spot_offers' if query.spot else 'offers'}), 0)"
    where = both([Clause(f"o.{key} = ?", (shape.id,)), *clauses])
    row = db.execute(f"SELECT {number} FROM {table} o WHERE {where.sql}", where.values).fetchone()  # noqa: S608
    return int(row[0])
