"""Whose turn it is: limits hold, priority goes first, and nobody waits behind one person's thousand jobs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skynb.control.ledger import Waiting
from skynb_jobs.deciders.line import Limits, admit, room

OWNERS = st.sampled_from(["ann", "bob", "eve"])


@st.composite
def lines(draw):
    """Each person's line, as the ledger gives it: by priority, then by age."""
    asked = draw(st.lists(st.tuples(OWNERS, st.integers(-2, 2)), max_size=30))
    found: dict[str, list[Waiting]] = {}
    for at, (owner, priority) in enumerate(asked):
        found.setdefault(owner, []).append(Waiting(f"managed-{at:02}", owner, -priority, float(at)))
    return {owner: sorted(line, key=lambda one: (one.nice, one.created_at)) for owner, line in found.items()}


RUNNING = st.dictionaries(OWNERS, st.integers(0, 6))
LIMITS = st.builds(Limits, running=st.integers(0, 20), per_user=st.integers(0, 5))


@given(waiting=lines(), running=RUNNING, limits=LIMITS)
def test_limits_hold_and_nothing_is_left_idle(waiting, running, limits):
    """No limit is passed by whom is admitted, and whoever waits on is kept back by a limit."""
    admitted = admit(waiting, running, limits)
    assert len(admitted) == len(set(admitted)) <= room(limits, running)
    had = {owner: running.get(owner, 0) for owner in {*waiting, *running}}
    for one in admitted:
        had[one.owner] += 1
        assert not limits.per_user or had[one.owner] <= limits.per_user
    left = [one for line in waiting.values() for one in line if one not in admitted]
    full = len(admitted) == room(limits, running)
    assert all(full or (limits.per_user and had[one.owner] >= limits.per_user) for one in left)


@given(waiting=lines(), running=RUNNING, limits=LIMITS)
def test_nobody_is_passed_by_less_urgent_work_of_their_own(waiting, running, limits):
    """Of one person, those admitted are the first of the line."""
    admitted = admit(waiting, running, limits)
    for owner, line in waiting.items():
        mine = [one for one in admitted if one.owner == owner]
        assert mine == line[: len(mine)]


@given(waiting=lines(), running=RUNNING)
def test_priority_goes_before_fairness_and_fairness_before_age(waiting, running):
    """The most urgent head goes; among equals, that of the person with least running; then the oldest."""
    had, place = dict(running), dict.fromkeys(waiting, 0)
    for one in admit(waiting, running, Limits()):
        heads = [line[place[owner]] for owner, line in waiting.items() if place[owner] < len(line)]
        assert one == min(heads, key=lambda head: (head.nice, had.get(head.owner, 0), head.created_at))
        had[one.owner] = had.get(one.owner, 0) + 1
        place[one.owner] += 1


def test_one_job_of_a_newcomer_does_not_wait_behind_a_thousand():
    """Fair share: who has nothing running goes next, whatever was asked for before."""
    ann = [Waiting(f"a{number:04}", "ann", 0, float(number)) for number in range(1000)]
    bob = [Waiting("b", "bob", 0, 5000.0)]
    assert admit({"ann": ann, "bob": bob}, {"ann": 9}, Limits(running=10)) == bob
