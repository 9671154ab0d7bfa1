"""What a killed agent leaves, the next one takes up: nothing is lost, nothing runs twice."""

from __future__ import annotations

import json
import os
import signal

import pytest

RUN_ONCE = "echo start; echo x >> count; sleep 1.2; echo end"


@pytest.mark.parametrize("victim", [0, 1])
def test_killed_agent_mid_job(make_cluster, eventually, victim):
    """Kill -9 of the head's or the worker's agent while both ranks run: the job succeeds, once."""
    nodes = make_cluster(2).start()
    head = nodes[0]
    head.submit(num_nodes=2, run=RUN_ONCE)
    eventually(lambda: all((node.home / "count").exists() for node in nodes), "the job did not start")
    nodes[victim].kill9()
    facts = nodes[victim].start()
    assert facts["started"]
    job = head.wait_job()
    assert job["state"] == "SUCCEEDED", job
    for node in nodes:
        assert (node.home / "count").read_text() == "x\n"
        assert node.log(rank=node.rank) == "start\nend\n"


def test_job_that_ended_while_nobody_watched(solo, eventually):
    """The exit code is found in its file by the next agent."""
    solo.submit(run="sleep 0.4; exit 5")
    solo.wait_job("RUNNING")
    eventually(solo.marked, "no process")
    solo.kill9()
    eventually(lambda: not solo.marked(), "the job did not end")
    solo.start()
    assert solo.wait_job()["reason"] == "rank 0 exited with code 5"


@pytest.mark.parametrize("setup", [None, "echo s >> setups; sleep 0.2"])
def test_agent_killed_at_any_moment(make_cluster, setup):
    """Kill -9 at many moments around a start: the job always ends well and its counter shows one run."""
    import time

    node = make_cluster().start()[0]
    for number in range(1, 5):
        node.submit(number, setup=setup, run=f"echo x >> count-{number}; sleep 0.1")
        time.sleep(0.012 * (number - 1))
        node.kill9()
        node.start()
        job = node.wait_job(number=number)
        assert job["state"] == "SUCCEEDED", job
        assert (node.home / f"count-{number}").read_text() == "x\n"


def test_kill9_of_a_rank(solo, eventually):
    """A group that vanishes without an exit record: FAILED, killed, 137."""
    solo.submit(run="sleep 60")
    eventually(lambda: solo.job()["ranks"] and solo.job()["ranks"][0]["pid"], "no pid")
    os.killpg(solo.job()["ranks"][0]["pid"], signal.SIGKILL)
    job = solo.wait_job()
    assert (job["state"], job["reason"]) == ("FAILED", "rank 0 was killed (exit code 137)")


def test_kill9_of_a_rank_and_its_agent(solo, eventually):
    """The same when the agent dies first: the next one finds neither process nor record."""
    solo.submit(run="sleep 60")
    eventually(lambda: solo.job()["ranks"] and solo.job()["ranks"][0]["pid"], "no pid")
    pid = solo.job()["ranks"][0]["pid"]
    solo.kill9()
    os.killpg(pid, signal.SIGKILL)
    solo.start()
    assert "killed" in solo.wait_job()["reason"]


def test_a_reused_pid_is_not_adopted(solo, eventually):
    """The record names a live process that is another one: it is left alone and the rank counts as killed."""
    solo.submit(run="sleep 60")
    eventually(lambda: solo.job()["ranks"] and solo.job()["ranks"][0]["pid"], "no pid")
    pid = solo.job()["ranks"][0]["pid"]
    solo.kill9()
    os.killpg(pid, signal.SIGKILL)
    path = solo.root / "jobs/1/rank-0/rank.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "pid": os.getpid()}))
    solo.start()
    assert "killed" in solo.wait_job()["reason"]


def test_a_rebooted_node(solo, eventually):
    """Another boot marker: what ran FAILED because the node restarted; what waited runs."""
    solo.submit(1, run="sleep 60", cpus_per_node=8)
    solo.submit(2, run="true", cpus_per_node=8)
    eventually(lambda: solo.job()["ranks"] and solo.job()["ranks"][0]["pid"], "no pid")
    pid = solo.job()["ranks"][0]["pid"]
    solo.kill9()
    os.killpg(pid, signal.SIGKILL)
    solo.config["boot_id"] = "another boot"
    solo.write()
    solo.start()
    job = solo.wait_job()
    assert (job["state"], job["reason"]) == ("FAILED", "the node restarted")
    assert solo.wait_job(number=2)["state"] == "SUCCEEDED"


def test_service_survives_the_agent(solo, eventually):
    """A service runs on under the next agent, with the same pid, and can be stopped by it."""
    pid = solo.call("service_start", name="s", argv=["sleep", "60"], env={})["pid"]
    solo.kill9()
    solo.start()
    (service,) = solo.call("service_list")["services"]
    assert (service["state"], service["pid"]) == ("RUNNING", pid)
    assert solo.call("service_stop", name="s", grace_s=2)["state"] == "STOPPED"
    eventually(lambda: not solo.marked(), "the service is still there")


def test_final_states_stay(solo):
    """After a restart a finished job is what it was, and submitting it again starts nothing."""
    solo.submit(run="echo x >> count")
    before = solo.wait_job("SUCCEEDED")
    solo.kill9()
    solo.start()
    assert solo.submit(run="echo x >> count") == before
    assert (solo.home / "count").read_text() == "x\n"
