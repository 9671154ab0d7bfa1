"""What a managed job may cost in all, over all its attempts."""

from __future__ import annotations

from skynb_clusters.providers.sim.faults import parse_faults
from tests.support.managed_workflows import NAME
from tests.support.simulation import LEASE, Simulation
from tests.support.workflows import BRISK, promises

CAP = 500_000


def test_a_job_whose_budget_is_used_up_ends():
    """G7: taken away again and again it rents while there is money for a while; then it says so and ends."""
    faults = parse_faults("preempted-unannounced value=600")
    with Simulation(terms=BRISK, faults=faults) as simulation:
        simulation.managed(NAME, {"run": "sleep 3000"}, budget_micro=CAP)
        simulation.until(lambda: simulation.managed_info(NAME).closed, 20_000)
        job = simulation.managed_info(NAME)
        assert job.status == "FAILED"
        assert "the job's budget leaves" in job.reason
        assert job.recoveries >= 1
        assert 0 < job.settled_micro <= CAP
        simulation.sleep(2 * LEASE.presence_s)
        assert list(promises(simulation)) == []


def test_side_by_side_tasks_share_it():
    """Together they never have more than the job may cost, and each has its part."""
    with Simulation(terms=BRISK) as simulation:
        tasks = [{"name": f"t{index}", "run": "sleep 200"} for index in range(3)]
        simulation.managed(NAME, *tasks, budget_micro=1_500_000, parallel=True)
        simulation.until(lambda: simulation.managed_info(NAME).status == "RUNNING")
        simulation.until(
            lambda: all(task.status == "RUNNING" for task in simulation.managed_info(NAME).tasks)
        )
        with simulation.ledger.read() as tx:
            caps = [one.cap for one in tx.budgets()]
        assert len(caps) == 3
        assert sum(caps) <= 1_500_000
        simulation.until(lambda: simulation.managed_info(NAME).closed)
        assert simulation.managed_info(NAME).status == "SUCCEEDED"
