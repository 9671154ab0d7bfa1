"""A month of managed jobs: machines taken every few hours, the server killed every hour, blind looks."""

from __future__ import annotations

import random

import msgspec
import pytest

from skynb.wire import LeaseInfo
from skynb_clusters.providers.sim.faults import parse_faults
from skynb_jobs.deciders.line import Limits
from tests.support.managed_workflows import MACHINES
from tests.support.simulation import Simulation
from tests.support.workflows import BRISK, promises

HOUR, DAY = 3600.0, 86_400.0
REMEMBERED = msgspec.structs.replace(BRISK, forget_s=7 * DAY)
TAKEN = (
    "preempted-120s-notice value=1500 chance=0.3; preempted-unannounced value=900 chance=0.2; "
    "cloud-down chance=0.03; list-throttled chance=0.02"
)


def month(days: float, seed: int) -> None:
    """Jobs of up to an hour, some that fail by themselves, over so many virtual days."""
    chance = random.Random(seed)
    lease = LeaseInfo(presence_s=HOUR, envelope_s=DAY)
    options = {
        "faults": parse_faults(TAKEN),
        "terms": REMEMBERED,
        "lease": lease,
        "limits": Limits(running=4),
    }
    wanted = {}
    with Simulation(seed=str(seed), pace=20.0, **options) as simulation:
        end = simulation.clock.time + days * DAY
        while simulation.clock.time < end:
            name = f"job-{len(wanted)}"
            fails = chance.random() < 0.1
            run = f"sleep {chance.randint(60, 3600)}" + (" && false" if fails else "")
            nodes = chance.choice([1, 1, 1, 2])
            simulation.managed(name, {"run": run, "num_nodes": nodes, "resources": MACHINES})
            wanted[name] = "FAILED" if fails else "SUCCEEDED"
            simulation.sleep(HOUR * chance.uniform(0.5, 1.5))
            simulation.kill_server(away_s=chance.choice([0.0, 30.0, 600.0]))
        simulation.pace = 0.0
        simulation.calm()
        simulation.until(lambda: all(job.final for job in simulation.managed_jobs("*")), 2 * DAY)
        simulation.sleep(2 * HOUR)
        assert list(promises(simulation)) == []
        found = {job.title: job.status for job in simulation.managed_jobs("*")}
        assert found == wanted
        attempts = [len(simulation.managed_info(name).tasks[0].attempts) for name in wanted]
        assert sum(attempts) > len(attempts), "nothing was ever taken"
        spent = sum(simulation.managed_info(name).settled_micro for name in wanted)
        assert spent == sum(line.micro_usd for line in simulation.world.bill())


@pytest.mark.timeout(300)
def test_a_quarter_of_a_day_of_taken_machines_ends_every_job_once():
    """Every job ends as its work does, nothing is forgotten, and the ledger equals the bill."""
    month(0.25, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3))
def test_thirty_days_of_taken_machines_end_every_job_once(seed):
    """The same for a month."""
    month(30, seed)
