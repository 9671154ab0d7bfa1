"""The deciders of nodes and clusters, walked through faults and crashes: nothing leaks, nothing doubles."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skynb.control.records import Decision, Outcome, Record
from skynb_clusters.contract import Machine
from skynb_clusters.deciders.cluster import DRAIN_S
from skynb_clusters.deciders.node import _STEPS as NODE_STEPS
from skynb_clusters.deciders.node import AgentSeen, MachineSeen, NodeView, decide_node
from skynb_clusters.deciders.views import Idle, JobSeen
from skynb_clusters.records import Adjustable, Autostop, ClusterSpec, ClusterState, NodeState, Offer
from tests.support.depth import examples
from tests.support.world import OFFERS, World, node_record


def up() -> World:
    world = World()
    world.settle()
    assert world.cluster.status == "UP"
    return world


def balanced(world: World) -> bool:
    """Every reserved micro-dollar was settled or released."""
    return world.money["reserve"] == world.money["settle"] + world.money["release"]


def ended(world: World) -> None:
    """G1, G3, G7: nothing runs, everything is final, no money is held."""
    assert world.machines == {}
    assert world.cluster.final
    assert all(node.final for node in world.nodes)
    assert balanced(world)


def test_a_launch_comes_up_and_down_leaves_nothing():
    """The plain life: INIT, UP, TERMINATED; two machines created, both gone, the bill closed."""
    world = up()
    assert len(world.created) == len(world.living()) == 2
    world.ask("TERMINATED")
    world.settle()
    ended(world)
    assert world.cluster.status == "TERMINATED"


def test_stop_keeps_the_disks_and_start_uses_them_again():
    """Stopping stops the bill; starting wakes the same machines and makes no new ones."""
    world = up()
    before = dict(world.machines)
    world.ask("STOPPED")
    world.settle()
    assert world.cluster.status == "STOPPED"
    assert world.living() == []
    assert balanced(world)
    world.ask("UP")
    world.settle()
    assert world.cluster.status == "UP"
    assert world.machines.keys() == before.keys()
    assert len(world.created) == 2


@pytest.mark.parametrize("step", range(1, 16))
@pytest.mark.parametrize("answer_lost", [False, True])
def test_a_server_killed_at_any_step_of_a_launch_makes_no_second_machine(step, answer_lost):
    """G2, G10: killed after the commit, before or after the deed: going on makes one machine a slot."""
    world = World()
    for number in itertools.count(1):
        world.step_cluster(act=number != step)
        for rank in range(2):
            world.step_node(rank, act=number != step or answer_lost, lose_outcome=number == step)
        world.now += 0.5
        if number > step:
            break
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.created) == 2
    world.ask("TERMINATED")
    world.settle()
    ended(world)


def test_a_refused_node_gives_the_whole_gang_back_and_the_next_offer_is_tried():
    """All or none: one capacity error releases every machine of the attempt before the next offer."""
    world = World()
    world.step_cluster()
    world.step_node(0)
    world.refuse = {"CreateMachine"}
    world.step_node(1)
    world.step_node(1)
    world.refuse = set()
    world.settle()
    assert world.cluster.status == "UP"
    assert world.cluster.state_as(ClusterState).offer == 1
    assert len(world.living()) == 2
    assert len(world.created) == 3


def test_when_every_offer_is_refused_nothing_is_left_and_the_reason_is():
    """Out of offers: FAILED, final, no machine, and what was tried is kept."""
    world = World(refuse={"CreateMachine"})
    world.settle()
    ended(world)
    assert world.cluster.status == "FAILED"
    tried = world.cluster.state_as(ClusterState).tried
    assert [entry["error"]["code"] for entry in tried] == ["capacity", "capacity"]


def test_unknown_is_not_dead():
    """G4: an hour in which nothing can be seen changes no status and creates nothing (skypilot#10155)."""
    world = up()
    world.unseen = True
    for _ in range(720):
        world.step_cluster()
        for rank in range(2):
            world.step_node(rank)
        world.now += 5
    assert world.cluster.status == "UP"
    assert [node.status for node in world.nodes] == ["UP", "UP"]
    world.unseen = False
    world.settle()
    assert len(world.created) == 2
    assert "node.lost" not in world.events


def test_terminated_is_said_only_when_absence_was_seen():
    """G3: while the infra cannot be seen, a cluster that is being ended stays TERMINATING."""
    world = up()
    world.ask("TERMINATED")
    world.unseen = True
    world.settle()
    assert world.cluster.status == "TERMINATING"
    assert not any(node.final for node in world.nodes)
    world.unseen = False
    world.settle()
    ended(world)


def test_a_lost_machine_is_not_replaced_unasked_and_start_repairs():
    """The cluster says it is not whole; nothing is rented until a person says start; then one machine is."""
    world = up()
    world.lose_machine(1)
    world.settle()
    assert world.cluster.status == "INIT"
    assert "not whole" in world.cluster.reason
    assert len(world.created) == 2
    world.ask("UP")
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.created) == 3
    assert len(world.living()) == 2


def test_machines_stopped_outside_are_respected():
    """dstack#494: stopped in the cloud's console: every face says STOPPED, and nothing is started again."""
    world = up()
    world.crash_machine(0)
    world.crash_machine(1)
    world.settle()
    assert world.cluster.status == "STOPPED"
    assert world.living() == []
    assert balanced(world)


def test_a_dead_agent_is_started_again_without_touching_the_machine():
    """The machine is fine: only the agent's start is repeated."""
    world = up()
    world.kill_agent(0)
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.created) == 2
    assert world.agents == set(world.machines)


def test_a_failed_start_never_gives_up_a_disk():
    """skypilot#2169: a capacity error on start leaves the stopped machine with the user's disk alone."""
    world = up()
    world.ask("STOPPED")
    world.settle()
    world.refuse = {"StartMachine", "StartAgent"}
    world.ask("UP")
    world.settle(rounds=200)
    assert len(world.machines) == 2
    world.refuse = set()
    world.ask("UP")
    world.settle(rounds=200)
    assert world.cluster.status == "UP"
    assert len(world.created) == 2


def test_work_is_brought_home_before_machines_go():
    """Down first cancels jobs and waits for their logs, at most the drain time."""
    world = up()
    world.work = (JobSeen(id="job-1-1", kind="job", target="DONE"),)
    world.ask("TERMINATED")
    for _ in range(5):
        world.step_cluster()
    assert world.work[0].target == "CANCELLED"
    assert all(node.target == "UP" for node in world.nodes)
    world.work = ()
    world.settle()
    ended(world)


def test_an_agent_that_never_answers_does_not_block_down_for_ever():
    """After the drain time the machines go all the same."""
    world = up()
    world.work = (JobSeen(id="job-1-1", kind="job", target="DONE"),)
    world.ask("TERMINATED")
    world.settle()
    assert len(world.machines) == 2
    world.now += DRAIN_S
    world.settle()
    assert world.machines == {}
    assert not world.cluster.final  # the job's own record still has to end
    world.work = ()
    world.settle()
    ended(world)


@pytest.mark.parametrize(("down", "status"), [(False, "STOPPED"), (True, "TERMINATED")])
def test_autostop_waits_for_jobs_no_agent_has_heard_of(down, status):
    """Idle and due, but a job is in the ledger: it stays up; without the job it goes where it should."""
    world = up()
    spec = ClusterSpec(num_nodes=2, offers=(), plan_hash="p", autostop=Autostop(idle_minutes=0, down=down))
    view = world._cluster_view
    world._cluster_view = lambda: msgspec.structs.replace(  # type: ignore[method-assign]
        view(), spec=msgspec.structs.replace(spec, offers=view().spec.offers)
    )
    world.idle = Idle(idle_s=1.0, due=True)
    world.work = (JobSeen(id="job-1-1", kind="job", target="DONE"),)
    world.settle()
    assert world.cluster.status == "UP"
    world.work = ()
    world.settle()
    assert world.cluster.status == status
    assert world.living() == []


ACTIONS = st.lists(
    st.sampled_from(
        [
            "up",
            "stop",
            "down",
            "lose0",
            "lose1",
            "crash0",
            "crash1",
            "agent0",
            "agent1",
            "blind",
            "sight",
            "cluster",
            "node0",
            "node1",
            "cut0",
            "cut1",
            "deaf0",
            "deaf1",
            "refuse",
            "accept",
            "time",
        ]
    ),
    max_size=60,
)


def apply(world: World, action: str) -> None:
    verb, rank = action.rstrip("01"), int(action[-1]) if action[-1] in "01" else 0
    if action == "down" or (action in {"up", "stop"} and world.cluster.target != "TERMINATED"):
        world.ask({"up": "UP", "stop": "STOPPED", "down": "TERMINATED"}[action])
    deeds = {
        "lose": lambda: world.lose_machine(rank),
        "crash": lambda: world.crash_machine(rank),
        "agent": lambda: world.kill_agent(rank),
        "cluster": world.step_cluster,
        "node": lambda: world.step_node(rank),
        "cut": lambda: world.step_node(rank, act=False),
        "deaf": lambda: world.step_node(rank, lose_outcome=True),
        "blind": lambda: setattr(world, "unseen", True),
        "sight": lambda: setattr(world, "unseen", False),
        "refuse": lambda: world.refuse.add("CreateMachine"),
        "accept": world.refuse.clear,
        "time": lambda: setattr(world, "now", world.now + 30),
    }
    deeds.get(verb, lambda: None)()
    by_slot: dict[str, int] = {}
    for rank_, node in enumerate(world.nodes):
        token = world.state(rank_).token
        by_slot[node.id] = int(token in world.machines)
    assert len(world.machines) <= 2, "G2: more machines than slots"
    assert sum(by_slot.values()) == len(world.machines), "G1: a machine that no slot claims"
    spent = world.money["settle"] + world.money["release"]
    assert spent <= world.money["reserve"], "G7: spent without reserving"


@settings(max_examples=examples(3000))
@given(ACTIONS)
def test_whatever_happens_nothing_leaks_and_down_ends_it(actions):
    """G1, G2, G3, G7 at every step of random lives; afterwards `down` always ends in nothing."""
    world = World()
    for action in actions:
        apply(world, action)
    world.unseen = False
    world.refuse.clear()
    world.ask("TERMINATED")
    world.settle(rounds=200)
    ended(world)


@pytest.mark.parametrize("status", sorted(NODE_STEPS))
@pytest.mark.parametrize("target", ["UP", "STOPPED", "RELEASED", "ENDED"])
@pytest.mark.parametrize("presence", ["present", "absent", "unknown"])
def test_every_state_of_a_node_has_an_answer(status, target, presence):
    """The table is complete: each (status, target, observation) decides something, and never raises."""
    world = up()
    record = msgspec.structs.replace(world.nodes[0], status=status, target=target)
    machine = next(iter(world.machines.values()))
    for state, agent in itertools.product(
        ("pending", "running", "stopping", "stopped", "terminating", "terminated"),
        ("answering", "silent", "untried"),
    ):
        seen = msgspec.structs.replace(machine, state=state) if presence == "present" else None
        view = NodeView(
            state=world.state(0) if status != "PENDING" else NodeState(),
            offer=world._node_view(0).offer,
            machine=MachineSeen(presence, seen),
            agent=AgentSeen(agent),
        )
        decision = decide_node(record, view, world.now)
        assert isinstance(decision, Decision)
        if decision.final:
            assert presence != "unknown" or status == "PENDING", "G3: final without seeing absence"


def test_a_notice_of_the_infra_is_told_once():
    """Whatever is repeated, in whatever order; a new one is told beside the old."""
    state = NodeState(machine="m", token="t")
    record = Record(
        id="node-a-0", kind="node", name="0", parent="cluster-a", owner="me", status="UP", target="UP"
    )
    first, second = ("rebalance", 1.0), ("preemption", 2.0)
    told = []
    for notices in ((), (first,), (first,), (second, first), (second,), (first,)):
        agent = AgentSeen("answering", notices=notices)
        machine = MachineSeen("present", Machine(id="m", token="t", state="running", tags={}))
        view = NodeView(state=state, offer=Offer(cloud="x", instance_type="y"), machine=machine, agent=agent)
        decision = decide_node(record, view, 1.0)
        state = decision.state or state
        told += [
            (event.data["kind"], event.data["at"]) for event in decision.events if event.name == "node.notice"
        ]
    assert told == [first, second]


def test_a_machine_that_was_off_is_reached_at_its_new_address():
    """A stop and a start may move it; the agent is started where the machine is now."""
    state = NodeState(machine="m", token="t", address="10.0.0.1", reach="old")
    record = Record(
        id="node-a-0", kind="node", name="0", parent="cluster-a", owner="me", status="BOOTING", target="UP"
    )
    now = Machine(id="m", token="t", state="running", tags={}, address="10.0.0.1", reach="new")
    view = NodeView(
        state=state,
        offer=Offer(cloud="x", instance_type="y"),
        machine=MachineSeen("present", now),
        agent=AgentSeen("silent"),
    )
    assert decide_node(record, view, 1.0).state.reach == "new"


def test_a_machine_is_set_as_is_wanted_once():
    """A later wish reaches the machine; what is done, or refused for good, is not asked again."""
    state = NodeState(machine="m", token="t", adjusted=Adjustable(on_shutdown="terminate"))
    record = Record(
        id="node-a-0", kind="node", name="0", parent="cluster-a", owner="me", status="UP", target="UP"
    )
    machine = MachineSeen("present", Machine(id="m", token="t", state="running", tags={}))
    stop, open_too = Adjustable(on_shutdown="stop"), Adjustable(on_shutdown="stop", ports=("80",))
    refused = {"code": "auth", "what": "no", "retryable": "no"}
    busy = {"code": "provider", "what": "busy", "retryable": "yes"}
    asked = []
    for wanted, error in ((stop, busy), (stop, None), (stop, None), (open_too, refused), (open_too, None)):
        view = NodeView(
            state=state,
            offer=Offer(cloud="x", instance_type="y"),
            machine=machine,
            agent=AgentSeen("answering"),
            wanted=wanted,
        )
        decision = decide_node(record, view, 1.0)
        state = decision.state or state
        asked.append([effect.to for effect in decision.effects])
        done = Outcome(effect="AdjustMachine", at=1.0, error=error, value=msgspec.to_builtins(wanted))
        record = msgspec.structs.replace(record, outcome=done if decision.effects else None)
    assert asked == [[stop], [stop], [], [open_too], []]


OFFER = Offer(cloud="x", instance_type="y", hourly_micro=3_600_000)  # a thousand micro-dollars a second
SLOT = Record(id="node-a-0", kind="node", name="0", parent="cluster-a", owner="me", status="?", target="UP")


def spent(decision: Decision) -> dict[str, int]:
    """Micro-dollars by kind of entry."""
    found: dict[str, int] = {}
    for entry in decision.spend:
        found[entry.entry] = found.get(entry.entry, 0) + entry.micro_usd
    return found


def test_a_machine_whose_creation_was_never_answered_is_billed():
    """Only the list told of it, when it had ended: it costs from when the infra says that it began."""
    state = NodeState(offer=OFFER, token="t", billed_from=100.0, reserved_micro=3_600_000, absent_at=170.0)
    machine = Machine(id="m", token="t", state="terminated", tags={}, billed_from=101.0, billed_to=161.0)
    record = msgspec.structs.replace(SLOT, status="ENDING", target="ENDED")
    view = NodeView(
        state=state, offer=OFFER, machine=MachineSeen("present", machine), agent=AgentSeen("untried")
    )
    decision = decide_node(record, view, 200.0)
    assert decision.final
    assert spent(decision) == {"settle": 60_000, "release": 3_540_000}
    stranger = msgspec.structs.replace(machine, token="older")
    view = msgspec.structs.replace(view, machine=MachineSeen("present", stranger))
    assert spent(decide_node(record, view, 200.0))["settle"] == 0, "a refused creation costs nothing"


def test_the_time_that_a_machine_was_off_is_not_billed():
    """It went off while it booted and is started again: two spans, and a reservation for each."""
    state = NodeState(offer=OFFER, token="t", machine="m", billed_from=100.0, reserved_micro=3_600_000)
    machine = Machine(id="m", token="t", state="stopped", tags={}, billed_from=100.0, billed_to=110.0)
    record = msgspec.structs.replace(SLOT, status="BOOTING")
    view = NodeView(
        state=state, offer=OFFER, machine=MachineSeen("present", machine), agent=AgentSeen("untried")
    )
    decision = decide_node(record, view, 150.0)
    assert spent(decision) == {"settle": 10_000, "release": 3_590_000, "reserve": 3_600_000}
    assert decision.state.billed_from == 150.0
    again = decide_node(record, msgspec.structs.replace(view, state=decision.state), 151.0)
    assert (again.spend, [type(effect).__name__ for effect in again.effects]) == ((), ["StartMachine"])
    poor = decide_node(record, msgspec.structs.replace(view, free_micro=0), 150.0)
    assert [type(effect).__name__ for effect in poor.effects] == ["StopMachine"]


def test_a_spent_budget_keeps_no_disk_that_nobody_wants():
    """A cluster on its way down goes down, whatever its money says meanwhile."""
    state = NodeState(offer=OFFER, token="t", machine="m", billed_from=0.0, reserved_micro=100_000)
    machine = Machine(id="m", token="t", state="running", tags={}, billed_from=0.0)
    view = NodeView(
        state=state,
        offer=OFFER,
        machine=MachineSeen("present", machine),
        agent=AgentSeen("answering"),
        free_micro=0,
    )
    [move] = decide_node(msgspec.structs.replace(SLOT, status="UP"), view, 50.0).moves
    assert (move.record, move.target, move.unless) == ("cluster-a", "STOPPED", "TERMINATED")


@pytest.mark.parametrize(
    ("asked", "free"),
    [
        ({"attempts": 1}, True),
        ({"attempts": 2}, False),
        ({"attempts": 1, "unanswered": True}, False),
        ({"attempts": 1, "machine": "m1"}, False),
    ],
)
@pytest.mark.parametrize("code", ["capacity", "quota", "provider"])
def test_a_slot_that_found_no_room_is_free_at_once(asked, free, code):
    """Failover does not wait for a list to catch up with what was never made; after any doubt it does."""
    error = {"code": code, "what": "none free", "retryable": "yes"}
    state = NodeState(offer=OFFERS[0], token="t", error=error, absent_at=100.0, **asked)
    record = msgspec.structs.replace(node_record(0), status="ENDING")
    view = NodeView(
        state=state,
        offer=OFFERS[0],
        machine=MachineSeen("absent"),
        agent=AgentSeen("untried"),
        consistency_s=30.0,
    )
    assert (decide_node(record, view, 100.1).status == "PENDING") == (free and code != "provider")
    assert decide_node(record, view, 130.1).status == "PENDING"
