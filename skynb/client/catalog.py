"""Refreshing prices and looking at the catalog: results for terminals, notebooks and JSON.

from skynb.client import catalog
catalog.refresh("aws")
catalog.doctor()
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

import msgspec

from skynb.errors import SkynbError
from skynb.tables import Paint, Rows, html_table, text_table
from skynb_catalog import CatalogError
from skynb_catalog.refresh import Progress, Report, SourceResult
from skynb_catalog.refresh import refresh as refresh_catalog
from skynb_catalog.refresh.doctor import Examination, SetAside, examine

Part = tuple[Sequence[str], Rows]  # a table
EXAMPLES = 3
NAMED_REFUSALS = 3


class _Shown:
    """A result that is some tables with remarks below."""

    value: Any

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain JSON types."""
        found: dict[str, Any] = msgspec.to_builtins(self.value)
        return found

    def to_text(self, paint: Paint | None = None) -> str:
        """The tables as plain text; `paint` may colour their cells."""
        tables = ["\n".join(text_table(head, rows, paint)) for head, rows in self._tables() if rows]
        return "\n\n".join([*tables, *(["\n".join(self._remarks())] if self._remarks() else [])])

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        tables = "".join(html_table(head, rows) for head, rows in self._tables() if rows)
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in self._remarks())
        return {
            "text/plain": self.to_text(),
            "text/html": tables + (f"<ul>{remarks}</ul>" if remarks else ""),
        }

    def _tables(self) -> list[Part]:
        raise NotImplementedError

    def _remarks(self) -> list[str]:
        raise NotImplementedError


class Refreshed(_Shown):
    """What a refresh brought. ok: all that was asked for landed."""

    def __init__(self, value: Report) -> None:
        self.value: Report = value

    @property
    def ok(self) -> bool:
        return self.value.ok

    @property
    def failed(self) -> list[str]:
        """The sources and clouds that did not land, by name."""
        sources = [one.name for one in self.value.sources if one.state in {"failed", "in part"}]
        return [*sources, *(one.cloud for one in self.value.clouds if one.kept_old)]

    def _tables(self) -> list[Part]:
        sources = [
            [
                one.name,
                one.state,
                ", ".join(one.rows) or "-",
                f"{sum(one.rows.values()):,}",
                str(one.asked),
                str(one.unchanged),
                str(one.resumed),
                f"{one.seconds:.1f}",
            ]
            for one in self.value.sources
        ]
        clouds = [
            [
                one.cloud,
                "kept old" if one.kept_old else "refreshed",
                f"{one.rows:,}",
                f"+{one.added:,}",
                f"-{one.removed:,}",
                f"{one.moved:,}",
                f"{one.set_aside:,}",
                ", ".join(one.sources),
            ]
            for one in self.value.clouds
            if one.sources or one.kept_old
        ]
        heads = (
            ("SOURCE", "STATE", "CLOUDS", "ROWS", "ASKED", "UNCHANGED", "RESUMED", "SECONDS"),
            ("CLOUD", "STATE", "ROWS", "ADDED", "REMOVED", "MOVED>10%", "SET ASIDE", "FROM"),
        )
        return [(heads[0], sources), (heads[1], clouds)]

    def _remarks(self) -> list[str]:
        found = [
            f"{one.cloud}: the old rows stay: {one.kept_old}" for one in self.value.clouds if one.kept_old
        ]
        for one in self.value.sources:
            found += _source_remarks(one)
        report = self.value
        if report.dry_run:
            found.append("A dry run: nothing was put in force.")
        elif report.published:
            found.append(f"In force: {report.rows:,} rows of {report.collected}, edition {report.hash[:12]}.")
        else:
            found.append(f"Nothing landed; the catalog of {report.collected} stays in force.")
        return found


class Health(_Shown):
    """How the catalog is."""

    def __init__(self, value: Examination) -> None:
        self.value: Examination = value

    def _tables(self) -> list[Part]:
        clouds = [
            [
                one.cloud,
                f"{one.rows:,}",
                f"{one.usable:,}",
                one.refreshed or ("shipped" if one.rows else "-"),
                f"{one.oldest or '-'} .. {one.newest or '-'}"
                + (f", {one.undated:,} undated" if one.undated else ""),
                ", ".join(f"{name} {number:,}" for name, number in one.confidence.items()) or "-",
                ", ".join(f"{name}*" if name in one.waiting else name for name in one.served_by) or "-",
                ", ".join(one.sources) or "-",
            ]
            for one in self.value.clouds
        ]
        head = ("CLOUD", "ROWS", "USABLE", "REFRESHED", "PRICES OF", "CONFIDENCE", "SOURCES", "FROM")
        return [(head, clouds), (("SET ASIDE", "ROWS", "FOR EXAMPLE"), _aside_rows(self.value.aside))]

    def _remarks(self) -> list[str]:
        health = self.value
        which = "refreshed" if health.refreshed else "shipped"
        found = [
            f"In force: the {which} catalog of {health.collected}, {health.rows:,} rows, {health.hash[:12]}."
        ]
        found += [f"Trouble: {trouble}." for trouble in health.troubles]
        shown = {name for one in health.clouds for name in one.waiting}
        found += [f"Source {name}* waits: {need}." for name, need in health.needs.items() if name in shown]
        if not health.refreshed:
            found.append("`skynb catalog refresh` fetches today's prices.")
        return found


def refresh(
    *clouds: str,
    sources: Sequence[str] = (),
    dry_run: bool = False,
    watch: Callable[[Progress], None] | None = None,
) -> Refreshed:
    """Fetch today's prices of these clouds (all) and put them in force; what fails keeps its old rows.

    sources: only these. watch: told of progress. Raises SkynbError for an unknown name, while another refresh
    runs, and if nothing can be written.
    """
    try:
        report = refresh_catalog(clouds, names=sources, dry_run=dry_run, watch=watch)
    except CatalogError as error:
        raise SkynbError(error.what, why=error.why, mend=error.mend) from error
    return Refreshed(report)


def doctor(*clouds: str, reason: str | None = None) -> Health:
    """How the catalog is: what is in force, how old, what was set aside and why, what is broken or missing.

    reason: only rows set aside for a reason with these words. Raises SkynbError.
    """
    try:
        return Health(examine(clouds, reason))
    except CatalogError as error:
        raise SkynbError(error.what, why=error.why, mend=error.mend) from error


def progress_line(progress: Progress) -> str:
    """How far one source is, in one line."""
    units = f"{progress.done} of {progress.units}" if progress.units else "…"
    state = progress.state or units
    parts = [f"{progress.rows:,} rows", f"{progress.size / 1e6:.1f} MB", progress.note]
    return f"{progress.source:<22} {state:<10} {', '.join(part for part in parts if part)}"


def _source_remarks(one: SourceResult) -> list[str]:
    found = [f"{one.name}: left out: {one.note}"] if one.note else []
    by_reason: dict[str, list[str]] = {}
    for unit, why in one.failures:
        by_reason.setdefault(why, []).append(unit)
    for why, units in by_reason.items():
        where = f" {_some(units)}" if any(units) else ""
        found.append(f"{one.name}{where}: {why}")
    if one.refused:
        first = [f"{reason} ({number:,})" for reason, number in one.refused.items()][:NAMED_REFUSALS]
        more = len(one.refused) - len(first)
        found.append(f"{one.name} refused: {', '.join(first)}{f', and {more} more reasons' if more else ''}")
    return found


def _some(names: Sequence[str]) -> str:
    more = len(names) - EXAMPLES
    return ", ".join(names[:EXAMPLES]) + (f" and {more} more" if more > 0 else "")


def _aside_rows(rows: Iterable[SetAside]) -> list[list[str]]:
    by_reason: dict[str, list[SetAside]] = {}
    for row in rows:
        by_reason.setdefault(row.reason, []).append(row)
    counts = Counter({reason: len(found) for reason, found in by_reason.items()})
    return [
        [reason, f"{number:,}", "; ".join(_example(row) for row in by_reason[reason][:EXAMPLES])]
        for reason, number in counts.most_common()
    ]


def _example(row: SetAside) -> str:
    where = "/".join(part for part in (row.cloud, row.region, row.zone) if part)
    price = f" ${row.hourly_micro / 1e6:g}" if row.hourly_micro is not None else ""
    spot = f" spot ${row.spot_hourly_micro / 1e6:g}" if row.spot_hourly_micro is not None else ""
    return f"{row.instance_type} {where}{price}{spot}"


__all__ = ["Health", "Refreshed", "doctor", "progress_line", "refresh"]
