"""The life of a managed job: it waits in line, its tasks run, their ends make its own. Pure.

    PENDING -> STARTING -> RUNNING <-> RECOVERING -> a final status      any -> CANCELLING -> CANCELLED

Targets: QUEUED (the line moves it on), DONE, CANCELLED. Its status is that of the tasks together.
"""

from __future__ import annotations

import msgspec

from skynb.control.records import Decision, Event, Move, Record
from skynb_jobs.deciders.views import JobView, TaskSeen
from skynb_jobs.naming import task_id
from skynb_jobs.records import CANCELLED, DONE, FINAL, QUEUED, Introduce, TaskState

NO_HURRY_S = 3600.0
AGAIN_S = 2.0
_FAILED = FINAL - {"SUCCEEDED", CANCELLED}


def decide_job(record: Record, view: JobView, now: float) -> Decision:
    """The next step of a managed job. Pure."""
    if record.status in FINAL:
        return Decision(final=True) if all(task.final for task in view.tasks) else Decision()
    if record.target == QUEUED:
        return Decision(wake_in=NO_HURRY_S)
    if not view.tasks:
        if record.target == CANCELLED:
            return _end(view, CANCELLED, "cancelled before its turn came", now)
        return _begin(record, view, now)
    if record.target == CANCELLED:
        return _cancelling(record, view, now)
    return _go_on(record, view, now)


def _begin(record: Record, view: JobView, now: float) -> Decision:
    """Its turn has come: its tasks are written, and those that wait for no other begin."""
    tasks = tuple(
        Record(
            id=task_id(record.id, task.index),
            kind="task",
            name=str(task.index),
            parent=record.id,
            owner=record.owner,
            status="PENDING",
            target=QUEUED if task.needs else DONE,
            spec=msgspec.json.encode(task),
            state=msgspec.json.encode(TaskState()),
            title=task.title,
            nice=record.nice,
        )
        for task in view.spec.tasks
    )
    state = msgspec.structs.replace(view.state, admitted_at=now)
    event = Event("managed.admitted", {"tasks": len(tasks)})
    return Decision(status="STARTING", reason="", state=state, inserts=tasks, events=(event,))


def _cancelling(record: Record, view: JobView, now: float) -> Decision:
    if all(task.status in FINAL for task in view.tasks):
        done = all(task.status == "SUCCEEDED" for task in view.tasks)
        return _end(view, "SUCCEEDED" if done else CANCELLED, "" if done else "cancelled by request", now)
    status = None if record.status == "CANCELLING" else "CANCELLING"
    return Decision(status=status, moves=_stop(view.tasks))


def _go_on(record: Record, view: JobView, now: float) -> Decision:
    counted = [task for task in view.tasks if not view.spec.primary or task.index in view.spec.primary]
    ended = next((task for task in counted if task.status in _FAILED or task.status == CANCELLED), None)
    if ended is not None:
        if all(task.status in FINAL for task in view.tasks):
            return _end(view, ended.status, _named(view, ended), now)
        return Decision(moves=_stop(view.tasks))
    if all(task.status == "SUCCEEDED" for task in counted):
        return _outlive(view, now)
    status = _status(view.tasks)
    meets = (Introduce(view.unaware, view.hosts),) if view.unaware else ()
    return Decision(
        effects=meets,
        wake_in=AGAIN_S if meets else None,
        status=status if status != record.status else None,
        reason=next((task.reason for task in view.tasks if task.reason and task.status not in FINAL), ""),
        moves=_ready(view),
    )


def _outlive(view: JobView, now: float) -> Decision:
    """What the group lasts for is done; the other tasks end, some a while later."""
    left = [task for task in view.tasks if task.status not in FINAL]
    if not left:
        return _end(view, "SUCCEEDED", "", now)
    since = view.state.primary_over_at
    if since is None:
        return Decision(state=msgspec.structs.replace(view.state, primary_over_at=now), wake_in=0.01)
    waits = {task.id: since + view.spec.delays.get(task.index, 0.0) - now for task in left}
    over = [task for task in left if waits[task.id] <= 0]
    return Decision(
        moves=_stop(over), wake_in=min((wait for wait in waits.values() if wait > 0), default=None)
    )


def _end(view: JobView, status: str, reason: str, now: float) -> Decision:
    return Decision(
        status=status,
        reason=reason,
        state=msgspec.structs.replace(view.state, ended_at=now),
        events=(Event("managed.ended", {"status": status, "reason": reason}),),
        wake_in=0.01,
    )


def _status(tasks: tuple[TaskSeen, ...]) -> str:
    found = {task.status for task in tasks}
    if "RECOVERING" in found:
        return "RECOVERING"
    return "RUNNING" if found & {"RUNNING", *FINAL} else "STARTING"


def _ready(view: JobView) -> tuple[Move, ...]:
    """Tasks whose turn comes as all that they need has succeeded."""
    done = {task.index for task in view.tasks if task.status == "SUCCEEDED"}
    needs = {task.index: set(task.needs) for task in view.spec.tasks}
    return tuple(
        Move(task.id, DONE) for task in view.tasks if task.target == QUEUED and needs[task.index] <= done
    )


def _stop(tasks: tuple[TaskSeen, ...] | list[TaskSeen]) -> tuple[Move, ...]:
    return tuple(
        Move(task.id, CANCELLED) for task in tasks if task.target != CANCELLED and task.status not in FINAL
    )


def _named(view: JobView, task: TaskSeen) -> str:
    """The reason of a task, with its name where there are several."""
    if len(view.tasks) == 1:
        return task.reason
    title = view.spec.tasks[task.index].title or f"task {task.index}"
    return f"{title}: {task.reason}"
