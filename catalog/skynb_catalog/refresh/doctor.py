"""How the catalog is: what is in force, how old, what was set aside and why, and what is broken."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skynb_catalog import cache, editions
from skynb_catalog.errors import CatalogError
from skynb_catalog.refresh import base as bases
from skynb_catalog.refresh.sources import SOURCES
from skynb_catalog.sanity import REASONS, verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb_catalog.offers import Fact
    from skynb_catalog.refresh.base import Base
    from skynb_catalog.refresh.source import Source


@dataclass(frozen=True, slots=True)
class CloudHealth:
    """A cloud's rows. refreshed: ISO date, None where only shipped rows are known. oldest, newest: prices.

    sources: which gave how many rows the last time. served_by: which know its prices, the last one's count;
    waiting: those of them that lack something.
    """

    cloud: str
    rows: int
    usable: int
    refreshed: str | None
    sources: dict[str, int]
    oldest: str | None
    newest: str | None
    undated: int
    confidence: dict[str, int]
    served_by: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that is never chosen, and why. Prices are micro-dollars per hour."""

    reason: str
    cloud: str
    region: str | None
    zone: str | None
    instance_type: str
    hourly_micro: int | None
    spot_hourly_micro: int | None
    as_of: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Examination:
    """How the catalog is. refreshed: not the shipped one is in force.

    troubles: what is broken, with the mend. needs: what a source lacks, by its name.
    """

    refreshed: bool
    hash: str
    collected: str
    rows: int
    clouds: tuple[CloudHealth, ...]
    aside: tuple[SetAside, ...]
    troubles: tuple[str, ...]
    needs: dict[str, str]


def examine(
    clouds: Sequence[str] = (), reason: str | None = None, sources: Sequence[Source] = SOURCES
) -> Examination:
    """Look at everything; changes nothing. reason: set-aside rows whose reason has these words.

    Raises CatalogError for a cloud or reason that is not there.
    """
    base = bases.load()
    there = base.clouds.keys() | {cloud for source in sources for cloud in source.clouds}
    unknown = [cloud for cloud in clouds if cloud not in there]
    if unknown:
        raise CatalogError(
            f"the catalog has no cloud {unknown[0]!r}", mend=f"It has {', '.join(sorted(there))}"
        )
    if reason is not None and not any(reason.casefold() in one.casefold() for one in REASONS):
        raise CatalogError(f"no reason is called {reason!r}", mend=f"They are: {'; '.join(REASONS)}")
    rows = [fact for cloud in sorted(base.clouds) for fact in base.clouds[cloud]]
    judged = [
        (fact, why)
        for fact, why in zip(rows, verdicts(rows), strict=True)
        if not clouds or fact.cloud in clouds
    ]
    aside = [
        _aside(fact, why)
        for fact, why in judged
        if why and (reason is None or reason.casefold() in why.casefold())
    ]
    shipped = cache.shipped_stamp()
    needs = {source.name: need for source in sources if (need := source.needs())}
    return Examination(
        refreshed=base.stamp != shipped,
        hash=base.stamp.hash,
        collected=base.stamp.collected,
        rows=len(rows),
        clouds=tuple(
            _health(base, cloud, judged, [one.name for one in sources if cloud in one.clouds], needs)
            for cloud in sorted(clouds or there)
        ),
        aside=tuple(aside),
        troubles=tuple(_troubles()),
        needs=needs,
    )


def _health(
    base: Base, cloud: str, judged: list[tuple[Fact, str | None]], served_by: list[str], needs: dict[str, str]
) -> CloudHealth:
    own = [(fact, why) for fact, why in judged if fact.cloud == cloud]
    usable = [fact for fact, why in own if why is None]
    dates = sorted(fact.as_of for fact in usable if fact.as_of)
    record = base.records.get(cloud)
    return CloudHealth(
        cloud=cloud,
        rows=len(own),
        usable=len(usable),
        refreshed=record.refreshed if record else None,
        sources=dict(record.sources) if record else {},
        oldest=dates[0] if dates else None,
        newest=dates[-1] if dates else None,
        undated=len(usable) - len(dates),
        confidence=dict(Counter(fact.confidence for fact in usable).most_common()),
        served_by=tuple(served_by),
        waiting=tuple(name for name in served_by if name in needs),
    )


def _aside(fact: Fact, why: str) -> SetAside:
    return SetAside(
        reason=why,
        cloud=fact.cloud,
        region=fact.region,
        zone=fact.zone,
        instance_type=fact.instance_type,
        hourly_micro=fact.hourly_micro,
        spot_hourly_micro=fact.spot_hourly_micro,
        as_of=fact.as_of,
        source=fact.source,
    )


def _troubles() -> list[str]:
    found = [editions.fault()]
    folder = cache.cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        said = f"nothing can be written to {folder} ({error.strerror})"
        found.append(f"{said}: set SKYNB_CACHE_DIR to a folder that can be written")
    return [trouble for trouble in found if trouble]
