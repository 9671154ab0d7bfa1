"""The Dask decider alone: names, scaling, and every way to a decision."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.control.records import Outcome, Record
from skynb_clusters.deciders.dask import DaskView, decide_dask, scaled, wanted
from skynb_clusters.records import ApplyDask, DaskSpec, DaskState, EndDask

TWO = DaskSpec(workers=2)
UP = DaskState(scheduler="tls://a", workers=("dask-worker-0", "dask-worker-1"))
ALL = wanted(TWO)


def record(status: str = "UP", target: str = "UP", **changes) -> Record:
    fields = {"id": "dask-a-1", "kind": "dask", "name": "1", "parent": "cluster-a", "owner": "me"}
    return Record(**fields, status=status, target=target, **changes)


def view(**changes) -> DaskView:
    return DaskView(**({"spec": TWO, "state": UP, "cluster": "up", "running": ALL} | changes))


def test_the_workers_have_names_by_number():
    """The scheduler first; a set with gaps keeps its gaps."""
    assert ALL == ("dask-scheduler", "dask-worker-0", "dask-worker-1")
    assert wanted(DaskSpec(workers=2, numbers=(0, 4)))[1:] == ("dask-worker-0", "dask-worker-4")


@pytest.mark.parametrize(
    ("numbers", "workers", "retire", "left"),
    [
        ((0, 1, 2), 2, (), (0, 1)),
        ((0, 1, 2), 2, ("dask-worker-0",), (1, 2)),
        ((1, 2), 3, (), (0, 1, 2)),
        ((1, 2), 2, ("dask-worker-1",), (1, 2)),
        ((0, 1), 0, (), ()),
        ((), 2, ("nobody",), (0, 1)),
    ],
)
def test_scaling_keeps_who_may_stay(numbers, workers, retire, left):
    """Who is named goes first, then the youngest; newcomers take free numbers."""
    spec = DaskSpec(workers=len(numbers), numbers=numbers)
    assert scaled(spec, workers, retire) == left


@given(st.sets(st.integers(0, 30)), st.integers(0, 30), st.sets(st.integers(0, 30)))
def test_scaling_gives_exactly_as_many_and_moves_nobody(have, workers, retire):
    """Growing keeps everybody, shrinking starts nobody."""
    spec = DaskSpec(workers=len(have), numbers=tuple(sorted(have)))
    after = set(scaled(spec, workers, {f"dask-worker-{number}" for number in retire}))
    assert len(after) == workers
    assert after >= have if workers >= len(have) else after < have


def test_unknown_changes_nothing():
    """Agents that cannot be asked, or a cluster that is not whole: nothing is started, nothing ended."""
    for unseen in (view(running=None), view(cluster="waiting", running=())):
        found = decide_dask(record(), unseen, 0.0)
        assert (found.status, found.effects, found.target) == (None, (), None)


def test_what_is_missing_is_started_and_named():
    """A worker that ended unasked is started again, and the history says so."""
    found = decide_dask(record(), view(running=ALL[:-1]), 0.0)
    assert found.effects == (ApplyDask(2),)
    assert found.events[0].data == {"services": ["dask-worker-1"]}
    assert "dask-worker-1" in str(found.reason)


def test_what_is_too_many_is_stopped():
    """A service that nobody wants is a reason to apply."""
    found = decide_dask(record(), view(running=(*ALL, "dask-worker-7")), 0.0)
    assert found.effects == (ApplyDask(2),)
    assert found.events == ()


def test_a_whole_dask_is_left_alone():
    """Nothing to do is nothing to write; an old reason is cleared."""
    assert decide_dask(record(), view(), 0.0).reason is None
    assert decide_dask(record(reason="was hurt"), view(), 0.0).reason == ""


def test_an_unused_scheduler_ends_dask_and_a_crashed_one_does_not():
    """Only the scheduler's own end counts as disuse, and only after Dask was up."""
    gone = ALL[1:]
    assert decide_dask(record(), view(running=gone, unused=True), 0.0).target == "ENDED"
    assert decide_dask(record(), view(running=gone), 0.0).effects == (ApplyDask(2),)
    again = decide_dask(record("STARTING"), view(running=(), unused=True), 0.0)
    assert again.effects == (ApplyDask(2),)


def test_an_applied_dask_is_up_and_a_failed_one_says_why():
    """The outcome of the last deed is read once."""
    good = Outcome("ApplyDask", 0.0, value=msgspec.to_builtins(UP))
    found = decide_dask(record("STARTING", outcome=good), view(state=DaskState()), 0.0)
    assert (found.status, found.state, found.events[0].name) == ("UP", UP, "dask.up")
    bad = Outcome("ApplyDask", 0.0, error={"what": "no python"})
    assert decide_dask(record("STARTING", outcome=bad), view(), 0.0).reason == "no python"


def test_the_end_is_final_only_when_nothing_is_left():
    """Running services are stopped; what cannot be seen is asked again; a cluster that is gone took all."""
    ending = record("ENDING", "ENDED")
    assert decide_dask(ending, view(), 0.0).effects == (EndDask(),)
    assert decide_dask(ending, view(running=None), 0.0).final is None
    assert decide_dask(ending, view(running=()), 0.0).final
    assert decide_dask(record(), view(running=None, cluster="gone"), 0.0).final
