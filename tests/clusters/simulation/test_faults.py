"""Every named fault of the simulated clouds, alone: skynb lives through it and leaves nothing behind."""

from __future__ import annotations

import random

import pytest

from skynb.errors import BudgetError, SpecError
from skynb_clusters.providers.sim.fault_names import FAULTS
from skynb_clusters.providers.sim.faults import parse_faults
from skynb_clusters.providers.sim.world import FOREIGN_OWNER
from tests.support.simulation import Simulation
from tests.support.workflows import BRISK, ENDED, NAME, SOUP, WITHIN, finish, promises

UNSEEABLE = {
    "tag-lost",
    "token-ignored",
    "zombie",
}  # what bears no tag, or comes after the end, is for `reap`


def lived(fault: str) -> Simulation:
    """A gang with a job is launched, stopped and started while the fault lasts; then the fault is lifted."""
    simulation = Simulation(faults=parse_faults(fault), terms=BRISK)
    simulation.launch(NAME, num_nodes=2, run="sleep 5")
    simulation.sleep(200)
    if simulation.status(NAME) not in ENDED:
        simulation.stop(NAME)
        simulation.sleep(30)
        simulation.start(NAME)
        simulation.sleep(30)
    simulation.world.lift()
    finish(simulation)
    return simulation


def test_there_are_many_and_each_says_what_it_does():
    """At least 60 names, each with a sentence of its own."""
    assert len(FAULTS) >= 60
    assert len({sort.says for sort in FAULTS.values()}) == len(FAULTS)


@pytest.mark.parametrize("name", sorted(set(FAULTS) - UNSEEABLE))
def test_a_fault_breaks_no_promise(name):
    """G1, G2, G3, G5 and, where the cloud's own bill is honest, the ledger equals it to the micro-dollar."""
    with lived(f"{name} times=2") as simulation:
        assert list(promises(simulation, honest_bill=not FAULTS[name].lie)) == []


@pytest.mark.parametrize(
    "name", ["create-response-lost", "list-500", "delete-lies", "no-capacity", "auth-expired"]
)
def test_a_lasting_fault_breaks_no_promise(name):
    """The same where the fault strikes every time, until it is lifted."""
    with lived(name) as simulation:
        assert list(promises(simulation)) == []


def test_a_machine_missing_from_one_list_is_billed_to_its_end():
    """The moment of a wrong absence is forgotten once the machine is seen again."""
    with lived("list-page-lost times=1 after=200") as simulation:
        assert list(promises(simulation)) == []


def soup(rounds: int, seed: int) -> None:
    """Four faults at once, each striking once or twice, at random moments of a life."""
    chance = random.Random(seed)
    for _ in range(rounds):
        lines = [
            f"{name} times={chance.choice([1, 1, 2])} after={chance.choice([0, 2, 5, 200, 205, 230, 260])}"
            + (f" value={WITHIN}" if FAULTS[name].deed in {"late", "stale", "flap"} else "")
            for name in chance.sample(SOUP, 4)
        ]
        once = [line.replace("times=2", "times=1") if "list-" in line else line for line in lines]
        with lived("; ".join(once)) as simulation:
            assert list(promises(simulation)) == [], once


def test_several_faults_at_once_break_no_promise():
    """A lying end while a list is empty, a lost answer while a machine is not visible, and the like."""
    soup(25, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_thousands_of_faults_at_once_break_no_promise(seed):
    """The same, 2,000 times."""
    soup(200, seed)


def test_machines_of_others_are_never_touched():
    """A machine with our record's tags and another owner runs on after everything of ours has ended."""
    with lived("foreign-machines times=1") as simulation:
        owners = [unit.tags["skynb-owner"] for unit in simulation.world.memory.units.values() if unit.billed]
        assert owners == [FOREIGN_OWNER]


def test_a_second_machine_for_one_token_goes_down_with_the_first():
    """A cloud that ignores a token once bills twice; `down` ends both."""
    with lived("token-ignored times=1; create-response-lost times=1") as simulation:
        assert simulation.living() == []


def test_a_refused_start_is_not_hammered():
    """A start that is refused for ten minutes is asked ever more slowly, and its reason is shown."""
    with Simulation(faults=parse_faults("no-capacity-on-start"), terms=BRISK) as simulation:
        simulation.launch(NAME)
        simulation.until(lambda: simulation.status(NAME) == "UP")
        simulation.stop(NAME)
        simulation.until(lambda: simulation.status(NAME) == "STOPPED")
        before = simulation.points.count("cloud start")
        simulation.start(NAME)
        simulation.sleep(600)
        assert 8 < simulation.points.count("cloud start") - before < 20
        assert "finds no room" in simulation.nodes(NAME)[0].reason


def test_the_next_alternative_gets_what_it_asked_for():
    """Alternatives may differ in labels and ports: the machine that is had bears those of its own."""
    items = [
        {"infra": "sim/aws/us-east-1", "ports": 80, "labels": {"which": "first"}},
        {"infra": "sim/aws/eu-west-2", "ports": 81, "labels": {"which": "second"}},
    ]
    with Simulation(faults=parse_faults("no-capacity-region place=aws/us-east-1"), terms=BRISK) as simulation:
        simulation.launch("c", resources={"instance_type": "g5.xlarge", "ordered": items})
        simulation.until(lambda: simulation.status("c") == "UP")
        (unit,) = [unit for unit in simulation.world.memory.units.values() if unit.state == "running"]
        assert (unit.region, unit.labels, unit.ports) == ("aws/eu-west-2", {"which": "second"}, ["81"])


def test_a_machine_that_never_boots_is_given_back():
    """After a quarter of an hour the attempt fails, the machine is ended, and another one is tried."""
    with Simulation(faults=parse_faults("boot-never-ends times=1"), terms=BRISK) as simulation:
        simulation.launch(NAME)
        simulation.until(lambda: simulation.status(NAME) == "UP", 1800)
        assert len(simulation.living()) == 1
        finish(simulation)
        assert list(promises(simulation)) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no-capcity", "Did you mean no-capacity"),
        ("no-capacity times=0", "at least once"),
        ("no-capacity times=often", "not understood"),
        ("no-capacity colour=red", "colour"),
        ("no-capacity chance=2", "chance"),
    ],
)
def test_a_fault_nobody_knows_is_refused(text, says):
    """One message that names the mistake."""
    with pytest.raises(SpecError, match=says):
        parse_faults(text)


def test_nothing_is_believed_gone_while_the_cloud_is_away():
    """G3: `down` while neither list nor end gets through waits; afterwards the machine is ended."""
    with Simulation(terms=BRISK) as simulation:
        simulation.launch(NAME)
        simulation.until(lambda: simulation.status(NAME) == "UP")
        simulation.world.put(*parse_faults("cloud-down; terminate-unreachable"))
        simulation.down(NAME)
        simulation.sleep(400)
        assert simulation.status(NAME) == "TERMINATING"
        assert len(simulation.living()) == 1
        simulation.world.lift()
        finish(simulation)
        assert list(promises(simulation)) == []


def test_a_rehearsal_keeps_its_budget():
    """G7: play money has its cap, too: what cannot fit is refused, what runs ends before it is passed."""
    with Simulation(terms=BRISK) as simulation:
        with pytest.raises(BudgetError):
            simulation.launch(NAME, num_nodes=2, budget_micro=100_000)
        simulation.launch(NAME, num_nodes=2, budget_micro=1_000_000, run="sleep 90000")
        simulation.until(lambda: simulation.status(NAME) == "UP", 600)
        simulation.until(lambda: simulation.status(NAME) == "STOPPED", 7200)
        assert 800_000 < simulation.money().settled <= 1_000_000
        finish(simulation)
        assert list(promises(simulation)) == []
