"""Long virtual times, two crashes, and servers that stay away."""

from __future__ import annotations

import random

import msgspec
import pytest

from skynb.wire import LeaseInfo
from skynb_clusters.providers.sim.faults import parse_faults
from tests.support.simulation import At, Simulation
from tests.support.workflows import BRISK, NAME, WORKFLOWS, Workflow, finish, live, promises

DAY = 86_400.0
REMEMBERED = msgspec.structs.replace(BRISK, forget_s=7 * DAY)  # the cloud still knows when each ended
BY_NAME = {workflow.name: workflow for workflow in WORKFLOWS}


def test_thirty_days_are_billed_to_the_micro_dollar():
    """Preempted every few days, repaired each time: after a month the ledger equals the bill."""
    faults = parse_faults(f"preempted-unannounced value={3 * DAY}")
    lease = LeaseInfo(presence_s=DAY, envelope_s=DAY)
    with Simulation(faults=faults, terms=REMEMBERED, lease=lease, pace=DAY / 8) as simulation:
        simulation.launch(NAME, num_nodes=2)
        for _ in range(60):
            simulation.sleep(DAY / 2)
            simulation.start(NAME)
        assert len(simulation.world.memory.tokens) >= 15, "nothing was preempted"
        simulation.pace = 0.0
        finish(simulation)
        assert list(promises(simulation)) == []
        assert simulation.money().settled > 20 * 24 * 2 * 1_000_000


@pytest.mark.parametrize("name", ["launch", "gang of 4"])
def test_a_server_that_stays_away_costs_no_more_than_the_lease(name):
    """It crashes once the cluster is up and comes back a day later: the nodes have ended themselves."""
    workflow = BY_NAME[name]._replace(terms=REMEMBERED)
    with live(workflow) as calm:
        number = calm.points.index("agent submit") + 2
    with live(workflow, crash=[At(number, "before")], away_s=DAY) as lived:
        assert list(promises(lived)) == []
        seconds = [line.seconds for line in lived.world.bill()]
        assert max(seconds) < 2 * 3600


def _twice(workflow: Workflow, chance: random.Random) -> list[At]:
    return [
        At(number, chance.choice(["before", "after", "response lost"]))
        for number in sorted(chance.sample(range(120), 2))
    ]


def crash_twice(rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(rounds):
        workflow = chance.choice(WORKFLOWS)
        crash = _twice(workflow, chance)
        with live(workflow, crash=crash, seed=str(chance.random())) as lived:
            assert list(promises(lived)) == [], (workflow.name, crash)


def test_two_crashes_break_no_promise():
    """A few random pairs of crashes, in worlds of other timing."""
    crash_twice(25, seed=4)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_five_thousand_pairs_of_crashes_break_no_promise(seed):
    """The same, 5,000 times."""
    crash_twice(500, seed)
