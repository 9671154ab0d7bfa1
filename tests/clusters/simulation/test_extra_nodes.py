"""Extra nodes in virtual time: they come one by one for those who want them, and none outlives its use."""

from __future__ import annotations

import pytest

from skynb.errors import ConflictError, SpecError
from skynb.wire import DaskRequest
from skynb_clusters import dasks
from skynb_clusters.naming import node_of, slot_of
from skynb_clusters.providers.sim.faults import parse_faults
from skynb_clusters.records import JobState
from skynb_clusters.views import cluster_info
from tests.support.simulation import Simulation
from tests.support.workflows import BRISK, NAME, finish, promises

LATER_S = 30  # when the cluster is up; faults strike what comes after


@pytest.fixture
def simulate():
    """Simulations with a cluster of one node that is up; at the end each is taken down and all is paid."""
    made: list[Simulation] = []

    def make(faults: str = "", **launched) -> Simulation:
        simulation = Simulation(faults=parse_faults(faults), terms=BRISK)
        made.append(simulation)
        simulation.launch(NAME, **launched)
        simulation.until(lambda: simulation.status(NAME) == "UP")
        simulation.sleep(LATER_S)
        return simulation

    yield make
    for simulation in made:
        with simulation:
            finish(simulation)
            assert list(promises(simulation)) == []


def info(simulation: Simulation):
    with simulation.ledger.read() as tx:
        return cluster_info(tx, tx.find("cluster", NAME))


def reason(simulation: Simulation) -> str:
    found = simulation.cluster(NAME)
    return found.reason if found else ""


def test_nodes_come_for_workers_and_go_with_them(simulate):
    """Two workers a node: five need two more nodes; what is shown and charged follows."""
    simulation = simulate()
    alone = info(simulation).hourly_micro
    simulation.dask(NAME, 5, per_node=2)
    simulation.until(lambda: simulation.workers(NAME) == 5)
    assert len(simulation.living()) == 3
    assert [node.rank for node in info(simulation).nodes] == [0, 1, 2]
    assert info(simulation).hourly_micro == 3 * alone
    simulation.dask(NAME, 2, per_node=2)
    simulation.until(lambda: info(simulation).num_nodes == 1 and simulation.workers(NAME) == 2)
    assert len(simulation.living()) == 1
    assert info(simulation).hourly_micro == alone


def test_a_lost_node_is_rented_again_at_once(simulate):
    """Nobody has to ask: it is wanted still, and its worker comes back. The cluster was up all the time."""
    simulation = simulate(f"preempted-unannounced times=1 value=60 after={LATER_S}")
    simulation.dask(NAME, 2)
    simulation.until(lambda: simulation.workers(NAME) == 2)
    simulation.sleep(100)
    simulation.until(lambda: len(simulation.living()) == 2 and simulation.workers(NAME) == 2)
    events = simulation.events()
    assert events.count("nodes.more") == 2
    assert "cluster.hurt" not in events


def test_what_cannot_be_had_is_asked_for_again_later(simulate):
    """The cluster stays up and says why; the pauses grow; when there is room the node comes."""
    simulation = simulate(f"no-capacity times=3 after={LATER_S}")
    simulation.dask(NAME, 2)
    simulation.until(lambda: "could not be had" in reason(simulation))
    assert simulation.status(NAME) == "UP"
    simulation.until(lambda: simulation.workers(NAME) == 2)
    assert simulation.events().count("nodes.refused") == 3
    simulation.until(lambda: reason(simulation) == "")


def test_no_budget_is_passed_for_them(simulate):
    """A cap that holds one node for its least time holds no second: it is refused, with the reason."""
    simulation = simulate(budget_micro=1_100_000)
    simulation.dask(NAME, 4)
    simulation.until(lambda: "budget leaves" in reason(simulation))
    assert simulation.status(NAME) == "UP"
    assert len(simulation.living()) < 4


@pytest.mark.parametrize("how", ["dask down", "stop", "down"])
def test_they_go_when_nobody_wants_them(simulate, how):
    """The end of Dask, a stop and a down each give back every extra machine; none is left stopped."""
    simulation = simulate()
    simulation.dask(NAME, 3)
    simulation.until(lambda: simulation.workers(NAME) == 3)
    {"dask down": simulation.dask_down, "stop": simulation.stop, "down": simulation.down}[how](NAME)
    left = 0 if how == "down" else 1
    simulation.until(lambda: len(simulation.living()) == left)
    if how == "stop":
        simulation.until(lambda: simulation.status(NAME) == "STOPPED")
        simulation.start(NAME)
        simulation.until(lambda: simulation.status(NAME) == "UP")
        simulation.sleep(60)
        assert len(simulation.living()) == 1  # Dask ended with the stop


def test_a_gang_stays_whole_under_them(simulate):
    """A job over the cluster's own two nodes runs beside extra ones and sees none of these."""
    simulation = simulate(num_nodes=2)
    simulation.dask(NAME, 4)
    simulation.until(lambda: simulation.workers(NAME) == 4)
    simulation.exec(NAME, num_nodes=2, run="sleep 5")
    simulation.until(lambda: [job.status for job in simulation.jobs(NAME)] == ["SUCCEEDED"])
    (job,) = simulation.jobs(NAME)
    ran_on = [slot_of(node_of(rank["node_id"])) for rank in job.state_as(JobState).ranks]
    assert ran_on == [(0, 0), (1, 0)]


def test_a_rebuilt_cluster_gives_them_back(simulate):
    """Their machines bear the cluster's tags, so they are found; what wanted them went with the ledger."""
    simulation = simulate()
    simulation.dask(NAME, 3)
    simulation.until(lambda: simulation.workers(NAME) == 3)
    simulation.lose_ledger()
    rebuilt = simulation.rebuild()
    assert rebuilt.clusters == (NAME,)
    assert rebuilt.left == {}
    simulation.until(lambda: simulation.status(NAME) == "UP" and len(simulation.living()) == 1)


def test_bad_numbers_are_refused(simulate):
    """No node holds no worker, and what runs is not rearranged by a word."""
    simulation = simulate()
    with pytest.raises(SpecError, match="at least one worker"):
        simulation.dask(NAME, 2, per_node=0)
    simulation.dask(NAME, 2)
    with pytest.raises(ConflictError, match="1 workers a node"):
        simulation.dask(NAME, 2, per_node=3)
    with simulation.ledger.transaction() as tx:
        dasks.up(tx, NAME, DaskRequest(workers=1))  # unsaid is as it is
    simulation.until(lambda: simulation.workers(NAME) == 1)
