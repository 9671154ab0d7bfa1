"""Plans and lists of accelerators as text and as HTML. Every value is escaped; nothing here imports rich."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from skynb.planning.why_not import dollars
from skynb.tables import html_table, text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb.planning.listing import GpuTable
    from skynb.planning.model import Candidate, Plan
    from skynb.tables import Style
    from skynb_catalog import Listing

_ROWS = 10
_PLAN_HEAD = ("", "infra", "instance type", "vCPUs", "GiB", "accelerators", "$/h", "priced", "confidence")
_GPU_HEAD = (
    "accelerator",
    "GiB",
    "cloud",
    "region",
    "instance type",
    "vCPUs",
    "RAM",
    "$/h",
    "spot",
    "priced",
    "",
)


def plan_text(plan: Plan) -> str:
    """The plan as a terminal shows it."""
    rows = [_candidate_cells("->" if not number else str(number), one) for number, one in _top(plan)]
    return "\n".join([_headline(plan), *text_table(_PLAN_HEAD, rows), *_notes(plan)])


def plan_html(plan: Plan) -> str:
    """The plan as a notebook shows it."""
    top = _top(plan)
    rows = [_candidate_cells("✓" if not number else str(number), one) for number, one in top]
    bars = _bars(_PLAN_HEAD, [one.hourly_micro for _, one in top])
    notes = "".join(f"<li>{escape(note)}</li>" for note in _notes(plan))
    table = html_table(_PLAN_HEAD, rows, bars)
    return f"<p><b>{escape(_headline(plan))}</b></p>{table}<ul>{notes}</ul>"


def gpus_text(table: GpuTable) -> str:
    """The list as a terminal shows it."""
    rows = [_listing_cells(row) for row in table.rows]
    return "\n".join([*text_table(_GPU_HEAD, rows), _legend(table)])


def gpus_html(table: GpuTable) -> str:
    """The list as a notebook shows it."""
    rows = [_listing_cells(row) for row in table.rows]
    bars = _bars(_GPU_HEAD, [row.hourly_micro or 0 for row in table.rows])
    return f"{html_table(_GPU_HEAD, rows, bars)}<p>{escape(_legend(table))}</p>"


def _headline(plan: Plan) -> str:
    choice = plan.choice
    nodes = f"{plan.num_nodes}× " if plan.num_nodes > 1 else ""
    name = f"{plan.task}: " if plan.task else ""
    spot = " spot" if choice.spot else ""
    return f"{name}{nodes}{choice.instance_type}{spot} on {choice.infra}, {dollars(plan.hourly_micro)}/h"


def _top(plan: Plan) -> list[tuple[int, Candidate]]:
    return list(enumerate([plan.choice, *plan.alternatives[: _ROWS - 1]]))


def _notes(plan: Plan) -> list[str]:
    rest = len(plan.alternatives) + plan.more - (len(_top(plan)) - 1)
    age = "undated" if plan.price_age_days is None else f"{plan.price_age_days} days old"
    notes = [f"and {rest} further candidates"] if rest > 0 else []
    notes.append(f"price {age}, confidence {plan.confidence}, source: {plan.source}")
    notes.extend(plan.stale)
    notes.extend(
        f"not {one.cloud or f'alternative {one.alternative + 1}'}: {one.reason}" for one in plan.rejected
    )
    return notes


def _candidate_cells(mark: str, one: Candidate) -> list[str]:
    return [
        mark,
        one.infra,
        one.instance_type + (" (spot)" if one.spot else ""),
        _number(one.vcpus),
        _number(one.memory_gib),
        f"{one.accelerator}:{_number(one.accelerator_count)}" if one.accelerator else "-",
        dollars(one.hourly_micro),
        one.as_of or "undated",
        one.confidence,
    ]


def _listing_cells(row: Listing) -> list[str]:
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
        row.as_of or "undated",
        row.confidence if row.launchable else "list price",
    ]


def _legend(table: GpuTable) -> str:
    region = "each region" if table.all_regions else "the cheapest region"
    return f"{len(table.rows)} rows, prices of {region}; snapshot of {table.snapshot_date}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _bars(head: Sequence[str], prices: Sequence[int]) -> Style:
    """A bar behind each price, as long as the price is near the dearest."""
    dearest = max(prices, default=0)
    shade = "rgba(33, 150, 243, 0.25)"

    def style(row: int, column: int) -> str:
        if head[column] != "$/h":
            return ""
        percent = round(100 * prices[row] / dearest) if dearest else 0
        return f"background: linear-gradient(to right, {shade} {percent}%, transparent {percent}%)"

    return style
