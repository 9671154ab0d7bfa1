"""Pools on a real server and real machines of infra `local`: SDK, command line and cell."""

from __future__ import annotations

import json
import os
import signal

import pytest

from skynb import jobs
from skynb.cli.terminal import run
from skynb.client.waiting import until
from skynb.errors import ConflictError, NotFoundError, SpecError
from skynb_magics import cell

pytestmark = pytest.mark.xdist_group("server")
HERE = {"infra": "local"}
READY = {"resources": HERE, "setup": "echo made > ~/made"}
POOL = """
pool: {workers: 1}
resources: {infra: local}
setup: echo made > ~/made
"""
WORK = {"name": "work", "resources": HERE, "run": "cat ~/made; echo $HOSTNAME >> ~/made"}


@pytest.fixture(autouse=True)
def _here(server):
    """Every test here needs the server; no pool outlives its test."""
    yield
    jobs.cancel(all=True)
    for pool in jobs.pool_status():
        until(lambda name=pool.name: down(name), 60, f"the end of pool {pool.name}")


def down(name):
    """True once a pool is gone."""
    try:
        jobs.pool_down([name])
    except ConflictError:
        return None  # its jobs are being cancelled
    except NotFoundError:
        return True
    return None


def ready(name, count=1):
    def look():
        (pool,) = jobs.pool_status([name])
        return pool if sum(one.status == "READY" for one in pool.workers) == count else None

    return until(look, 60, f"pool {name}")


def test_a_worker_is_set_up_once_and_lent_to_one_job_after_another():
    """The second job finds what the first one left, and no machine of its own."""
    jobs.pool_apply(READY, "warm", workers=1)
    pool = ready("warm")
    assert "on a worker of its pool" in str(jobs.launch(WORK, pool="warm", dryrun=True))
    assert list(jobs.launch(WORK, pool="warm")) == ["made"]
    second = jobs.launch(WORK, pool="warm")
    assert list(second) == ["made", "warm-w1-0"]
    (job,) = second.result(timeout=30)
    assert [one.cluster for one in job.tasks[0].attempts] == ["warm-w1"]
    assert job.settled_micro == 0
    assert [one.number for one in ready("warm").workers] == [one.number for one in pool.workers]
    with pytest.raises(ConflictError, match=r"no worker of pool 'warm' is what the task asks for.*vCPUs"):
        jobs.launch(WORK | {"resources": {"accelerators": "H100:8"}}, pool="warm")


def test_a_lost_worker_is_replaced_and_its_job_goes_on(server):
    """The machine is killed: the pool is whole again, and the job has its second attempt there."""
    jobs.pool_apply(READY, "tough", workers=1)
    ready("tough")
    script = "echo begin $SKYNB_ATTEMPT; [ $SKYNB_ATTEMPT = 1 ] && sleep 600; echo end"
    lines = iter(jobs.launch({"name": "job", "resources": HERE, "run": script}, pool="tough"))
    assert next(lines) == "begin 1"
    cards = [json.loads(card.read_text()) for card in (server.home / "local").glob("*/machine.json")]
    (card,) = [card for card in cards if card["tags"]["skynb-cluster"] == "tough-w1"]
    os.kill(card["init_pid"], signal.SIGKILL)
    assert list(lines) == ["--- attempt 2 ---", "begin 2", "end"]
    assert [one.cluster for one in ready("tough").workers if one.status == "READY"] == ["tough-w2"]


def test_another_setup_makes_another_worker():
    """Applied anew as it was, nothing changes; with another setup, a new worker takes the old one's place."""
    jobs.pool_apply(READY, "next", workers=1)
    ready("next")
    assert jobs.pool_apply(READY, "next", workers=1).version == 1
    assert jobs.pool_apply(READY | {"setup": "echo remade > ~/made"}, "next", workers=1).version == 2

    def replaced():
        (pool,) = jobs.pool_status(["next"])
        return [one.number for one in pool.workers if one.status == "READY"] == [2] or None

    until(replaced, 60, "the second worker")
    assert list(jobs.launch(WORK, pool="next")) == ["remade"]


def test_a_setup_that_fails_is_said_and_not_tried_for_ever():
    """After some workers the pool has failed, with the reason; nothing is left running."""
    jobs.pool_apply({"resources": HERE, "setup": "false"}, "bad", workers=1)

    def failed():
        (pool,) = jobs.pool_status(["bad"])
        return pool if pool.status == "FAILED" and not pool.workers else None

    assert until(failed, 120, "its end").reason == "setup on rank 0 exited with code 1"


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda: jobs.launch(WORK, pool="none"), NotFoundError, "there is no pool 'none'"),
        (lambda: jobs.launch(WORK, pool="none", dryrun=True), NotFoundError, "there is no pool 'none'"),
        (lambda: jobs.pool_apply(READY, "p"), SpecError, "the number of workers is missing"),
        (lambda: jobs.pool_apply(READY, "no_name", workers=1), SpecError, "is no name for a pool"),
        (lambda: jobs.launch(WORK, pool="x", budget=1), SpecError, "are not paid by the job"),
        (lambda: jobs.launch(READY | {"pool": {"workers": 1}}), SpecError, "this is a pool of workers"),
        (lambda: jobs.pool_down(["none"]), NotFoundError, "there is no pool 'none'"),
        (lambda: jobs.cancel(pool="none"), NotFoundError, "there is no pool 'none'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(ask, error, words):
    """Before anything is written."""
    with pytest.raises(error, match=words):
        ask()
    assert list(jobs.pool_status()) == []


def test_from_the_command_line(tmp_path, capfd):
    """apply, launch, a `down` that is refused while jobs go on, cancel, logs, down."""
    (tmp_path / "pool.yaml").write_text(POOL)
    assert run(["jobs", "pool", "apply", "-p", "cli", str(tmp_path / "pool.yaml"), "-y"]) == 0
    ready("cli")
    assert (
        run(["jobs", "launch", "-p", "cli", "-n", "slow", "-d", "-y", "--infra", "local", "sleep 600"]) == 0
    )
    until(lambda: [job for job in jobs.queue(name="slow") if job.status == "RUNNING"] or None, 60, "the job")
    capfd.readouterr()
    assert run(["jobs", "pool", "status"]) == 0
    assert "cli-w1: BUSY on local this-machine, job" in capfd.readouterr().out
    assert run(["down", "cli-w1", "-y"]) == 1
    assert "works for managed jobs" in capfd.readouterr().err
    assert run(["jobs", "pool", "down", "cli", "-y"]) == 1
    assert "skynb jobs cancel --pool cli" in capfd.readouterr().err
    assert run(["jobs", "cancel", "-p", "cli", "-y"]) == 0
    ready("cli")
    assert run(["jobs", "pool", "logs", "cli", "1"]) == 0
    assert run(["jobs", "pool", "down", "-a", "-y"]) == 0
    until(lambda: not list(jobs.pool_status()) or None, 60, "the end")
    assert run(["jobs", "pool", "down", "-y"]) == 2


def test_from_a_cell():
    """The cell is the pool."""
    (made,) = cell.run(None, "jobs pool apply -p cell", POOL)
    assert (made.name, made.least) == ("cell", 1)
    ready("cell")
    assert "READY" in str(cell.run(None, "jobs pool status", None))
