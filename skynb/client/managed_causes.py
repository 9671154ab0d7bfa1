"""The history of a managed job as sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skynb.client.causes import Line, Story, tell
from skynb.client.words import dollars, moment, span
from skynb.wire import EventInfo, ManagedInfo

_BIG = frozenset(
    {"cluster.hurt", "node.notice", "node.lost", "launch.refused", "launch.waiting", "budget.spent"}
)
_ENDS = {
    "done": "did the work",
    "failed": "failed",
    "preempted": "was taken away",
    "lost": "was lost",
    "refused": "could not be had",
    "cancelled": "was cancelled",
    "unneeded": "is not needed",
}


def managed_story(job: ManagedInfo, events: Sequence[EventInfo], *, every: bool = False) -> Story:
    """Tell a job's history. every: all that happened to its clusters, too. Pure."""
    named = {task.index: task.name for task in job.tasks} if len(job.tasks) > 1 else {}
    lines = [
        Line(event.seq, event.at, event.name, _told(event, named), event.name not in _TOLD)
        for event in events
        if (every or event.name in _TOLD or event.name in _BIG) and (named or event.name != "task.ended")
    ]
    return Story(f"managed job {job.id}", job.status, _answer(job, events), tuple(lines))


def known_events() -> frozenset[str]:
    """The names that have a sentence here."""
    return frozenset(_TOLD)


def _answer(job: ManagedInfo, events: Sequence[EventInfo]) -> str:
    parts = [f"managed job {job.id} ({job.name}) is {job.status}"]
    if job.reason:
        parts.append(job.reason)
    lost = [
        event
        for event in events
        if event.name == "task.over" and event.data.get("by") in {"lost", "preempted"}
    ]
    if lost:
        parts.append(f"machines were lost {len(lost)} times, last at {moment(lost[-1].at)}")
    if job.started_at is not None and job.ended_at is not None:
        parts.append(f"it took {span(job.ended_at - job.started_at)}")
    parts.append(f"it has cost {dollars(job.settled_micro)}")
    return "; ".join(parts) + "."


def _told(event: EventInfo, named: Mapping[int, str]) -> str:
    words = _TOLD.get(event.name)
    text = words(event.data) if words else tell(event)
    kind, _, rest = (event.record or "").partition("-")
    index = int(rest.rpartition("-")[2]) if kind == "task" else None
    return f"{named[index]}: {text}" if index is not None and index in named else text


def _asked(data: Mapping[str, Any]) -> str:
    count = int(data.get("tasks", 1))
    tasks = f"{count} task{'s' if count != 1 else ''}"
    return f"somebody handed it over: {tasks}, priority {data.get('priority', 0)}"


def _over(data: Mapping[str, Any]) -> str:
    why = f": {data['why']}" if data.get("why") else ""
    return f"attempt {data.get('attempt')} {_ENDS.get(str(data.get('by')), 'is over')}{why}"


def _restart(data: Mapping[str, Any]) -> str:
    counted = "" if data.get("counted", True) else ", which its recover_on_exit_codes name"
    codes = ", ".join(str(code) for code in data.get("codes", ()) if code)
    return f"it failed (exit codes: {codes or '?'}{counted}); again in {float(data.get('pause_s', 0)):g} s"


def _ended(data: Mapping[str, Any]) -> str:
    return f"it is {data.get('status')}" + (f": {data['reason']}" if data.get("reason") else "")


_TOLD: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "managed.asked": _asked,
    "managed.admitted": lambda _: "its turn came",
    "managed.cancel.asked": lambda data: f"{data.get('by')} asked to cancel it",
    "managed.ended": _ended,
    "task.rent": lambda data: f"machines are asked for, attempt {data.get('attempt')}",
    "task.lent": lambda data: f"its pool lends {data.get('worker')} to attempt {data.get('attempt')}",
    "task.submit": lambda data: f"attempt {data.get('attempt')} is up and gets the work",
    "task.running": lambda data: f"attempt {data.get('attempt')} runs it",
    "task.warned": lambda data: (
        f"the infra takes a machine of attempt {data.get('attempt')} at "
        f"{moment(float(data.get('at') or 0))}; others are asked for at once"
    ),
    "task.spared": lambda data: (
        f"the machine of attempt {data.get('attempt')} was not taken; its work goes on"
    ),
    "task.restart": _restart,
    "task.over": _over,
    "task.ended": _ended,
}
