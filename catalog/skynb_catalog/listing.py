"""What `skynb gpus` shows: accelerators with their machines and cheapest price, list prices marked so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skynb_catalog.accelerators import resolve
from skynb_catalog.offers import Listing, day
from skynb_catalog.sanity import LIST_PRICE, NO_PRICE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_COLUMNS = "a.name, s.count, c.name, t.name, s.vcpus, s.memory, t.accelerator_memory"
_NAMES = "JOIN cloud c ON c.id = s.cloud JOIN accelerator a ON a.id = s.accelerator"


def accelerators(
    db: sqlite3.Connection, name: str | None, *, all_regions: bool, clouds: Sequence[str] | None
) -> list[Listing]:
    """Rows in the order of accelerator, count, price (unknown last), cloud, instance type, region."""
    where, values = _where(name, clouds)
    group = "o.type, o.region" if all_regions else "o.type"
    # SQLite takes the bare columns of a group from the row that holds its minimum.
    chosen = (
        f"SELECT {_COLUMNS}, MIN(o.price), o.spot, r.name, o.as_of, k.name, '', o.type, o.region "  # noqa: S608
        "FROM shape s CROSS JOIN offer o ON o.shape = s.id "
        f"JOIN type t ON t.id = o.type {_NAMES} JOIN region r ON r.id = o.region "
        f"JOIN confidence k ON k.id = o.confidence WHERE {where} GROUP BY {group}"
    )
    aside = (
        f"SELECT {_COLUMNS}, MIN(IFNULL(o.price, -1)), o.spot, r.name, o.as_of, k.name, w.text, "  # noqa: S608
        "o.type, o.region "
        "FROM shape s CROSS JOIN type t ON t.shape = s.id CROSS JOIN aside o ON o.type = t.id "
        f"{_NAMES} JOIN region r ON r.id = o.region JOIN confidence k ON k.id = o.confidence "
        f"JOIN reason w ON w.id = o.reason WHERE {where} AND w.text IN (?, ?) GROUP BY {group}"
    )
    rows: dict[Any, Listing] = {}
    for row in [*db.execute(chosen, values), *db.execute(aside, (*values, LIST_PRICE, NO_PRICE))]:
        rows.setdefault(row[-2:] if all_regions else row[-2], _listing(row))
    return sorted(rows.values(), key=_order)


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


def _listing(row: Any) -> Listing:
    name, count, cloud, kind, vcpus, memory, each, price, spot, region, as_of, confidence, reason, *_ = row
    return Listing(
        accelerator=name,
        accelerator_count=count / 1000 or None,
        cloud=cloud,
        instance_type=kind,
        vcpus=vcpus / 1000 or None,
        memory_gib=memory / 1024 or None,
        accelerator_memory_gib=each / 1024 or None,
        hourly_micro=price if price > 0 else None,
        spot_hourly_micro=spot,
        region=region or None,
        as_of=day(as_of),
        confidence=confidence,
        launchable=reason != LIST_PRICE,
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
