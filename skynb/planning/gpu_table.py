"""Lists of accelerators, as text and as HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from skynb.planning.amounts import dollars
from skynb.planning.display import saving
from skynb.planning.model import days_between
from skynb.tables import html_table, price_bars, text_table

if TYPE_CHECKING:
    from skynb.planning.listing import GpuTable
    from skynb_catalog import Listing

_HEAD = (
    "accelerator",
    "GiB",
    "cloud",
    "region",
    "instance type",
    "vCPUs",
    "RAM",
    "$/h",
    "spot",
    "saving",
    "price age",
    "confidence",
)


def gpus_text(table: GpuTable) -> str:
    """The list as a terminal shows it."""
    rows = [_cells(row, table.today) for row in table.rows]
    return "\n".join([*text_table(_HEAD, rows), _legend(table)])


def gpus_html(table: GpuTable) -> str:
    """The list as a notebook shows it."""
    rows = [_cells(row, table.today) for row in table.rows]
    bars = price_bars(_HEAD, [row.hourly_micro or 0 for row in table.rows])
    return f"{html_table(_HEAD, rows, bars, sortable=True)}<p>{escape(_legend(table))}</p>"


def _cells(row: Listing, today: str) -> list[str]:
    age = days_between(row.as_of, today)
    return [
        f"{row.accelerator}:{_number(row.accelerator_count)}",
        _number(row.accelerator_memory_gib),
        row.cloud,
        row.region or "any",
        row.instance_type,
        _number(row.vcpus),
        _number(row.memory_gib),
        "?" if row.hourly_micro is None else dollars(row.hourly_micro),
        "-" if row.spot_hourly_micro is None else dollars(row.spot_hourly_micro),
        saving(row.spot_hourly_micro, row.hourly_micro),
        "undated" if age is None else f"{age} d",
        row.confidence if row.launchable else "list price",
    ]


def _legend(table: GpuTable) -> str:
    region = "each region" if table.all_regions else "the cheapest region"
    return f"{len(table.rows)} rows, prices of {region}; snapshot of {table.snapshot_date}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.6g}" if value >= 1000 else f"{value:.3g}"
