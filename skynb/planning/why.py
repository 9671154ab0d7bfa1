"""For every kind of offer in the catalog, the one reason why it is no candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from skynb.planning.model import Plan
from skynb.planning.planner import Alternatives, market_for, plan

if TYPE_CHECKING:
    from skynb.planning.market import Market
    from skynb.planning.words import DagLike, TaskLike
    from skynb_catalog import Query
    from skynb_catalog.refusals import Refusal


class Reason(msgspec.Struct, frozen=True):
    """Offers of one cloud that one reason rules out for an alternative of a task.

    task: its name or position, if there are several. offers: how many; example: an instance type among them.
    """

    task: str
    alternative: int
    cloud: str
    reason: str
    offers: int
    example: str | None


class Why(msgspec.Struct, frozen=True):
    """A plan, and the reasons for all that is not in it: candidates and reasons are the whole catalog."""

    plan: Plan
    reasons: tuple[Reason, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plan and reasons in plain JSON types."""
        return {"plan": self.plan.to_dict(), "reasons": msgspec.to_builtins(self.reasons)}

    def __str__(self) -> str:
        from skynb.planning.display import why_text

        return why_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from skynb.planning.display import why_html

        return {"text/plain": str(self), "text/html": why_html(self)}


def why(task: TaskLike | DagLike, **options: Any) -> Why:
    """The plan and the reasons. Options and errors are those of `plan`."""
    made = plan(task, **options)
    tasks = getattr(task, "tasks", None) or [task]
    market = market_for(**options)
    found = [
        reason
        for index, one in enumerate(tasks)
        for reason in _reasons(one, "" if len(tasks) == 1 else one.name or f"task {index + 1}", market)
    ]
    return Why(made, tuple(found))


def _reasons(task: TaskLike, name: str, market: Market) -> list[Reason]:
    return [
        Reason(name, wanted.alternative, one.cloud, _words(one, wanted.query), one.offers, one.example)
        for wanted in Alternatives(task, market).asks
        for one in market.catalog.why_not(market.open_query(wanted))
    ]


def _words(one: Refusal, query: Query) -> str:
    """The reason in the words of the task."""
    names = query.accelerators
    kind = names[0] if len(names) == 1 else f"{len(names)} kinds" if names else ""
    said = {
        "other accelerator": f"not {kind}" if names else "has an accelerator, none is asked for",
        "other count": f"not {query.count:g} of {kind}",
        "instance type": f"not {query.instance_type}",
        "local disk": "no such local disk known",
        "vCPUs": "other number of vCPUs",
        "memory": "other memory",
        "arch": f"not {query.arch}",
        "cloud": "cloud not asked for, or not enabled",
        "region": f"not in {query.region}",
        "zone": f"not in {query.zone}",
        "set aside": f"set aside: {one.why}",
        "above the price limit": "above max_hourly_cost",
        "without": "blocked by a failure",
    }
    return said.get(one.reason, one.reason)
