"""What-ifs as text, as a table, and as a picture of cost against time (SVG). Every value is escaped."""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb.planning.amounts import HOUR, dollars, hours_text
from skynb.tables import html_table, text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb.planning.what_if import Prospect, WhatIf

_ROWS = 20
_HEAD = ("", "machine", "infra", "hours", "p50", "p90", "cost", "p90 cost")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _EDGE = 640, 360, 64, 44, 16
_LABELS = 8
_STYLE = f'style="max-width: {_WIDTH}px" font-family="sans-serif" font-size="11" fill="currentColor"'


class Picture(NamedTuple):
    """An SVG that a notebook shows and `str` gives."""

    svg: str

    def __str__(self) -> str:
        return self.svg

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": "cost against time"}


def what_if_text(found: WhatIf) -> str:
    """The prospects as a terminal shows them."""
    lines = text_table(_head(found), [_cells(found, one) for one in _shown(found)])
    return "\n".join([*lines, *_notes(found)])


def what_if_html(found: WhatIf) -> str:
    """The picture and the prospects as a notebook shows them."""
    table = html_table(_head(found), [_cells(found, one) for one in _shown(found)], sortable=True)
    notes = "".join(f"<li>{escape(note)}</li>" for note in _notes(found))
    return f"{picture(found).svg}{table}<ul>{notes}</ul>"


def frame_rows(found: WhatIf) -> list[dict[str, Any]]:
    """A row a prospect; dollars and hours."""
    return [
        {
            "accelerator": one.machine.accelerator,
            "count": one.machine.accelerator_count,
            "spot": one.machine.spot,
            "infra": one.machine.infra,
            "instance_type": one.machine.instance_type,
            "nodes": one.num_nodes,
            "hourly_usd": one.machine.hourly_micro * one.num_nodes / 1e6,
            "hours": one.hours,
            "hours_from": one.estimate,
            "p50_hours": one.p50_hours,
            "p90_hours": one.p90_hours,
            "mean_usd": one.mean_micro / 1e6,
            "p90_usd": one.p90_micro / 1e6,
            "chance": one.chance,
            "best": one.best,
        }
        for one in found.prospects
    ]


def picture(found: WhatIf) -> Picture:
    """Cost (dollars) over time (hours), both logarithmic; the line joins what nothing beats."""
    across = Scale.over([one.p50_hours for one in found.prospects], _LEFT, _WIDTH - _EDGE)
    up = Scale.over([one.mean_micro / 1e6 for one in found.prospects], _HEIGHT - _BOTTOM, _EDGE)
    dots = [_dot(one, across, up) for one in sorted(found.prospects, key=lambda one: one.best)]
    line = " ".join(f"{across.at(one.p50_hours):.1f},{up.at(one.mean_micro / 1e6):.1f}" for one in found.best)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" {_STYLE}>',
        "<title>Cost against time</title>",
        *_axes(across, up),
        f'<polyline points="{line}" fill="none" stroke="#1976d2" stroke-width="1.5"/>',
        *dots,
        *_labels(found.best, across, up),
        "</svg>",
    ]
    return Picture("".join(parts))


class Scale(NamedTuple):
    """A logarithmic axis from one pixel to another."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> Scale:
        """The decades that hold all positive values; what costs nothing lies on the lowest line."""
        positive = [value for value in values if value > 0] or [1.0]
        low, high = floor(log10(min(positive))), ceil(log10(max(positive)))
        return cls(low, max(high, low + 1), start, end)

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (log10(max(value, 10**self.low)) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Each power of ten."""
        return [10.0**power for power in range(int(self.low), int(self.high) + 1)]


def _axes(across: Scale, up: Scale) -> list[str]:
    grid = 'stroke="currentColor" stroke-opacity="0.15"'
    base = _HEIGHT - _BOTTOM
    parts = []
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{_EDGE}" x2="{x:.1f}" y2="{base}" {grid}/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 16}" text-anchor="middle">{tick:g} h</text>')
    for tick in up.ticks():
        y = up.at(tick)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _EDGE}" y2="{y:.1f}" {grid}/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">${tick:,g}</text>')
    return [*parts, f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 6}" text-anchor="middle">time until done</text>']


def _dot(one: Prospect, across: Scale, up: Scale) -> str:
    x, y = across.at(one.p50_hours), up.at(one.mean_micro / 1e6)
    paint = 'fill="#1976d2"' if one.best else 'fill="currentColor" fill-opacity="0.3"'
    title = escape(f"{_name(one)} on {one.machine.infra}: {dollars(one.mean_micro)}, {_hours(one.p50_hours)}")
    where = f'cx="{x:.1f}" cy="{y:.1f}" r="{5 if one.best else 3}"'
    return f"<circle {where} {paint}><title>{title}</title></circle>"


def _labels(best: Sequence[Prospect], across: Scale, up: Scale) -> list[str]:
    """Names of the best, as far as they do not lie on each other."""
    parts: list[str] = []
    placed: list[tuple[float, float]] = []
    for one in best:
        x, y = across.at(one.p50_hours) + 8, up.at(one.mean_micro / 1e6) - 6
        if len(parts) < _LABELS and all(abs(y - other) > 12 or abs(x - near) > 110 for near, other in placed):
            placed.append((x, y))
            anchor = ' text-anchor="end"' if x > _WIDTH - 110 else ""
            parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{anchor}>{escape(_name(one))}</text>')
    return parts


def _shown(found: WhatIf) -> list[Prospect]:
    """The best, then as many others as fit, soonest first."""
    others = [one for one in found.prospects if not one.best]
    shown = [*found.best, *others[: max(0, _ROWS - len(found.best))]]
    return sorted(shown, key=found.prospects.index)


def _head(found: WhatIf) -> tuple[str, ...]:
    return _HEAD if found.deadline_hours is None else (*_HEAD, f"done in {found.deadline_hours:g} h")


def _cells(found: WhatIf, one: Prospect) -> list[str]:
    chance = [] if found.deadline_hours is None else [f"{100 * (one.chance or 0):.0f} %"]
    return [
        "*" if one.best else "",
        _name(one),
        one.machine.infra,
        _hours(one.hours),
        _hours(one.p50_hours),
        _hours(one.p90_hours),
        dollars(one.mean_micro),
        dollars(one.p90_micro),
        *chance,
    ]


def _notes(found: WhatIf) -> list[str]:
    rest = len(found.prospects) - len(_shown(found))
    more = [f"and {rest} other machines"] if rest else []
    return [
        "* nothing else is both cheaper and sooner done",
        *more,
        *(f"assumed: {one}" for one in found.assumptions),
    ]


def _name(one: Prospect) -> str:
    machine = one.machine
    kind = (
        f"{machine.accelerator}:{machine.accelerator_count:g}"
        if machine.accelerator
        else machine.instance_type
    )
    nodes = f"{one.num_nodes}× " if one.num_nodes > 1 else ""
    return f"{nodes}{kind}{' spot' if machine.spot else ''}"


def _hours(hours: float) -> str:
    return hours_text(round(hours * HOUR))
