"""Which shapes fit: the part of a query that asks for a machine, whatever its place and price.

Each word of the query is one test; `why_not` asks the same tests one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from skynb_catalog.offers import USUAL_ARCH

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator

    from skynb_catalog.offers import Amount, Query

# Why a row is no candidate, in the order in which it is asked; `why_not` counts them.
Reason = Literal[
    "other accelerator",
    "other count",
    "instance type",
    "local disk",
    "vCPUs",
    "memory",
    "arch",
    "cloud",
    "region",
    "zone",
    "set aside",
    "no spot price",
    "above the price limit",
    "within",
    "without",
]

_FRACTION_SLACK = 10  # thousandths: a third is written 0.33, 0.333 or 0.33333333


class Shape(NamedTuple):
    """A fitting shape and the cheapest price it has anywhere, in micro-dollars per hour.

    offers: how many it has (with a spot price, for spot). Other units are those of the tables.
    """

    id: int
    floor: int
    offers: int
    cloud_id: int
    cloud: str
    accelerator_id: int
    accelerator: str
    accelerator_count: int
    vcpus: int
    memory: int
    arch: str
    disk: int
    disk_kind: str


class Clause(NamedTuple):
    """A condition of SQL and its parameters; the text is always ours, the values never are."""

    sql: str
    values: tuple[Any, ...] = ()


# Of a Shape but for its first three, where s is a row of `shape` or of `place`.
COLUMNS = "s.cloud, c.name, s.accelerator, a.name, s.count, s.vcpus, s.memory, s.arch, s.disk, s.disk_kind"
JOINS = "CROSS JOIN cloud c ON c.id = s.cloud CROSS JOIN accelerator a ON a.id = s.accelerator"


def shapes(db: sqlite3.Connection, query: Query, only: Collection[int] | None = None) -> list[Shape]:
    """The shapes that fit and have an offer (with a spot price, for spot); of these ids only, if given."""
    floor, number = _sums(query)
    fits = _fitting(query)
    if only is not None:
        fits = both([fits, Clause(f"s.id IN ({marks(only)})", tuple(only))])
    sql = f"SELECT s.id, {floor}, {number}, {COLUMNS} FROM shape s {JOINS} WHERE {fits.sql}"  # noqa: S608
    return [Shape(*row) for row in db.execute(sql, fits.values)]


def floors(db: sqlite3.Connection, query: Query) -> list[tuple[int, int]]:
    """The cheapest price and the id of each of these shapes, from the cheapest on."""
    sql, values = floors_statement(query)
    return sorted(db.execute(sql, values))


def floors_statement(query: Query) -> tuple[str, tuple[Any, ...]]:
    """The SQL that finds shapes, and its parameters."""
    fits = _fitting(query)
    return f"SELECT {_sums(query)[0]}, s.id FROM shape s WHERE {fits.sql}", fits.values  # noqa: S608


def shape_of(db: sqlite3.Connection, query: Query, number: int) -> Shape:
    """A shape by its id."""
    floor, offers = _sums(query)
    sql = f"SELECT s.id, {floor}, {offers}, {COLUMNS} FROM shape s {JOINS} WHERE s.id = ?"  # noqa: S608
    return Shape(*db.execute(sql, (number,)).fetchone())


def _sums(query: Query) -> tuple[str, str]:
    """The columns of a shape's cheapest price and number of offers."""
    return ("s.spot_floor", "s.spot_offers") if query.spot else ("s.floor", "s.offers")


def _fitting(query: Query) -> Clause:
    floor, number = _sums(query)
    clauses = [*machine(query), Clause(f"{number} > 0")]
    if query.max_hourly_micro is not None:
        clauses.append(Clause(f"{floor} <= ?", (query.max_hourly_micro,)))
    return both(clauses)


def machine(query: Query) -> Iterator[Clause]:
    """What a row of `shape` or of `place`, called s, must meet."""
    for reason, clause in tests(query):
        if reason == "instance type":
            yield Clause("s.id IN (SELECT shape FROM type WHERE name = ?)", clause.values)
        else:
            yield clause


def tests(query: Query) -> Iterator[tuple[Reason, Clause]]:
    """Each word that asks for a machine, as a condition on a shape s of a type t, in the order of reasons."""
    yield from _kind(query)
    if query.instance_type is not None:
        yield "instance type", Clause("t.name = ?", (query.instance_type,))
    if query.local_disk is not None:
        yield "local disk", _enough("disk", query.local_disk, 1024)
    if query.local_disk_kind is not None:
        yield "local disk", Clause("s.disk_kind = ?", (query.local_disk_kind,))
    if query.cpus is not None:
        yield "vCPUs", _enough("vcpus", query.cpus, 1000)
    if query.memory is not None:
        yield "memory", _enough("memory", query.memory, 1024)
    if query.arch is not None:
        unsaid = " OR s.arch = ''" if query.arch == USUAL_ARCH else ""
        yield "arch", Clause(f"(s.arch = ?{unsaid})", (query.arch,))
    if query.clouds is not None:
        inner = f"SELECT id FROM cloud WHERE name IN ({marks(query.clouds)})"  # noqa: S608 - marks only
        yield "cloud", Clause(f"s.cloud IN ({inner})", tuple(query.clouds))


def both(clauses: Iterable[Clause]) -> Clause:
    """All of these conditions."""
    parts = list(clauses)
    sql = " AND ".join(f"({clause.sql})" for clause in parts) or "1"
    return Clause(sql, tuple(value for clause in parts for value in clause.values))


def marks(values: Collection[object]) -> str:
    """As many question marks as values."""
    return ", ".join("?" * len(values))


def _kind(query: Query) -> Iterator[tuple[Reason, Clause]]:
    if query.accelerators:
        inner = f"SELECT id FROM accelerator WHERE name IN ({marks(query.accelerators)})"  # noqa: S608 - marks only
        yield "other accelerator", Clause(f"s.accelerator IN ({inner})", tuple(query.accelerators))
        milli = round(query.count * 1000)
        slack = 0 if milli % 1000 == 0 else _FRACTION_SLACK
        yield "other count", Clause("s.count BETWEEN ? AND ?", (milli - slack, milli + slack))
    elif query.instance_type is None:
        # The empty name has id 0 in every snapshot: it sorts first.
        yield "other accelerator", Clause("s.accelerator = 0")
        yield "other count", Clause("s.count = 0")


def _enough(column: str, amount: Amount, unit: int) -> Clause:
    """The column, in parts of which `unit` make one, is known and as large as is asked."""
    if not amount.per_cpu:
        sign = ">=" if amount.at_least else "="
        return Clause(f"s.{column} > 0 AND s.{column} {sign} ?", (round(amount.value * unit),))
    # Parts per thousandth of a vCPU, cross-multiplied; the slack is the rounding of one part.
    ratio = amount.value * unit
    sql = f"s.{column} > 0 AND s.vcpus > 0 AND (s.{column} + 1) * 1000.0 > ? * s.vcpus"
    if amount.at_least:
        return Clause(sql, (ratio,))
    return Clause(f"{sql} AND (s.{column} - 1) * 1000.0 < ? * s.vcpus", (ratio, ratio))
