"""What is measured with many at once: gangs, launches on simulated clouds, long lists, managed jobs."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from measures import Row
from scratch import SKYNB, Home, asked, home, mib, stopped_clusters, timed

from skynb.client.http import Connection
from skynb.wire import ClusterInfo, LaunchAnswer, LaunchRequest, ManagedPage

ROOT = Path(__file__).resolve().parents[1]
GANG = 20
LAUNCHES = 100
CLUSTERS = 2000
HISTORY, PENDING, RUNNING = 100_000, 10_000, 1000
PLAYED = {"infra": "sim/aws/us-east-1", "instance_type": "g5.xlarge"}
SIMULATED = f"""
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from skynb.control.ledger import Filter
from skynb_jobs.deciders.line import Limits
from skynb.spec import Task
from skynb.wire import ManagedRequest
from skynb_jobs.views import page
from tests.support.simulation import Simulation
from tests.support.workflows import BRISK
with Simulation(terms=BRISK, limits=Limits(running={RUNNING})) as simulation:
    begun = time.perf_counter()
    for number in range({RUNNING}):
        config, secrets = Task(name="one", run="sleep 90000", resources={PLAYED!r}).to_wire()
        request = ManagedRequest(name="one", tasks=[config], secrets=[secrets])
        prepared = simulation.jobs_desk.prepare(request)
        with simulation.ledger.transaction() as tx:
            _, woken = simulation.jobs_desk.launch(tx, request, prepared, "ann")
        for key in woken:
            simulation.core.wake(key)
    print((time.perf_counter() - begun) * 1e3)
    simulation.managed("many", {{"run": "sleep 90000"}}, num_jobs={PENDING})
    begun = time.perf_counter()
    def up():
        with simulation.ledger.read() as tx:
            return tx.tally("managed").get("RUNNING", 0) >= {RUNNING}
    while not up():
        for _ in range(1000):
            simulation.turn(simulation.clock.time + 60)
    print(time.perf_counter() - begun)
    with open("/proc/self/status") as lines:
        print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024)
    begun = time.perf_counter()
    with simulation.ledger.read() as tx:
        page(tx, Filter(), 50)
    print((time.perf_counter() - begun) * 1e3)
"""


def gang() -> Iterator[Row]:
    """From a request to the first line of each of 20 nodes, on nodes of this machine."""
    with home() as here:
        here.check()
        taken = []
        for number in range(3):
            start = time.perf_counter()
            task = {"run": "echo here", "num_nodes": GANG, "resources": {"infra": "local"}}
            request = LaunchRequest(task=task, cluster_name=f"gang-{number}")
            asked = here.connection.call("POST", "/clusters", LaunchAnswer, body=request)
            last = max(when for when, _ in here.pieces(asked))
            taken.append((last - start) * 1e3)
            here.down()
        yield Row(f"gang of {GANG} local nodes -> all first lines", "5000", taken)


def launches() -> Iterator[Row]:
    """A hundred launches at once, rehearsed: what they cost the server's memory."""
    with _played() as here:
        here.quiet()
        process = here.server()
        idle, peak = mib(process), [0.0]
        with _watched(process, peak):
            start = time.perf_counter()
            threads = [threading.Thread(target=_launch, args=(number,)) for number in range(LAUNCHES)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            asked = time.perf_counter() - start
            _until(lambda: all(c.status == "UP" for c in _clusters(here)), 300)
            up = time.perf_counter() - start
        note = f"requests {asked:.1f} s, all up after {up:.0f} s"
        yield Row(f"{LAUNCHES} launches at once: server over idle", "150", [peak[0] - idle], "MiB", note=note)


def listing() -> Iterator[Row]:
    """`skynb status` where there is much to show."""
    with home() as here:
        stopped_clusters(here.folder, CLUSTERS)
        here.check()
        here.quiet()
        taken = timed([SKYNB, "status"], 12)[2:]
        yield Row(f"skynb status, warm, {CLUSTERS:,} clusters", "400", taken)


def jobs() -> Iterator[Row]:
    """Managed jobs: handing over, a long line, a long history."""
    with home() as here:
        _history(here, HISTORY)
        here.check()
        here.quiet()
        pages = [_timed_page(here) for _ in range(15)]
        yield Row(f"jobs queue, first page of {HISTORY:,}", "100", pages)
    # Machines of a rehearsal are processes; a thousand of them would measure this machine and not the server.
    ((asked_ms,), (running_s,), (rss,), (page_ms,)) = asked(SIMULATED, 1)
    yield Row("1,000 managed jobs handed over, one by one", "10000", [asked_ms], note="without HTTP")
    note = f"{PENDING:,} wait, {RUNNING:,} run in virtual time, {running_s:.0f} s until they do"
    yield Row("process with so many managed jobs", "400", [rss], "MiB", note=note)
    yield Row("jobs queue, first page, meanwhile", "100", [page_ms])


def line() -> Iterator[Row]:
    """Whose turn it is, among 10,000 that wait and 1,000 that run."""
    from tempfile import TemporaryDirectory

    from skynb.control.ledger import Ledger, Waiting
    from skynb_jobs.deciders.line import Limits, admit
    from skynb_jobs.records import QUEUED

    with TemporaryDirectory(prefix="skynb-bench-") as folder:
        ledger = Ledger(f"sqlite:///{Path(folder) / 'ledger.db'}")
        _records(ledger, PENDING, "PENDING", QUEUED, final=False)
        _records(ledger, RUNNING, "RUNNING", "DONE", final=False)
        taken = []
        for _ in range(200):
            start = time.perf_counter()
            with ledger.read() as tx:
                lengths = tx.lengths("managed")
                running = lengths["DONE"]
                lines: dict[str, list[Waiting]] = {
                    owner: tx.line("managed", QUEUED, owner, 64) for owner in lengths[QUEUED]
                }
            admit(lines, running, Limits(running=RUNNING + 64))
            taken.append((time.perf_counter() - start) * 1e3)
        ledger.close()
    worst = sorted(taken)[int(0.99 * len(taken))]
    yield Row("whose turn it is, of 10,000", "50", [statistics.median(taken)], note=f"p99 {worst:.1f} ms")


@contextmanager
def _played() -> Iterator[Home]:
    """A home whose machines are simulated and whose jobs only sleep."""
    before = os.environ.get("SKYNB_REHEARSE")
    os.environ["SKYNB_REHEARSE"] = "1"
    try:
        with home() as here:
            here.check()
            yield here
    finally:
        if before is None:
            os.environ.pop("SKYNB_REHEARSE")


def _launch(number: int) -> None:
    connection = Connection()
    request = LaunchRequest(task={"resources": PLAYED}, cluster_name=f"crowd-{number}")
    connection.call("POST", "/clusters", LaunchAnswer, body=request)
    connection.close()


def _clusters(here: Home) -> list[ClusterInfo]:
    return here.connection.call("GET", "/clusters", list[ClusterInfo])


def _timed_page(here: Home) -> float:
    start = time.perf_counter()
    here.connection.call("GET", "/jobs", ManagedPage)
    return (time.perf_counter() - start) * 1e3


@contextmanager
def _watched(process: psutil.Process, peak: list[float]) -> Iterator[None]:
    """The most memory that the process has meanwhile, looked at 20 times a second."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], mib(process))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.5)


def _history(here: Home, number: int) -> None:
    from skynb.control.ledger import Ledger

    ledger = Ledger(f"sqlite:///{here.folder / 'ledger.db'}")
    _records(ledger, number, "SUCCEEDED", "DONE", final=True)
    ledger.close()


def _records(ledger, number: int, status: str, target: str, *, final: bool) -> None:
    """Managed jobs as a ledger has them, written without asking anybody."""
    import msgspec
    from sqlalchemy import insert

    from skynb.control import schema
    from skynb_jobs.records import JobSpec, JobState, TaskSpec

    task = TaskSpec(job=1, index=0, title="t", config={"run": "true", "resources": PLAYED})
    spec, state = msgspec.json.encode(JobSpec(number=1, tasks=(task,))), msgspec.json.encode(JobState())
    rows = [
        {
            "id": f"managed-{status[:1].lower()}{count:011x}",
            "kind": "managed",
            "name": str(count + 1) if final else f"{status}{count}",
            "parent": None,
            "owner": f"user-{count % 7}",
            "status": status,
            "target": target,
            "generation": 1,
            "final": final,
            "reason": "",
            "spec": spec,
            "state": state,
            "version": 1,
            "created_at": 1e9 + count,
            "updated_at": 1e9 + count,
            "title": f"job {count % 100}",
            "nice": count % 5,
        }
        for count in range(number)
    ]
    with ledger.engine.begin() as db:
        db.execute(insert(schema.records), rows)
