"""Plans and what is said about them, as text and as HTML.

Every value is escaped; nothing here imports rich.
"""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from skynb.planning.amounts import HOUR, dollars, hours_text
from skynb.tables import html_table, price_bars, text_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skynb.planning.diff import PlanDiff
    from skynb.planning.model import Candidate, Plan, Rejection, TaskPlan
    from skynb.planning.why import Why

_ROWS = 10
_HEAD = ("", "infra", "instance type", "vCPUs", "GiB", "accelerators", "$/h")
_TIMED = ("hours", "cost")
_TAIL = ("saving", "price age", "confidence")
_DIFF_HEAD = ("task", "what", "before", "after")
_WHY_HEAD = ("cloud", "offers", "why not", "for example")


def plan_text(plan: Plan) -> str:
    """The plan as a terminal shows it."""
    lines = []
    for task in plan.tasks:
        head = _head(task)
        rows = [_cells(plan, task, mark or "->", one, places) for mark, one, places in _top(task)]
        lines += [_headline(task), *text_table(head, rows), *_notes(plan, task), ""]
    return "\n".join([*lines, *_summary(plan)]).rstrip()


def plan_html(plan: Plan) -> str:
    """The plan as a notebook shows it."""
    parts = []
    for task in plan.tasks:
        head, top = _head(task), _top(task)
        rows = [_cells(plan, task, mark or "✓", one, places) for mark, one, places in top]
        bars = price_bars(head, [one.hourly_micro for _, one, _ in top])
        table = html_table(head, rows, bars, sortable=True)
        parts.append(f"<p><b>{escape(_headline(task))}</b></p>{table}{_list(_notes(plan, task))}")
    summary = "".join(f"<p>{escape(line)}</p>" for line in _summary(plan))
    return "".join(parts) + summary


def diff_text(diff: PlanDiff) -> str:
    """The changes as a terminal shows them."""
    if not diff:
        return "Nothing differs."
    rows = [[one.task or "plan", one.what, one.before or "-", one.after or "-"] for one in diff.changes]
    return "\n".join(text_table(_DIFF_HEAD, rows))


def diff_html(diff: PlanDiff) -> str:
    """The changes as a notebook shows them."""
    if not diff:
        return "<p>Nothing differs.</p>"
    rows = [[one.task or "plan", one.what, one.before or "-", one.after or "-"] for one in diff.changes]
    return html_table(_DIFF_HEAD, rows)


def why_text(why: Why) -> str:
    """The plan and the reasons as a terminal shows them."""
    lines = [str(why.plan)]
    for title, rows in _why_rows(why):
        lines += ["", title, *text_table(_WHY_HEAD, rows)]
    return "\n".join(lines)


def why_html(why: Why) -> str:
    """The plan and the reasons as a notebook shows them."""
    tables = (
        f"<p><b>{escape(title)}</b></p>{html_table(_WHY_HEAD, rows, sortable=True)}"
        for title, rows in _why_rows(why)
    )
    return plan_html(why.plan) + "".join(tables)


def _why_rows(why: Why) -> Iterator[tuple[str, list[list[str]]]]:
    """A table for each alternative of each task, the reason that rules out least first."""
    several = len({(one.task, one.alternative) for one in why.reasons}) > 1
    for (task, alternative), group in groupby(why.reasons, key=lambda one: (one.task, one.alternative)):
        title = "Not candidates" + (f": {task or 'alternative'} {alternative + 1}" if several else "")
        reasons = sorted(group, key=lambda one: (one.cloud, one.offers, one.reason))
        yield title, [[one.cloud, str(one.offers), one.reason, one.example or ""] for one in reasons]


def _headline(task: TaskPlan) -> str:
    choice = task.choice
    nodes = f"{task.num_nodes}× " if task.num_nodes > 1 else ""
    name = f"{task.task}: " if task.task else ""
    spot = " spot" if choice.spot else ""
    return f"{name}{nodes}{choice.instance_type}{spot} on {choice.infra}, {dollars(task.hourly_micro)}/h"


def _head(task: TaskPlan) -> tuple[str, ...]:
    terms = ("terms",) if any(one.terms for _, one, _ in _top(task)) else ()
    return (*_HEAD, *(_TIMED if _timed(task) else ()), *_TAIL, *terms)


def _cells(plan: Plan, task: TaskPlan, mark: str, one: Candidate, places: int) -> list[str]:
    hours = [hours_text(one.seconds), dollars(one.cost_micro(task.num_nodes))] if _timed(task) else []
    terms = [one.terms] if any(other.terms for _, other, _ in _top(task)) else []
    age = plan.age_days(one)
    return [
        mark,
        f"{one.infra} +{places - 1}" if places > 1 else one.infra,
        one.instance_type + (" (spot)" if one.spot else ""),
        _number(one.vcpus),
        _number(one.memory_gib),
        f"{one.accelerator}:{_number(one.accelerator_count)}" if one.accelerator else "-",
        dollars(one.hourly_micro),
        *hours,
        saving(one.hourly_micro, one.on_demand_micro),
        "undated" if age is None else f"{age} d",
        f"{one.confidence}, hint" if one.hint else one.confidence,
        *terms,
    ]


def saving(price: int | None, on_demand: int | None) -> str:
    """How far a price lies below the on-demand one: `-62%`, or `-` where it does not."""
    if not price or not on_demand or price >= on_demand:
        return "-" if price != 0 or not on_demand else "-100%"
    return f"-{100 - round(100 * price / on_demand)}%"


def _timed(task: TaskPlan) -> bool:
    return any(one.seconds != HOUR for one in (task.choice, *task.alternatives))


def _top(task: TaskPlan) -> list[tuple[str, Candidate, int]]:
    """The mark, the first and the number of candidates of each instance type in a cloud, best first."""
    kinds: dict[tuple[str, str, bool, str], list[tuple[int, Candidate]]] = {}
    for number, one in enumerate((task.choice, *task.alternatives)):
        kinds.setdefault((one.cloud, one.instance_type, one.spot, one.terms), []).append((number, one))
    firsts = [(*group[0], len(group)) for group in kinds.values()]
    return [(str(number) if number else "", one, places) for number, one, places in firsts[:_ROWS]]


def _notes(plan: Plan, task: TaskPlan) -> list[str]:
    choice = task.choice
    rest = 1 + len(task.alternatives) + task.more - sum(places for _, _, places in _top(task))
    age = plan.age_days(choice)
    when = "undated" if age is None else f"{age} days old"
    notes = [f"and {rest} further candidates"] if rest > 0 else []
    notes.append(f"price {when}, confidence {choice.confidence}, source: {choice.source}")
    if choice.terms:
        notes.append(f"{choice.terms}: by your offers.yaml; listed at {dollars(choice.on_demand_micro)}/h")
    if _timed(task):
        notes.append(f"hours {task.estimate}")
    notes.extend(task.stale)
    notes.extend(f"not {_of(one, choice)}: {one.reason}" for one in task.rejected)
    return notes


def _of(one: Rejection, choice: Candidate) -> str:
    alternative = f"alternative {one.alternative + 1}"
    if one.cloud is None:
        return alternative
    return f"{alternative} on {one.cloud}" if one.cloud == choice.cloud else one.cloud


def _summary(plan: Plan) -> list[str]:
    lines = []
    for one in plan.transfers:
        to = plan.tasks[one.then].task or f"task {one.then + 1}"
        cost = f"{dollars(one.micro)}, {hours_text(one.seconds)}" if one.source != one.target else "no egress"
        lines.append(f"{one.gigabytes:g} GB into {to}, {one.source} -> {one.target}: {cost}")
    if len(plan.tasks) > 1:
        goal = f"least {plan.minimize}"
        if plan.deadline_seconds is not None:
            goal += f" within {hours_text(plan.deadline_seconds)}"
        lines.append(f"In all {dollars(plan.cost_micro)} in {hours_text(plan.seconds)}: {goal}")
    if plan.bound is not None:
        bound = dollars(plan.bound) if plan.minimize == "cost" else hours_text(plan.bound)
        lines.append(f"Not proved to be the best; nothing is below {bound}")
    return [*lines, *(f"blocked: {one}" for one in plan.blocks)]


def _list(notes: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.6g}" if value >= 1000 else f"{value:.3g}"
