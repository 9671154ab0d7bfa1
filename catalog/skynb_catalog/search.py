"""Queries over the database: which shapes fit, and their offers in the order of price.

The offers of one shape lie in that order on disk. Shapes are merged from the one with the cheapest price on,
and a shape is read only when the merge reaches its cheapest price; hence the cost of a query follows what it
returns, not what the catalog holds.
"""

from __future__ import annotations

from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from skynb_catalog.offers import Offer, day

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from skynb_catalog.offers import Amount, Query

# price, region, zone, type, shape (enough to order any two), and the row with its shape, or None at first
Entry: TypeAlias = "tuple[int, int, int, int, int, tuple[Shape, Any] | None]"

_FRACTION_SLACK = 10  # thousandths: a third is written 0.33, 0.333 or 0.33333333


class Shape(NamedTuple):
    """A fitting shape and the cheapest price it has anywhere, in micro-dollars per hour."""

    id: int
    floor: int
    offers: int
    cloud_id: int
    cloud: str
    accelerator: str
    accelerator_count: int
    vcpus: int
    memory: int
    arch: str


class Clause(NamedTuple):
    """A condition of SQL and its parameters; the text is always ours, the values never are."""

    sql: str
    values: tuple[Any, ...] = ()


def offers(db: sqlite3.Connection, query: Query) -> list[Offer]:
    """What fits, ranked. At most `query.limit` of them."""
    streams: list[Iterator[Entry]] = []
    for shape in shapes(db, query):
        if query.max_hourly_micro is not None and shape.floor > query.max_hourly_micro:
            continue
        streams.extend(
            _stream(db, query, shape, region) for region in _regions_of(db, query.region, shape.cloud_id)
        )
    ranked = (entry[-1] for entry in merge(*streams) if entry[-1] is not None)
    return [_offer(shape, row) for shape, row in islice(ranked, query.limit)]


def count(db: sqlite3.Connection, query: Query) -> dict[str, int]:
    """How many offers fit, by cloud."""
    place = _offer_filter(query)
    if not place and query.region is None:
        return _count_shapes(db, query)
    found: dict[str, int] = {}
    for shape in shapes(db, query):
        number = sum(
            _count_in(db, query, shape, region, place)
            for region in _regions_of(db, query.region, shape.cloud_id)
        )
        if number:
            found[shape.cloud] = found.get(shape.cloud, 0) + number
    return found


def shapes(db: sqlite3.Connection, query: Query) -> list[Shape]:
    """The shapes that fit and have at least one offer that may be chosen (with a spot price, for spot)."""
    sql, values = shapes_statement(query)
    return [Shape(*row) for row in db.execute(sql, values)]


def shapes_statement(query: Query) -> tuple[str, tuple[Any, ...]]:
    """The SQL that finds shapes, and its parameters."""
    floor, number = ("s.spot_floor", "s.spot_offers") if query.spot else ("s.floor", "s.offers")
    where, values = _shape_filter(query)
    sql = (
        f"SELECT s.id, {floor}, {number}, s.cloud, c.name, a.name, s.count, s.vcpus, s.memory, s.arch "  # noqa: S608
        "FROM shape s CROSS JOIN cloud c ON c.id = s.cloud CROSS JOIN accelerator a ON a.id = s.accelerator "
        f"WHERE {where}"
    )
    return sql, values


def _count_shapes(db: sqlite3.Connection, query: Query) -> dict[str, int]:
    where, values = _shape_filter(query)
    number = "s.spot_offers" if query.spot else "s.offers"
    sql = f"SELECT s.cloud, SUM({number}) FROM shape s WHERE {where} GROUP BY s.cloud"  # noqa: S608 - ours
    names = dict(db.execute("SELECT id, name FROM cloud"))
    return {names[cloud]: number for cloud, number in db.execute(sql, values)}


def _shape_filter(query: Query) -> tuple[str, tuple[Any, ...]]:
    number = "s.spot_offers" if query.spot else "s.offers"
    clauses = [*_kind_filter(query), *_size_filter(query), Clause(f"{number} > 0")]
    if query.arch is not None:
        clauses.append(Clause("s.arch = ?", (query.arch,)))
    if query.clouds is not None:
        inner = f"SELECT id FROM cloud WHERE name IN ({_marks(query.clouds)})"  # noqa: S608 - marks only
        clauses.append(Clause(f"s.cloud IN ({inner})", tuple(query.clouds)))
    return " AND ".join(clause.sql for clause in clauses), tuple(
        value for one in clauses for value in one.values
    )


def stream_statement(query: Query, shape: int, region: int | None) -> tuple[str, tuple[Any, ...]]:
    """The SQL that reads a shape's offers in order, in one region or in all, and its parameters."""
    price = "o.spot" if query.spot else "o.price"
    clauses = [Clause("o.shape = ?", (shape,)), *_offer_filter(query)]
    if region is not None:
        clauses.append(Clause("o.region = ?", (region,)))
    if query.spot:
        clauses.append(Clause("o.spot IS NOT NULL"))
    sql = (
        f"SELECT {price}, o.region, o.zone, o.type, o.price, o.spot, o.as_of, o.spot_as_of, r.name, z.name, "  # noqa: S608
        "t.name, t.accelerator_memory, s.text, k.name FROM offer o CROSS JOIN type t ON t.id = o.type "
        "CROSS JOIN region r ON r.id = o.region CROSS JOIN zone z ON z.id = o.zone "
        "CROSS JOIN source s ON s.id = o.source CROSS JOIN confidence k ON k.id = o.confidence "
        f"WHERE {' AND '.join(clause.sql for clause in clauses)} "
        f"ORDER BY {price}, o.region, o.zone, o.type LIMIT ?"
    )
    values = [value for clause in clauses for value in clause.values]
    return sql, (*values, -1 if query.limit is None else query.limit)


def counts_of(db: sqlite3.Connection, accelerators: Sequence[str]) -> dict[str, list[float]]:
    """Per cloud, the counts in which these accelerators are rented."""
    found: dict[str, list[float]] = {}
    sql = (
        "SELECT DISTINCT c.name, s.count FROM shape s JOIN cloud c ON c.id = s.cloud "  # noqa: S608 - marks only
        f"WHERE s.accelerator IN (SELECT id FROM accelerator WHERE name IN ({_marks(accelerators)})) "
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


def _kind_filter(query: Query) -> Iterator[Clause]:
    if query.accelerators:
        inner = f"SELECT id FROM accelerator WHERE name IN ({_marks(query.accelerators)})"  # noqa: S608 - marks only
        yield Clause(f"s.accelerator IN ({inner})", tuple(query.accelerators))
        milli = round(query.count * 1000)
        slack = 0 if milli % 1000 == 0 else _FRACTION_SLACK
        yield Clause("s.count BETWEEN ? AND ?", (milli - slack, milli + slack))
    elif query.instance_type is None:
        # The empty name has id 0 in every snapshot: it sorts first.
        yield Clause("s.accelerator = 0 AND s.count = 0")
    if query.instance_type is not None:
        yield Clause("s.id IN (SELECT shape FROM type WHERE name = ?)", (query.instance_type,))


def _size_filter(query: Query) -> Iterator[Clause]:
    if query.cpus is not None:
        yield Clause(f"s.vcpus {_sign(query.cpus)} ?", (round(query.cpus.value * 1000),))
        yield Clause("s.vcpus > 0")
    if query.memory is not None:
        yield Clause("s.memory > 0")
        if query.memory.per_cpu:
            # MiB per thousandth of a vCPU, cross-multiplied; the slack is the rounding of one MiB.
            ratio = query.memory.value * 1024
            low = Clause("s.vcpus > 0 AND (s.memory + 1) * 1000.0 > ? * s.vcpus", (ratio,))
            yield low
            if not query.memory.at_least:
                yield Clause("(s.memory - 1) * 1000.0 < ? * s.vcpus", (ratio,))
        else:
            yield Clause(f"s.memory {_sign(query.memory)} ?", (round(query.memory.value * 1024),))


def _offer_filter(query: Query) -> list[Clause]:
    clauses = []
    if query.max_hourly_micro is not None:
        clauses.append(Clause(f"o.{'spot' if query.spot else 'price'} <= ?", (query.max_hourly_micro,)))
    if query.instance_type is not None:
        clauses.append(Clause("+o.type IN (SELECT id FROM type WHERE name = ?)", (query.instance_type,)))
    if query.zone is not None:
        clauses.append(Clause("+o.zone IN (SELECT id FROM zone WHERE name IN ('', ?))", (query.zone,)))
    return clauses


def _regions_of(db: sqlite3.Connection, region: str | None, cloud: int) -> list[int | None]:
    """Ids of a region and of the cloud's nameless one, which holds everywhere; [None] means all regions."""
    if region is None:
        return [None]
    sql = "SELECT id FROM region WHERE name IN ('', ?) AND cloud = ? ORDER BY id"
    return [number for (number,) in db.execute(sql, (region, cloud))]


def _stream(db: sqlite3.Connection, query: Query, shape: Shape, region: int | None) -> Iterator[Entry]:
    # The first entry promises "nothing cheaper than this here" and costs no query; the merge asks for the
    # second only when it has come so far.
    yield (shape.floor, -1, -1, -1, shape.id, None)
    sql, values = stream_statement(query, shape.id, region)
    for row in db.execute(sql, values).fetchall():
        yield (*row[:4], shape.id, (shape, row))


def _count_in(
    db: sqlite3.Connection, query: Query, shape: Shape, region: int | None, place: list[Clause]
) -> int:
    clauses = [Clause("o.shape = ?", (shape.id,)), *place]
    if region is not None:
        clauses.append(Clause("o.region = ?", (region,)))
    if query.spot:
        clauses.append(Clause("o.spot IS NOT NULL"))
    sql = f"SELECT COUNT(*) FROM offer o WHERE {' AND '.join(clause.sql for clause in clauses)}"  # noqa: S608
    row = db.execute(sql, [value for clause in clauses for value in clause.values]).fetchone()
    return int(row[0])


def _sign(amount: Amount) -> str:
    return ">=" if amount.at_least else "="


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _offer(shape: Shape, row: Any) -> Offer:
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
    )
