"""Machines and greetings in, records out: whatever the tags are, each machine is somewhere, and only once."""

from hypothesis import given
from hypothesis import strategies as st

from skynb.wire import LeaseInfo
from skynb_clusters.agents import Greeting
from skynb_clusters.contract import Machine
from skynb_clusters.deciders.rebuilding import Relic, rebuild
from skynb_clusters.naming import cluster_of
from skynb_clusters.records import NodeState

LEASE = LeaseInfo(presence_s=600.0, envelope_s=3600.0)
NOW = 1_800_000_000.0
RECORDS = st.one_of(
    st.builds(
        lambda cluster, rank, lane: f"node-{cluster}-{rank}" + (f"r{lane}" if lane else ""),
        st.sampled_from(["aa", "bb"]),
        st.integers(0, 3),
        st.integers(0, 2),
    ),
    st.text(max_size=12),
)
NUMBERS = st.one_of(st.integers(-1, 9).map(str), st.text(max_size=3))
TAGS = st.fixed_dictionaries(
    {"skynb-record": RECORDS, "skynb-cluster": st.sampled_from(["c", "d"])},
    optional={
        "skynb-nodes": NUMBERS,
        "skynb-generation": NUMBERS,
        "skynb-gpus": st.sampled_from(["A100:8", "A100", ":", "A100:x"]),
        "skynb-hourly-micro": NUMBERS,
        "skynb-budget-micro": NUMBERS,
    },
)
GREETINGS = st.none() | st.builds(
    Greeting, RECORDS.map(lambda record: f"{record}.1000"), st.none(), st.none() | st.just((1, 4))
)
STATES = st.sampled_from(["pending", "running", "stopping", "stopped"])
SEEN = st.lists(st.tuples(TAGS, STATES, GREETINGS), max_size=8)


def relics(seen):
    return [
        Relic("sim", Machine(id=f"m{at}", token=f"t{at}", state=state, tags=tags), greeting)
        for at, (tags, state, greeting) in enumerate(seen)
    ]


@given(seen=SEEN, blind=st.booleans())
def test_every_machine_is_taken_once_or_left_with_a_reason(seen, blind):
    rebuilt, left = rebuild(relics(seen), LEASE, NOW, blind=blind)
    taken = [name for one in rebuilt for name in one.machines]
    assert sorted([*taken, *left]) == sorted(f"sim:m{at}" for at in range(len(seen)))
    assert all(left.values())
    for one in rebuilt:
        states = [node.state_as(NodeState) for node in one.nodes]
        assert sorted(state.machine for state in states if state.machine) == sorted(
            name.removeprefix("sim:") for name in one.machines
        )
        assert len({node.id for node in one.nodes}) == len(one.nodes)
        assert {cluster_of(node.id) for node in one.nodes} == {one.cluster.id}
        if blind:
            assert all(state.machine for state in states), "what is not seen may run"


@given(seen=SEEN)
def test_no_slot_without_a_machine_is_moved_to_rent_one(seen):
    for one in rebuild(relics(seen), LEASE, NOW)[0]:
        for node in one.nodes:
            if not node.state_as(NodeState).machine:
                assert (node.status, node.target) == ("PENDING", "RELEASED")
