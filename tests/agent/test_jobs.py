"""One head's queue: slots, order, what jobs see, what stays secret."""

from __future__ import annotations

import base64
import json

import pytest


def test_gpus_are_exclusive_and_fractions_share(solo, eventually):
    """Whole GPUs go to one job each; two halves share one; CUDA_VISIBLE_DEVICES tells which."""
    show = 'echo "gpus=$CUDA_VISIBLE_DEVICES n=$SKYPILOT_NUM_GPUS_PER_NODE"'
    hold = f"{show}; touch up-$SKYNB_INTERNAL_JOB_ID; sleep 60"
    for number, gpus in ((1, 1), (2, 0.5), (3, 0.5), (4, 1)):
        solo.submit(number, run=hold, gpus_per_node=gpus)
    for number in (1, 2, 3):
        eventually((solo.home / f"up-{number}").exists, f"job {number} did not start")
    assert [solo.log(number) for number in (1, 2, 3)] == ["gpus=0 n=1\n", "gpus=1 n=1\n", "gpus=1 n=1\n"]
    assert solo.job(4)["state"] == "PENDING"
    solo.call("cancel", ids=[1], grace_s=1)
    eventually((solo.home / "up-4").exists, "job 4 did not start")
    assert solo.log(4) == "gpus=0 n=1\n"


def test_priority_then_order_then_backfill(solo):
    """Higher priority first, then as submitted; a small job passes only if it delays nobody."""
    mark = "echo $SKYNB_INTERNAL_JOB_ID >> order; sleep 0.2"
    solo.submit(1, run="sleep 0.8; " + mark, cpus_per_node=5)
    solo.submit(2, run=mark, cpus_per_node=8)
    solo.submit(3, run=mark, cpus_per_node=8, priority=5)
    solo.submit(4, run=mark, cpus_per_node=3)  # would fit now, but job 3 needs the whole node
    for number in (1, 2, 3, 4):
        assert solo.wait_job(number=number)["state"] == "SUCCEEDED"
    assert (solo.home / "order").read_text().split() == ["1", "3", "2", "4"]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"num_nodes": 2}, "asks for 2 nodes and the cluster has 1"),
        ({"gpus_per_node": 3}, "3 GPUs on a node and the largest node has 2"),
        ({"cpus_per_node": 9}, "9 CPUs on a node and the largest node has 8"),
    ],
)
def test_a_job_that_can_never_fit(solo, refused, ask, said):
    """It is refused at submit with the reason, and leaves nothing behind."""
    with pytest.raises(refused, match=said) as caught:
        solo.submit(**ask)
    assert caught.value.code == "never-fits"
    assert solo.call("jobs")["jobs"] == []


def test_submit_is_idempotent_by_content(solo, refused):
    """The same id and content answers the job; other content is a conflict; nonsense a bad request."""
    first = solo.submit()
    assert solo.submit()["id"] == first["id"]
    with pytest.raises(refused, match="conflict"):
        solo.submit(run="false")
    with pytest.raises(refused, match="bad-request"):
        solo.call("submit", job={"name": "no id"})
    with pytest.raises(refused, match="bad-request"):
        solo.submit(2, num_nodes="many")
    assert [job["id"] for job in solo.call("jobs")["jobs"]] == [1]


def test_workers_have_no_queue(make_cluster, refused):
    """Queue methods on a worker say that only the head has one."""
    with pytest.raises(refused, match="not-head"):
        make_cluster(2).start()[1].submit()


def test_a_job_without_run(solo):
    """Setup only: SUCCEEDED after setup."""
    solo.submit(setup="echo done", run=None)
    assert solo.wait_job()["state"] == "SUCCEEDED"
    assert solo.log() == "done\n"


def test_what_a_job_sees(solo, monkeypatch):
    """Variables of both names, its own, the cluster's, and nothing of the agent's environment."""
    solo.verb("stop")
    monkeypatch.setenv("LEAKED", "from the server's shell")
    solo.start()
    (solo.home / "sky_workdir").mkdir()
    solo.submit(
        run="pwd; env -0 | tr '\\n\\0' '|\\n'", env={"MINE": "1"}, secret_env={"KEY": "k"}, workdir=True
    )
    solo.wait_job("SUCCEEDED")
    cwd, *lines = solo.log().splitlines()
    env = dict(line.split("=", 1) for line in lines)
    assert cwd == str(solo.home / "sky_workdir")
    assert (env["MINE"], env["KEY"], env["FROM_CONFIG"], env["HOME"]) == ("1", "k", "yes", str(solo.home))
    for prefix in ("SKYPILOT", "SKYNB"):
        assert env[f"{prefix}_NODE_RANK"] == "0"
        assert env[f"{prefix}_NUM_NODES"] == "1"
        assert env[f"{prefix}_NUM_GPUS_PER_NODE"] == "0"
        assert env[f"{prefix}_TASK_ID"] == "t1"
        assert env[f"{prefix}_NODE_IPS"] == "127.0.0.1"
        assert json.loads(env[f"{prefix}_CLUSTER_INFO"])["cluster_name"] == "c"
    assert "LEAKED" not in env
    assert "SKYPILOT_SETUP_NODE_RANK" not in env


def test_setup_sees_the_setup_variables(solo):
    """SETUP_ names in setup, plain ones in run, as SkyPilot has it."""
    solo.submit(setup="echo $SKYPILOT_SETUP_NODE_RANK-$SKYPILOT_NODE_RANK-$SKYPILOT_SETUP_NUM_GPUS_PER_NODE")
    solo.wait_job("SUCCEEDED")
    assert solo.log() == "0--0\n"


SAME = "skynb: setup is as it was on this node, skipped (--fresh-setup runs it)\n"


def test_the_same_setup_runs_once(solo):
    """Skipped where nothing that it rests on has changed, said in the log; run where anything has."""
    given = {
        "setup": "echo set",
        "run": "echo run",
        "setup_key": "k",
        "env": {"A": "1"},
        "secret_env": {"S": "1"},
    }
    changes = [
        {},
        {},
        {"env": {"A": "2"}},
        {"secret_env": {"S": "2"}},
        {"setup_key": "l"},
        {"setup": "echo  set"},
    ]
    changes += [{"setup": "echo  set"}, {"setup": "echo  set", "setup_key": None}]
    ran = []
    for number, change in enumerate(changes, 1):
        solo.submit(number, **{**given, **change})
        solo.wait_job("SUCCEEDED", number=number)
        log = solo.log(number)
        assert log in {"set\nrun\n", f"{SAME}run\n"}
        ran.append(log.startswith("set"))
    assert ran == [True, False, True, True, True, True, False, True]


def test_a_setup_that_failed_or_left_something_running_runs_again(solo):
    """Later jobs could miss what it started, or what it did not get done."""
    for number, (script, state) in enumerate(
        [("exit 3", "FAILED_SETUP"), ("exit 3", "FAILED_SETUP"), ("sleep 60 & echo up", "SUCCEEDED")] * 2, 1
    ):
        solo.submit(number, setup=script, run="true", setup_key="k")
        solo.wait_job(state, number=number)
        assert SAME not in solo.log(number)


def test_secrets_stay_in_their_files(make_cluster):
    """A canary in secret_env reaches the job and 0600 files only; when the job is final, nothing."""
    canary = "canary-7f3a9c1e-zebra"
    cluster = make_cluster(2)
    nodes = cluster.start()
    line = nodes[0].line()
    line.call("watch", rev=0)
    nodes[0].submit(num_nodes=2, run='[ -n "$S" ] && touch up; sleep 0.5', secret_env={"S": canary})
    for node in nodes:
        _until_exists(node)
        found = _holding(node, canary)
        assert found, "the job could not have seen its secret after a restart"
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in found)
        assert {path.name for path in found} == {"secrets.json"}
    job = nodes[0].wait_job("SUCCEEDED")
    assert canary not in json.dumps([job, nodes[0].call("status"), nodes[0].call("hello")])
    line.call("ping")
    assert canary not in repr(line.frames)
    for node in nodes:
        assert not _holding(node, canary)
        assert not _holding(node, base64.b64encode(canary.encode()).decode())
    nodes[0].submit(2, run="sleep 60", secret_env={"S": canary})
    nodes[0].call("cancel", ids=[2], grace_s=1)
    nodes[0].wait_job("CANCELLED", number=2)
    assert not _holding(nodes[0], canary)


def _until_exists(node):
    import time

    deadline = time.monotonic() + 10
    while not (node.home / "up").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _holding(node, text):
    found = [p for p in node.root.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]
    return [path for path in found if path.exists()]
