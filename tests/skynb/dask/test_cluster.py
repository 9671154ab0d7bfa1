"""SkyCluster against a real server and real local nodes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from distributed import Client
from distributed.security import Security

from skynb import SkyCluster, SkynbError
from skynb.dask import versions
from skynb.errors import ConflictError, NotFoundError

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("dask")]

WORKER = "-m distributed.cli.dask_worker"
ELSEWHERE = """
from distributed import Client
from skynb import SkyCluster

with SkyCluster.from_name("shared") as cluster, Client(cluster) as client:
    print(client.submit(sum, range(10)).result(), len(cluster.workers))
"""


def test_a_launched_cluster_computes_and_leaves_nothing(house, monkeypatch):
    """Two nodes, a worker on each; after close() no cluster is live and no process of a node is left."""
    with SkyCluster(nodes=2, threads=2, quiet=True) as cluster:
        with Client(cluster) as client:
            hosts = set(client.run(lambda dask_worker: dask_worker.address.split(":")[1]).values())
            assert client.submit(sum, range(100)).result() == 4950
        assert len(hosts) == 2
        assert [info["nthreads"] for info in cluster.scheduler_info["workers"].values()] == [2, 2]
        assert cluster.name in cluster._repr_html_()
        assert cluster.dashboard_link.startswith("http://127.0.0.1:")
        monkeypatch.setenv("JPY_SESSION_NAME", "in a notebook.ipynb")
        assert cluster.dashboard_link == f"/skynb/dask/{cluster.name}/status"
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ann/")
        assert cluster.dashboard_link == f"/user/ann/skynb/dask/{cluster.name}/status"
        logs = cluster.get_logs()
        assert "Scheduler" in logs
        assert house.processes(WORKER)
        name = cluster.name
    assert house.cluster(name).status == "TERMINATED"
    assert house.processes() == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_attached_by_name_it_scales_and_outlives_its_users(house):
    """Attach, scale up and down without losing data, attach from another process, and leave it running."""
    house.launch("shared", nodes=2)
    with SkyCluster("shared", quiet=True) as cluster, Client(cluster) as client:
        kept = client.scatter(list(range(40)), broadcast=False)
        cluster.scale(3)
        client.wait_for_workers(3, timeout=30)
        assert cluster.workers == ["dask-worker-0", "dask-worker-1", "dask-worker-2"]
        cluster.scale(1)
        house.until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 1)
        assert client.gather(kept) == list(range(40))
        assert len(cluster.workers) == 1
    house.until(lambda: len(house.processes(WORKER)) == 1)
    found = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        check=True,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert found.stdout.split() == ["45", "1"]
    assert house.dask("shared").status == "UP"
    SkyCluster.from_name("shared", quiet=True).shutdown()
    assert house.dask("shared").status == "ENDED"
    assert house.processes("dask") == []
    assert house.cluster("shared").status == "UP"


def test_a_killed_worker_is_replaced_and_the_work_is_finished(house):
    """Kill -9 of a worker in the midst: the agent's node starts it again and no task is lost."""
    house.launch("hurt")
    with (
        SkyCluster("hurt", n_workers=2, quiet=True, shutdown_on_close=True) as cluster,
        Client(cluster) as client,
    ):
        slow = client.map(_slowly, range(16))
        victim = [one for one in house.processes(WORKER) if "dask-worker-1" in one.cmdline()]
        for process in victim:
            process.kill()
        assert sum(client.gather(slow)) == sum(range(16))
        client.wait_for_workers(2, timeout=40)
    assert house.processes("dask") == []


def test_a_client_without_the_certificate_is_refused(house):
    """Neither plain TCP nor TLS with a stranger's certificate reaches the scheduler."""
    house.launch("closed")
    with SkyCluster("closed", quiet=True, shutdown_on_close=True) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(OSError, match="certificate does not match"):
            Client(address, security=Security.temporary(), timeout=3)
        with pytest.raises((OSError, TypeError, ValueError, RuntimeError)):
            Client(address.replace("tls://", "tcp://"), timeout=3)
        with Client(cluster) as client:
            assert client.submit(int, "7").result() == 7


def test_adapt_grows_and_shrinks(house):
    """Adaptive scaling asks for more under load and gives back the idle."""
    house.launch("tides")
    with SkyCluster("tides", n_workers=1, quiet=True, shutdown_on_close=True) as cluster:
        cluster.adapt(minimum=1, maximum=3, interval="200ms", target_duration="200ms", wait_count=2)
        with Client(cluster) as client:
            busy = client.map(_slowly, range(100, 140))
            house.until(lambda: len(cluster.observed) == 3)
            assert len(client.gather(busy)) == 40
            del busy
            house.until(lambda: len(cluster.workers) == 1)
            house.until(lambda: len(house.processes(WORKER)) == 1)


def test_it_works_where_a_loop_runs(house):
    """As in a notebook: the plain way from inside a running loop, and the awaited way."""
    import asyncio

    house.launch("loops")

    async def cell():
        with SkyCluster("loops", quiet=True) as cluster, Client(cluster) as client:
            assert client.submit(sum, [1, 2]).result() == 3
        async with SkyCluster("loops", quiet=True, asynchronous=True) as cluster:
            await cluster.scale(2)
            async with Client(cluster, asynchronous=True) as client:
                await client.wait_for_workers(2)
                assert await client.submit(sum, [3, 4]) == 7

    asyncio.run(cell())


def test_an_unlike_python_is_refused_before_work_starts(house, monkeypatch):
    """One sentence, and nothing of a launched cluster stays."""
    monkeypatch.setattr(versions, "ours", lambda: {"python": "3.9.1"})
    with pytest.raises(ConflictError, match=r"Python 3\.9\.1"):
        SkyCluster(quiet=True)
    assert house.clusters() == []
    assert house.processes() == []


def test_a_name_that_is_not_there_rents_nothing(house):
    """A typing error in a name is an error."""
    with pytest.raises(NotFoundError, match="nowhere"):
        SkyCluster("nowhere", quiet=True)
    assert "nowhere" not in [cluster.name for cluster in house.clusters()]


def test_workers_that_do_not_come_are_named(house):
    """A memory that no Dask understands: the error says how many are missing, in time."""
    house.launch("short")
    with pytest.raises(SkynbError, match="1 of 1 workers did not come in time"):
        SkyCluster("short", memory="a lot", timeout=6, quiet=True)


def _slowly(number):
    import time

    time.sleep(0.4)
    return number
