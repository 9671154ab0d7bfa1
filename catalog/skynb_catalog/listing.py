"""What `skynb gpus` shows: accelerators with their machines and cheapest price, list prices marked so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skynb_catalog.accelerators import resolve
from skynb_catalog.offers import Listing, day
from skynb_catalog.sanity import LIST_PRICE, NO_PRICE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

# As `_listing` reads them, of a shape s, a type t and a row o of `offer` or `aside`.
_COLUMNS = (
    "s.accelerator, s.count, s.cloud, t.name, s.vcpus, s.memory, t.accelerator_memory, o.price, o.spot, "
    "o.region, o.as_of, o.spot_as_of, o.source, o.confidence, s.arch, s.disk, s.disk_kind"
)
_NAMES = {"accelerator": "name", "cloud": "name", "region": "name", "source": "text", "confidence": "name"}
_ASIDE = "shape s CROSS JOIN type t ON t.shape = s.id CROSS JOIN aside o ON o.type = t.id"


def accelerators(
    db: sqlite3.Connection, name: str | None, *, all_regions: bool, clouds: Sequence[str] | None
) -> list[Listing]:
    """Rows in the order of accelerator, count, price (unknown last), cloud, instance type, region."""
    where, values = _where(name, clouds)
    chosen, refused = _regional(where) if all_regions else _cheapest(where)
    # Five small tables read once are faster than five joins a row.
    names = {
        table: dict(db.execute(f"SELECT id, {column} FROM {table}"))  # noqa: S608 - our own names
        for table, column in _NAMES.items()
    }
    rows: dict[Any, Listing] = {}
    for row in [*db.execute(chosen, values), *db.execute(refused, (*values, LIST_PRICE, NO_PRICE))]:
        rows.setdefault(row[:2], _listing(names, row[2:]))
    return sorted(rows.values(), key=_order)


def _cheapest(where: str) -> tuple[str, str]:
    """The SQL for one row a type: its cheapest offer, which is written down; without any a row set aside."""
    chosen = (
        f"SELECT t.id, 0, {_COLUMNS}, '' FROM shape s CROSS JOIN type t ON t.shape = s.id "  # noqa: S608
        "CROSS JOIN offer o ON o.shape = s.id AND o.price = t.price AND o.region = t.region "
        f"AND o.zone = t.zone AND o.type = t.id WHERE {where}"
    )
    refused = (
        f"SELECT t.id, 0, {_COLUMNS}, w.text, MIN(IFNULL(o.price, -1)) FROM {_ASIDE} "  # noqa: S608
        f"JOIN reason w ON w.id = o.reason WHERE {where} AND t.offers = 0 AND w.text IN (?, ?) GROUP BY t.id"
    )
    return chosen, refused


def _regional(where: str) -> tuple[str, str]:
    """The SQL for one row a type and region. SQLite takes the bare columns from the row of the minimum."""
    chosen = (
        f"SELECT o.type, o.region, {_COLUMNS}, '', MIN(o.price) FROM shape s "  # noqa: S608 - our own names
        f"CROSS JOIN offer o ON o.shape = s.id JOIN type t ON t.id = o.type "
        f"WHERE {where} GROUP BY o.type, o.region"
    )
    refused = (
        f"SELECT o.type, o.region, {_COLUMNS}, w.text, MIN(IFNULL(o.price, -1)) FROM {_ASIDE} "  # noqa: S608
        f"JOIN reason w ON w.id = o.reason WHERE {where} AND w.text IN (?, ?) GROUP BY o.type, o.region"
    )
    return chosen, refused


def set_aside(db: sqlite3.Connection, reason: str | None) -> list[tuple[str, str | None, str, str]]:
    """(cloud, region, instance type, reason) of what is never chosen, for one reason or for all."""
    sql = (
        "SELECT c.name, r.name, t.name, w.text FROM aside o JOIN type t ON t.id = o.type "
        "JOIN cloud c ON c.id = t.cloud JOIN region r ON r.id = o.region JOIN reason w ON w.id = o.reason "
        "WHERE w.text = ? OR ? IS NULL ORDER BY o.type, o.region, o.zone"
    )
    return [
        (cloud, region or None, name, why) for cloud, region, name, why in db.execute(sql, (reason, reason))
    ]


def _where(name: str | None, clouds: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    names = () if name is None else tuple(found.name for found in resolve(name))
    within = () if clouds is None else tuple(clouds)
    parts = ["s.accelerator > 0"]  # id 0 is the empty name
    if name is not None:
        marks = ", ".join("?" * len(names))
        parts.append(f"s.accelerator IN (SELECT id FROM accelerator WHERE name IN ({marks}))")  # noqa: S608
    if clouds is not None:
        marks = ", ".join("?" * len(within))
        parts.append(f"s.cloud IN (SELECT id FROM cloud WHERE name IN ({marks}))")  # noqa: S608 - marks only
    return " AND ".join(parts), (*names, *within)


def _listing(names: dict[str, dict[int, str]], row: Any) -> Listing:
    accelerator, count, cloud, kind, vcpus, memory, each, price, spot, region, as_of, spot_as_of, *rest = row
    source, confidence, arch, disk, disk_kind, reason, *_ = rest
    return Listing(
        accelerator=names["accelerator"][accelerator],
        accelerator_count=count / 1000 or None,
        cloud=names["cloud"][cloud],
        instance_type=kind,
        vcpus=vcpus / 1000 or None,
        memory_gib=memory / 1024 or None,
        accelerator_memory_gib=each / 1024 or None,
        hourly_micro=price if price is not None and price > 0 else None,
        spot_hourly_micro=spot,
        region=names["region"][region] or None,
        as_of=day(as_of),
        confidence=names["confidence"][confidence],
        launchable=reason != LIST_PRICE,
        spot_as_of=day(spot_as_of),
        source=names["source"][source],
        arch=arch or None,
        local_disk_gib=disk / 1024 or None,
        local_disk_kind=disk_kind or None,
    )


def _order(row: Listing) -> tuple[Any, ...]:
    return (
        row.accelerator,
        row.accelerator_count or 0,
        row.hourly_micro is None,
        row.hourly_micro or 0,
        row.cloud,
        row.instance_type,
        row.region or "",
    )
