"""Nodes that come with workers and go with them, on real local nodes and on rehearsed ones with GPUs."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import distributed
import pytest
from distributed import Client

from skynb import SkyCluster, SkynbError
from skynb.dask import versions
from skynb.environment import Environment, Pin
from skynb.errors import ConflictError, SpecError
from tests.support.wheels import wheel

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("dask")]


def _device() -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


def _slowly(number: int) -> int:
    time.sleep(0.4)
    return number


def test_each_worker_has_a_node_and_takes_it_along(house):
    """Three workers on three nodes; one is left, with all data; the others' nodes are given back."""
    with SkyCluster(n_workers=3, quiet=True) as cluster, Client(cluster) as client:
        hosts = client.run(lambda dask_worker: dask_worker.address.split(":")[1])
        assert len(set(hosts.values())) == 3
        kept = client.scatter(list(range(30)), broadcast=False)
        cluster.scale(1)
        house.until(lambda: house.cluster(cluster.name).num_nodes == 1)
        assert client.gather(kept) == list(range(30))
        name = cluster.name
    assert house.cluster(name).status == "TERMINATED"
    assert house.processes() == []


def test_load_rents_nodes_and_quiet_gives_them_back(house):
    """`adapt=` from nothing: the first task brings a worker, many bring more; then all rented nodes go."""
    adapt = {"minimum": 0, "maximum": 3, "interval": "200ms", "target_duration": "200ms", "wait_count": 2}
    with SkyCluster(adapt=adapt, quiet=True) as cluster, Client(cluster) as client:
        assert cluster.workers == []
        busy = client.map(_slowly, range(40))
        house.until(lambda: house.cluster(cluster.name).num_nodes == 3)
        assert sum(client.gather(busy)) == sum(range(40))
        del busy
        house.until(lambda: house.cluster(cluster.name).num_nodes == 1)


def test_a_node_of_four_gpus_has_four_workers_each_with_its_own(house):
    """Rehearsed machines: the environment of every worker shows one device; half a node is not rented."""
    options = {"infra": "sim/aws/us-east-1", "gpus": "T4:4", "quiet": True}
    with SkyCluster(n_workers=5, **options) as cluster, Client(cluster) as client:
        seen = client.run(_device)
        assert sorted(seen.values()) == ["0", "0", "1", "2", "3"]
        assert house.cluster(cluster.name).num_nodes == 2
        assert house.cluster(cluster.name).accelerators == "T4:4"
        cluster.scale(4)
        house.until(lambda: house.cluster(cluster.name).num_nodes == 1)


def test_an_attached_cluster_rents_only_when_told(house):
    """Workers share what is there; with workers_per_node= each beyond gets a node. The two do not mix."""
    house.launch("told")
    with SkyCluster("told", n_workers=2, quiet=True) as cluster:
        assert house.cluster("told").num_nodes == 1
        with pytest.raises(ConflictError, match="any number of workers a node"):
            SkyCluster("told", workers_per_node=1, quiet=True)
        with pytest.raises(ConflictError, match="environment that it began with"):
            SkyCluster("told", setup="true", quiet=True)
        cluster.shutdown()
    with SkyCluster("told", n_workers=2, workers_per_node=1, quiet=True, shutdown_on_close=True):
        assert house.cluster("told").num_nodes == 2
    house.until(lambda: house.cluster("told").num_nodes == 1)
    assert house.cluster("told").status == "UP"


def test_versions_are_compared_before_more_is_rented(house, monkeypatch):
    """An unlike Python is refused while there is one node."""
    most = []
    monkeypatch.setattr(versions, "ours", lambda: most.append(_nodes(house)) or {"python": "3.9.1"})
    with pytest.raises(ConflictError, match=r"Python 3\.9\.1"):
        SkyCluster(n_workers=3, quiet=True)
    assert most == [1]
    assert house.clusters() == []


def test_a_budget_is_not_passed_for_workers(house):
    """Money for one machine's hour and not for two: the error says so, and nothing is left."""
    options = {"infra": "sim/aws/us-east-1", "gpus": "T4:4", "quiet": True, "timeout": 10}
    with pytest.raises(SkynbError, match="1 of 5 workers did not come in time") as refused:
        SkyCluster(n_workers=5, budget=4.5, **options)
    assert "the budget leaves" in str(refused.value.to_dict())
    assert house.clusters() == []


def test_a_dask_that_does_not_come_up_leaves_no_node_rented(house):
    """On a cluster that somebody has: what was begun there is ended, the cluster is not."""
    house.launch("lent")
    with pytest.raises(SkynbError, match="did not come in time"):
        SkyCluster("lent", n_workers=2, workers_per_node=1, memory="a lot", timeout=6, quiet=True)
    assert house.dask("lent").status == "ENDED"
    house.until(lambda: house.cluster("lent").num_nodes == 1)
    assert house.cluster("lent").status == "UP"


def test_what_cannot_be_is_refused_before_anything_is_asked(house):
    with pytest.raises(SpecError, match="least and the most"):
        SkyCluster(adapt=(3, 1), quiet=True)
    with pytest.raises(SpecError, match="launched here"):
        SkyCluster("any", gpus="T4:1", quiet=True)
    assert house.clusters() == []


def test_each_node_is_prepared_once_also_those_that_come_later(house):
    """`setup` runs before Dask begins on a node, for all its workers together; one that fails is quoted."""
    setup = "echo once >> $HOME/prepared"
    with SkyCluster(n_workers=2, workers_per_node=2, setup=setup, quiet=True) as cluster:
        cluster.scale(3)
        house.until(lambda: len(cluster.observed) == 3)
        with Client(cluster) as client:
            seen = client.run(_prepared)
        assert list(seen.values()) == ["once"] * 3
    with pytest.raises(SkynbError) as refused:
        SkyCluster(setup="echo no luck >&2; exit 3", timeout=5, quiet=True)
    assert "no luck" in str(refused.value.to_dict())
    assert house.clusters() == []


def test_dask_runs_in_the_environment_of_the_notebook(house, tmp_path, monkeypatch):
    """Installed on each node by uv, with loose modules; a version that is nowhere is said before renting."""

    def where() -> tuple[str, str]:  # in here it goes by value: the nodes do not have this file
        import loose

        return sys.prefix, loose.WORD

    wheels, module = tmp_path / "wheels", tmp_path / "loose.py"
    module.write_text("WORD = 'from the notebook'\n")
    wheel(wheels, "here", "1.0", "", {"here.pth": f"{Path(distributed.__file__).parents[1]}\n"})
    settings = tmp_path / "uv.toml"
    settings.write_text(f"no-index = true\nfind-links = [{json.dumps(str(wheels))}]\n")
    monkeypatch.setenv("UV_CONFIG_FILE", str(settings))
    python = "{}.{}.{}".format(*sys.version_info)
    mine = Environment(python, (Pin("here", "1.0"),), modules={"loose": module})
    there = {"file_mounts": {"~/.config/uv/uv.toml": str(settings)}}  # nodes know no other index either
    options = {"env_sync": mine, "task_options": there, "timeout": 60, "quiet": True}
    with SkyCluster(n_workers=2, **options) as cluster, Client(cluster) as client:
        for prefix, word in client.run(where).values():
            assert "/.skynb-env/" in prefix
            assert word == "from the notebook"
    with pytest.raises(SpecError, match="here"):
        SkyCluster(env_sync=Environment(python, (Pin("here", "2.0"),)), quiet=True)
    assert house.clusters() == []


def _prepared() -> str:
    return (Path.home() / "prepared").read_text().strip()


def _nodes(house) -> int:
    return sum(cluster.num_nodes for cluster in house.clusters())
