"""Clusters on hosts of a pool, through a real server: launch, run on two nodes, read logs, go."""

from __future__ import annotations

import os
import time

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


def test_a_full_pool_says_so_and_serves_the_next(here, pool):
    """Both hosts are taken by one cluster; the next one waits, and gets a host when the first goes."""
    here.launch("first", num_nodes=2, run="true", resources={"infra": "ssh/lab"})
    until(lambda: here.cluster("first").status == "UP")
    here.launch("next", run="echo served", resources={"infra": "ssh/lab"})
    until(lambda: "room" in here.events("next") or "taken" in here.events("next"))
    here.down("first")
    until(lambda: here.cluster("first").final)
    assert here.cluster("next").status in {"INIT", "UP", "FAILED", "TERMINATED"}


@pytest.mark.skipif("SKYNB_TEST_MEASURE" not in os.environ, reason="measures; set SKYNB_TEST_MEASURE")
def test_measure_first_line(here, pool):
    """Prints the seconds from asking to the first line, without and with an agent."""
    for turn in ("absent", "present"):
        began = time.monotonic()
        number = here.launch("fast", run="echo first", resources={"infra": "ssh/lab"}).job
        until(lambda number=number: "first" in here.log("fast", number))
        print(f"first line, agent {turn}: {time.monotonic() - began:.2f} s")
