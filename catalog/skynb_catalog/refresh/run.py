"""A whole refresh: fetch, lay over what is known, check cloud by cloud, and put the result in force."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skynb_catalog import cache, editions
from skynb_catalog.editions import CloudRecord
from skynb_catalog.errors import CatalogError
from skynb_catalog.refresh import base as bases
from skynb_catalog.refresh import merge
from skynb_catalog.refresh.fetching import Harvest, Settings, fetch_all
from skynb_catalog.refresh.report import CloudResult, Progress, Report, SourceResult
from skynb_catalog.refresh.source import Known
from skynb_catalog.refresh.sources import SOURCES
from skynb_catalog.sanity import shortfall, verdicts
from skynb_catalog.snapshots import pack, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from skynb_catalog.offers import Fact, Stamp
    from skynb_catalog.refresh.base import Base
    from skynb_catalog.refresh.source import Source


def refresh(
    clouds: Sequence[str] = (),
    *,
    names: Sequence[str] = (),
    dry_run: bool = False,
    watch: Callable[[Progress], None] | None = None,
    sources: Sequence[Source] = SOURCES,
    settings: Settings | None = None,
) -> Report:
    """Fetch prices of these clouds (all), from the sources of these names (all), and put them in force.

    watch: told of progress, in the caller's thread. dry_run: all but the last step. A source or cloud that
    fails keeps its old rows and is named in the report. Raises CatalogError for a name nobody knows, while
    another refresh runs, and when nothing can be written; the old catalog then stays.
    """
    began = time.monotonic()
    chosen = _chosen(clouds, names, sources)
    wanted = frozenset(clouds) or frozenset(cloud for source in chosen for cloud in source.clouds)
    settings = settings or Settings(mirror=os.environ.get("SKYNB_CATALOG_MIRROR") or None)
    with _alone() as folder:
        base = bases.load()
        known = Known(base.clouds)
        harvests = fetch_all(chosen, wanted, known, folder, settings, watch or (lambda _progress: None))
        outcomes = [_cloud(cloud, base, harvests) for cloud in sorted(wanted)]
        merged = base.clouds | {outcome.result.cloud: outcome.rows for outcome in outcomes}
        new, published = base.stamp, False
        if any(outcome.landed for outcome in outcomes) and not dry_run:
            new = _publish(base, merged, outcomes)
            published = True
    harvest_results = tuple(_final(harvest, outcomes) for harvest in harvests)
    rows = sum(map(len, merged.values()))
    results = tuple(outcome.result for outcome in outcomes)
    seconds = time.monotonic() - began
    return Report(harvest_results, results, published, dry_run, new.hash, new.collected, rows, seconds)


class _Outcome:
    """A cloud's new rows with what is to be said of them."""

    def __init__(
        self, result: CloudResult, rows: list[Fact], counts: dict[str, int], refused: dict[str, Counter[str]]
    ) -> None:
        self.result = result
        self.rows = rows
        self.counts = counts
        self.refused = refused

    @property
    def landed(self) -> bool:
        return bool(self.counts) and self.result.kept_old is None


def _chosen(clouds: Sequence[str], names: Sequence[str], sources: Sequence[Source]) -> list[Source]:
    of_cloud = {cloud for source in sources for cloud in source.clouds}
    for kind, given, existing in (
        ("cloud", clouds, of_cloud),
        ("source", names, {source.name for source in sources}),
    ):
        unknown = [name for name in given if name not in existing]
        if unknown:
            raise CatalogError(
                f"no {kind} {unknown[0]!r} can be refreshed", mend=f"There are {', '.join(sorted(existing))}"
            )
    found = [
        source
        for source in sources
        if (not names or source.name in names) and (not clouds or set(clouds) & set(source.clouds))
    ]
    if not found:
        raise CatalogError(f"{' and '.join(names)} has no prices of {' or '.join(clouds)}")
    return found


def _cloud(cloud: str, base: Base, harvests: list[Harvest]) -> _Outcome:
    """One cloud's rows after all its sources, or the old ones with the reason."""
    before = base.clouds.get(cloud, [])
    last = base.records[cloud].sources if cloud in base.records else {}
    rows, counts, kept_old = before, {}, None
    refused: dict[str, Counter[str]] = {}
    for harvest in harvests:
        fresh = [fact for unit in harvest.units for fact in unit if fact.cloud == cloud]
        if not fresh:
            if cloud in harvest.source.clouds and harvest.units and not harvest.result.failures:
                kept_old = f"{harvest.source.name} has no row of it"
            continue
        tally = refused.setdefault(harvest.source.name, Counter())
        fresh = merge.single(fresh, tally)
        partial = bool(harvest.result.failures)
        share = harvest.source.least_share
        if not partial and len(fresh) < share * last.get(harvest.source.name, 0):
            few = f"{len(fresh)} rows from {harvest.source.name}"
            kept_old = f"{few}, fewer than {share:.0%} of the last {last[harvest.source.name]}"
            continue
        rows = merge.overlay(rows, fresh, complete=harvest.source.complete, refused=tally)
        counts[harvest.source.name] = (
            len(fresh) if not partial else max(len(fresh), last.get(harvest.source.name, 0))
        )
    kept_old = kept_old or (shortfall(before, rows) if counts else None)
    if kept_old:
        rows = before
    change = merge.change(before, rows)
    aside = sum(1 for reason in verdicts(rows) if reason)
    result = CloudResult(cloud, tuple(counts), len(rows), *change, aside, kept_old)
    return _Outcome(result, rows, counts, refused)


def _publish(base: Base, merged: dict[str, list[Fact]], outcomes: list[_Outcome]) -> Stamp:
    import sqlite3

    facts = [fact for cloud in sorted(merged) for fact in merged[cloud]]
    today = time.strftime("%Y-%m-%d", time.gmtime())
    packed = pack(facts)
    new = stamp(packed, max(today, cache.shipped_stamp().collected), len(facts))
    records = dict(base.records)
    for outcome in outcomes:
        if outcome.landed:
            name = outcome.result.cloud
            before = records[name].sources if name in records else {}
            records[name] = CloudRecord(new.collected, len(outcome.rows), before | outcome.counts)
    try:
        editions.publish(packed, new, records)
    except (OSError, sqlite3.Error) as error:
        raise CatalogError(
            "the refreshed catalog cannot be written; the old one stays",
            why=str(error),
            mend="Free some disk space, or set SKYNB_CACHE_DIR to a folder that can be written",
        ) from error
    return new


def _final(harvest: Harvest, outcomes: list[_Outcome]) -> SourceResult:
    from dataclasses import replace

    refused = Counter(harvest.result.refused)
    for outcome in outcomes:
        refused.update(outcome.refused.get(harvest.source.name, ()))
    return replace(harvest.result, refused=dict(refused.most_common()))


@contextmanager
def _alone() -> Iterator[Path]:
    """The folder of what is being fetched, held by one refresh at a time; a killed one lets go."""
    import fcntl

    folder = cache.cache_dir() / "refresh"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a")
    except OSError as error:
        raise CatalogError(
            f"nothing can be written to {folder}",
            why=error.strerror,
            mend="Set SKYNB_CACHE_DIR to a folder that can be written",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CatalogError("another refresh is running", mend="Wait until it has ended") from error
        except OSError as error:
            raise CatalogError(f"{folder} cannot be locked", why=error.strerror) from error
        yield folder
