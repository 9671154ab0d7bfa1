"""`what_if(task)`: what the same work would cost and take on other machines, and how surely it would end in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from skynb.errors import NoOfferError, SpecError, UnsupportedError
from skynb.planning.market import hours_text
from skynb.planning.model import HOUR, Candidate
from skynb.planning.odds import Job, odds, pareto
from skynb.planning.planner import Alternatives, market_for
from skynb.planning.speeds import AS_OF, scaled_hours
from skynb.planning.why_not import dollars
from skynb_catalog import accelerators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb.planning.asks import Ask
    from skynb.planning.market import Market
    from skynb.planning.words import DagLike, TaskLike


class Prospect(msgspec.Struct, frozen=True):
    """One machine for the work. hours: without any preemption; estimate: where they come from.

    p50_hours, p90_hours: with preemptions, half and nine tenths of all runs are done by then. mean_micro,
    p90_micro: micro-dollars of all nodes. chance: of being done by the deadline, None without one. best: no other
    machine is both cheaper and sooner done.
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
        from skynb.planning.what_if_display import Picture, picture

        return Picture(picture(self))

    def __str__(self) -> str:
        from skynb.planning.what_if_display import what_if_text

        return what_if_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from skynb.planning.what_if_display import what_if_html

        return {"text/plain": str(self), "text/html": what_if_html(self)}


def what_if(
    task: TaskLike | DagLike,
    *,
    deadline_hours: float | None = None,
    preemptions_per_hour: float = 0.05,
    checkpoint_minutes: float | None = 30,
    restart_minutes: float = 10,
    trials: int = 2000,
    seed: int = 0,
    **options: Any,
) -> WhatIf:
    """Cost against time on every accelerator with as much memory in all, on demand and spot.

    The task's own machine takes the hours that `hours` says (default 1); another takes what `hours` says of it, or
    these hours times how many times faster it is by its vendor's peak figures. Spot nodes are taken away at random,
    each `preemptions_per_hour` times an hour; the work then goes on from its last checkpoint (every
    `checkpoint_minutes`; None: from the start) after `restart_minutes`. The same arguments give the same answer.
    Other options: those of `skynb.planning.plan`. Raises SpecError, NoOfferError.
    """
    one = _only(task)
    _check(preemptions_per_hour, checkpoint_minutes, restart_minutes, trials)
    hours = options.pop("hours", None)
    market = market_for(hours=hours, **options)
    wanted = _first(Alternatives(one, market))
    job = Job(
        nodes=one.num_nodes,
        preemptions_per_hour=preemptions_per_hour,
        checkpoint_hours=None if checkpoint_minutes is None else checkpoint_minutes / 60,
        restart_hours=restart_minutes / 60,
        deadline_hours=deadline_hours,
    )
    found = [
        _prospect(machine, one, hours_there, origin, job, trials, seed)
        for machine, hours_there, origin in _machines(one, wanted, market)
    ]
    if not found:
        raise NoOfferError("no machine can be compared", why="None has a price and a known speed")
    front = pareto([(prospect.p50_hours, prospect.mean_micro) for prospect in found])
    marked = [msgspec.structs.replace(prospect, best=index in front) for index, prospect in enumerate(found)]
    marked.sort(key=lambda prospect: (prospect.p50_hours, prospect.mean_micro, prospect.machine.key))
    return WhatIf(one.name, tuple(marked), _assumptions(one, wanted, job, trials), deadline_hours)
