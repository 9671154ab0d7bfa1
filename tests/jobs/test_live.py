"""Managed jobs on a real server and real machines of infra `local`: SDK and command line."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

import skynb
from skynb import jobs
from skynb.cli.terminal import run
from skynb.client import sdk
from skynb.client import server as daemon
from skynb.client.waiting import until
from skynb.errors import ConflictError, JobFailed, NoOfferError, NotFoundError, SpecError

pytestmark = pytest.mark.xdist_group("server")
HERE = {"infra": "local"}
CHAIN = """
name: pipe
---
name: first
resources: {infra: local}
run: echo one
---
name: second
resources: {infra: local}
run: echo two
"""
GROUP = """
name: pair
execution: parallel
primary_tasks: [trainer]
---
name: trainer
resources: {infra: local}
run: sleep 1; grep pair $SKYNB_HOSTS; echo trained as $SKYPILOT_JOBGROUP_NAME
---
name: watcher
resources: {infra: local}
run: sleep 600
"""


@pytest.fixture(autouse=True)
def _here(server):
    """Every test here needs the server."""


def machine_of(home: Path, cluster: str) -> dict:
    """The card of the only machine of a cluster."""
    cards = [json.loads(card.read_text()) for card in (home / "local").glob("*/machine.json")]
    (found,) = [card for card in cards if card["tags"]["skynb-cluster"] == cluster]
    return found


def running(number: int, attempt: int = 1) -> None:
    """Wait until the job's so-manieth attempt runs."""

    def look():
        job = jobs.get(number)
        assert not job.final, job
        return (job.status == "RUNNING" and len(job.tasks[0].attempts) == attempt) or None

    until(look, 60, f"job {number}")


def closed(number: int) -> None:
    until(lambda: jobs.get(number).closed or None, 60, f"the end of job {number}")


def test_a_job_runs_and_leaves_nothing():
    """Handed over, it rents, runs, tells its number, ends, and gives its machines back."""
    handle = jobs.launch(
        {"name": "hi", "resources": HERE, "run": "echo job $SKYPILOT_MANAGED_JOB_ID of $SKYNB_ATTEMPT"}
    )
    (number,) = handle.job_ids
    assert list(handle) == [f"job {number} of 1"]
    (job,) = handle.result(timeout=30)
    assert (job.status, job.recoveries, job.name) == ("SUCCEEDED", 0, "hi")
    closed(number)
    assert sdk.status(job.tasks[0].attempts[0].cluster) == []


def test_a_job_survives_its_machine_and_the_server(server):
    """The machine is killed, then the server: one continuous log, one end, each attempt told."""
    script = "echo begin $SKYNB_ATTEMPT; [ $SKYNB_ATTEMPT = 1 ] && sleep 600; sleep 4; echo end"
    handle = jobs.launch({"name": "tough", "resources": HERE, "run": script})
    number = handle.job_id
    lines = iter(handle)
    assert next(lines) == "begin 1"
    os.kill(machine_of(server.home, f"tough-{number}")["init_pid"], signal.SIGKILL)
    running(number, attempt=2)
    os.kill(json.loads((server.home / "server.json").read_text())["pid"], signal.SIGKILL)
    assert list(lines) == ["--- attempt 2 ---", "begin 2", "end"]
    job = jobs.wait(number, timeout=60)
    assert (job.status, job.recoveries) == ("SUCCEEDED", 1)
    assert [one.ended_by for one in job.tasks[0].attempts] == ["lost", "done"]
    told = str(jobs.why(number))
    assert "machines were lost 1 times" in told
    assert "attempt 2 did the work" in told


def test_a_log_goes_on_where_a_reader_was():
    """Interrupted by a server that is stopped, nothing is lost and nothing comes twice."""
    handle = jobs.launch(
        {"name": "count", "resources": HERE, "run": "for n in $(seq 20); do echo $n; sleep 0.1; done"}
    )
    lines = iter(handle)
    first = [next(lines) for _ in range(3)]
    daemon.stop()
    assert first + list(lines) == [str(n) for n in range(1, 21)]
    assert list(jobs.tail_logs(handle.job_id, tail=2)) == ["19", "20"]


def test_a_chain_and_its_failure():
    """One after the other; what comes after a failure does not run, and the verdict names the task."""
    handle = jobs.launch(CHAIN)
    assert list(handle) == ["--- first: attempt 1 ---", "one", "--- second: attempt 1 ---", "two"]
    assert handle.result(timeout=30)[0].status == "SUCCEEDED"
    assert list(jobs.tail_logs(handle.job_id, task="second")) == ["--- second: attempt 1 ---", "two"]
    broken = jobs.launch(CHAIN.replace("echo one", "exit 7"))
    (job,) = broken.wait(timeout=30)
    assert job.status == "FAILED"
    assert "first" in job.reason
    assert "7" in job.reason
    assert [task.status for task in job.tasks] == ["FAILED", "CANCELLED"]
    with pytest.raises(JobFailed):
        broken.result()


def test_a_group_lasts_as_long_as_its_primary_job():
    """Side by side; the other one ends after it."""
    handle = jobs.launch(GROUP)
    (job,) = handle.result(timeout=60)
    assert [task.status for task in job.tasks] == ["SUCCEEDED", "CANCELLED"]
    lines = list(jobs.tail_logs(job.id, task="trainer"))
    names = [line.split()[1] for line in lines if line.endswith(".pair")]
    assert (names, lines[-1]) == (["trainer-0.pair", "watcher-0.pair"], "trained as pair")


def test_an_array_has_ranks_and_one_name():
    """`num_jobs` jobs of the same, each told its rank; a cancel by name reaches all."""
    handle = jobs.launch(
        {"name": "sweep", "resources": HERE, "run": "echo rank $SKYPILOT_JOB_RANK"}, num_jobs=3
    )
    found = handle.result(timeout=60)
    assert [job.rank for job in found] == [0, 1, 2]
    assert [list(jobs.tail_logs(job.id)) for job in found] == [[f"rank {rank}"] for rank in range(3)]
    sleepers = jobs.launch({"name": "asleep", "resources": HERE, "run": "sleep 600"}, num_jobs=2)
    assert jobs.cancel(name="asleep") == sleepers.job_ids
    assert {job.status for job in sleepers.wait(timeout=60)} == {"CANCELLED"}


def test_restarts_and_exit_codes():
    """A failure is tried again as often as was asked for; the codes that are named count for nothing."""
    wish = HERE | {"job_recovery": {"max_restarts_on_errors": 1, "recover_on_exit_codes": [42]}}
    script = "n=$(cat tries || echo 0); echo $((n+1)) > tries; [ $n = 0 ] && exit 42; exit 1"
    (job,) = jobs.launch({"name": "again", "resources": wish, "run": script}).wait(timeout=60)
    assert job.status == "FAILED"
    assert (job.tasks[0].restarts, job.tasks[0].attempts[0].jobs, job.recoveries) == (1, [1, 2, 3], 0)


def test_files_and_secrets_reach_every_attempt(server, tmp_path):
    """What was there when the job was handed over is what each attempt gets, and nothing of it stays."""
    (tmp_path / "data.txt").write_text("as it was")
    task = skynb.Task(
        name="files", workdir=str(tmp_path), secrets={"KEY": "s3cret-canary"}, resources=HERE,
        run="cat data.txt; echo; echo ${#KEY}; [ $SKYNB_ATTEMPT = 1 ] && sleep 600; true",
    )  # fmt: skip
    handle = jobs.launch(task)
    (tmp_path / "data.txt").write_text("edited")
    lines = iter(handle)
    assert [next(lines), next(lines)] == ["as it was", "13"]
    os.kill(machine_of(server.home, f"files-{handle.job_id}")["init_pid"], signal.SIGKILL)
    assert list(lines) == ["--- attempt 2 ---", "as it was", "13"]
    closed(handle.job_id)
    assert list((server.home / "snapshots").glob("snapshot-*")) == []
    assert not [path for path in server.home.rglob("*.db*") if b"s3cret-canary" in path.read_bytes()]


def test_a_cluster_of_a_job_is_the_jobs():
    """Nobody else may stop it, run on it or take it down; the refusal says what to do."""
    handle = jobs.launch({"name": "mine", "resources": HERE, "run": "sleep 600"})
    running(handle.job_id)
    name = f"mine-{handle.job_id}"
    for deed in (
        sdk.down,
        sdk.start,
        lambda one: sdk.exec({"run": "true"}, one),
        lambda one: sdk.cancel(one, all=True),
    ):
        with pytest.raises(ConflictError, match="managed job"):
            deed(name)
    assert name not in [one.name for one in sdk.status()]
    assert [one.name for one in sdk.status(name)] == [name]
    handle.cancel()
    assert handle.wait(timeout=60)[0].status == "CANCELLED"


def test_a_deadline_ends_a_job():
    """Wherever it is then."""
    handle = jobs.launch({"name": "late", "resources": HERE, "run": "sleep 600"}, deadline_hours=3 / 3600)
    (job,) = handle.wait(timeout=60)
    assert (job.status, job.reason) == ("FAILED", "the deadline has passed")


@pytest.mark.parametrize(
    ("task", "options", "error", "words"),
    [
        ({"resources": HERE}, {}, SpecError, "nothing to run"),
        ({"resources": HERE, "run": "x"}, {"priority": 1001}, SpecError, "priority"),
        ({"resources": HERE, "run": "x"}, {"num_jobs": 0}, SpecError, "num_jobs"),
        ({"resources": HERE, "run": "x"}, {"budget": 0}, SpecError, "budget"),
        ({"resources": HERE, "run": "x"}, {"deadline_hours": -1}, SpecError, "deadline"),
        ({"resources": HERE, "run": "x"}, {"recovery": "HOPE"}, SpecError, "CHEAPEST"),
        ({"resources": HERE, "run": "x"}, {"name": "a/b"}, SpecError, "name"),
        ({"resources": HERE | {"job_recovery": "HOPE"}, "run": "x"}, {}, SpecError, "HOPE"),
        ({"resources": HERE | {"cpus": "9000+"}, "run": "x"}, {}, NoOfferError, "9000"),
        ({"resources": HERE, "run": "x", "workdir": "/nowhere"}, {}, SpecError, "workdir"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(task, options, error, words):
    """One clear message, and no job is there after it."""
    before = jobs.queue(limit=1)
    with pytest.raises(error, match=words):
        jobs.launch(task, **options)
    assert [job.id for job in jobs.queue(limit=1)] == [job.id for job in before]


def test_questions_about_jobs_that_are_not_there():
    """They are named, by number and by name."""
    for ask in (jobs.get, jobs.why, lambda job: jobs.wait(job, 1), lambda job: list(jobs.tail_logs(job))):
        for job in (10**9, "no-such-job"):
            with pytest.raises(NotFoundError, match=str(job)):
                ask(job)
    with pytest.raises(NotFoundError, match=str(10**9)):
        jobs.cancel([10**9])
    with pytest.raises(SpecError):
        jobs.cancel()
    with pytest.raises(SpecError, match="status"):
        jobs.queue(statuses=["DOING"])


def test_the_command_line(capsys):
    """Launch exits as the job did; queue pages and filters; the others take numbers and names."""
    assert run(["jobs", "launch", "-y", "-n", "line", "--infra", "local", "echo out; exit 4"]) == 100
    out, err = capsys.readouterr()
    assert "out\n" in out
    assert "FAILED" in err
    assert run(["jobs", "queue", "-n", "line", "-s", "failed", "-l", "1", "-o", "json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)
    assert (job["name"], job["status"]) == ("line", "FAILED")
    number = str(job["id"])
    assert run(["jobs", "logs", "line", "--no-follow"]) == 100
    assert capsys.readouterr().out == "out\n"
    assert run(["jobs", "logs", number, "--controller"]) == 0
    assert "its turn came" in capsys.readouterr().out
    assert run(["jobs", "why", number]) == 0
    assert "exited with code 4" in capsys.readouterr().out
    assert run(["jobs", "launch", "-d", "-y", "-n", "line2", "--infra", "local", "sleep 600"]) == 0
    capsys.readouterr()
    assert run(["jobs", "cancel", "-y", "--name", "line2"]) == 0
    assert "CANCEL" in capsys.readouterr().out
    assert jobs.wait("line2", timeout=60).status == "CANCELLED"
    assert run(["jobs", "queue", number]) == 0
    assert run(["jobs", "queue", "999999999"]) == 1
    capsys.readouterr()
    for words, shown in (
        (["--after", "1h"], True),
        (["--before", "1h"], False),
        (["--after", "2999-01-01"], False),
        (["--infra", "local"], True),
        (["--infra", "loc"], False),
        (["--infra", "aws"], False),
    ):
        assert run(["jobs", "queue", "-n", "line", "-o", "json", *words]) == 0
        assert bool(json.loads(capsys.readouterr().out)) is shown, words
    assert run(["jobs", "queue", "--before", "soon"]) == 2
    assert run(["jobs", "launch", "--dryrun", "--infra", "local", "true"]) == 0
    assert "this-machine" in capsys.readouterr().out
