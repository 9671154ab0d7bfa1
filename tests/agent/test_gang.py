"""Jobs over several nodes: all ranks or none, one fate, over TLS."""

from __future__ import annotations

import pytest


def test_three_nodes_run_one_job(make_cluster):
    """Each rank sees its own number and the same addresses in order; setup has run before run."""
    head, *workers = make_cluster(3).start()
    head.submit(num_nodes=3, setup="echo ready", run='echo "rank=$SKYPILOT_NODE_RANK ips=$SKYPILOT_NODE_IPS"')
    job = head.wait_job()
    assert job["state"] == "SUCCEEDED", job
    assert [rank["node"] for rank in job["ranks"]] == [0, 1, 2]
    for node in (head, *workers):
        assert node.log(rank=node.rank) == f"ready\nrank={node.rank} ips=127.0.0.1\n127.0.0.2\n127.0.0.3\n"


def test_a_failing_rank_ends_the_others(make_cluster):
    """Rank 1 fails: rank 0 gets TERM and the reason names the rank and its exit code."""
    head, worker = make_cluster(2).start()
    fail = "if [ $SKYNB_NODE_RANK = 1 ]; then sleep 0.3; exit 7; fi"
    run = f"{fail}; trap 'echo termed; exit 0' TERM; sleep 60 & wait"
    head.submit(num_nodes=2, run=run)
    job = head.wait_job()
    assert (job["state"], job["reason"]) == ("FAILED", "rank 1 exited with code 7")
    assert head.log() == "termed\n"
    assert not head.marked()
    assert not worker.marked()


def test_failed_setup_runs_nothing(make_cluster):
    """One rank's setup fails: FAILED_SETUP, and no rank reaches its run script."""
    head, worker = make_cluster(2).start()
    head.submit(num_nodes=2, setup="exit $SKYPILOT_SETUP_NODE_RANK", run="touch ran")
    job = head.wait_job()
    assert (job["state"], job["reason"]) == ("FAILED_SETUP", "setup on rank 1 exited with code 1")
    assert not (head.home / "ran").exists()
    assert not (worker.home / "ran").exists()


def test_nothing_starts_if_one_rank_cannot_be_prepared(make_cluster):
    """A worker whose disk refuses the scripts: FAILED_DRIVER, and no other rank starts."""
    head, worker = make_cluster(2).start()
    (worker.root / "jobs" / "1").write_text("in the way")
    head.submit(num_nodes=2, run="touch ran")
    job = head.wait_job()
    assert job["state"] == "FAILED_DRIVER", job
    assert "rank 1 could not be started" in job["reason"]
    assert not (head.home / "ran").exists()
    (worker.root / "jobs" / "1").unlink()


def test_a_gang_waits_for_its_nodes(make_cluster):
    """A job for two nodes stays PENDING until the worker joins, then runs."""
    cluster = make_cluster(2)
    head = cluster.add(0)
    port = head.start()["head_port"]
    head.submit(num_nodes=2)
    assert head.job()["state"] == "PENDING"
    cluster.add(1, head={"host": "127.0.0.1", "port": port}).start()
    assert head.wait_job()["state"] == "SUCCEEDED"


def test_unreachable_is_not_dead_and_gone_is(make_cluster, eventually):
    """A killed worker agent leaves its rank RUNNING; only node_gone fails the job and ends the other rank."""
    head, worker = make_cluster(2).start()
    head.submit(num_nodes=2, run="sleep 60")
    head.wait_job("RUNNING")
    eventually(lambda: head.job()["ranks"][1]["state"] == "RUNNING", "rank 1 does not run")
    worker.kill9()
    eventually(lambda: head.call("hello")["workers"] == [], "the head did not notice")
    assert head.job()["state"] == "RUNNING"
    assert head.call("node_gone", rank=1, node_id=worker.node_id) == {"jobs": [1]}
    job = head.wait_job()
    assert (job["state"], job["reason"]) == ("FAILED", "node 1 was lost")
    assert not head.marked()
    worker.start()
    eventually(lambda: not worker.marked(), "a node that was declared lost still works")
    assert head.call("hello")["workers"] == []


def test_a_moved_head_is_found_again(make_cluster, eventually):
    """`configure` with another head address makes a worker dial there without a restart."""
    cluster = make_cluster(2)
    port = cluster.add(0).start()["head_port"]
    worker = cluster.add(1, head={"host": "127.0.0.1", "port": 1})
    worker.start()
    worker.call("configure", head={"host": "127.0.0.1", "port": port}, something_newer=True)
    cluster.wait_joined()
    eventually(lambda: worker.call("hello")["joined"], "the worker does not know that it joined")


def test_foreign_certificate_is_refused(make_cluster, foreign_authority, eventually):
    """A worker whose certificate another authority signed never joins."""
    cluster = make_cluster(2)
    port = cluster.add(0).start()["head_port"]
    tls = foreign_authority.issue(f"{cluster.id}-1")
    worker = cluster.add(1, head={"host": "127.0.0.1", "port": port}, tls=tls)
    worker.start()
    _says(worker, "the head", eventually)
    assert cluster.nodes[0].call("hello")["workers"] == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"generation": 0}, "generation 0 is stale"),
        ({"node_id": "somebody-else"}, "certificate is another node's"),
        ({"cluster_id": "other"}, "belongs to another cluster"),
        ({"rank": 5}, "no worker of rank 5"),
    ],
)
def test_a_wrong_peer_is_refused(make_cluster, authority, eventually, overrides, said):
    """A stale generation, a name that is not the certificate's, another cluster, an impossible rank."""
    cluster = make_cluster(2)
    port = cluster.add(0).start()["head_port"]
    facts = {"head": {"host": "127.0.0.1", "port": port}, "tls": authority.issue(f"{cluster.id}-1")}
    worker = cluster.add(**{"rank": 1, "node_id": f"{cluster.id}-1", **facts, **overrides})
    worker.start()
    _says(worker, said, eventually)
    assert cluster.nodes[0].call("hello")["workers"] == []


def test_a_newer_generation_replaces_a_node(make_cluster, eventually):
    """The replacement of a worker joins under the same rank; what ran on the old one is lost."""
    cluster = make_cluster(2)
    head, worker = cluster.start()
    head.submit(num_nodes=2, run="sleep 60")
    eventually(lambda: head.job()["ranks"] and head.job()["ranks"][1]["state"] == "RUNNING", "does not run")
    port = head.call("hello")["head_port"]
    new = cluster.add(
        1, suffix="b", node_id=f"{cluster.id}-1b", generation=2, head={"host": "127.0.0.1", "port": port}
    )
    new.start()
    assert head.wait_job()["reason"] == "node 1 was lost"
    head.submit(2, num_nodes=2)
    assert head.wait_job(number=2)["state"] == "SUCCEEDED"
    _says(worker, "stale", eventually)


def _says(node, words, eventually):
    eventually(lambda: words in (node.root / "agent.log").read_text(), f"the agent did not say {words!r}")
