"""The kernel decider alone: every way to a decision."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skynb.control.records import Outcome, Record
from skynb_clusters.deciders.kernel import ATTEMPTS, KernelView, decide_kernel
from skynb_clusters.records import EndKernel, KernelState, StartKernel

OUTCOMES = st.sampled_from(
    [
        None,
        Outcome(effect="StartKernel", at=1.0, value={}),
        Outcome(effect="StartKernel", at=1.0, error={"what": "no", "retryable": "no"}),
        Outcome(effect="StartKernel", at=1.0, error={"what": "silence", "retryable": "unknown"}),
        Outcome(effect="EndKernel", at=1.0, error={"what": "silence", "retryable": "unknown"}),
    ]
)
VIEWS = st.builds(
    KernelView,
    state=st.builds(KernelState, attempts=st.integers(0, ATTEMPTS)),
    node=st.sampled_from(["up", "waiting", "gone"]),
    service=st.sampled_from(["running", "ended", "absent", "unknown"]),
    exit_code=st.sampled_from([0, 1, 137]),
    words=st.sampled_from(["", "no ipykernel"]),
)
RECORDS = st.builds(
    lambda status, target, outcome: record(status, target, outcome=outcome),
    st.sampled_from(["STARTING", "UP", "ENDING"]),
    st.sampled_from(["UP", "ENDED"]),
    OUTCOMES,
)


def record(status: str = "UP", target: str = "UP", **changes) -> Record:
    fields = {"id": "kernel-a-1", "kind": "kernel", "name": "1", "parent": "cluster-a", "owner": "me"}
    return Record(**fields, status=status, target=target, **changes)


def view(**changes) -> KernelView:
    return KernelView(**({"state": KernelState(), "node": "up", "service": "running"} | changes))


@given(RECORDS, VIEWS)
def test_every_situation_has_a_next_step(found, seen):
    """It wakes again or is final; what is final has no deed left; only a starting kernel is started."""
    decision = decide_kernel(found, seen, 0.0)
    assert bool(decision.final) != (decision.wake_in is not None)
    assert (decision.status == "ENDED") == bool(decision.final)
    assert not (decision.final and decision.effects)
    if any(isinstance(effect, StartKernel) for effect in decision.effects):
        assert (found.status, found.target, seen.node) == ("STARTING", "UP", "up")


@given(RECORDS, VIEWS)
def test_unknown_is_not_dead(found, seen):
    """A kernel whose node or agent cannot be asked is not ended, unless somebody asked for that."""
    refused = found.outcome and found.outcome.effect == "StartKernel" and found.outcome.error
    if found.target == "UP" and seen.node != "gone" and not (found.status == "STARTING" and refused):
        unknown = view(node=seen.node, service="unknown")
        assert not decide_kernel(found, unknown, 0.0).final


@given(RECORDS, VIEWS)
def test_a_wish_to_end_is_never_lost(found, seen):
    """With target ENDED nothing but its end happens."""
    wanted = record(found.status, "ENDED", outcome=found.outcome)
    decision = decide_kernel(wanted, seen, 0.0)
    assert decision.final or decision.effects == (EndKernel("kernel-1"),)


def test_a_life():
    """Started, up, and ended by itself with its exit status and last words."""
    first = decide_kernel(record("STARTING"), view(service="absent"), 0.0)
    assert first.effects == (StartKernel("kernel-1"),)
    done = Outcome(effect="StartKernel", at=1.0, value={})
    assert decide_kernel(record("STARTING", outcome=done), view(), 0.0).status == "UP"
    last = decide_kernel(record(), view(service="ended", exit_code=137, words="Killed"), 0.0)
    assert (last.status, last.final, last.reason) == ("ENDED", True, "Killed")
    assert last.state == KernelState(exit_code=137)


def test_a_start_that_fails_is_tried_again_but_not_for_ever():
    """Longer and longer apart; what cannot succeed ends at once, with the reason."""
    silence = Outcome(effect="StartKernel", at=1.0, error={"what": "silence", "retryable": "unknown"})
    waits = [
        decide_kernel(record("STARTING", outcome=silence), view(state=KernelState(attempts=n)), 0.0).wake_in
        for n in range(1, ATTEMPTS)
    ]
    assert waits == sorted(waits)
    full = view(state=KernelState(attempts=ATTEMPTS))
    assert decide_kernel(record("STARTING", outcome=silence), full, 0.0).reason == "silence"
    error = {"what": "no", "why": "no such Python", "retryable": "no"}
    never = Outcome(effect="StartKernel", at=1.0, error=error)
    assert decide_kernel(record("STARTING", outcome=never), view(), 0.0).reason == "no such Python"
