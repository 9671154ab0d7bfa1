"""How long Dask and its cluster live when nobody closes them, and what survives a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from distributed import Client

from skynb import SkyCluster
from skynb.errors import SkynbError
from skynb.wire import EventInfo

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("dask")]

SCHEDULER = "-m distributed.cli.dask_scheduler"
FORGETFUL = """
from skynb import SkyCluster
print(SkyCluster(quiet=True).name)
"""


def test_a_forgotten_cluster_ends_but_not_while_it_works(house):
    """Idle for its time it is taken down; work that takes longer than that time is finished first."""
    cluster = SkyCluster(idle_minutes=0.1, quiet=True, shutdown_on_close=False)
    with Client(cluster) as client:
        assert client.submit(time.sleep, 9).result() is None
        assert house.cluster(cluster.name).status == "UP"
    cluster.close()
    house.until(lambda: house.cluster(cluster.name).status == "TERMINATED", seconds=60)
    assert house.processes() == []


def test_a_cluster_that_ends_while_its_workers_are_awaited_says_so(house):
    """Idle for less than workers take to come: an error at once, and no wait for the whole timeout."""
    with pytest.raises(SkynbError, match=r"ended before its workers|is ENDING|is TERMINATED|no cluster"):
        SkyCluster(idle_minutes=0.001, quiet=True)
    house.until(lambda: all(cluster.final for cluster in house.clusters()))


def test_a_process_that_does_not_close_gives_back_what_it_launched(house):
    """The end of the process is the end of a cluster that it launched."""
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORGETFUL],
        check=True,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    name = found.stdout.strip()
    house.until(lambda: house.cluster(name).status == "TERMINATED")


def test_a_killed_scheduler_comes_back_with_its_workers(house):
    """What it knew is lost, as Dask has it; the cluster is not: new address, same workers."""
    house.launch("risen", nodes=2)
    cluster = SkyCluster("risen", quiet=True)
    before = cluster.scheduler_address
    cluster.close()
    (scheduler,) = house.processes(SCHEDULER)
    scheduler.kill()
    house.until(lambda: house.dask("risen").scheduler not in {"", before})
    with SkyCluster("risen", quiet=True) as again, Client(again) as client:
        assert client.submit(sum, [1, 2, 3]).result() == 6
        assert len(again.observed) == 2


def test_a_node_without_dask_says_so(house):
    """The scheduler's last words reach the person who waits."""
    house.launch("bare")
    home = next(house.folder.glob("local/*/disk/home"))
    (home / "distributed.py").write_text("raise SystemExit('no dask on this node')\n")
    with pytest.raises(SkynbError, match="no dask on this node"):
        SkyCluster("bare", timeout=4, quiet=True)


def test_what_happened_is_in_the_history(house):
    """A worker that is killed shows as an event of its cluster, with its name."""
    house.launch("told")
    SkyCluster("told", quiet=True).close()
    for worker in house.processes("-m distributed.cli.dask_worker"):
        worker.kill()

    def restarts() -> list[EventInfo]:
        stream = house.connection.stream("/clusters/told/events", {"follow": "0"})
        return [event for event in stream if event.data.get("name") == "dask.restart"]

    house.until(restarts)
    assert restarts()[0].data["data"] == {"services": ["dask-worker-0"]}
