"""The SDK against a real server and real machines of infra `local`."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

import skynb
from skynb.client import sdk
from skynb.client import server as daemon
from skynb.errors import ConflictError, NotFoundError
from tests.support.site import until

pytestmark = pytest.mark.xdist_group("server")
HERE = {"infra": "local"}


@pytest.fixture(scope="module")
def pair(server):
    """A cluster of two nodes that several tests use."""
    skynb.launch(skynb.Task(num_nodes=2, resources=HERE), "pair").wait(timeout=60)
    return "pair"


def test_a_dry_run_plans_and_makes_nothing(server):
    """The server's plan comes back; no cluster is there after it."""
    found = skynb.launch({"run": "true", "resources": HERE}, "dry", dryrun=True)
    assert found.plan.choice.cloud == "local"
    assert "this-machine" in str(found)
    assert "dry" not in server.names()


def test_lines_of_two_nodes(pair):
    """Iterating gives whole lines with the rank, and ends with the job."""
    handle = skynb.exec(skynb.Task(num_nodes=2, run="printf ha; sleep 0.2; echo llo $SKYNB_NODE_RANK"), pair)
    assert "skynb cancel" in handle._repr_mimebundle_()["text/html"]
    assert sorted(handle) == ["(rank 0) hallo 0", "(rank 1) hallo 1"]
    assert handle.wait(timeout=10).status == "SUCCEEDED"
    assert handle.result().exit_codes == [0, 0]
    assert list(handle.logs(rank=1)) == ["hallo 1"]
    assert "SUCCEEDED" in repr(handle)
    assert "skynb cancel" not in repr(handle)


def test_await_inside_a_running_loop(pair):
    """Blocking calls and awaiting both work there, as in a notebook."""

    async def cell():
        handle = skynb.exec({"run": "echo hi"}, pair)
        return await handle

    assert asyncio.run(cell()).status == "SUCCEEDED"


def test_a_failed_job_raises_only_when_asked(pair):
    """wait() tells, result() raises JobFailed with the codes."""
    handle = skynb.exec({"run": "exit 3"}, pair)
    assert handle.wait(timeout=20).status == "FAILED"
    with pytest.raises(skynb.JobFailed) as caught:
        handle.result()
    assert caught.value.exit_codes == [3]


def test_tails_and_queues(pair):
    """The last lines, then what comes; the latest job by default; ended jobs on request."""
    handle = skynb.exec({"run": "seq 5; sleep 1; echo late"}, pair)
    lines = sdk.tail_logs(pair, handle.job_id)
    assert [next(lines) for _ in range(5)] == list("12345")
    assert list(skynb.tail_logs(pair, tail=2)) == ["4", "5", "late"]
    assert list(skynb.tail_logs(pair, tail=2, follow=False)) == ["5", "late"]
    assert skynb.queue(pair)[-1].id == handle.job_id
    assert handle.job_id not in [job.id for job in skynb.queue(pair, skip_finished=True)]
    assert skynb.job_status(pair, [handle.job_id, 99]) == {handle.job_id: "SUCCEEDED", 99: None}


def test_a_stream_survives_the_server(pair):
    """Killed and started again in the middle, it loses and repeats nothing."""
    handle = skynb.exec({"run": "for n in $(seq 20); do echo $n; sleep 0.1; done"}, pair)
    lines = iter(handle)
    first = [next(lines) for _ in range(3)]
    daemon.stop()
    assert first + list(lines) == [str(number) for number in range(1, 21)]


def test_cancel(pair):
    """The latest by default; a second time there is nothing to cancel."""
    handle = skynb.exec({"run": "sleep 60"}, pair)
    assert skynb.cancel(pair) == [handle.job_id]
    assert handle.wait(timeout=20).status == "CANCELLED"
    assert handle.cancel() is False
    assert skynb.cancel(pair) == []


def test_following_is_left_without_a_trace(pair):
    """Closing a follower ends its threads soon and leaves the job alone."""
    import threading

    handle = skynb.exec({"run": "sleep 60"}, pair)
    with handle.follow() as updates:
        next(iter(updates))
    deadline = time.monotonic() + 5
    while any(thread.name == "skynb-follow" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert handle.status() in {"INIT", "PENDING", "RUNNING"}
    assert handle.cancel()


def test_autostop_is_set_and_cleared(pair):
    """What was asked is what status shows."""
    assert skynb.autostop(pair, 30, down=True).autostop.idle_minutes == 30
    assert "30 min, down" in str(skynb.status(pair))
    assert skynb.autostop(pair, None).autostop is None


def test_stop_start_down(server):
    """Each waits until it is done; a cluster that is down is in the bill and in `all` only."""
    skynb.launch({"resources": HERE}, "cycle").wait(timeout=60)
    assert skynb.stop("cycle").status == "STOPPED"
    with pytest.raises(ConflictError, match="STOPPED"):
        skynb.exec({"run": "true"}, "cycle")
    assert skynb.start("cycle").status == "UP"
    assert skynb.down("cycle").final
    assert skynb.status("cycle") == []
    assert skynb.status("cycle", all=True)[0].status == "TERMINATED"
    assert "cycle" in [item.cluster for item in skynb.cost_report()]
    assert skynb.events("cycle")[-1].name == "cluster.ended"
    with pytest.raises(NotFoundError, match="'cycle'"):
        skynb.down("cycle")


def test_check(server):
    """The local infra is there."""
    assert [item.ok for item in skynb.check() if item.infra == "local"] == [True]


def test_a_refresh_looks_and_reading_does_not(server):
    """What is read is as old as it says; a refresh makes it new, and sees what happened outside at once."""
    skynb.launch(skynb.Task(resources=HERE), "looked").wait(timeout=60)
    skynb.stop("looked")
    (before,), (again,) = skynb.status("looked"), skynb.status("looked")
    assert before.observed_at == again.observed_at
    (now,) = skynb.status("looked", refresh=True)
    assert now.observed_at > before.observed_at
    skynb.start("looked")
    cards = [json.loads(card.read_text()) for card in (server.home / "local").glob("*/machine.json")]
    (pid,) = [card["init_pid"] for card in cards if card["tags"]["skynb-cluster"] == "looked"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists())  # it dies a moment after the signal
    (hurt,) = skynb.status("looked", refresh=True)
    assert hurt.nodes[0].status != "UP"
    with pytest.raises(NotFoundError):
        skynb.status("never-there", refresh=True)
    skynb.down("looked")


def test_a_setup_is_not_run_twice(server, tmp_path):
    """The same on a node that has had it: skipped and said so, run when asked, left out with `fast`."""
    (tmp_path / "requirements.txt").write_text("one\n")
    task = {"resources": HERE, "workdir": str(tmp_path), "setup": "echo set up", "run": "echo run"}
    skipped = "skynb: setup is as it was on this node, skipped (--fresh-setup runs it)"

    def lines(**options):
        return list(skynb.launch(task, "once", **options))

    assert lines() == ["set up", "run"]
    assert lines() == [skipped, "run"]
    assert lines(fresh_setup=True) == ["set up", "run"]
    assert lines(fast=True) == ["run"]
    assert lines() == ["set up", "run"]
    (tmp_path / "requirements.txt").write_text("two\n")
    assert lines() == ["set up", "run"]
    skynb.down("once")
