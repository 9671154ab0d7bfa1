"""All sources at once, a few at a time, each within its time: what came of them, whatever some of them do."""

from __future__ import annotations

import csv
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from skynb_catalog.errors import CatalogError
from skynb_catalog.refresh.report import Progress, SourceResult, State
from skynb_catalog.refresh.source import Fetched, Keyed
from skynb_catalog.refresh.spool import Spool
from skynb_catalog.refresh.web import UnchangedError, Web, WebError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from skynb_catalog.offers import Fact
    from skynb_catalog.refresh.source import Known, Source
    from skynb_catalog.refresh.spool import Kept

AT_ONCE = 8
_UNIT_TRIES = 3
_GRACE = 5.0  # a source whose thread does not even notice its deadline is left behind


@dataclass(frozen=True, slots=True)
class Settings:
    """How sources are reached. See `Web`; seconds: for each source, None for its own."""

    mirror: str | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    read_seconds: float = 20.0
    pause: float = 1.0


@dataclass(frozen=True, slots=True)
class Harvest:
    """What came of one source: its result, and the rows of every unit that landed."""

    source: Source
    result: SourceResult
    units: tuple[list[Fact], ...] = ()


def fetch_all(
    sources: Sequence[Source],
    clouds: frozenset[str],
    known: Known,
    folder: Path,
    settings: Settings,
    watch: Callable[[Progress], None],
) -> list[Harvest]:
    """Every source's harvest, in order. Ctrl-C stops them between two reads; what is finished stays kept.

    watch: called here, in the caller's thread.
    """
    stop, places, events = threading.Event(), threading.Semaphore(AT_ONCE), _Events()
    runs = [_Run(source, clouds, known, folder, settings, stop, events) for source in sources]
    threads = [
        threading.Thread(target=run.live, args=(places,), daemon=True, name=run.source.name) for run in runs
    ]
    for thread in threads:
        thread.start()
    done: dict[str, Harvest] = {}
    try:
        while len(done) < len(runs):
            for event in events.next():
                if isinstance(event, Progress):
                    watch(event)
                else:
                    done.setdefault(event.source.name, event)
            late = [run for run in runs if run.source.name not in done and run.hangs()]
            done |= {run.source.name: run.left_behind() for run in late}
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join(1.0)
        raise
    return [done[source.name] for source in sources]


class _Events(SimpleQueue["Progress | Harvest"]):
    """What the threads of the sources tell."""

    def next(self) -> Iterator[Progress | Harvest]:
        """What there is, waiting a moment for it."""
        try:
            yield self.get(timeout=0.2)
            while True:
                yield self.get_nowait()
        except Empty:
            return


class _Run:
    """One source on its way; lives in a thread of its own."""

    def __init__(
        self,
        source: Source,
        clouds: frozenset[str],
        known: Known,
        folder: Path,
        settings: Settings,
        stop: threading.Event,
        events: _Events,
    ) -> None:
        self.source = source
        self._clouds = clouds
        self._known = known
        self._settings = settings
        self._seconds = settings.seconds or source.seconds
        self._stop = stop
        self._events = events
        self._spool = Spool(folder / source.name, parser=source.parser, mirror=settings.mirror)
        self._began: float | None = None
        self._done = self._total = self._size = self._rows = 0
        self._counts: Counter[str] = Counter()
        self._failures: list[tuple[str, str]] = []
        self._refused: Counter[str] = Counter()
        self._units: list[list[Fact]] = []
        self._told_at = 0.0

    def live(self, places: threading.Semaphore) -> None:
        with places:
            self._began = time.monotonic()
            try:
                note = self._note()
                if note is None:
                    self._fetch_units()
                    harvest = self._harvest(self._state())
                else:
                    harvest = self._harvest("left out", note)
            except Exception as error:  # noqa: BLE001 - one source's bug must not take the others with it
                self._failures.append(("", _said(error)))
                harvest = self._harvest("failed")
        self._tell(harvest.result.state, harvest.result.note)
        self._events.put(harvest)

    def hangs(self) -> bool:
        """Whether the thread is where no deadline reaches it, as in the resolver of names."""
        return self._began is not None and time.monotonic() > self._began + self._seconds + _GRACE

    def left_behind(self) -> Harvest:
        """What there is of it; the thread may do what it likes."""
        self._failures.append(("", "it hangs, and was left behind"))
        return self._harvest("failed")

    def _note(self) -> str | None:
        if self._settings.mirror and isinstance(self.source, Keyed):
            return "a mirror gets no keys"
        return self.source.needs()

    def _fetch_units(self) -> None:
        web = Web(
            mirror=self._settings.mirror,
            hosts=self._settings.hosts,
            seconds=self._seconds,
            read_seconds=self._settings.read_seconds,
            pause=self._settings.pause,
            stop=self._stop,
            count=self._count,
        )
        since = self._spool.begin()
        self._tell()
        units = self.source.units(web, self._known, self._clouds)
        self._total = len(units)
        for number, unit in enumerate(units):
            try:
                kept = self._unit(web, unit, since)
            except (
                CatalogError,
                OSError,
                ValueError,
                TypeError,
                LookupError,
                AttributeError,
                csv.Error,
            ) as error:
                left = units[number + 1 :] if web.over() else []
                self._failures += [(one, _said(error)) for one in (unit, *left)]
                if left:
                    return
            else:
                self._units.append(kept.facts)
                self._rows += len(kept.facts)
                self._refused.update(kept.refused)
            self._done += 1
            self._tell()
        if not self._failures:
            self._spool.end()

    def _unit(self, web: Web, unit: str, since: float) -> Kept:
        kept = self._spool.read(unit)
        if kept is not None and kept.at >= since:
            self._counts["resumed"] += 1
            return _dated(kept)
        for attempt in range(_UNIT_TRIES):
            fetched = Fetched(kept.marks if kept else None)
            try:
                self._counts["asked"] += 1
                fresh = self._spool.keep(unit, self.source.fetch(web, unit, self._known, fetched), fetched)
            except UnchangedError:
                if kept is None:
                    raise WebError("it says that nothing changed, and we have nothing") from None
                self._counts["unchanged"] += 1
                self._spool.touch(unit)
                return _dated(kept._replace(at=time.time()))
            except WebError as error:
                if not error.passing or attempt == _UNIT_TRIES - 1:
                    raise
                web.check()
            else:
                return _dated(fresh)
        raise AssertionError

    def _state(self) -> State:
        if not self._failures:
            return "landed"
        return "in part" if self._units else "failed"

    def _harvest(self, state: State, note: str = "") -> Harvest:
        rows = Counter(fact.cloud for unit in self._units for fact in unit)
        result = SourceResult(
            name=self.source.name,
            clouds=tuple(cloud for cloud in self.source.clouds if cloud in self._clouds),
            state=state,
            rows=dict(rows),
            asked=self._counts["asked"],
            unchanged=self._counts["unchanged"],
            resumed=self._counts["resumed"],
            failures=tuple(self._failures),
            refused=dict(self._refused.most_common()),
            seconds=time.monotonic() - (self._began or time.monotonic()),
            note=note,
        )
        return Harvest(self.source, result, tuple(self._units))

    def _count(self, size: int) -> None:
        self._size += size
        if time.monotonic() - self._told_at > 0.2:
            self._tell()

    def _tell(self, state: State | None = None, note: str = "") -> None:
        self._told_at = time.monotonic()
        self._events.put(
            Progress(
                self.source.name, self._done, self._total, self._size, self._rows, state=state, note=note
            )
        )


def _dated(kept: Kept) -> Kept:
    """The rows with the day of the answer where their source has none of its own."""
    day = time.strftime("%Y-%m-%d", time.gmtime(kept.at))
    dated = [
        fact._replace(
            as_of=fact.as_of or (day if fact.hourly_micro is not None else None),
            spot_as_of=fact.spot_as_of or (day if fact.spot_hourly_micro is not None else None),
        )
        for fact in kept.facts
    ]
    return kept._replace(facts=dated)


def _said(error: BaseException) -> str:
    if isinstance(error, CatalogError):
        return ": ".join(part for part in (error.what, error.why) if part)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"its answer cannot be read ({type(error).__name__})"
