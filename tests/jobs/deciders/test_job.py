"""A managed job's decider, alone: how the ends of its tasks make its own."""

from __future__ import annotations

import itertools

import pytest

from skynb.control.records import Record
from skynb_jobs.deciders.job import decide_job
from skynb_jobs.deciders.views import JobView, TaskSeen
from skynb_jobs.records import FINAL, Introduce, JobSpec, JobState, TaskSpec

NOW = 1000.0
ACTIVE = ("PENDING", "STARTING", "RUNNING", "RECOVERING", "CANCELLING")
ALL = (*ACTIVE, *sorted(FINAL))


def tasks(*needs):
    return tuple(
        TaskSpec(job=1, index=index, title=f"t{index}", config={"run": "x"}, needs=some)
        for index, some in enumerate(needs)
    )


def seen(*statuses, targets=None):
    return tuple(
        TaskSeen(id=f"task-1-{index}", index=index, status=status, target=(targets or {}).get(index, "DONE"))
        for index, status in enumerate(statuses)
    )


def decide(view_tasks, *, needs=None, status="RUNNING", target="DONE", now=NOW, state=None, met=None, **spec):
    count = max(1, len(view_tasks))
    record = Record(
        id="managed-1", kind="managed", name="1", parent=None, owner="ann", status=status, target=target
    )
    the_spec = JobSpec(number=1, tasks=tasks(*(needs or [()] * count)), **spec)
    view = JobView(spec=the_spec, state=state or JobState(), tasks=view_tasks, **(met or {}))
    return decide_job(record, view, now)


@pytest.mark.parametrize("status", ALL)
@pytest.mark.parametrize("target", ["QUEUED", "DONE", "CANCELLED"])
def test_every_state_has_an_answer(status, target):
    """Whatever its tasks are: a verdict never changes, and a cancel stops every task that goes on."""
    for pair in itertools.product(ALL, ALL):
        decision = decide(seen(*pair), status=status, target=target)
        if status in FINAL:
            assert decision.status is None
        elif target == "CANCELLED":
            going = [index for index, one in enumerate(pair) if one not in FINAL]
            assert {move.record for move in decision.moves} == {f"task-1-{index}" for index in going}
            assert bool(going) == ((decision.status or status) not in FINAL)


def test_in_line_it_waits_and_a_cancel_ends_it_there():
    """Nothing is written for a job whose turn has not come."""
    assert decide((), status="PENDING", target="QUEUED").inserts == ()
    assert decide((), status="PENDING", target="CANCELLED").status == "CANCELLED"


def test_its_turn_writes_its_tasks():
    """All at once with the decision; those without needs may begin."""
    decision = decide((), status="PENDING", needs=[(), (0,), (0,)])
    assert [(one.name, one.target) for one in decision.inserts] == [
        ("0", "DONE"),
        ("1", "QUEUED"),
        ("2", "QUEUED"),
    ]


def test_a_task_begins_when_all_that_it_needs_has_succeeded():
    """A diamond: the last one waits for both."""
    needs = [(), (0,), (0,), (1, 2)]
    held = {1: "QUEUED", 2: "QUEUED", 3: "QUEUED"}
    first = decide(seen("SUCCEEDED", "PENDING", "PENDING", "PENDING", targets=held), needs=needs)
    assert {move.record for move in first.moves} == {"task-1-1", "task-1-2"}
    half = seen("SUCCEEDED", "SUCCEEDED", "RUNNING", "PENDING", targets={3: "QUEUED"})
    assert decide(half, needs=needs).moves == ()
    both = seen("SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "PENDING", targets={3: "QUEUED"})
    assert [move.record for move in decide(both, needs=needs).moves] == ["task-1-3"]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (("STARTING", "PENDING"), "STARTING"),
        (("RUNNING", "STARTING"), "RUNNING"),
        (("SUCCEEDED", "STARTING"), "RUNNING"),
        (("RUNNING", "RECOVERING"), "RECOVERING"),
    ],
)
def test_its_status_is_that_of_its_tasks_together(statuses, status):
    """Recovery shows before work, work before beginnings."""
    assert decide(seen(*statuses), status="PENDING").status == status


def test_one_failure_stops_the_rest_and_is_named():
    """The verdict comes when all have ended, and says whose it is."""
    failed = seen("SUCCEEDED", "FAILED_SETUP", "RUNNING")
    decision = decide(failed)
    assert (decision.status, [move.record for move in decision.moves]) == (None, ["task-1-2"])
    ended = decide(seen("SUCCEEDED", "FAILED_SETUP", "CANCELLED"))
    assert ended.status == "FAILED_SETUP"
    assert ended.reason.startswith("t1: ")


def test_a_group_lasts_for_its_primary_tasks():
    """The others end after their delay, and their ends do not count."""
    group = {"parallel": True, "primary": (0,), "delays": {1: 30.0}}
    over = decide(seen("SUCCEEDED", "RUNNING", "RUNNING"), **group)
    assert over.state.primary_over_at == NOW
    early = decide(seen("SUCCEEDED", "RUNNING", "RUNNING"), state=over.state, now=NOW + 1, **group)
    assert [move.record for move in early.moves] == ["task-1-2"]
    late = decide(seen("SUCCEEDED", "RUNNING", "CANCELLED"), state=over.state, now=NOW + 31, **group)
    assert [move.record for move in late.moves] == ["task-1-1"]
    assert decide(seen("SUCCEEDED", "CANCELLED", "FAILED"), state=over.state, **group).status == "SUCCEEDED"


def test_machines_of_a_group_are_introduced_until_all_know():
    """Level by level: who does not know the present ones is told, again if need be; nobody else is."""
    met = {"hosts": ("# mark", "10.0.0.1 t0-0.group"), "unaware": ("cluster-a",)}
    decision = decide(seen("RUNNING", "RUNNING"), parallel=True, met=met)
    assert decision.effects == (Introduce(clusters=("cluster-a",), hosts=met["hosts"]),)
    assert decision.wake_in is not None
    aware = decide(seen("RUNNING", "RUNNING"), parallel=True, met={**met, "unaware": ()})
    assert (aware.effects, aware.wake_in) == ((), None)
