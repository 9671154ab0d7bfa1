"""Bugs of other systems that a decision could repeat, replayed on the pure deciders."""

from __future__ import annotations

import msgspec
import pytest

from skynb_clusters.contract import Machine
from skynb_clusters.deciders.node import token_of
from skynb_clusters.deciders.views import JobSeen
from skynb_clusters.records import ClusterState
from tests.support.world import OFFERS, World


def up(**options) -> World:
    world = World(**options)
    world.settle()
    assert world.cluster.status == "UP"
    return world


def down(world: World) -> None:
    """G1, G3, G7: taken down, nothing runs, nothing is held."""
    world.ask("TERMINATED")
    world.settle(200)
    assert world.cluster.final
    assert world.machines == {}
    assert all(node.final for node in world.nodes)
    assert world.money["reserve"] == world.money["settle"] + world.money["release"]


def rounds(world: World, number: int, step_s: float = 5.0) -> None:
    for _ in range(number):
        world.step_cluster()
        for rank in range(len(world.nodes)):
            world.step_node(rank)
        world.now += step_s


def test_skypilot_4392_a_create_that_failed_but_happened_is_adopted():
    """Create reported an error, the instance existed: here the next look finds and keeps it."""
    world = World(num_nodes=1)
    world.step_cluster()
    world.step_node(0, act=False)
    world._create(world.state(0).token)
    world.refuse = {"CreateMachine"}
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.created) == 1
    down(world)


def test_skypilot_pr911_a_crash_between_create_and_record_makes_no_second_machine():
    """The machine was made before anything was written: here the token is, before the call."""
    world = World(num_nodes=1)
    world.step_cluster()
    world.step_node(0, lose_outcome=True)
    assert world.state(0).token in world.machines
    world.settle()
    assert len(world.created) == 1
    down(world)


def test_skypilot_93_an_interrupt_at_any_step_of_a_launch_leaves_a_record_of_the_machine():
    """Ctrl-C in set-up: a machine ran, status showed nothing. Here its token is in a record first."""
    world = World()
    for _ in range(12):
        world.step_cluster()
        for rank in range(2):
            world.step_node(rank)
            known = {world.state(one).token for one in range(2)}
            assert set(world.machines) <= known
        world.now += 0.5


def test_skypilot_779_a_late_create_after_terminate_is_of_an_older_generation():
    """An autoscaler launched nodes again after a terminate: here a new attempt needs a new generation."""
    world = up(num_nodes=1)
    old = world.state(0).token
    down(world)
    record = msgspec.structs.replace(world.nodes[0], final=False)
    assert token_of(record, OFFERS[0], 1) != old
    assert world.step_node(0) is None


def test_dstack_3449_a_create_while_terminating_is_not_made():
    """An instance joined a terminating fleet and stayed: here a node whose cluster ends creates nothing."""
    world = World()
    world.step_cluster()
    world.ask("TERMINATED")
    for _ in range(3):
        world.step_cluster()
    rounds(world, 20, 1.0)
    assert world.machines == {}
    down(world)


def test_skypilot_2169_failover_never_ends_a_stopped_machine_with_a_disk():
    """A start met a capacity error and failover terminated the stopped machine: here the disk stays."""
    world = up(num_nodes=1)
    world.ask("STOPPED")
    world.settle()
    kept = dict(world.machines)
    world.refuse = {"StartMachine"}
    world.ask("UP")
    rounds(world, 60)
    assert world.machines.keys() == kept.keys()
    world.refuse = set()
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.created) == 1


def test_skypilot_632_down_of_what_is_already_gone_succeeds():
    """Terminated in the console, `down` failed for ever: here absence is what down wants."""
    world = up()
    world.lose_machine(0)
    world.lose_machine(1)
    down(world)
    assert world.cluster.status == "TERMINATED"


def test_skypilot_10155_unknown_answers_never_end_healthy_work():
    """25 status time-outs among 1,818 healthy looks made 24 recoveries: here none changes anything."""
    world = up()
    before = dict(world.machines)
    for look in range(1843):
        world.unseen = look % 74 == 0
        rounds(world, 1)
        assert world.cluster.status == "UP"
    assert world.machines == before
    assert len(world.created) == 2


def test_dstack_1551_a_server_that_saw_nothing_for_ten_minutes_declares_nobody_dead():
    """Offline for ten minutes, everything was declared terminated and billed on."""
    world = up()
    world.unseen = True
    world.now += 600
    rounds(world, 120)
    assert world.cluster.status == "UP"
    assert len(world.living()) == 2


def test_skypilot_118_a_machine_killed_in_set_up_is_seen():
    """Killed during set-up it was still shown as coming up: here one look later it is not."""
    world = World(num_nodes=1)
    world.step_cluster()
    for _ in range(3):
        world.step_node(0)
        world.now += 0.5
    assert world.nodes[0].status == "BOOTING"
    world.lose_machine(0)
    rounds(world, 2, 1.0)
    assert "node.lost" in world.events


@pytest.mark.parametrize("moment", range(10))
def test_skypilot_118_an_external_kill_in_each_state_is_seen_and_healed_or_said(moment):
    """At any moment of a launch one machine vanishes: the launch ends whole, or says that it is not."""
    world = World()
    for _ in range(moment):
        rounds(world, 1, 0.5)
    world.lose_machine(1)
    world.settle(200)
    assert world.cluster.status == "UP" or "not whole" in world.cluster.reason
    down(world)


def test_skypilot_712_start_acts_on_what_is_seen_not_on_what_was_written():
    """An autostopped cluster was 'UP' and could not be started: here the stop is seen, start works."""
    world = up()
    for rank in range(2):
        world.crash_machine(rank)
    world.settle()
    assert world.cluster.status == "STOPPED"
    world.ask("UP")
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.created) == 2


def test_skypilot_2490_from_every_state_down_leads_to_terminated():
    """INIT could not be left by any command: here down works after any number of steps of any life."""
    for steps in range(0, 30, 3):
        world = World(refuse={"StartAgent"} if steps % 2 else set())
        rounds(world, steps, 0.5)
        world.refuse = set()
        down(world)


def test_skypilot_4443_a_terminate_that_lies_stays_visible_and_is_done_again():
    """The terminate was accepted and did nothing: here the slot stays ENDING and the deed is repeated."""
    world = up(num_nodes=1)
    world.refuse = {"TerminateMachine"}
    world.ask("TERMINATED")
    rounds(world, 30)
    assert world.nodes[0].status == "ENDING"
    assert not world.cluster.final
    world.refuse = set()
    world.settle(100)
    assert world.cluster.status == "TERMINATED"
    assert world.machines == {}


def test_skypilot_509_every_member_of_a_gang_is_seen_gone_before_its_end_is_said():
    """A multi-node down left some instances: here one that does not go holds the whole cluster's end."""
    world = up(num_nodes=4)
    world.ask("TERMINATED")
    rounds(world, 2, 0.1)
    stubborn = Machine(id="m3", token=world.state(2).token, state="running", tags={}, address="10.0.0.3")
    for _ in range(20):
        world.machines[stubborn.token] = stubborn
        rounds(world, 1, 1.0)
        assert not world.cluster.final
    world.settle(100)
    assert world.cluster.final
    assert world.machines == {}


def test_skypilot_8563_a_stale_row_is_an_observation_not_an_assertion():
    """Recovery looped on an assertion over a stale row: any machine state is taken at any status."""
    for state in ("pending", "running", "stopping", "stopped", "terminating", "terminated"):
        world = up(num_nodes=1)
        token = world.state(0).token
        world.machines[token] = msgspec.structs.replace(world.machines[token], state=state)
        rounds(world, 3)
        assert world.nodes[0].status in {"UP", "STOPPED", "PENDING", "STOPPING", "BOOTING"}


def test_dstack_3130_a_final_run_never_starts_again():
    """A finished run started again: here nothing moves what is final."""
    world = up()
    down(world)
    made = len(world.created)
    world.ask("UP")
    rounds(world, 30)
    assert world.cluster.status == "TERMINATED"
    assert len(world.created) == made


def test_dstack_2068_a_cancel_while_machines_are_sought_frees_everything():
    """Cancelled while provisioning, the instance was busy for ever: at each step down frees the slots."""
    for steps in range(8):
        world = World(lanes=2)
        rounds(world, steps, 0.3)
        down(world)


def test_crabbox_862_a_machine_that_never_gets_ready_is_not_made_anew_for_ever():
    """Every 16 s a new one until the quota was full: here attempts are bounded, each is cleaned away."""
    world = World(num_nodes=1, refuse={"StartAgent"})
    world.settle(2000)
    assert world.cluster.status == "FAILED"
    assert world.machines == {}
    assert len(world.created) <= 6


def test_skypilot_1751_no_cost_without_a_machine():
    """The report invented $880 for clusters that never ran: refused machines settle nothing."""
    world = World(refuse={"CreateMachine"})
    world.settle()
    assert world.cluster.status == "FAILED"
    assert world.money["settle"] == 0


def test_ubicloud_5898_failover_uses_a_new_token():
    """A token used again with other parameters was refused: every offer and attempt has its own."""
    world = World(disproved={"small": "capacity"})
    world.step_cluster()
    world.step_node(0)
    first = world.state(0).token
    world.settle()
    assert world.state(0).offer == OFFERS[1]
    assert world.state(0).token != first


def test_boto3_4406_a_launch_after_a_terminate_uses_a_new_token():
    """The token of a terminated instance was refused: the next generation has another."""
    world = up(num_nodes=1)
    old = world.state(0).token
    world.lose_machine(0)
    world.settle()
    assert "not whole" in world.cluster.reason
    world.ask("UP")
    world.settle()
    assert world.cluster.status == "UP"
    assert world.state(0).token != old


def test_kubespawner_829_a_restart_keeps_what_lives():
    """A hub restart marked live servers as down: here a new server's first look finds them as they are."""
    world = up()
    again = World(cluster=world.cluster, nodes=list(world.nodes), machines=dict(world.machines))
    again.agents = set(world.agents)
    rounds(again, 5)
    assert again.cluster.status == "UP"
    assert again.created == []


def test_skypilot_4431_a_machine_that_is_not_listed_yet_keeps_its_record():
    """Just created, not listed yet, the record was deleted: here the slot stays, and the look is repeated."""
    world = World(num_nodes=1)
    world.step_cluster()
    world.step_node(0)
    hidden = dict(world.machines)
    world.machines.clear()
    for _ in range(3):
        world.step_node(0, act=False)
        world.now += 20
    assert world.nodes[0].status == "CREATING"
    world.machines.update(hidden)
    world.settle()
    assert world.cluster.status == "UP"
    assert len(world.created) == 1


def test_dask_cloudprovider_262_a_failed_creation_leaves_nothing():
    """A VM stayed after its creation had failed: whatever was made for a refused offer is ended."""
    world = World(refuse={"StartAgent"})
    rounds(world, 3, 0.5)
    assert world.machines
    world.ask("TERMINATED")
    world.refuse = set()
    world.settle(100)
    assert world.machines == {}


def test_skypilot_1306_a_running_job_keeps_a_cluster_from_autostop():
    """Idle by one list, busy by another: work that no agent has heard of yet keeps the cluster up, too."""
    world = up()
    world.work = (JobSeen(id="job-1-1", kind="job", target="DONE"),)
    rounds(world, 20)
    assert world.cluster.target == "UP"


def test_dask_gateway_255_what_nobody_asks_for_ends_by_its_own_lease():
    """Clusters outlived vanished clients: a node that stopped itself is seen, its cluster is STOPPED."""
    world = up()
    for token, machine in list(world.machines.items()):
        world.machines[token] = msgspec.structs.replace(machine, state="stopped", ended_by="node")
        world.agents.discard(token)
    world.settle()
    assert world.cluster.status == "STOPPED"
    assert "nobody used it" in world.cluster.reason
    assert world.cluster.state_as(ClusterState).phase == "ready"
