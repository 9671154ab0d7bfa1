"""A task's decider, alone: what it makes of everything that its records can say."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from skynb.control.records import Move, Outcome, Record
from skynb_clusters.records import Offer
from skynb_jobs.deciders.task import DOUBT_S, LAPSE_S, MOST_UNTAKEN, PAUSES_S, decide_task
from skynb_jobs.deciders.views import AttemptSeen, TaskView, WorkSeen
from skynb_jobs.records import FINAL, Attempt, RentCluster, SubmitWork, TaskSpec, TaskState

NOW = 10_000.0
STATUSES = ("PENDING", "STARTING", "RUNNING", "RECOVERING", "CANCELLING", *sorted(FINAL))
SPOT = Offer(cloud="aws", region="us-east-1", instance_type="g5", spot=True, hourly_micro=1)
RUNNING = WorkSeen(status="RUNNING")


def spec(**changes):
    return TaskSpec(**({"job": 1, "index": 0, "title": "t", "config": {"run": "x"}} | changes))


def attempt(number=1, **changes):
    given = {"jobs": (1,), "began_at": NOW - 500, "up_at": NOW - 400} | changes
    return Attempt(number=number, cluster=f"cluster-1t0a{number}", **given)


def up(work=RUNNING, **changes):
    return AttemptSeen(**({"status": "UP", "target": "UP", "offer": SPOT, "work": work} | changes))


def decide(*attempts, seen, status="RUNNING", target="DONE", outcome=None, now=NOW, the_spec=None, **state):
    """seen: of each attempt by number."""
    record = Record(
        id="task-1-0", kind="task", name="0", parent="managed-1", owner="ann", status=status, target=target,
        outcome=outcome,
    )  # fmt: skip
    view = TaskView(spec=the_spec or spec(), state=TaskState(attempts=attempts, **state), attempts=seen)
    return decide_task(record, view, now)


def moved(decision):
    return {move.record: move.target for move in decision.moves}


WORK_STATUSES = (
    *("INIT", "PENDING", "SETTING_UP", "RUNNING", "SUCCEEDED"),
    *("FAILED", "FAILED_SETUP", "FAILED_DRIVER", "CANCELLED"),
)
WORKS = (None, *(WorkSeen(status=one, codes=(1,), ended_at=NOW) for one in WORK_STATUSES))
PLACES = (("", ""), ("INIT", "UP"), ("UP", "UP"), ("STOPPED", "STOPPED"), ("TERMINATING", "TERMINATED"))
FACTS = (
    {},
    {"hurt": "node 0 is gone"},
    {"whole": False},
    {"warned_at": NOW + 60},
    {"spent": True},
    {"failed": True, "error": {"what": "none free"}},
    {"final": True},
)
SEEN = tuple(
    AttemptSeen(status=status, target=target, work=work, offer=SPOT if status else None, **facts)
    for status, target in PLACES
    for work in WORKS
    for facts in FACTS
)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("target", ["QUEUED", "DONE", "CANCELLED"])
def test_every_state_has_an_answer_to_everything_that_can_be_seen(status, target):
    """Nothing falls through; a verdict stands; nothing is rented or submitted after it or after a cancel."""
    for seen, jobs, over in itertools.product(SEEN, ((), (1,)), (None, NOW - 5)):
        one = attempt(jobs=jobs, over_at=over)
        decision = decide(one, seen={1: seen}, status=status, target=target)
        assert decision.status is None or decision.status in STATUSES
        if status in FINAL:
            assert decision.status is None
        done = seen.work is not None and seen.work.status == "SUCCEEDED"
        waits = status == "PENDING" and target == "QUEUED"
        if done and status not in FINAL and not waits:
            assert decision.status == "SUCCEEDED"
        ended = (decision.status or status) in FINAL
        if ended or target == "CANCELLED":
            assert not {type(effect) for effect in decision.effects} & {RentCluster, SubmitWork}


def test_a_turn_that_has_not_come_waits():
    """A task whose needs have not succeeded rents nothing."""
    decision = decide(seen={}, status="PENDING", target="QUEUED")
    assert (decision.status, decision.effects) == (None, ())


def test_its_turn_begins_with_one_attempt():
    """The intent is written together with the attempt, before anything is rented."""
    decision = decide(seen={}, status="PENDING")
    assert decision.status == "STARTING"
    assert decision.effects == (RentCluster(1),)
    assert [one.number for one in decision.state.attempts] == [1]


def test_the_work_is_handed_over_once_the_cluster_is_up():
    """Not before, and the job's number is written first."""
    waiting = decide(attempt(jobs=()), seen={1: up(None, status="INIT")}, status="STARTING")
    assert waiting.effects == ()
    decision = decide(attempt(jobs=()), seen={1: up(None)}, status="STARTING")
    assert decision.effects == (SubmitWork(1, 1),)
    assert decision.state.attempts[0].jobs == (1,)


def test_a_lost_machine_is_followed_by_another_attempt():
    """The old cluster goes, and with the next look a new one is rented."""
    lost = decide(attempt(), seen={1: up(hurt="node 0: the machine was lost", status="INIT")})
    assert lost.status == "RECOVERING"
    assert moved(lost) == {"cluster-1t0a1": "TERMINATED"}
    assert lost.effects == (RentCluster(2),)


def test_skypilot_10155_what_cannot_be_seen_is_not_lost():
    """Silent nodes, whatever their number and time, change nothing as long as no absence is certain."""
    for _ in range(1818):
        decision = decide(attempt(), seen={1: up(whole=False)})
        assert (decision.status, decision.moves, decision.effects) == (None, (), ())


def test_skypilot_6133_a_success_beats_the_loss_of_its_machine():
    """The node said that it had succeeded before its machine went: nothing is run again."""
    done = WorkSeen(status="SUCCEEDED", codes=(0,), ended_at=NOW)
    decision = decide(attempt(), seen={1: up(done, hurt="node 0: the machine was lost", status="INIT")})
    assert decision.status == "SUCCEEDED"
    given_up = attempt(over_at=NOW - 9, ended_by="lost")
    late = decide(given_up, attempt(2, jobs=()), seen={1: up(done), 2: up(None)}, status="RECOVERING")
    assert late.status == "SUCCEEDED"
    assert moved(late) == {"cluster-1t0a2": "TERMINATED"}


def test_the_next_attempt_works_only_when_nothing_of_the_last_one_can():
    """Two attempts never work at once, also where the head is gone and other nodes may run on."""
    for work in (RUNNING, WorkSeen(status="FAILED_DRIVER")):
        old, new = attempt(over_at=NOW - 1, ended_by="lost"), attempt(2, jobs=())
        seen = {1: up(work, status="TERMINATING", target="TERMINATED"), 2: up(None)}
        assert decide(old, new, seen=seen, status="RECOVERING").effects == ()
        seen = {1: msgspec.structs.replace(seen[1], final=True), 2: up(None)}
        assert decide(old, new, seen=seen, status="RECOVERING").effects == (SubmitWork(2, 1),)


def test_a_warning_asks_for_the_next_machines_at_once():
    """The replacement is rented while the old machine still works; its work goes on."""
    decision = decide(attempt(), seen={1: up(warned_at=NOW + 120)})
    assert decision.effects == (RentCluster(2),)
    assert decision.moves == ()


def test_a_false_alarm_costs_the_replacement_and_no_work():
    """The machine is still there long after it was to be taken: it works on, the other goes."""
    warned = attempt(warned_at=NOW - LAPSE_S - 1)
    seen = {1: up(warned_at=NOW - LAPSE_S - 1), 2: up(None)}
    decision = decide(warned, attempt(2, jobs=()), seen=seen, status="RECOVERING")
    assert moved(decision) == {"cluster-1t0a2": "TERMINATED"}
    assert decision.status == "RUNNING"
    assert decision.state.attempts[0].warned_at is None
    again = decide(decision.state.attempts[0], seen={1: up(warned_at=NOW - LAPSE_S - 1)})
    assert again.effects == ()


def test_a_plain_failure_is_believed_at_once():
    """An exit code of its own on one healthy machine is the user's."""
    failed = WorkSeen(status="FAILED", reason="rank 0 exited with code 3", codes=(3,), ended_at=NOW)
    decision = decide(attempt(), seen={1: up(failed)})
    assert (decision.status, decision.reason) == ("FAILED", "rank 0 exited with code 3")


def test_a_death_by_signal_is_doubted_first():
    """A machine that is being taken kills its work before the infra tells; then it counts as lost."""
    killed = WorkSeen(status="FAILED", codes=(143,), ended_at=NOW)
    early = decide(attempt(), seen={1: up(killed)}, now=NOW + 1)
    assert early.status is None
    assert decide(attempt(), seen={1: up(killed)}, now=NOW + DOUBT_S + 1).status == "FAILED"
    gone = decide(attempt(), seen={1: up(killed, hurt="node 0: gone", status="INIT")}, now=NOW + 5)
    assert gone.status == "RECOVERING"


def test_some_ranks_of_a_gang_fail_because_others_are_gone():
    """A plain exit code on several machines may come from a lost peer: wait until that can be told."""
    failed = WorkSeen(status="FAILED", codes=(1, 1), ended_at=NOW)
    several = spec(num_nodes=2)
    assert decide(attempt(), seen={1: up(failed)}, the_spec=several, now=NOW + 1).status is None
    hurt = up(failed, hurt="node 1: gone", status="INIT")
    assert decide(attempt(), seen={1: hurt}, the_spec=several, now=NOW + 1).status == "RECOVERING"


def test_restarts_happen_on_the_same_machines_and_are_counted():
    """As many as were asked for; then the failure stands."""
    failed = WorkSeen(status="FAILED", codes=(1,), ended_at=NOW)
    wish = spec(restarts=1)
    again = decide(attempt(), seen={1: up(failed)}, the_spec=wish)
    assert again.status == "RECOVERING"
    assert (again.state.restarts, again.state.attempts[0].jobs) == (1, (1, 2))
    assert again.moves == ()
    assert decide(attempt(jobs=(1, 2)), seen={1: up(failed)}, the_spec=wish, restarts=1).status == "FAILED"


def test_exit_codes_that_ask_for_it_restart_without_counting():
    """`recover_on_exit_codes` is a wish of its own."""
    failed = WorkSeen(status="FAILED", codes=(0, 42), ended_at=NOW - 999)
    wish = spec(restart_codes=(42,), num_nodes=2)
    again = decide(attempt(), seen={1: up(failed)}, the_spec=wish)
    assert (again.status, again.state.restarts) == ("RECOVERING", 0)


def test_losses_in_a_row_slow_down():
    """An attempt that is lost before it has worked makes the next ones wait, at most five minutes."""
    state = {"quick": 0, "next_at": 0.0}
    waits = []
    for _ in range(8):
        seen = {1: up(None, hurt="gone", status="INIT")}
        decision = decide(attempt(jobs=(), up_at=None), seen=seen, status="RECOVERING", **state)
        state = {"quick": decision.state.quick, "next_at": decision.state.next_at}
        waits.append(decision.state.next_at - NOW)
    assert waits == sorted(waits)
    assert waits[-1] == PAUSES_S[-1]


def test_what_no_node_takes_ends_after_a_few():
    """Whole machines that refuse the job are not rented for ever; other losses do not count."""
    refused = WorkSeen(status="FAILED_DRIVER", reason="no room for it", ended_at=NOW)
    first = decide(attempt(), seen={1: up(refused)}, untaken=MOST_UNTAKEN - 2)
    assert (first.status, first.state.untaken) == ("RECOVERING", MOST_UNTAKEN - 1)
    ended = decide(attempt(), seen={1: up(refused)}, untaken=MOST_UNTAKEN - 1)
    assert ended.status == "FAILED"
    assert "no room for it" in ended.reason
    for gone in (up(refused, hurt="node 0: gone", status="INIT"), up(refused, whole=False)):
        lost = decide(attempt(), seen={1: gone}, untaken=MOST_UNTAKEN - 1, quick=50)
        assert (lost.status, lost.state.untaken) == ("RECOVERING", 0)


@pytest.mark.parametrize("code", ["not-found", "job-budget"])
def test_what_nothing_brings_back_ends_it(code):
    """Dropped secrets, or a budget of its own that is used up: no later try can go better."""
    error = {"code": code, "what": "it is gone"}
    rent = Outcome(effect="RentCluster", at=NOW, error=error)
    old, new = attempt(over_at=NOW - 9, ended_by="lost", closed=True), attempt(2, jobs=(), up_at=None)
    renting = decide(old, new, seen={2: AttemptSeen()}, status="RECOVERING", outcome=rent)
    assert (renting.status, renting.reason) == ("FAILED", "it is gone")
    submit = Outcome(effect="SubmitWork", at=NOW, error=error)
    handing = decide(attempt(), seen={1: up(None)}, status="STARTING", outcome=submit)
    assert (handing.status, handing.reason) == ("FAILED", "it is gone")


@pytest.mark.parametrize(
    ("code", "status"),
    [("spec", "FAILED_PRECHECKS"), ("auth", "FAILED_PRECHECKS"), ("no-offer", "FAILED_NO_RESOURCE")],
)
def test_what_can_never_start_ends_with_its_reason(code, status):
    """The first attempt says at once that there is nothing to wait for; a later one waits."""
    outcome = Outcome(effect="RentCluster", at=NOW, error={"code": code, "what": "no such thing"})
    first = decide(attempt(jobs=(), up_at=None), seen={1: AttemptSeen()}, status="STARTING", outcome=outcome)
    assert (first.status, first.reason) == (status, "no such thing")
    old = attempt(over_at=NOW - 9, ended_by="lost", closed=True)
    later = decide(
        old, attempt(2, jobs=(), up_at=None), seen={2: AttemptSeen()}, status="RECOVERING", outcome=outcome
    )
    assert later.status is None
    assert later.wake_in is not None


def test_a_deadline_ends_it():
    """However far it is."""
    decision = decide(attempt(), seen={1: up()}, the_spec=spec(deadline_at=NOW - 1))
    assert (decision.status, decision.reason) == ("FAILED", "the deadline has passed")
    assert decision.moves == (Move("cluster-1t0a1", "TERMINATED"),)


def test_a_cancel_waits_for_the_truth():
    """While an attempt may still have succeeded there is no verdict; a success that comes first is one."""
    waiting = decide(attempt(), seen={1: up()}, target="CANCELLED")
    assert (waiting.status, moved(waiting)) == ("CANCELLING", {"cluster-1t0a1": "TERMINATED"})
    gone = attempt(over_at=NOW - 1, ended_by="cancelled")
    done = WorkSeen(status="SUCCEEDED", codes=(0,))
    assert decide(gone, seen={1: up(done)}, status="CANCELLING", target="CANCELLED").status == "SUCCEEDED"
    off = up(WorkSeen(status="CANCELLED"), status="TERMINATING", target="TERMINATED")
    assert decide(gone, seen={1: off}, status="CANCELLING", target="CANCELLED").status == "CANCELLED"


def test_the_record_ends_when_nothing_is_left():
    """A verdict stands at once; the record stays until every cluster is gone and what was kept is dropped."""
    over = attempt(over_at=NOW - 9, ended_by="done")
    assert decide(over, seen={1: up(status="TERMINATING")}, status="SUCCEEDED").final is None
    closed = msgspec.structs.replace(over, closed=True)
    assert decide(closed, seen={}, status="SUCCEEDED").final is True
    kept = decide(closed, seen={}, status="SUCCEEDED", the_spec=spec(secrets="secret-1"))
    assert kept.final is None
    dropped = Outcome(effect="DropTask", at=NOW)
    assert decide(
        closed, seen={}, status="SUCCEEDED", the_spec=spec(secrets="secret-1"), outcome=dropped
    ).final
