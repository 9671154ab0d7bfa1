"""Leases, autostop and the end of a node."""

from __future__ import annotations

import time

import pytest

from skynb_agent import processes


def _end(folder):
    return {mode: ["/bin/sh", "-c", f"echo {mode} >> {folder}/ended-$0", "x"] for mode in ("stop", "down")}


def _ended(cluster):
    return {path.name: path.read_text() for path in cluster.folder.glob("ended-*")}


def _with_end(cluster):
    return {"end": _end(cluster.folder)}


def test_an_expired_presence_lease_ends_an_idle_node(make_cluster, eventually):
    """Nobody calls for presence_s and nothing runs: config end.down runs and the agent leaves."""
    cluster = make_cluster()
    (node,) = cluster.start(lease={"presence_s": 1.5}, **_with_end(cluster))
    eventually(lambda: _ended(cluster) == {"ended-x": "down\n"}, "the node did not end itself")
    eventually(lambda: not (node.root / "agent.sock").exists(), "the agent is still there")


def test_running_work_outlives_the_presence_lease(make_cluster, eventually):
    """With a job running the node stays, and ends after the job."""
    cluster = make_cluster()
    (node,) = cluster.start(lease={"presence_s": 1}, **_with_end(cluster))
    node.submit(run="sleep 2.5; date +%s.%N > done")
    eventually(lambda: _ended(cluster), "the node did not end itself")
    assert (node.home / "done").exists()


def test_a_spent_envelope_ends_running_work(make_cluster, eventually):
    """The envelope bounds work while the server is away."""
    cluster = make_cluster()
    (node,) = cluster.start(**_with_end(cluster))
    node.submit(run="sleep 60")
    assert node.call("lease_renew", presence_s=600, envelope_s=1)["envelope_s"] == 1
    eventually(lambda: _ended(cluster) == {"ended-x": "down\n"}, "the node did not end itself")
    assert not node.marked()


def test_any_call_renews(make_cluster):
    """A node that is called stays, though its lease is short."""
    cluster = make_cluster()
    (node,) = cluster.start(lease={"presence_s": 2}, **_with_end(cluster))
    for _ in range(15):
        assert node.call("status")["lease"]["remaining_s"] > 0
        time.sleep(0.2)
    assert not _ended(cluster)


def test_autostop_is_reported_and_the_server_acts(solo, eventually):
    """While the server is in touch, a due autostop is only reported; a job resets the clock."""
    solo.submit(run="sleep 60")
    solo.wait_job("RUNNING")
    solo.call("autostop_set", idle_minutes=0.01, down=True, wait_for="jobs")
    idle = solo.call("status")["idle"]
    assert (idle["busy"], idle["due"]) == (["jobs"], False)
    solo.call("cancel", ids="all")
    eventually(lambda: solo.call("status")["idle"]["due"], "autostop is not due")
    assert solo.call("status")["idle"]["action"] == "down"
    solo.submit(2, run="true")
    solo.wait_job("SUCCEEDED", number=2)
    assert solo.call("status")["idle"]["idle_s"] < 1
    solo.call("autostop_set", idle_minutes=None)
    assert solo.call("status")["idle"]["action"] is None


def test_services_keep_a_node_busy_unless_marked(solo):
    """An ordinary service counts as busy; one with idle_ok does not."""
    solo.call("service_start", name="a", argv=["sleep", "60"])
    solo.call("service_start", name="b", argv=["sleep", "60"], idle_ok=True)
    assert solo.call("status")["idle"]["busy"] == ["service:a"]


@pytest.mark.parametrize("mode", ["stop", "down"])
def test_end_reaches_every_node(make_cluster, eventually, mode):
    """`end` on the head ends jobs and services everywhere, runs each node's command, and the agents leave."""
    cluster = make_cluster(2)
    port = cluster.add(0, end=_end(cluster.folder)).start()["head_port"]
    cluster.nodes[0].config["end"][mode][-1] = "head"
    cluster.add(1, head={"host": "127.0.0.1", "port": port}, end=_end(cluster.folder)).start()
    cluster.wait_joined()
    head, worker = cluster.nodes
    head.submit(num_nodes=2, run="touch up; sleep 60")
    worker.call("service_start", name="s", argv=["sleep", "60"])
    eventually((worker.home / "up").exists, "did not start")
    assert head.call("end", mode=mode)["accepted"]
    eventually(lambda: _ended(cluster).get("ended-x") == f"{mode}\n{mode}\n", "a command did not run")
    for node in (head, worker):
        eventually(lambda node=node: not (node.root / "agent.sock").exists(), "the agent is still there")
        assert not node.marked()
    head.start()
    assert head.job()["state"] == "CANCELLED"
    assert "the cluster is ending" in head.job()["reason"]


def test_an_ending_node_takes_no_work(make_cluster, refused):
    """After `end` was accepted, new jobs are refused."""
    cluster = make_cluster()
    (node,) = cluster.start(end={"stop": ["false"]})
    line = node.line()
    line.call("end", mode="stop")
    with pytest.raises(refused, match="ending"):
        line.call("submit", job={"id": 1, "run": "true", "num_nodes": 1})
    with pytest.raises(refused, match="ending"):
        line.call("service_start", name="s", argv=["true"])


def test_the_head_acts_by_itself_only_when_the_server_is_away(monkeypatch, tmp_path):
    """Silent for over a minute and due: the action. In touch and due: nothing. Terms persist."""
    from skynb_agent import watchdog

    now = [1000.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now[0])
    dog = watchdog.Watchdog(tmp_path, {"presence_s": 10_000}, list, lambda: False)
    dog.arm(1, down=False, wait_for="jobs")
    for _ in range(100):
        now[0] += 1
        dog.heard()
        assert dog.tick() is None
    assert dog.status()["idle"]["due"]
    now[0] += 61
    assert dog.tick() == ("stop", "autostop is due and the server is away")
    again = watchdog.Watchdog(tmp_path, {}, list, lambda: False)
    assert (again.idle_terms.idle_minutes, again.lease_terms.presence_s) == (1, 10_000)
    assert again.tick() is None
    now[0] += 10_000
    assert again.tick() == ("down", "the presence lease has run out")


def test_a_worker_hears_of_the_server_through_the_head(monkeypatch, tmp_path):
    """The head's ping renews a worker's lease and hands on its terms."""
    from skynb_agent import watchdog

    now = [0.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now[0])
    dog = watchdog.Watchdog(tmp_path, {"presence_s": 5}, list, lambda: False)
    now[0] = 100.0
    dog.take_contact({"contact_s": 2.0, "lease": [7, None]})
    assert dog.status()["lease"]["remaining_s"] == 5
    assert dog.tick() is None


def test_an_unreachable_worker_does_not_keep_the_others_up(make_cluster, eventually):
    """`end` with one worker's agent dead: the other worker is still told and runs its command."""
    cluster = make_cluster(3)
    head, lost, other = cluster.start(**_with_end(cluster))
    lost.kill9()
    head.call("end", mode="down")
    for node in (head, other):
        eventually(lambda node=node: not (node.root / "agent.sock").exists(), "an agent is still there")
    assert _ended(cluster)["ended-x"] == "down\ndown\n"


def test_a_failing_end_command_is_tried_again(make_cluster, eventually):
    """A command that fails at once leaves the agent up, and the log says so."""
    cluster = make_cluster()
    (node,) = cluster.start(end={"down": ["false"]})
    node.call("end", mode="down")
    eventually(lambda: "the end command failed" in (node.root / "agent.log").read_text(), "nothing was said")
    assert node.call("hello")["ending"] == "down"


def test_an_agent_whose_folder_is_gone_leaves(make_cluster, eventually):
    """Whoever deletes a node's folder leaves no agent behind that serves nothing."""
    cluster = make_cluster()
    (node,) = cluster.start()
    pid = node.call("hello")["pid"]
    assert _is_running(pid)
    away = node.root.with_name("away")
    node.root.rename(away)
    try:
        eventually(lambda: not _is_running(pid), "the agent is still there")
    finally:
        away.rename(node.root)


def _is_running(pid: int) -> bool:
    found = processes.look(pid)
    return found is not None and not found.zombie
