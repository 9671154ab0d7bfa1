"""What people do with clusters, as data, and what must hold however it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from skynb_clusters.providers.sim.fault_names import FAULTS
from skynb_clusters.providers.sim.faults import parse_faults
from skynb_clusters.providers.sim.units import Terms
from skynb_clusters.providers.sim.world import FOREIGN_OWNER
from skynb_clusters.records import JOB_FINAL, NodeState
from tests.support.simulation import LEASE, At, Simulation

NAME = "c"
ENDED = {"TERMINATED", "FAILED"}
BRISK = Terms(boot_s=2.0, stop_s=1.0, end_s=1.0, consistency_s=1.0)  # fewer looks while nothing happens

WITHIN = 0.9  # seconds that a list may be late: less than the window that the provider names
SOUP = sorted(
    name for name, sort in FAULTS.items() if sort.on not in {"boot", "bill", "check"} and not sort.lie
)


class Workflow(NamedTuple):
    """Steps in order: what is asked, or what is waited for. It ends with `down`, whatever its steps are."""

    name: str
    steps: tuple[tuple[Any, ...], ...]
    faults: str = ""
    terms: Terms = BRISK


UP: tuple[tuple[Any, ...], ...] = (("launch", {}), ("await", "UP"))
WORKFLOWS = (
    Workflow("launch", (("launch", {"run": "sleep 5"}), ("await", "UP"), ("await jobs",))),
    Workflow(
        "exec",
        (*UP, ("exec", {"run": "sleep 5"}), ("await jobs",)),
        terms=msgspec.structs.replace(BRISK, bills_boot=False),
    ),
    Workflow("stop", (*UP, ("stop",), ("await", "STOPPED"), ("sleep", 60))),
    Workflow("start", (*UP, ("stop",), ("await", "STOPPED"), ("start",), ("await", "UP"))),
    Workflow("down with a job", (("launch", {"run": "sleep 900"}), ("await running",))),
    Workflow("cancel", (("launch", {"run": "sleep 900"}), ("await running",), ("cancel",), ("await jobs",))),
    Workflow(
        "dask that grows and shrinks",
        (*UP, ("dask", 3), ("await workers", 3), ("dask", 1), ("await nodes", 1), ("dask", 2)),
    ),
    Workflow("autostop", (*UP, ("autostop", 1), ("await", "STOPPED"))),
    Workflow("autodown", (*UP, ("autostop", 1, True), ("await", "TERMINATED"))),
    Workflow(
        "failover",
        UP,
        faults="no-capacity-zone place=aws/us-east-1/use1-az1; no-capacity-zone place=aws/us-east-1/use1-az2",
    ),
    Workflow("gang of 4", (("launch", {"num_nodes": 4, "run": "sleep 5"}), ("await", "UP"), ("await jobs",))),
    Workflow("partial gang", (("launch", {"num_nodes": 2}), ("await", "UP")), faults="partial-gang times=2"),
    Workflow("down while launching", (("launch", {}), ("sleep", 5))),
    Workflow(
        "down before it is seen",
        (("launch", {}), ("sleep", 0.2)),
        faults="create-response-lost times=1; create-visible-late value=0.9",
    ),
    Workflow("stop while launching", (("launch", {}), ("sleep", 5), ("stop",), ("await", "STOPPED"))),
    Workflow(
        "repair",
        (("launch", {"num_nodes": 2}), ("await", "UP"), ("await hurt",), ("start",), ("await", "UP")),
        faults="preempted-unannounced times=1 value=15",
    ),
)


def live(workflow: Workflow, crash: Sequence[At] = (), **options: Any) -> Simulation:
    """A simulation that has lived this workflow to its end; close it."""
    simulation = Simulation(
        faults=parse_faults(workflow.faults), terms=workflow.terms, crash=crash, **options
    )
    try:
        for step in workflow.steps:
            _do(simulation, *step)
        finish(simulation)
    except BaseException:
        simulation.__exit__()
        raise
    return simulation


def finish(simulation: Simulation) -> None:
    """Take the cluster down, and wait for longer than any lease."""
    if simulation.cluster(NAME) is not None:
        if simulation.status(NAME) not in ENDED:
            simulation.down(NAME)
        simulation.until(lambda: simulation.status(NAME) in ENDED)
    simulation.sleep(2 * LEASE.presence_s)


def promises(simulation: Simulation, *, honest_bill: bool = True) -> Iterator[str]:
    """Every promise that is broken after `finish`, in words."""
    yield from simulation.broken
    if alive := simulation.living():
        yield f"G1: nobody claims {alive}"
    for record in simulation.records():
        if not record.final:
            yield f"{record.id} is {record.status}, not final"
        if record.kind == "node" and record.state_as(NodeState).billed_from is not None:
            yield f"{record.id} still thinks that it is billed"
    money, charged = (
        simulation.money(),
        sum(line.micro_usd for line in simulation.world.bill() if line.owner != FOREIGN_OWNER),
    )
    if honest_bill and money.settled != charged:
        yield f"the bill is {charged} and the ledger says {money.settled}"
    if money.reserved:
        yield f"{money.reserved} micro-dollars are still held"
    yield from simulation.agents.overlaps
    began = Counter(simulation.agents.runs)
    if twice := [job for job, count in began.items() if count > 1]:
        yield f"{twice} began twice"


def _do(simulation: Simulation, verb: str, *words: Any) -> None:
    if verb == "launch":
        simulation.launch(NAME, **words[0])
    elif verb == "exec":
        simulation.exec(NAME, **words[0])
    elif verb == "sleep":
        simulation.sleep(words[0])
    elif verb == "await":
        simulation.until(lambda: simulation.status(NAME) == words[0])
    elif verb == "await jobs":
        simulation.until(lambda: all(job.status in JOB_FINAL for job in simulation.jobs(NAME)))
    elif verb == "await running":
        simulation.until(lambda: any(job.status == "RUNNING" for job in simulation.jobs(NAME)))
    elif verb == "await hurt":
        simulation.until(lambda: "`start` repairs it" in getattr(simulation.cluster(NAME), "reason", ""))
    elif verb == "await workers":
        simulation.until(lambda: simulation.workers(NAME) == words[0])
    elif verb == "await nodes":
        simulation.until(lambda: len(simulation.living()) == words[0])
    else:
        _ask(simulation, verb, *words)


def _ask(simulation: Simulation, verb: str, *words: Any) -> None:
    if verb == "autostop":
        simulation.autostop(NAME, words[0], down=words[1:] == (True,))
    elif verb == "dask":
        simulation.dask(NAME, words[0])
    else:
        {"stop": simulation.stop, "start": simulation.start, "cancel": simulation.cancel}[verb](NAME)
