"""The pure deciders: tables walked completely, properties tried on many histories."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skynb_agent import gang, idle, lease, queue, states
from skynb_agent.gang import RankView, Verdict
from skynb_agent.protocol import FINAL_STATES, JOB_STATES
from skynb_agent.queue import Holding, Need, Node

# -- the tables


def test_job_table_is_closed():
    """Every state has a row, every target a row; final states go nowhere; every other one reaches an end."""
    assert set(states.JOB_MOVES) == set(JOB_STATES)
    for state, targets in states.JOB_MOVES.items():
        assert targets <= set(JOB_STATES)
        assert (not targets) == (state in FINAL_STATES)
        for target in JOB_STATES:
            if target in targets:
                assert states.move(state, target) == target
            else:
                with pytest.raises(states.IllegalMoveError):
                    states.move(state, target)


def test_ranks_only_move_forward():
    """A report counts exactly when its stage is later than the known one."""
    for a, b in itertools.product(states.RANK_STAGES, repeat=2):
        assert states.forward(a, b) == (states.RANK_STAGES.index(b) > states.RANK_STAGES.index(a))
    shown = {
        states.rank_state(s, c, e) for s in states.RANK_STAGES for c in states.CAUSES for e in (0, 1, None)
    }
    assert shown == {"PENDING", "SETTING_UP", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"}


def _views(rank):
    for stage in states.RANK_STAGES[:-1]:
        yield RankView(rank, stage)
    for cause, code, phase in itertools.product(states.CAUSES, (0, 3), ("setup", "run")):
        yield RankView(rank, states.ENDED, 0, phase, code, cause)


def test_every_gang_of_two_has_a_legal_step():
    """All pairs of ranks in all job states, with and without a verdict: the step is legal."""
    verdicts = (None, Verdict("CANCELLED", "cancelled"))
    for state, first, second, verdict in itertools.product(
        ("PENDING", "SETTING_UP", "RUNNING"), _views(0), _views(1), verdicts
    ):
        ranks = [first, second]
        if not _possible(state, ranks):
            continue
        step = gang.decide(state, ranks, verdict)
        if step.state != state:
            states.move(state, step.state)
        if verdict is not None:
            assert step.verdict == verdict
        _check_commands(step, ranks)
        if step.state in FINAL_STATES:
            assert all(rank.stage == states.ENDED for rank in ranks)


def _possible(state, ranks):
    """Could these ranks exist in this state? Nothing runs before the job; setup ends before run."""
    stages = {rank.stage for rank in ranks}
    started = {states.SETTING_UP, states.RUNNING} & stages
    if state == "PENDING":
        return not started and all(
            not (r.stage == states.ENDED and r.cause in {"exit", "killed"}) for r in ranks
        )
    if state == "SETTING_UP":
        ran = any(
            r.stage == states.ENDED and r.phase == "run" and r.cause in {"exit", "killed"} for r in ranks
        )
        return states.RUNNING not in stages and states.ASSIGNED not in stages and not ran
    setup = any(r.stage == states.ENDED and r.phase == "setup" for r in ranks)
    return not stages & {states.ASSIGNED, states.PREPARED, states.SETTING_UP} and not setup


def _check_commands(step, ranks):
    allowed = {"prepare": states.ASSIGNED, "setup": states.PREPARED, "run": states.READY}
    for command in step.commands:
        stage = ranks[command.rank].stage
        assert stage != states.ENDED if command.verb == "stop" else stage == allowed[command.verb]
    if any(command.verb == "run" for command in step.commands):
        assert not {rank.stage for rank in ranks} & {states.ASSIGNED, states.PREPARED, states.SETTING_UP}
    if step.verdict is not None:
        assert {command.verb for command in step.commands} <= {"stop"}


# -- the queue

GPUS = st.sampled_from([0, 0, 0.25, 0.5, 0.75, 1, 2])
NEEDS = st.builds(
    Need,
    st.just(0),
    st.integers(1, 3),
    st.sampled_from([0, 0.5, 1, 3, 4]),
    GPUS,
    st.integers(0, 2),
    st.just(0),
)
NODES = st.lists(st.tuples(st.sampled_from([4.0, 8.0]), st.integers(0, 2)), min_size=1, max_size=3).map(
    lambda rows: [Node(rank, cpus, tuple(map(str, range(gpus)))) for rank, (cpus, gpus) in enumerate(rows)]
)


def _numbered(needs):
    return [need._replace(job=number, order=number) for number, need in enumerate(needs)]


def _check_capacity(nodes, holdings):
    for node in nodes:
        seats = [seat for holding in holdings for seat in holding.seats if seat.node == node.rank]
        assert sum(seat.cpus for seat in seats) <= node.cpus + 1e-6
        for gpu in node.gpus:
            assert sum(seat.share for seat in seats if gpu in seat.gpus) <= 1 + 1e-6
        assert all(set(seat.gpus) <= set(node.gpus) for seat in seats)


@settings(max_examples=150, deadline=None)
@given(NODES, st.lists(NEEDS, max_size=8))
def test_never_oversubscribed_and_all_or_none(nodes, needs):
    """What starts fits; each job has all its seats, on distinct nodes, lowest first."""
    started = queue.decide(_numbered(needs), nodes, [])
    _check_capacity(nodes, started)
    for holding in started:
        ranks = [seat.node for seat in holding.seats]
        assert len(ranks) == holding.need.num_nodes
        assert ranks == sorted(set(ranks))
        assert all(len(seat.gpus) == queue.whole(holding.need.gpus) for seat in holding.seats)


@settings(max_examples=150, deadline=None)
@given(NODES, st.lists(st.tuples(NEEDS, st.integers(1, 9), st.integers(0, 12)), min_size=1, max_size=12))
def test_nobody_starves(nodes, rows):
    """The first in line starts at the latest when the jobs that ran when it became first have ended.

    Unless a job of higher priority came; and in the end all have run. Any arrivals, any durations.
    """
    possible = [(need, length, at) for need, length, at in rows if queue.never_fits(need, nodes) is None]
    possible.sort(key=lambda row: row[2])
    needs = _numbered([need for need, _, _ in possible])
    length = {need.job: row[1] for need, row in zip(needs, possible, strict=True)}
    arrival = {need.job: row[2] for need, row in zip(needs, possible, strict=True)}
    running: dict[int, tuple[Holding, int]] = {}
    done, promised = set(), {}
    for now in range(400):
        running = {job: (holding, end) for job, (holding, end) in running.items() if end > now}
        waiting = [need for need in needs if arrival[need.job] <= now and need.job not in done]
        before = [(holding, end) for holding, end in running.values()]
        started = queue.decide(waiting, nodes, [holding for holding, _ in before])
        for holding in started:
            done.add(holding.need.job)
            running[holding.need.job] = (holding, now + length[holding.need.job])
        _check_capacity(nodes, [holding for holding, _ in running.values()])
        blocked = sorted((need for need in waiting if need.job not in done), key=lambda need: need.place)
        for job in list(promised):
            overtaken = blocked[:1] != [needs[job]] or any(h.need.place < needs[job].place for h in started)
            if job in done or overtaken:
                del promised[job]
        if blocked:
            ends = [end for _, end in running.values()]
            assert ends, "a job waits on idle nodes"
            assert now < promised.setdefault(blocked[0].job, max(ends)), "the first in line was held up"
    assert done == {need.job for need in needs}


def test_backfill_lets_small_jobs_pass_when_they_do_no_harm():
    """While a two-node job waits, a job fits beside it on capacity that it will not need, and no more."""
    nodes = [Node(0, 8.0), Node(1, 8.0)]
    holder = Holding(Need(1, 1, 6, 0, order=1), [queue.Seat(0, 6)])
    first = Need(2, 2, 5, 0, order=2)
    small, large = Need(3, 1, 2, 0, order=3), Need(4, 1, 4, 0, order=4)
    started = queue.decide([first, small, large], nodes, [holder])
    assert [(h.need.job, h.seats[0].node) for h in started] == [(3, 0)]


def test_unreachable_nodes_hold_claims_but_take_no_jobs():
    """A job is not refused because a node is away, and is not placed there either."""
    nodes = [Node(0, 4.0), Node(1, 4.0, reachable=False)]
    assert queue.never_fits(Need(1, 2, 1, 0), nodes) is None
    assert queue.decide([Need(1, 2, 1, 0)], nodes, []) == []


# -- idle and lease


def test_idle():
    """Unknown counts as busy, unsupported does not; wait_for chooses what counts; off is never due."""
    busy_ssh = [idle.Signal("ssh", busy=True), idle.Signal("jobs", busy=False)]
    terms = idle.Terms(1, down=True, wait_for="jobs_and_ssh")
    assert idle.decide(terms, busy_ssh, 0, 100).busy == ["ssh"]
    assert idle.decide(terms._replace(wait_for="jobs"), busy_ssh, 0, 100) == (100, [], True, "down")
    assert idle.heeded(terms, [idle.Signal("ssh", busy=None)]) == ["ssh"]
    assert idle.heeded(terms, [idle.Signal("ssh", busy=None, supported=False)]) == []
    jobs = [idle.Signal("jobs", busy=True)]
    assert idle.decide(terms._replace(wait_for="none", armed_at=50), jobs, 100, 110).due
    assert not idle.decide(terms._replace(wait_for="none", armed_at=51), jobs, 0, 110).due
    assert not idle.decide(idle.Terms(None), [], 0, 1e9).due


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1000), st.floats(0, 1e6))
def test_idle_is_due_exactly_when_the_time_has_passed(last, armed, minutes, now):
    """Due if and only if minutes have passed since the later of the last busy moment and the arming."""
    got = idle.decide(idle.Terms(minutes, armed_at=armed), [], last, now)
    assert got.due == (max(0.0, now - max(last, armed)) >= minutes * 60)


@given(
    st.none() | st.floats(-1, 1e4),
    st.none() | st.floats(0, 1e4),
    st.floats(0, 1e5),
    st.booleans(),
    st.floats(0, 1e5),
)
def test_lease(presence, envelope, silent, working, away_work):
    """Idle nodes are bound by presence alone, working ones by the envelope alone."""
    verdict = lease.decide(lease.Terms(presence, envelope), lease.Facts(silent, working, away_work))
    if working:
        assert bool(verdict.expired) == (envelope is not None and away_work >= envelope)
    else:
        assert bool(verdict.expired) == (presence is not None and presence > 0 and silent >= presence)
    assert verdict.away == (silent > lease.AWAY_AFTER_S)


@given(st.lists(st.tuples(st.floats(0.5, 2), st.booleans(), st.booleans()), max_size=30))
def test_envelope_counts_only_work_while_away(ticks):
    """The clock never outruns time, stands while nothing runs, and the server's word resets it."""
    clock = silent = 0.0
    for elapsed, working, word in ticks:
        silent = 0.0 if word else silent + elapsed
        after = lease.away_work(clock, elapsed, working=working, silent_s=silent)
        assert 0 <= after <= silent + 1e-6
        if word:
            assert after == 0
        elif not working:
            assert after == clock
        clock = after
