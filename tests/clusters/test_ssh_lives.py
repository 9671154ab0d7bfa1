"""Clusters on hosts of a pool, through a real server: launch, run on two nodes, read logs, go."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.site import site, until


@pytest.fixture(scope="module")
def pool(lab):
    return [lab.up("p1"), lab.up("p2")]


@pytest.fixture(scope="module")
def here(lab, pool):
    with site() as made:
        hosts = ", ".join(host.address for host in pool)
        text = f"lab: {{user: root, identity_file: {lab.key}, hosts: [{hosts}]}}\n"
        (made.home / "ssh_pools.yaml").write_text(text)
        yield made


def ended(here, name: str, number: int):
    return until(lambda: (job := here.job(name, number)).logs_complete and job)


def leftovers(host) -> tuple[list[str], bytes]:
    """What no cluster should leave: processes beside sshd, and files of machines or claims."""
    ours = [line for line in host.processes().values() if "skynb" in line or "agent.pyz" in line]
    files = host.ssh(
        ["find", "/root/.skynb-hosts", "/var/tmp/skynb-hosts", "-type", "f", "-not", "-name", "lock"]
    )
    return ours, files.stdout


def test_a_gang_on_two_hosts(here, pool, tmp_path):
    """Two nodes on two hosts run one job with its workdir; after down neither host has a trace of it."""
    (tmp_path / "word").write_text("hello\n")
    script = 'echo "$SKYNB_NODE_RANK $(cat word) $(hostname)"; echo "$SKYNB_NODE_IPS"'
    launched = here.launch(
        "gang", run=script, num_nodes=2, workdir=str(tmp_path), resources={"infra": "ssh/lab"}
    )
    assert ended(here, "gang", launched.job).status == "SUCCEEDED"
    log = here.log("gang", launched.job)
    assert {"p1", "p2"} == {line.split()[-1] for line in log.splitlines() if "hello" in line}
    assert all(host.address in log for host in pool)
    here.down("gang")
    until(lambda: here.cluster("gang").final)
    assert [leftovers(host) for host in pool] == [([], b"")] * 2


def test_ssh_leads_to_the_nodes(here, pool, tmp_path, monkeypatch):
    """`skynb ssh` runs a command on each node; plain ssh takes the name since the launch was followed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    program = [sys.executable, "-m", "skynb.cli"]
    launch = [*program, "launch", "-y", "-c", "doors", "--infra", "ssh/lab", "--num-nodes", "2", "true"]
    launched = subprocess.run(launch, capture_output=True, text=True, timeout=120, check=True)
    told = [
        subprocess.run(
            [*program, "ssh", "--rank", str(rank), "doors", "hostname; exit 3"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for rank in (0, 1)
    ]
    assert {one.stdout.strip() for one in told} == {host.name for host in pool}, told
    assert [one.returncode for one in told] == [3, 3]
    assert ["works from now on" in one.stderr for one in (launched, *told)] == [True, False, False]
    plain = ["ssh", "-F", tmp_path / ".ssh" / "config", "-o", "BatchMode=yes", "doors-1", "hostname"]
    answer = subprocess.run(plain, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout == told[1].stdout
    here.down("doors")
    until(lambda: here.cluster("doors").final)


def test_a_taken_pool_is_told_and_serves_later(here, pool):
    """While one cluster holds both hosts the next says why it waits or fails; after it a launch runs."""
    here.launch("first", num_nodes=2, run="true", resources={"infra": "ssh/lab"})
    until(lambda: here.cluster("first").status == "UP")
    here.launch("second", run="true", resources={"infra": "ssh/lab"})
    until(lambda: "taken" in told(here, "second"))
    for name in ("second", "first"):
        here.down(name)
        until(lambda name=name: here.cluster(name).final)
    number = here.launch("third", run="echo served", resources={"infra": "ssh/lab"}).job
    assert ended(here, "third", number).status == "SUCCEEDED"
    assert here.log("third", number) == "served\n"
    here.down("third")
    until(lambda: here.cluster("third").final)


def test_a_crashed_host_comes_back(here, pool):
    """The host dies and boots again with its disk: the cluster's agent is started anew and runs jobs."""
    number = here.launch("lives", run="hostname", resources={"infra": "ssh/lab"}).job
    assert ended(here, "lives", number).status == "SUCCEEDED"
    (home,) = [host for host in pool if host.name == here.log("lives", number).strip()]
    home.kill()
    home.boot()
    number = until(lambda: ran(here, "lives"), 60)
    assert here.log("lives", number) == f"{home.name}\n"
    here.down("lives")
    until(lambda: here.cluster("lives").final)
    assert leftovers(home) == ([], b"")


def ran(here, name: str) -> int:
    """The number of a job that ran to its end just now; 0 while the cluster takes or ends none."""
    number = here.exec(name, run="hostname")
    job = ended(here, name, number)
    return number if job.status == "SUCCEEDED" else 0


def told(here, name: str) -> str:
    """All that the cluster's events say."""
    stream = here.http.stream(f"/clusters/{name}/events", {"follow": "0"})
    return " ".join(str(event.data) for event in stream)
