"""Random lives against an oracle that only remembers what was asked last: whatever happens, it happens."""

from __future__ import annotations

import re
from contextlib import suppress

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from skynb.errors import SkynbError
from skynb_clusters.providers.sim.fault_names import FAULTS
from skynb_clusters.providers.sim.faults import parse_faults
from skynb_clusters.records import JOB_FINAL
from tests.support.house import ROOT
from tests.support.simulation import Simulation
from tests.support.workflows import BRISK, ENDED, NAME, SOUP, WITHIN, finish, promises

HOWS = st.sampled_from(["before", "after", "response lost"])
SECONDS = st.sampled_from([0.3, 2.0, 15.0, 90.0, 700.0])
ENDINGS = st.sampled_from(["preempt", "reclaim", "crash"])
HIDING = {"hide-all", "hide-half"}  # more than one such list within a window is more than a provider may do
REMEMBERED = msgspec.structs.replace(BRISK, forget_s=30 * 86_400.0)  # as long as any server is away
LATE = {"late", "stale", "flap"}


def legal() -> set[tuple[str, str, str]]:
    """(kind, status, next) of clusters and nodes, as the page about states has them."""
    page = (ROOT / "docs/reference/states.md").read_text()
    found = set()
    for kind, part in re.findall(r"^## (Cluster|Node):(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE):
        for status, following in re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", part, re.MULTILINE):
            found |= {(kind.lower(), status, after) for after in re.findall(r"\w+", following)}
    return found


LEGAL = legal()
PHASES = (Phase.explicit, Phase.generate)  # a life that broke is long to shorten, and its story says enough


class Life(RuleBasedStateMachine):
    """One person, one cluster at a time, one cloud. `wish`: where the cluster was last asked to be."""

    @initialize(seed=st.integers(0, 9), late=st.booleans())
    def begin(self, seed, late):
        self.simulation = Simulation(seed=str(seed), terms=REMEMBERED, away_s=60.0 if late else 0.0)
        self.wish = ""
        self.hid = False
        self.cancelled = False

    # What a person does

    @rule(
        nodes=st.integers(1, 3),
        seconds=st.sampled_from([None, 5, 900]),
        budget=st.sampled_from([None, 100_000, 400_000, 3_000_000]),
    )
    def launch(self, nodes, seconds, budget):
        if self.simulation.status(NAME) not in {"", *ENDED}:
            return
        options = {"budget_micro": budget} if budget else {}
        run = {"run": f"sleep {seconds}"} if seconds else {}
        self._ask("UP", lambda: self.simulation.launch(NAME, num_nodes=nodes, **run, **options))

    @rule(seconds=st.sampled_from([1, 30, 900]))
    def exec(self, seconds):
        with suppress(SkynbError):
            self.simulation.exec(NAME, run=f"sleep {seconds}")
            self.cancelled = False

    @rule()
    def stop(self):
        self._ask("STOPPED", lambda: self.simulation.stop(NAME))

    @rule()
    def start(self):
        self._ask("UP", lambda: self.simulation.start(NAME))

    @rule()
    def down(self):
        self._ask("TERMINATED", lambda: self.simulation.down(NAME))

    @rule()
    def cancel(self):
        with suppress(SkynbError):
            self.simulation.cancel(NAME)
            self.cancelled = True

    @rule(minutes=st.sampled_from([0, 1, 5]), down=st.booleans())
    def autostop(self, minutes, down):
        with suppress(SkynbError):
            self.simulation.autostop(NAME, minutes, down=down)

    # What the world does

    @rule()
    def wait(self):
        """Until it is up, if it comes up within minutes."""
        end = self.simulation.clock.time + 300.0
        while self.simulation.status(NAME) == "INIT" and self.simulation.clock.time < end:
            self.simulation.sleep(5.0)

    @rule(seconds=SECONDS)
    def sleep(self, seconds):
        self.simulation.sleep(seconds)

    @rule(points=st.integers(0, 12), how=HOWS)
    def crash_soon(self, points, how):
        self.simulation.crash_after(points, how)

    @rule(away_s=st.sampled_from([0.0, 30.0, 400.0, 5000.0]))
    def kill_server(self, away_s):
        self.simulation.kill_server(away_s)

    @rule(name=st.sampled_from(SOUP), times=st.integers(1, 2))
    def fault(self, name, times):
        deed = FAULTS[name].deed
        if deed in HIDING and self.hid:
            return
        self.hid = self.hid or deed in HIDING
        often = 1 if name.startswith("list-") else times
        value = f" value={WITHIN}" if deed in LATE else ""
        self.simulation.world.put(*parse_faults(f"{name} times={often}{value}"))

    @rule()
    def lift(self):
        self.simulation.world.lift()

    @rule(number=st.integers(0, 3), what=ENDINGS)
    def end_a_machine(self, number, what):
        if unit := self._unit(number):
            unit.plan(self.simulation.clock.now(), what)
            self.simulation.sleep(0.1)

    @rule(number=st.integers(0, 3))
    def cut_network(self, number):
        if unit := self._unit(number):
            unit.marks["mute"] = 1.0

    @rule()
    def mend_network(self):
        for unit in self.simulation.world.memory.units.values():
            unit.marks.pop("mute", None)

    # What must hold

    @invariant()
    def one_machine_a_slot_and_final_is_final(self):
        assert self.simulation.broken == []

    @invariant()
    def states_follow_one_another_as_the_page_says(self):
        moves = {move for move in self.simulation.moves if move[0] in {"cluster", "node"}}
        assert moves <= LEGAL, (moves - LEGAL, self.simulation.story())

    def teardown(self):
        if not hasattr(self, "simulation"):
            return
        try:
            self.simulation.calm()
            self._granted()
            finish(self.simulation)
            broken = list(promises(self.simulation))
            assert broken == [], f"{broken}\n{self.simulation.story()}"
        finally:
            self.simulation.__exit__()

    def _granted(self):
        """Every end that was asked for happens by itself once the world is kind."""
        simulation = self.simulation
        if self.cancelled and self.wish:
            simulation.until(self._cancelled)
        ends = {"TERMINATED": ENDED, "STOPPED": {"STOPPED", *ENDED}}.get(self.wish)
        if ends is not None:
            simulation.until(lambda: simulation.status(NAME) in ends)

    def _cancelled(self):
        """A job in the queue of a head that is off is cancelled when the head is on again."""
        jobs = self.simulation.jobs(NAME)
        return self.simulation.status(NAME) == "STOPPED" or all(job.status in JOB_FINAL for job in jobs)

    def _ask(self, wish, request):
        before = self.simulation.cluster(NAME)
        try:
            request()
        except SkynbError:
            return
        after = self.simulation.cluster(NAME)
        if before is None or after.id != before.id:
            self.cancelled = False
        assert not (after.id == getattr(before, "id", "") and before.final), "what has ended took a request"
        self.wish = wish

    def _unit(self, number):
        living = self.simulation.living()
        return self.simulation.world.unit(living[number % len(living)]) if living else None


def live(lives: int) -> None:
    options = settings(max_examples=lives, stateful_step_count=50, phases=PHASES, deadline=None)
    run_state_machine_as_test(Life, settings=options)


@pytest.mark.timeout(400)  # a minute by itself, and it is never alone
def test_random_lives_break_no_promise():
    """G1 to G7, G10 and the oracle: 150 lives of 50 steps, the same each time."""
    live(150)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_random_lives_break_no_promise():
    """The same 1,000 times, others each time."""
    live(1000)
