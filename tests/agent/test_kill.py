"""Cancelling and reaping: whatever users' processes do, nothing is left."""

from __future__ import annotations

import sys

import pytest

SETSID = f'{sys.executable} -c \'import os,time; os.setsid(); open("up","w"); time.sleep(60)\' &'


def test_cancel_pending(solo):
    """A job that waits is CANCELLED at once and never runs."""
    solo.submit(1, run="sleep 60", cpus_per_node=8)
    solo.submit(2, run="touch ran", cpus_per_node=8)
    (state,) = solo.call("cancel", ids=[2])["jobs"]
    assert state["state"] == "CANCELLED"
    solo.call("cancel", ids="all", grace_s=1)
    assert solo.wait_job()["state"] == "CANCELLED"
    assert not (solo.home / "ran").exists()


@pytest.mark.parametrize("phase", ["setup", "run"])
def test_cancel_at_work(solo, eventually, phase):
    """Cancelled in setup or run: TERM is enough for a polite script; a second cancel changes nothing."""
    solo.submit(**{"run": "sleep 60", phase: "touch up; sleep 60"})
    eventually((solo.home / "up").exists, "did not start")
    assert solo.call("cancel", ids=[1])["jobs"][0]["ending"]
    job = solo.wait_job()
    assert (job["state"], job["reason"]) == ("CANCELLED", "cancelled")
    assert solo.call("cancel", ids=[1])["jobs"] == [job]
    assert not solo.marked()


def test_cancel_final_and_unknown(solo, refused):
    """A final job stays what it is; an unknown one is an error that names it."""
    solo.submit()
    job = solo.wait_job("SUCCEEDED")
    assert solo.call("cancel", ids=[1])["jobs"] == [job]
    with pytest.raises(refused, match="9"):
        solo.call("cancel", ids=[9])


def test_cancel_survives_a_killed_agent(solo, eventually):
    """An accepted cancel is durable: the next agent carries it out."""
    solo.submit(run="trap '' TERM; touch up; while :; do sleep 1; done")
    eventually((solo.home / "up").exists, "did not start")
    solo.call("cancel", ids=[1], grace_s=0.5)
    solo.kill9()
    solo.start()
    assert solo.wait_job()["state"] == "CANCELLED"
    assert not solo.marked()


def test_cancel_on_every_node(make_cluster, eventually):
    """A gang is cancelled on all its nodes, TERM-ignoring and setsid-ing processes included."""
    nodes = make_cluster(2).start()
    nodes[0].submit(num_nodes=2, run=f"trap '' TERM; {SETSID}\nwhile :; do sleep 0.2; done")
    for node in nodes:
        eventually((node.home / "up").exists, "did not start")
    nodes[0].call("cancel", ids=[1], grace_s=0.3)
    assert nodes[0].wait_job()["state"] == "CANCELLED"
    assert not any(node.marked() for node in nodes)


def test_background_children_end_with_their_rank(solo, eventually):
    """A script ends and leaves two children, one in its group and one in its own session: both end."""
    solo.submit(run=f"sleep 60 & {SETSID}\nwhile [ ! -e up ]; do sleep 0.02; done")
    assert solo.wait_job()["state"] == "SUCCEEDED"
    assert not solo.marked()


def test_children_without_our_variables(solo, eventually):
    """A child that cleared its environment is still found by its session."""
    solo.submit(run="env -i sleep 61.5 & touch up; wait")
    eventually((solo.home / "up").exists, "did not start")
    from skynb_agent import processes

    session = solo.job()["ranks"][0]["pid"]
    eventually(lambda: any(r.session == session for r in processes.table().values()), "no session")
    solo.call("cancel", ids=[1], grace_s=0.5)
    solo.wait_job("CANCELLED")
    assert not [row for row in processes.table().values() if row.session == session and not row.zombie]


def test_the_wrapper_records_what_term_did(solo, eventually):
    """A script that handles TERM and exits 3 is seen with exit code 3."""
    solo.submit(run="trap 'exit 3' TERM; touch up; while :; do sleep 0.05; done")
    eventually((solo.home / "up").exists, "did not start")
    solo.call("cancel", ids=[1])
    assert solo.wait_job()["ranks"][0]["exit_code"] == 3


def test_process_table_without_proc(monkeypatch, tmp_path):
    """Where there is no /proc, `ps` gives the same rows, identities and environments."""
    import os
    import subprocess

    from skynb_agent import processes

    child = subprocess.Popen(["sleep", "30"], env={"SKYNB_JOB": "a b/1/0", "X": "1"}, start_new_session=True)
    try:
        seen = processes.look(child.pid)
        monkeypatch.setattr(processes, "PROC", tmp_path)
        row = processes.look(child.pid)
        assert row is not None
        assert seen is not None
        assert (row.pid, row.parent, row.group, row.zombie) == (seen.pid, os.getpid(), child.pid, False)
        assert processes.carrying({"SKYNB_JOB": "a b/1/0"}, [child.pid]) == {child.pid}
        assert not processes.carrying({"SKYNB_JOB": "a b/1"}, [child.pid])
        assert processes.is_same(child.pid, row.started, {})
        assert not processes.is_same(child.pid, "another time", {})
        assert child.pid in processes.members(
            processes.Owner({"SKYNB_JOB": "a b/1/0"}, child.pid, row.started)
        )
    finally:
        child.kill()
        child.wait()
