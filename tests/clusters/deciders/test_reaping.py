"""Whose a machine is, and when a forgotten one may be ended."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.control.records import Record
from skynb_clusters.contract import Machine
from skynb_clusters.deciders.reaping import decide_reaping, judge
from skynb_clusters.records import NodeState

NOW = 1000.0
TAGS = {"skynb-owner": "me", "skynb-record": "node-a-0", "skynb-generation": "2", "skynb-lease-until": "900"}
NODE = Record(
    id="node-a-0",
    kind="node",
    name="0",
    parent="cluster-a",
    owner="ann",
    status="UP",
    target="UP",
    generation=2,
    state=msgspec.json.encode(NodeState(token="t")),
)


@pytest.mark.parametrize(
    ("tags", "token", "record", "claim"),
    [
        ({}, "t", {}, "claimed"),
        ({}, "t", {"status": "STOPPED"}, "claimed"),
        ({}, "other", {"status": "ENDING"}, "claimed"),
        ({}, "other", {}, "unclaimed"),
        ({}, "t", {"final": True}, "unclaimed"),
        ({"skynb-generation": "1"}, "other", {}, "unclaimed"),
        ({}, "t", None, "unknown"),
        ({"skynb-generation": "3"}, "other", {}, "unknown"),
        ({"skynb-generation": "x"}, "other", {"final": True}, "unknown"),
        ({"skynb-owner": "you"}, "other", None, "lapsed"),
        ({"skynb-owner": "you", "skynb-lease-until": "1001"}, "other", None, "others"),
        ({"skynb-owner": "you", "skynb-lease-until": "soon"}, "other", None, "others"),
        ({"skynb-owner": "you"}, "t", {}, "claimed"),
    ],
)
def test_whose_a_machine_is(tags, token, record, claim):
    """A live record claims its machine; only what the ledger itself has let go of is `unclaimed`."""
    machine = Machine(id="m", token=token, state="running", tags=TAGS | tags)
    found = None if record is None else msgspec.structs.replace(NODE, **record)
    verdict = judge(machine, found, "me", NOW)
    assert verdict.claim == claim
    assert verdict.why


LOOKS = st.lists(st.tuples(st.floats(0.1, 50), st.sets(st.sampled_from("abc"))), max_size=12)


@given(LOOKS, st.floats(1, 60))
def test_a_machine_is_ended_when_looks_a_window_apart_agree(looks, window):
    """Never at its first sight, never before its window, never across a look that did not show it."""
    waiting, since, now = {}, {}, 0.0
    for wait, shown in looks:
        now += wait
        since = {name: since.get(name, now) for name in shown}
        reaping = decide_reaping(waiting, dict.fromkeys(shown, now), dict.fromkeys(shown, window))
        due = {name for name in shown if now - since[name] >= window}
        assert set(reaping.end) == due
        assert reaping.waiting == {name: at for name, at in since.items() if name not in due}
        waiting = reaping.waiting
        since = {name: at for name, at in since.items() if name not in due}
