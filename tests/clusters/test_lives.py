"""Real lives of local clusters that need no killing: idleness, leases, working folders, secrets, queues."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.parse

import pytest

from skynb.client import server
from skynb.control.ledger import Ledger
from skynb.spec import Task
from skynb.wire import AutostopRequest, CancelRequest, ClusterInfo, LaunchAnswer, LaunchRequest
from skynb_clusters.providers import processes
from skynb_clusters.records import ClusterSpec
from tests.support.site import Site, site, until


@pytest.fixture(scope="module")
def here():
    with site() as made:
        yield made


def up(here: Site, name: str) -> ClusterInfo:
    return until(lambda: (found := here.cluster(name)).status == "UP" and found)


def ended(here: Site, name: str, number: int):
    return until(lambda: (job := here.job(name, number)).logs_complete and job)


def test_autostop_ends_an_idle_cluster_and_says_why(here):
    """Asked to go down after no idle time at all: the job runs whole, then the cluster is ended."""
    config, secrets = Task(run="sleep 0.5; echo done", resources={"infra": "local"}).to_wire()
    request = LaunchRequest(
        task=config, secrets=secrets, cluster_name="idle", autostop=AutostopRequest(idle_minutes=0, down=True)
    )
    here.http.call("POST", "/clusters", LaunchAnswer, body=request)
    final = until(lambda: (found := here.cluster("idle")).final and found, 40)
    assert final.status == "TERMINATED"
    assert here.job("idle", 1).status == "SUCCEEDED"
    assert here.log("idle", 1) == "done\n"
    assert "autostop" in here.events("idle")


def test_autostop_that_stops_keeps_the_disk(here):
    """Stopped when idle; started again by a launch on it, with its files."""
    here.launch("nap", run="echo kept > file")
    ended(here, "nap", 1)
    here.post("/clusters/nap/autostop", body=AutostopRequest(idle_minutes=0))
    until(lambda: here.cluster("nap").status == "STOPPED", 40)
    here.post("/clusters/nap/autostop", body=AutostopRequest())
    number = here.launch("nap", run="cat file").job
    assert ended(here, "nap", number).status == "SUCCEEDED"
    assert here.log("nap", number) == "kept\n"
    here.down("nap")


def test_the_working_folder_is_as_it_was_when_asked(here, tmp_path):
    """What was in the folder at launch is what both ranks see, whatever happens to it afterwards."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "script.py").write_text("print('as asked')")
    (work / "secret.txt").write_text("no")
    (work / ".skyignore").write_text("*.txt\n")
    number = here.launch("dir", num_nodes=2, workdir=str(work), run="python script.py; ls").job
    (work / "script.py").write_text("print('changed')")
    assert ended(here, "dir", number).status == "SUCCEEDED"
    for rank in range(2):
        assert here.log("dir", number, rank) == "as asked\nscript.py\n"
    assert list((here.home / "snapshots").glob("snapshot-*")) == []
    here.down("dir")


CANARY = "canary-9f2c7e41d"


def test_a_secret_reaches_the_job_and_nothing_else(here):
    """G12: the value is in no file of the home, no answer and no history, plain, in base64 or URL-encoded."""
    number = here.launch(
        "safe",
        secrets={"TOKEN": CANARY},
        run='[ "$TOKEN" = "$(printf canary-; printf 9f2c7e41d)" ] && echo right; sleep 1; exit 3',
    ).job
    until(lambda: here.job("safe", number).status == "RUNNING")
    forms = {CANARY, base64.b64encode(CANARY.encode()).decode().rstrip("="), urllib.parse.quote(CANARY)}
    assert not found_in_files(here, forms, but=("disk/skynb",))
    job = ended(here, "safe", number)
    assert (job.status, job.exit_codes) == ("FAILED", [3])
    assert here.log("safe", number) == "right\n"
    assert not found_in_files(here, forms, but=())  # not even on the node, once the job is final
    shown = json.dumps([here.events("safe"), str(job), str(here.cluster("safe"))])
    assert not any(form in shown for form in forms)
    here.down("safe")
    until(lambda: here.cluster("safe").final)
    assert {path.name for path in (here.home / "secrets").iterdir()} <= {"key"} | kept_authorities(here)


def found_in_files(here: Site, forms: set[str], but: tuple[str, ...]) -> list[str]:
    found = []
    for path in here.home.rglob("*"):
        if path.is_file() and not any(part in str(path) for part in but):
            try:
                text = path.read_bytes()
            except OSError:
                continue
            if any(form.encode() in text for form in forms):
                found.append(str(path))
    return found


def kept_authorities(here: Site) -> set[str]:
    """References of the certificates of clusters that still live; jobs keep nothing once they are over."""
    ledger = Ledger(os.environ.get("SKYNB_DATABASE_URL") or f"sqlite:///{here.home / 'ledger.db'}")
    with ledger.read() as tx:
        found = {cluster.spec_as(ClusterSpec).authority for cluster in tx.find_all("cluster")}
    ledger.close()
    return found


def test_a_cancel_works_in_every_state_and_is_final(here):
    """G5, G6: cancelled before the cluster is up, while queued and while running; each stays cancelled."""
    here.launch("cut", run="sleep 60")
    here.cancel("cut", CancelRequest(jobs=[1]))
    assert until(lambda: (job := here.job("cut", 1)).final and job).status == "CANCELLED"
    up(here, "cut")
    running = here.exec("cut", run="trap '' TERM; sleep 61")
    until(lambda: here.job("cut", running).status == "RUNNING")
    answer = here.cancel("cut", CancelRequest(all=True))
    assert answer.cancelled == [running]
    assert until(lambda: (job := here.job("cut", running)).final and job, 40).status == "CANCELLED"
    assert here.cancel("cut", CancelRequest(all=True)).cancelled == []
    here.down("cut")


def test_a_failed_setup_runs_nothing_and_says_so(here):
    """Setup fails on one rank: FAILED_SETUP, and run never begins on any."""
    number = here.launch(
        "set", num_nodes=2, setup='[ "$SKYNB_SETUP_NODE_RANK" = 0 ] || exit 7', run="echo never"
    ).job
    job = ended(here, "set", number)
    assert job.status == "FAILED_SETUP"
    assert "7" in job.reason
    assert "never" not in here.log("set", number)
    here.down("set")


def test_scripts_see_skypilots_variables(here):
    """An existing script runs as it is: ranks, addresses, counts and ids under SkyPilot's names and ours."""
    script = (
        'echo "$SKYPILOT_NODE_RANK $SKYPILOT_NUM_NODES $(echo "$SKYPILOT_NODE_IPS" | wc -l) '
        '$SKYPILOT_NUM_GPUS_PER_NODE ${SKYPILOT_TASK_ID%%-*} $SKYNB_NODE_RANK $X"'
    )
    number = here.launch("vars", num_nodes=2, run=script, envs={"X": "a b"}).job
    assert ended(here, "vars", number).status == "SUCCEEDED"
    assert [here.log("vars", number, rank) for rank in range(2)] == [
        "0 2 2 0 sky 0 a b\n",
        "1 2 2 0 sky 1 a b\n",
    ]
    here.down("vars")


def configured(here: Site, monkeypatch, *lines: str) -> None:
    """The server's configuration, as a person writes it."""
    folder = here.home / "jupyter_config"
    folder.mkdir()
    (folder / "jupyter_skynb_config.py").write_text("".join(f"c.SkynbApp.{line}\n" for line in lines))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(folder))


def test_nodes_without_a_server_end_themselves(monkeypatch):
    """G1: the server is killed for good; after the presence lease nothing of the cluster is left."""
    with site() as alone:
        configured(alone, monkeypatch, "presence_seconds = 3.0")
        alone.launch("lost", num_nodes=2, run="echo hello")
        up(alone, "lost")
        ended(alone, "lost", 1)
        marks = [f"SKYNB_LOCAL_MACHINE={place.name}" for place in alone.machines().values()]
        assert len(marks) == 2
        alone.kill_server()
        until(lambda: not any(processes.marked(mark) for mark in marks), 40)
        until(lambda: list((alone.home / "local").glob("*local-*")) == [], 10)
        server.start()  # and the ledger learns the truth
        until(lambda: "lost" in alone.cluster("lost").reason or alone.cluster("lost").status != "UP", 30)
        assert alone.log("lost", 1) == "hello\nhello\n"  # both ranks, as they were brought home before


def test_a_busy_node_outlives_the_lease(monkeypatch):
    """G4: work that runs when the server goes away runs to its end, and its log is whole afterwards."""
    with site() as alone:
        configured(alone, monkeypatch, "presence_seconds = 3.0")
        alone.launch("busy", run="for i in $(seq 12); do echo $i; sleep 1; done")
        until(lambda: alone.job("busy", 1).status == "RUNNING")
        alone.kill_server()
        time.sleep(4.5)
        assert alone.machines() != {}
        assert ended(alone, "busy", 1).status == "SUCCEEDED"
        assert alone.log("busy", 1) == "".join(f"{number}\n" for number in range(1, 13))


def test_work_without_a_server_has_an_envelope(monkeypatch):
    """G1: shown at launch; a job that runs on and on ends with its node once its envelope is spent."""
    with site() as alone:
        configured(alone, monkeypatch, "presence_seconds = 2.0", "envelope_hours = 3 / 3600")
        answer = alone.launch("long", run="sleep 600")
        assert answer.lease is not None
        assert (answer.lease.presence_s, answer.lease.envelope_s) == (2.0, 3.0)
        until(lambda: alone.job("long", 1).status == "RUNNING")
        assert alone.cluster("long").lease == answer.lease
        time.sleep(4)  # with a server in touch, the envelope is not touched
        assert alone.job("long", 1).status == "RUNNING"
        alone.kill_server()
        until(lambda: alone.machines() == {}, 40)
        assert until(lambda: (job := alone.job("long", 1)).final and job, 30).status == "FAILED_DRIVER"


def test_file_mounts_of_this_machine(here, tmp_path):
    """A folder and a file are where the task put them, on every node, before the job starts."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("one\n")
    (tmp_path / "conf").write_text("two\n")
    mounts = {"~/in": f"{tmp_path}/data", "etc/conf": f"{tmp_path}/conf"}
    number = here.launch(
        "mounts", num_nodes=2, file_mounts=mounts, run="cat ~/in/x ~/sky_workdir/etc/conf"
    ).job
    until(lambda: here.job("mounts", number).logs_complete)
    assert here.job("mounts", number).status == "SUCCEEDED"
    assert sorted(here.log("mounts", number, rank=1).splitlines()) == ["one", "two"]
    here.down("mounts")
    until(lambda: here.cluster("mounts").final)
