"""What differs between two plans, in the words of plans. Pure."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import msgspec

from skynb.planning.amounts import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb.planning.model import Candidate, Plan, TaskPlan, Transfer


class Change(msgspec.Struct, frozen=True):
    """One thing that is not as it was. task: its name or position, or empty for the whole plan."""

    task: str
    what: str
    before: str
    after: str


class PlanDiff(msgspec.Struct, frozen=True):
    """The changes from one plan to another; none if they decide the same."""

    changes: tuple[Change, ...]
    before: str
    after: str

    def __bool__(self) -> bool:
        return bool(self.changes)

    def to_dict(self) -> dict[str, Any]:
        """The changes in plain JSON types."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    def __str__(self) -> str:
        from skynb.planning.display import diff_text

        return diff_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from skynb.planning.display import diff_html

        return {"text/plain": str(self), "text/html": diff_html(self)}


def diff(before: Plan, after: Plan) -> PlanDiff:
    """What `after` does otherwise than `before`: choices, prices, times, what else there is or is not."""
    changes = [change for change in _of_plans(before, after) if change.before != change.after]
    return PlanDiff(tuple(changes), before.hash, after.hash)


def _of_plans(before: Plan, after: Plan) -> Iterator[Change]:
    yield Change("", "prices of", before.snapshot_date, after.snapshot_date)
    if before.snapshot_date == after.snapshot_date:
        yield Change("", "catalog", before.snapshot[:12], after.snapshot[:12])
    yield Change("", "minimize", before.minimize, after.minimize)
    yield Change("", "deadline", _hours(before.deadline_seconds), _hours(after.deadline_seconds))
    yield Change("", "cost", dollars(before.cost_micro), dollars(after.cost_micro))
    yield Change("", "time", _hours(before.seconds), _hours(after.seconds))
    yield from _of_sets("", "blocked", set(before.blocks), set(after.blocks))
    for index, (old, new) in enumerate(zip_longest(before.tasks, after.tasks)):
        name = (new or old).task or f"task {index + 1}"
        if old is None or new is None:
            yield Change(
                name, "task", _machine(old.choice) if old else "", _machine(new.choice) if new else ""
            )
        else:
            yield from _of_tasks(name, old, new)
    yield from _of_sets("", "transfer", set(map(_moved, before.transfers)), set(map(_moved, after.transfers)))


def _of_tasks(name: str, old: TaskPlan, new: TaskPlan) -> Iterator[Change]:
    yield Change(name, "nodes", str(old.num_nodes), str(new.num_nodes))
    yield Change(name, "choice", _machine(old.choice), _machine(new.choice))
    yield Change(name, "price", _price(old.choice), _price(new.choice))
    yield Change(name, "terms", old.choice.terms, new.choice.terms)
    yield Change(name, "estimate", old.estimate, new.estimate)
    yield Change(name, "further candidates", _number(old), _number(new))
    yield Change(name, "next best", _next(old), _next(new))
    yield from _of_sets(name, "ruled out", _reasons(old), _reasons(new))


def _of_sets(name: str, what: str, old: set[str], new: set[str]) -> Iterator[Change]:
    yield from (Change(name, what, one, "") for one in sorted(old - new))
    yield from (Change(name, what, "", one) for one in sorted(new - old))


def _machine(one: Candidate) -> str:
    return f"{one.instance_type}{' (spot)' if one.spot else ''} on {one.infra}"


def _price(one: Candidate) -> str:
    return f"{dollars(one.hourly_micro)}/h of {one.as_of or 'no date'}"


def _number(task: TaskPlan) -> str:
    return str(len(task.alternatives) + task.more)


def _next(task: TaskPlan) -> str:
    return _machine(task.alternatives[0]) if task.alternatives else "none"


def _reasons(task: TaskPlan) -> set[str]:
    return {f"{one.cloud or f'alternative {one.alternative + 1}'}: {one.reason}" for one in task.rejected}


def _moved(one: Transfer) -> str:
    return f"{one.gigabytes:g} GB from {one.source} to {one.target}, {dollars(one.micro)}"


def _hours(seconds: int | None) -> str:
    return "none" if seconds is None else f"{seconds / 3600:.3g} h"
