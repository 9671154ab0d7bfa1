"""What a launch is expected to cost, said before anything is rented."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skynb.client.sdk import connection
from skynb.client.words import dollars, hourly, micro, span
from skynb.wire import BudgetInfo, RunInfo

if TYPE_CHECKING:
    from skynb.planning import Plan


def outlook(plans: Sequence[Plan], budget: float | None, jobs: int = 1) -> list[str]:
    """Offer and price and the cost by what earlier runs took, for each; and the caps that hold; a line each.

    plans: of one task each. budget: the most that a run may cost, in dollars. jobs: so many of the same.
    Earlier runs are those of the task's name on the same kind of machine.
    """
    many = [f"{jobs} jobs, each:"] if jobs > 1 else []
    told = [line for plan in plans for line in (_offer(plan), _expected(plan))]
    return [*many, *told, *_caps(budget)]


def _offer(plan: Plan) -> str:
    (task,) = plan.tasks
    choice, nodes = task.choice, task.num_nodes
    machines = f"{nodes}× {choice.instance_type}" if nodes > 1 else choice.instance_type
    kind = f" ({choice.accelerator}:{choice.accelerator_count:g})" if choice.accelerator else ""
    spot = ", spot" if choice.spot else ""
    return f"{machines}{kind} on {choice.infra}{spot}: {hourly(task.hourly_micro)}"


def _expected(plan: Plan) -> str:
    (task,) = plan.tasks
    if not task.task:
        return "expected: no history, the task has no name"
    runs = connection().call("GET", "/runs", list[RunInfo], query={"task": task.task})
    place = (task.choice.accelerator, task.choice.accelerator_count or 0, task.num_nodes)
    same = [run for run in runs if (run.accelerator, run.count, run.num_nodes) == place]
    if not same:
        return f"expected: no history of {task.task!r} on this kind of machine"
    cost = dollars(round(same[0].hours * task.hourly_micro))
    times = f"{same[0].runs} run{'s' if same[0].runs > 1 else ''}"
    return f"expected: {cost} in {span(same[0].hours * 3600)}, as the median of {times}"


def _caps(budget: float | None) -> list[str]:
    own = [f"cap: {dollars(micro(budget, '--budget'))} for this run"] if budget is not None else []
    mine = {"all", f"user:{getpass.getuser()}"}
    monthly = [
        f"cap: {dollars(one.free_micro)} left of {dollars(one.cap_micro)} a month ({one.account})"
        for one in connection().call("GET", "/budgets", list[BudgetInfo])
        if one.account in mine
    ]
    return [*own, *monthly] or ["cap: none"]
