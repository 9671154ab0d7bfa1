"""A pool's decider, alone: how many workers there are, which go, and who gets one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.control.records import Outcome, Record
from skynb_jobs.deciders.pool import LOST_PAUSE_S, MOST_FAILURES, decide_pool
from skynb_jobs.deciders.views import AttemptSeen, PoolView, WorkerSeen, WorkSeen
from skynb_jobs.records import DropPool, PoolSpec, PoolState, RentWorker, SetWorkerUp, Worker

NOW = 10_000.0
UP = AttemptSeen(status="UP", target="UP")
DONE = WorkSeen(status="SUCCEEDED")


def spec(**changes):
    return PoolSpec(**({"config": {}, "least": 2, "most": 2} | changes))


def worker(number, **changes):
    given = {"cluster": f"cluster-1w{number}", "version": 1, "began_at": NOW - 600, "ready_at": NOW - 500}
    return Worker(number=number, **(given | changes))


def decide(*workers, seen=None, waiting=(), status="READY", target="UP", has_setup=False, **more):
    outcome, the_spec = more.pop("outcome", None), more.pop("the_spec", None) or spec()
    state = {"workers": workers, "made": len(workers), "wanted": the_spec.least} | more
    record = Record(
        id="pool-1", kind="pool", name="p", parent=None, owner="ann", status=status, target=target,
        outcome=outcome,
    )  # fmt: skip
    looks = {one.number: WorkerSeen(cluster=UP, lent=bool(one.task)) for one in workers} | (seen or {})
    view = PoolView(
        spec=the_spec, state=PoolState(**state), workers=looks, waiting=tuple(waiting), has_setup=has_setup
    )
    return decide_pool(record, view, NOW), view


def after(decided):
    decision, view = decided
    return decision.state if decision.state is not None else view.state


def lent(decided):
    return {one.number: one.task for one in after(decided).workers if one.task}


def over(decided):
    return {one.number: one.why for one in after(decided).workers if one.over_at is not None}


def test_missing_workers_are_rented_at_once():
    """Each with its own cluster, and the deed that writes it."""
    decision, _ = decide(status="STARTING")
    assert decision.effects == (RentWorker(1), RentWorker(2))
    assert [one.cluster for one in decision.state.workers] == ["cluster-1w1", "cluster-1w2"]


def test_a_worker_is_ready_once_it_is_up_and_set_up():
    """Setup is a job of the worker; its end makes it ready."""
    new = worker(1, ready_at=None)
    begun = decide(new, worker(2), seen={1: WorkerSeen(cluster=UP)}, has_setup=True)
    assert begun[0].effects == (SetWorkerUp(1),)
    with_job = {1: WorkerSeen(cluster=msgspec.structs.replace(UP, work=DONE))}
    ready = decide(worker(1, ready_at=None, setup=True), worker(2), seen=with_job, has_setup=True)
    assert after(ready).workers[0].ready_at == NOW
    assert after(decide(new, worker(2))).workers[0].ready_at == NOW  # nothing to set up


def test_workers_that_never_become_ready_end_the_pool():
    """A setup that fails again and again is not paid for for ever."""
    failed = {1: WorkerSeen(cluster=msgspec.structs.replace(UP, work=WorkSeen(status="FAILED_SETUP")))}
    bad = worker(1, ready_at=None, setup=True)
    decision, _ = decide(bad, seen=failed, has_setup=True, failures=MOST_FAILURES - 1, failing=1, wanted=2)
    assert decision.status == "FAILED"
    assert decision.reason == "its setup failed"
    assert decision.effects == ()
    again, _ = decide(status="FAILED", failures=MOST_FAILURES, failing=1, the_spec=spec(version=2))
    assert (again.status, len(again.effects)) == ("STARTING", 2)


def test_lost_machines_are_no_failure():
    """Those that go before their worker was ready, however often, only make the next one wait a little."""
    hurt = {1: WorkerSeen(cluster=msgspec.structs.replace(UP, hurt="taken away"))}
    new = worker(1, ready_at=None)
    decision, _ = decide(new, seen=hurt, status="STARTING", failures=MOST_FAILURES - 1, failing=1)
    assert (decision.state.failures, decision.effects) == (MOST_FAILURES - 1, ())
    assert (decision.status, decision.reason, decision.wake_in) == (None, "taken away", LOST_PAUSE_S)


def test_an_error_of_an_earlier_worker_is_not_the_next_ones():
    """A server that crashed before it rented rents when it is back."""
    unwritten = {1: WorkerSeen(cluster=AttemptSeen())}
    new = worker(1, ready_at=None)
    for at, effects in ((new.began_at - 1, (RentWorker(1),)), (new.began_at + 1, ())):
        outcome = Outcome(effect="RentWorker", at=at, error={"what": "no credentials"})
        decision, _ = decide(new, seen=unwritten, outcome=outcome, the_spec=spec(least=1, most=1))
        assert tuple(one for one in decision.effects if one == RentWorker(1)) == effects


def test_a_worker_is_lent_in_order_and_given_back():
    """First come, first served; a task that has given it back makes it free."""
    waiting = [("task-1", 1), ("task-2", 3), ("task-3", 1)]
    first = decide(worker(1), worker(2), waiting=waiting)
    assert lent(first) == {1: "task-1", 2: "task-2"}
    assert first[0].wakes == ("task-1", "task-2")
    busy = worker(1, task="task-1", attempt=1)
    assert lent(decide(busy, worker(2), waiting=waiting)) == {1: "task-1", 2: "task-2"}
    given_back = {1: WorkerSeen(cluster=UP, lent=False)}
    assert lent(decide(busy, worker(2), seen=given_back)) == {}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hurt": "node 0: gone"}, "node 0: gone"),
        ({"target": "TERMINATED", "reason": "the budget is used up"}, "the budget is used up"),
        ({"work": WorkSeen(status="FAILED_DRIVER", reason="lost")}, "lost"),
        ({"warned_at": NOW + 60}, "the infra takes a machine away"),
        ({"failed": True, "error": {"what": "none free"}}, "none free"),
    ],
)
def test_a_worker_of_no_use_goes_and_another_comes(changes, why):
    """Its cluster is taken down if nobody did that, and the pool is as large as before."""
    seen = {1: WorkerSeen(cluster=msgspec.structs.replace(UP, **changes))}
    decided = decide(worker(1), worker(2), seen=seen)
    assert over(decided) == {1: why}
    assert [move.record for move in decided[0].moves] == ["cluster-1w1"] * (changes.get("target") is None)
    assert RentWorker(3) in decided[0].effects


def test_a_warned_worker_works_on():
    """Its task knows of the warning itself, and has the time that is left; another worker is on its way."""
    seen = {1: WorkerSeen(cluster=msgspec.structs.replace(UP, warned_at=NOW + 60), lent=True)}
    decided = decide(worker(1, task="task-1", attempt=1), worker(2), seen=seen)
    assert over(decided) == {}
    assert decided[0].effects == (RentWorker(3),)


def test_what_cannot_be_seen_is_neither_lent_nor_given_up():
    """Unknown is not dead."""
    blind = {1: WorkerSeen(cluster=msgspec.structs.replace(UP, whole=False))}
    decided = decide(worker(1), worker(2, task="task-9", attempt=1), seen=blind, waiting=[("task-1", 1)])
    assert (over(decided), lent(decided)) == ({}, {2: "task-9"})


def test_the_line_moves_the_number_after_a_while():
    """More are wanted at once if there is none, else for `up_s`; fewer for `down_s`."""
    ranged = spec(least=0, most=3, up_s=300.0, down_s=1200.0)
    waiting = [(f"task-{number}", 1) for number in range(9)]
    assert after(decide(waiting=waiting, the_spec=ranged)).wanted == 3
    short = decide(worker(1, task="t", attempt=1), waiting=waiting, the_spec=ranged, wanted=1)
    assert (after(short).wanted, after(short).unlike, short[0].wake_in) == (1, 3, pytest.approx(30, abs=270))
    since = {"unlike": 3, "unlike_since": NOW - 300.0}
    long = decide(worker(1, task="t", attempt=1), waiting=waiting, the_spec=ranged, wanted=1, **since)
    assert after(long).wanted == 3
    idle = decide(worker(1), worker(2), the_spec=ranged, wanted=2)
    assert (after(idle).wanted, over(idle)) == (2, {})
    gone = decide(
        worker(1), worker(2), the_spec=ranged, wanted=2, unlike=0, unlike_since=NOW - 1200.0
    )  # fmt: skip
    assert sorted(over(gone)) == [1, 2]


def test_another_version_replaces_workers_one_for_one():
    """Idle ones go as new ones become ready; one that works goes when it is done."""
    newer = spec(version=2)
    old = [worker(1), worker(2, task="task-1", attempt=1)]
    begun = decide(*old, the_spec=newer)
    assert (over(begun), len(begun[0].effects)) == ({}, 2)
    ready = [worker(number, version=2) for number in (3, 4)]
    done = decide(*old, *ready, the_spec=newer)
    assert over(done) == {1: "another version was asked for"}


def test_down_ends_all_and_forgets():
    """The record ends when nothing of any worker is left, and what was kept for it is dropped."""
    decided = decide(worker(1), worker(2, ready_at=None), target="TERMINATED")
    assert sorted(over(decided)) == [1, 2]
    assert decided[0].status == "TERMINATING"
    kept = spec(secrets="secret-1")
    assert decide(target="TERMINATED", the_spec=kept)[0].effects == (DropPool(),)
    dropped = Outcome(effect="DropPool", at=NOW)
    assert decide(target="TERMINATED", the_spec=kept, outcome=dropped)[0].final


@st.composite
def pools(draw):
    least = draw(st.integers(0, 3))
    the_spec = spec(least=least, most=least + draw(st.integers(0, 3)), version=2)
    workers, seen = [], {}
    for number in range(1, draw(st.integers(0, 5)) + 1):
        task = draw(st.sampled_from(["", f"held-{number}"]))
        ready = bool(task) or draw(st.booleans())
        workers.append(
            worker(
                number,
                version=draw(st.sampled_from([1, 2])),
                task=task,
                attempt=bool(task),
                ready_at=NOW - 9 if ready else None,
                over_at=draw(st.sampled_from([None, None, None, NOW - 5])),
            )
        )
        cluster = draw(
            st.sampled_from(
                [
                    UP,
                    AttemptSeen(),
                    msgspec.structs.replace(UP, status="INIT"),
                    msgspec.structs.replace(UP, hurt="x"),
                ]
            )
        )
        seen[number] = WorkerSeen(cluster=cluster, lent=bool(task))
    waiting = [(f"task-{number}", 1) for number in range(draw(st.integers(0, 6)))]
    state = {
        "wanted": draw(st.integers(0, 6)),
        "unlike": draw(st.sampled_from([None, 0, 4])),
        "unlike_since": NOW - 5000,
    }
    return decide(
        *workers, seen=seen, waiting=waiting, the_spec=the_spec, has_setup=draw(st.booleans()), **state
    )


@given(pools())
def test_whatever_there_is(decided):
    """Nobody gets two workers, no worker two tasks; work is not ended for size; the number is in bounds."""
    decision, view = decided
    state = after(decided)
    assert view.spec.least <= state.wanted <= view.spec.most
    tasks = [one.task for one in state.workers if one.task and one.over_at is None]
    assert len(tasks) == len(set(tasks))
    for one in state.workers:
        before = next((old for old in view.state.workers if old.number == one.number), None)
        if (
            before is not None
            and before.task
            and before.over_at is None
            and not view.workers[one.number].cluster.hurt
        ):
            assert one.over_at is None or not view.workers[one.number].cluster.status
        if before is not None and before.over_at is not None:
            assert one.task == before.task
    lent_now = {one.number for one in state.workers if one.task.startswith("task-")}
    assert all(view.workers[number].cluster.status == "UP" for number in lent_now)
    rented = sum(isinstance(effect, RentWorker) for effect in decision.effects)
    current = [one for one in state.workers if one.version == 2 and one.over_at is None]
    assert rented == 0 or len(current) <= max(state.wanted, len(current) - rented)
