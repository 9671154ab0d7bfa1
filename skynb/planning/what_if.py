"""`what_if(task)`: what the same work would cost on other machines, how long it would take, how surely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import structs

from skynb.errors import NoOfferError, SpecError, UnsupportedError
from skynb.planning.amounts import HOUR
from skynb.planning.estimates import ASSUMED, Estimates
from skynb.planning.model import Candidate
from skynb.planning.odds import TRIALS, Work, odds
from skynb.planning.pareto import pareto
from skynb.planning.planner import Alternatives, market_for
from skynb.planning.speeds import scaled_hours
from skynb_catalog import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb.planning.words import DagLike, TaskLike
    from skynb_catalog import Query


class Prospect(msgspec.Struct, frozen=True):
    """One machine for the work. hours: without any preemption; estimate: where they come from.

    p50_hours, p90_hours: with preemptions, half and nine tenths of all runs are done by then. mean_micro,
    p90_micro: micro-dollars of all nodes. chance: of being done by the deadline, None without one. best: no
    other machine is both cheaper and sooner done.
    """

    machine: Candidate
    num_nodes: int
    hours: float
    estimate: str
    p50_hours: float
    p90_hours: float
    mean_micro: int
    p90_micro: int
    chance: float | None
    best: bool


class WhatIf(msgspec.Struct, frozen=True):
    """Prospects, soonest done first, and what was assumed to get there."""

    task: str | None
    prospects: tuple[Prospect, ...]
    assumptions: tuple[str, ...]
    deadline_hours: float | None

    @property
    def best(self) -> tuple[Prospect, ...]:
        """Those of which no other is both cheaper and sooner done."""
        return tuple(one for one in self.prospects if one.best)

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain JSON types."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row a prospect; dollars and hours. Raises UnsupportedError without pandas."""
        from skynb.planning.what_if_display import frame_rows

        try:
            import pandas as pd
        except ImportError:
            raise UnsupportedError(
                "a frame needs pandas", mend="`pip install pandas`, or take `to_dict()`"
            ) from None
        return pd.DataFrame(frame_rows(self))

    def plot(self) -> Any:
        """Cost against time as a picture (SVG) that a notebook shows."""
        from skynb.planning.what_if_display import picture

        return picture(self)

    def __str__(self) -> str:
        from skynb.planning.what_if_display import what_if_text

        return what_if_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from skynb.planning.what_if_display import what_if_html

        return {"text/plain": str(self), "text/html": what_if_html(self)}


def what_if(
    task: TaskLike | DagLike,
    *,
    hours: float | Mapping[str, float] = 1.0,
    deadline_hours: float | None = None,
    preemptions_per_hour: float = 0.05,
    checkpoint_minutes: float | None = 30,
    restart_minutes: float = 10,
    trials: int = TRIALS,
    seed: int = 0,
    **options: Any,
) -> WhatIf:
    """Cost against time for the same work on other accelerators of its maker, on demand and spot.

    hours: how long the work takes on the machine that the task asks for first, or by accelerator as for
    `plan`; on any other it takes these hours times how many times slower that is by the vendors' peak
    figures. Spot nodes are taken away at random, each `preemptions_per_hour` times an hour; the work then
    goes on from its last checkpoint (every `checkpoint_minutes`; None: from the start) after
    `restart_minutes`. The same arguments give the same answer. Other options: those of `skynb.planning.plan`
    that say what may be had. Raises SpecError, NoOfferError.
    """
    one = _only(task)
    work = Work(
        hours=1.0,
        nodes=one.num_nodes,
        preemptions=_number("preemptions_per_hour", preemptions_per_hour),
        checkpoint_minutes=None
        if checkpoint_minutes is None
        else _number("checkpoint_minutes", checkpoint_minutes, above=0),
        restart_minutes=_number("restart_minutes", restart_minutes),
        deadline_hours=None if deadline_hours is None else _number("deadline_hours", deadline_hours, above=0),
    )
    _number("trials", trials, above=0)
    bench = Bench(one, hours, options)
    found = [
        prospect
        for machine, taken, origin in bench.machines()
        if (prospect := _prospect(machine, taken, origin, work, trials, seed)) is not None
    ]
    if not found:
        raise NoOfferError("no machine can be compared", why="None has a price, a known speed and an end")
    front = set(pareto([(prospect.p50_hours, prospect.mean_micro) for prospect in found]))
    marked = [structs.replace(prospect, best=index in front) for index, prospect in enumerate(found)]
    marked.sort(key=lambda prospect: (prospect.p50_hours, prospect.mean_micro, prospect.machine.key))
    assumptions = (*bench.assumptions(), *_of_chance(work, trials))
    return WhatIf(one.name, tuple(marked), assumptions, deadline_hours)


class Bench:
    """The machines that are compared, and how long the work takes on each."""

    def __init__(
        self, task: TaskLike, hours: float | Mapping[str, float], options: Mapping[str, Any]
    ) -> None:
        """SpecError for hours that are none; NoOfferError if no alternative of the task can be asked for."""
        self.task = task
        self.market = market_for(**options)
        alternatives = Alternatives(task, self.market)
        if not alternatives.asks:
            raise alternatives.nothing()
        self.wanted = alternatives.asks[0]
        query = self.wanted.query
        self.kind = query.accelerators[0] if query.accelerators else None
        self.estimates = Estimates(hours if isinstance(hours, Mapping) else None)
        self.estimates.check([task.name])
        own = Estimates(None if isinstance(hours, Mapping) else hours).seconds(None, None, 0) or HOUR
        self.hours = self._told(self.kind, query.count) or own / HOUR

    def machines(self) -> Iterator[tuple[Candidate, float, str]]:
        """The cheapest of each accelerator, count and kind of price, its hours, and where these come from."""
        for query in self._queries():
            for spot in (False, True):
                asked = replace(self.wanted, query=query._replace(spot=spot))
                seen = set()
                for one in self.market.by_place(asked, self.task.name, self.task.num_nodes, None):
                    timed = self._hours(one)
                    if one.accelerator not in seen and timed is not None and not one.hint:
                        seen.add(one.accelerator)
                        yield one, *timed

    def assumptions(self) -> Iterator[str]:
        """What the hours rest on."""
        if self.kind is None:
            yield f"{self.hours:g} h of work, on demand or spot"
            return
        query = self.wanted.query
        asked = f"{self.kind}:{query.count:g}"
        yield f"{self.hours:g} h of work on {asked}"
        yield "elsewhere by the peak dense 16-bit TFLOPS of all accelerators, from the makers' data sheets"
        least = self._memory(self.kind) * query.count
        yield f"only what the same maker makes, with at least the {least:g} GiB of memory that {asked} has"

    def _queries(self) -> Iterator[Query]:
        query = self.wanted.query
        if self.kind is None:
            yield query
            return
        by_count: dict[float, set[str]] = {}
        for row in self.market.catalog.accelerators():
            count = row.accelerator_count
            if count and row.launchable and self._is_like(row.accelerator, count):
                by_count.setdefault(count, set()).add(row.accelerator)
        for count in sorted(by_count):
            yield query._replace(accelerators=tuple(sorted(by_count[count])), count=count, instance_type=None)

    def _hours(self, one: Candidate) -> tuple[float, str] | None:
        told = self._told(one.accelerator, one.accelerator_count or 0)
        if told is not None:
            return told, "said"
        if self.kind is None or one.accelerator is None:
            return self.hours, "said"
        if (one.accelerator, one.accelerator_count) == (self.kind, self.wanted.query.count):
            return self.hours, "said"
        scaled = scaled_hours(self.hours, self.kind, one.accelerator)
        if scaled is None:
            return None
        return scaled * self.wanted.query.count / (one.accelerator_count or 1), "scaled"

    def _told(self, accelerator: str | None, count: float) -> float | None:
        name = self.task.name
        if self.estimates.origin(name, accelerator, count) == ASSUMED:
            return None
        seconds = self.estimates.seconds(name, accelerator, count)
        return None if seconds is None else seconds / HOUR

    def _is_like(self, accelerator: str, count: float) -> bool:
        """Whether the work that asks for one kind can be thought to run on so many of another."""
        if self.kind is None or resolve(accelerator)[0].vendor != resolve(self.kind)[0].vendor:
            return False
        return self._memory(accelerator) * count >= self._memory(self.kind) * self.wanted.query.count

    def _memory(self, accelerator: str) -> float:
        return resolve(accelerator)[0].memory_gib


def _prospect(
    machine: Candidate, hours: float, origin: str, work: Work, trials: int, seed: int
) -> Prospect | None:
    """None for work that hardly ever ends there."""
    there = work._replace(
        hours=hours,
        preemptions=work.preemptions if machine.spot else 0.0,
        hourly_micro=machine.hourly_micro * work.nodes,
    )
    chances = odds(there, trials=trials, seed=seed)
    if chances.p50_hours is None or chances.p90_hours is None or chances.expected_micro is None:
        return None
    return Prospect(
        machine=structs.replace(machine, seconds=max(1, round(hours * HOUR))),
        num_nodes=work.nodes,
        hours=hours,
        estimate=origin,
        p50_hours=chances.p50_hours,
        p90_hours=chances.p90_hours,
        mean_micro=chances.expected_micro,
        p90_micro=chances.p90_micro or chances.expected_micro,
        chance=chances.in_time,
        best=False,
    )


def _of_chance(work: Work, trials: int) -> Iterator[str]:
    """What the odds rest on."""
    back = (
        "from the start"
        if work.checkpoint_minutes is None
        else f"from a checkpoint every {work.checkpoint_minutes:g} min"
    )
    yield (
        f"a spot node is taken away {work.preemptions:g} times an hour, at random; the work goes on {back} "
        f"after {work.restart_minutes:g} min, and all nodes are paid meanwhile"
    )
    yield f"prices stay as they are, and machines are to be had; {trials:,} trials each"


def _only(task: TaskLike | DagLike) -> TaskLike:
    tasks = getattr(task, "tasks", None)
    if tasks is None:
        return cast("TaskLike", task)
    if len(tasks) != 1:
        raise SpecError(f"one task is expected, not {len(tasks)}", mend="Ask for each by itself", where="dag")
    return cast("TaskLike", tasks[0])


def _number(name: str, value: float, above: float | None = None) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value < 1e6
        or value == above
    ):
        least = "above 0" if above is not None else "of at least 0"
        raise SpecError(f"{value!r} is not a number {least}", where=name, mend=f"Write a number {least}")
    return value
