"""Why a row is no candidate: each offer and each row set aside is refused once, for the first test it fails.

Machines are tested type by type. Only the types that pass are read offer by offer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from skynb_catalog.places import by_place
from skynb_catalog.search import count
from skynb_catalog.shapes import Clause, Reason, both, machine, tests

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from skynb_catalog.offers import Amount, Query

_ORDER = get_args(Reason)  # of the tests; what fails one is not put to the next


class Refusal(NamedTuple):
    """How many rows of a cloud are no candidates for one reason.

    offers: rows of the catalog, those set aside among them. example: the instance type that comes nearest to
    what was asked; None where nothing measures that, or others of the cloud pass the same test. why: what
    `set aside` rows are refused for, one of `sanity.REASONS`.
    """

    cloud: str
    reason: Reason
    offers: int
    example: str | None
    why: str | None = None


def why_not(db: sqlite3.Connection, query: Query) -> list[Refusal]:
    """Every row that is no candidate, counted by cloud and reason, in the order of both."""
    found: dict[tuple[str, Reason, str | None], Refusal] = {}
    for one in (*_machines(db, query), *_offers(db, query), *_aside(db, query)):
        key = one.cloud, one.reason, one.why
        before = found.get(key)  # `region` and `zone` refuse offers and rows set aside
        found[key] = before._replace(offers=before.offers + one.offers) if before else one
    return sorted(found.values(), key=_order)


def _machines(db: sqlite3.Connection, query: Query) -> Iterator[Refusal]:
    """Types that are not the machine asked for, with all their rows; the nearest first, then the cheapest."""
    asked = list(tests(query))
    failed = _cases([(str(number), clause) for number, (_, clause) in enumerate(asked)])
    distance = " ".join(
        f"WHEN {number} THEN {_distance(query, why)}" for number, (why, _) in enumerate(asked)
    )
    sql = f"""
        SELECT c.name, failed, SUM(number), s.name, MIN(CASE failed {distance} END * 1e9 + price) FROM (
            SELECT s.*, t.name, t.price, t.offers + t.asides AS number, {failed.sql} AS failed
            FROM shape s CROSS JOIN type t ON t.shape = s.id
        ) s JOIN cloud c ON c.id = s.cloud WHERE failed IS NOT NULL GROUP BY s.cloud, failed
        """  # noqa: S608 - our own names
    found: dict[tuple[str, Reason], tuple[int, float | None, str | None]] = {}
    for cloud, number, rows, name, near in db.execute(sql, failed.values):
        key = cloud, asked[number][0]
        before, nearest, example = found.get(key, (0, None, None))
        if near is not None and (nearest is None or near < nearest):
            nearest, example = near, name
        found[key] = before + rows, nearest, example
    for (cloud, why), (rows, _, example) in found.items():
        yield Refusal(cloud, why, rows, example)


def _offers(db: sqlite3.Connection, query: Query) -> Iterator[Refusal]:
    """Offers of the right machine at the wrong place or price: what each further word leaves out."""
    anywhere = query._replace(
        region=None, zone=None, spot=False, max_hourly_micro=None, within=None, without=(), limit=None
    )
    words: tuple[tuple[Reason, dict[str, Any]], ...] = (
        ("region", {"region": query.region}),
        ("zone", {"zone": query.zone}),
        ("no spot price", {"spot": query.spot}),
        ("above the price limit", {"max_hourly_micro": query.max_hourly_micro}),
        ("within", {"within": query.within}),
        ("without", {"without": query.without}),
    )
    before = count(db, anywhere)
    for reason, word in words:
        narrower = anywhere._replace(**word)
        if narrower == anywhere:
            continue
        after = count(db, narrower)
        lost = [cloud for cloud in before if cloud not in after]
        nearest = _nearest(db, anywhere._replace(clouds=tuple(lost))) if lost else {}
        for cloud, number in before.items():
            if number > after.get(cloud, 0):
                yield Refusal(cloud, reason, number - after.get(cloud, 0), nearest.get(cloud))
        anywhere, before = narrower, after


def _nearest(db: sqlite3.Connection, query: Query) -> dict[str, str]:
    """Each cloud's cheapest instance type."""
    nearest: dict[str, str] = {}
    for one in by_place(db, query, None):
        nearest.setdefault(one.cloud, one.instance_type)
    return nearest


def _aside(db: sqlite3.Connection, query: Query) -> Iterator[Refusal]:
    """Rows of the right machine that may never be chosen."""
    failed = _cases([(f"'{why}'", clause) for why, clause in _place(query)])
    fits = both([*machine(query), *_named(query)])
    sql = f"""
        SELECT c.name, IFNULL(failed, 'set aside'), SUM(number), t.name, IIF(failed IS NULL, w.text, NULL)
        FROM (
            SELECT {failed.sql} AS failed, COUNT(*) AS number, MIN(o.type) AS type, o.reason
            FROM shape s CROSS JOIN type t ON t.shape = s.id CROSS JOIN aside o ON o.type = t.id
            WHERE {fits.sql} GROUP BY s.cloud, failed, o.reason
        ) JOIN type t ON t.id = type JOIN cloud c ON c.id = t.cloud JOIN reason w ON w.id = reason
        GROUP BY t.cloud, 2, 5
        """  # noqa: S608 - our own names
    for row in db.execute(sql, (*failed.values, *fits.values)):
        yield Refusal(*row)


def _place(query: Query) -> Iterator[tuple[Reason, Clause]]:
    """Where an offer or a row set aside, called o, must be."""
    if query.region is not None:
        yield "region", Clause("o.region IN (SELECT id FROM region WHERE name IN ('', ?))", (query.region,))
    if query.zone is not None:
        yield "zone", Clause("o.zone IN (SELECT id FROM zone WHERE name IN ('', ?))", (query.zone,))


def _named(query: Query) -> list[Clause]:
    if query.instance_type is None:
        return []
    return [Clause("+o.type IN (SELECT id FROM type WHERE name = ?)", (query.instance_type,))]


def _cases(asked: list[tuple[str, Clause]], otherwise: str = "NULL") -> Clause:
    """The first of these that a row fails, as an expression."""
    parts = " ".join(f"WHEN NOT ({clause.sql}) THEN {name}" for name, clause in asked)
    values = tuple(value for _, clause in asked for value in clause.values)
    return Clause(f"CASE {parts} ELSE {otherwise} END" if asked else otherwise, values)


def _distance(query: Query, reason: Reason) -> str:
    """How far a type is from what was asked, in the table's units; NULL where that says nothing."""
    if reason in {"arch", "cloud"}:
        return "0"
    if reason == "other count" and query.accelerators:
        return f"ABS(s.count - {round(query.count * 1000)})"
    amounts: dict[str, tuple[Amount | None, str, int]] = {
        "local disk": (query.local_disk, "disk", 1024),
        "vCPUs": (query.cpus, "vcpus", 1000),
        "memory": (query.memory, "memory", 1024),
    }
    amount, column, unit = amounts.get(reason, (None, "", 1))
    if amount is None:
        return "NULL"
    each = "s.vcpus / 1000.0" if amount.per_cpu else "1"
    return f"ABS(s.{column} - {float(amount.value) * unit!r} * {each})"


def _order(refusal: Refusal) -> tuple[str, int, str]:
    return refusal.cloud, _ORDER.index(refusal.reason), refusal.why or ""
