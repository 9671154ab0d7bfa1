"""What happens to managed jobs, as data, and how they must end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from skynb.wire import ManagedInfo
from skynb_clusters.providers.sim.faults import parse_faults
from tests.support.simulation import LEASE, At, Simulation
from tests.support.workflows import BRISK, promises

NAME = "train"
MACHINES = {"infra": "sim/aws/us-east-1", "instance_type": "g5.xlarge"}


class Managed(NamedTuple):
    """A job, what goes wrong, how it ends, and how many attempts its first task may need at most."""

    name: str
    tasks: tuple[dict[str, Any], ...]
    ends: str = "SUCCEEDED"
    faults: str = ""
    cancel_at: str = ""
    attempts: int = 1
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed
    pool: dict[str, Any] = {}  # noqa: RUF012


def recovery(**wish: Any) -> dict[str, Any]:
    return MACHINES | {"job_recovery": wish}


WORKFLOWS = (
    Managed("success", ({"run": "sleep 20"},)),
    Managed("failure", ({"run": "sleep 5 && false"},), "FAILED"),
    Managed(
        "restart on an error",
        ({"run": "sleep 5 && false", "resources": recovery(max_restarts_on_errors=1)},),
        "FAILED",
    ),
    Managed("cancel in line", ({"run": "sleep 20"},), "CANCELLED", cancel_at="PENDING"),
    Managed("cancel while it starts", ({"run": "sleep 90"},), "CANCELLED", cancel_at="STARTING"),
    Managed("cancel while it runs", ({"run": "sleep 90"},), "CANCELLED", cancel_at="RUNNING"),
    Managed("chain", ({"run": "sleep 5"}, {"run": "sleep 6"}), options={"needs": [[], [0]]}),
    Managed(
        "taken, with a warning", ({"run": "sleep 200"},), faults="preempted-120s-notice times=1", attempts=2
    ),
    Managed(
        "taken without a word", ({"run": "sleep 200"},), faults="preempted-unannounced times=1", attempts=2
    ),
    Managed(
        "one of two taken",
        ({"run": "sleep 200", "num_nodes": 2},),
        faults="preempted-unannounced times=1 value=60",
        attempts=2,
    ),
    Managed("a false alarm", ({"run": "sleep 400"},), faults="notice-without-preemption times=1", attempts=2),
    Managed(
        "cancel while it recovers",
        ({"run": "sleep 200"},),
        "CANCELLED",
        faults="preempted-unannounced times=1 value=40",
        cancel_at="RECOVERING",
        attempts=2,
    ),
    Managed(
        "a group of which one is taken",
        ({"name": "a", "run": "sleep 100"}, {"name": "b", "run": "sleep 100", "num_nodes": 2}),
        faults="preempted-unannounced times=1 value=60",
        attempts=2,
        options={"parallel": True},
    ),
    Managed("on a pool", ({"run": "sleep 20"},), pool={"pool": {"workers": 2}, "setup": "sleep 3"}),
    Managed(
        "an array on a pool",
        ({"run": "sleep 20"},),
        pool={"pool": {"workers": 2}},
        options={"num_jobs": 5},
    ),
    Managed(
        "a pool from nothing",
        ({"run": "sleep 20"},),
        pool={"pool": {"min_workers": 0, "max_workers": 2, "downscale_delay_seconds": 30}},
        options={"num_jobs": 3},
    ),
    Managed(
        "a failure on a pool",
        ({"run": "sleep 5 && false", "resources": recovery(max_restarts_on_errors=1)},),
        "FAILED",
        pool={"pool": {"workers": 1}},
    ),
    Managed(
        "a worker taken",
        ({"run": "sleep 200"},),
        faults="preempted-unannounced times=1 value=60",
        attempts=2,
        pool={"pool": {"workers": 1}},
    ),
    Managed(
        "a worker taken, with a warning",
        ({"run": "sleep 200"},),
        faults="preempted-120s-notice times=1",
        attempts=2,
        pool={"pool": {"workers": 1}},
    ),
    Managed(
        "cancel on a pool",
        ({"run": "sleep 90"},),
        "CANCELLED",
        cancel_at="RUNNING",
        pool={"pool": {"workers": 1}},
    ),
    Managed(
        "cancel before there is a worker",
        ({"run": "sleep 90"},),
        "CANCELLED",
        cancel_at="STARTING",
        pool={"pool": {"workers": 1}, "setup": "sleep 20"},
    ),
)
POOL = "p"


def live(workflow: Managed, crash: Sequence[At] = (), **options: Any) -> Simulation:
    """A simulation that has lived this job to its end; close it."""
    simulation = Simulation(faults=parse_faults(workflow.faults), terms=BRISK, crash=crash, **options)
    try:
        if workflow.pool:
            simulation.pool(POOL, **workflow.pool)
        pool = {"pool": POOL} if workflow.pool else {}
        simulation.managed(NAME, *workflow.tasks, **workflow.options, **pool)
        if workflow.cancel_at:
            wanted = {workflow.cancel_at, workflow.ends}
            simulation.until(lambda: simulation.managed_info(NAME).status in wanted)
            simulation.cancel_managed(NAME)
        simulation.until(lambda: all(job.final for job in simulation.managed_jobs(NAME)))
        if workflow.pool:
            simulation.pool_down(POOL)
            simulation.until(lambda: simulation.pool_info(POOL) is None)
        simulation.sleep(2 * LEASE.presence_s)
    except BaseException:
        simulation.__exit__()
        raise
    return simulation


def broken(workflow: Managed, simulation: Simulation) -> Iterator[str]:
    """Every promise that is broken, in words."""
    yield from promises(simulation)
    job = simulation.managed_info(NAME)
    if job.status != workflow.ends:
        yield f"it ended as {job.status}: {job.reason}"
    if len(job.tasks[0].attempts) > workflow.attempts:
        yield f"it took {len(job.tasks[0].attempts)} attempts"
    if workflow.pool:
        yield from ["a job of a pool says that it cost something"] if job.settled_micro else []
    else:
        yield from accounts(job, simulation)


def accounts(job: ManagedInfo, simulation: Simulation) -> Iterator[str]:
    """What is said of the money must be the bill."""
    charged = sum(line.micro_usd for line in simulation.world.bill())
    if job.settled_micro != charged:
        yield f"the job says that it cost {job.settled_micro}, the bill {charged}"
