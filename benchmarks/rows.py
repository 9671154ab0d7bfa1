"""What is measured, a function a part. Each yields rows: figures next to the budget of docs and design."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator

import crowd_bench
import dask_bench
import host_bench
import kernel_bench
import panel_bench
import plan_bench
import synthetic
from measures import Row, first_line
from scratch import SKYNB, NotHereError, asked, home, mib, stopped_clusters, timed

from skynb.client import server

Part = Callable[[], Iterator[Row]]

MEMORY = """
import resource, sys
before = len(sys.modules)
import skynb
with open("/proc/self/status") as lines:
    rss = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
print(len(sys.modules) - before, rss / 1024)
"""
LOAD_EXT = """
import time
import ipykernel.kernelapp
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
start = time.perf_counter()
shell.run_line_magic("load_ext", "skynb")
taken = time.perf_counter() - start
assert "sky" in shell.magics_manager.magics["cell"], "there is no %%sky"
print(taken * 1e3)
"""
TICKS = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do date +%s%N; sleep 0.1; done"
STREAM_MB = 256
BULK = f"yes 'a line of a log, about as long as the lines of logs are' | head -c {STREAM_MB}000000"


def imports() -> Iterator[Row]:
    """Fresh processes, the interpreter's own start included."""
    yield Row("python -c pass", "", timed([sys.executable, "-c", "pass"], 15), peer="python -c pass")
    command = [sys.executable, "-c", "import skynb"]
    yield Row("import skynb", "60", timed(command, 15), peer="import sky")
    modules, rss = asked(MEMORY, 3)
    yield Row("  modules it adds", "", modules, unit="", peer="modules")
    yield Row("  memory of the process", "30", rss, unit="MiB", peer="import rss")
    yield from _tried("skynb --help", "150", lambda: timed([SKYNB, "--help"], 10), peer="sky --help")
    yield from _tried("%load_ext skynb, live shell", "100", lambda: asked(LOAD_EXT, 5)[0])


def status() -> Iterator[Row]:
    """The command that is typed most: server not running, and warm."""
    cold = []

    def once() -> list[float]:
        with home():
            cold.extend(timed([SKYNB, "status"], 1))
            server.stop()
            cold.extend(timed([SKYNB, "status"], 1))
        return cold

    yield from _tried("skynb status, server not running", "2500", once, peer="status cold")
    with home() as here:
        here.check()
        here.quiet()
        yield from _tried("skynb status, warm, 0 clusters", "250", _warm_status, peer="sky status")
    with home() as here:
        stopped_clusters(here.folder, 1000)
        here.check()
        here.quiet()
        yield from _tried("skynb status, warm, 1,000 clusters", "400", _warm_status, peer="status 1000")


def memory() -> Iterator[Row]:
    """The server after twenty commands."""
    with home() as here:
        here.check()
        what, budget = "server memory after 20 commands", "150"
        (tried,) = _tried(what, budget, lambda: timed([SKYNB, "status"], 20))
        if tried.note:
            yield tried
            return
        process = here.server()
        family = [process, *process.children(recursive=True)]
        yield Row(what, budget, [sum(map(mib, family))], "MiB", "server rss")
        yield Row("  processes", "1", [float(len(family))], "", "server processes")


PLAN_ROWS = {  # name of plan_bench: (budget in ms, SkyPilot's name for it)
    "plan A100:8": ("5", "single A100:8"),
    "plan L4:1": ("5", "single L4:1"),
    "plan L4:1 spot": ("5", "single L4:1 spot"),
    "plan cpus 8+": ("5", "single cpus 8+"),
    "plan cpus 4+ memory 16+": ("5", "single cpus 4+ memory 16+"),
    "plan A100:8 aws/us-east-1": ("5", "single A100:8 aws/us-east-1"),
    "plan any_of of 5": ("15", "any_of 5"),
    "plan ordered of 5": ("15", "ordered 5"),
    "plan chain of 10, L4:1, 100 GB": ("40", "chain 10 L4:1"),
    "plan chain of 10, cpus 8+, 100 GB": ("40", "chain 10 cpus 8+"),
    "plan diamond of 5, A100:8": ("40", "diamond 5 A100:8 aws"),
    "plan diamond of 5, cpus 8+, 100 GB": ("40", ""),
    "plan random DAG of 30": ("300", ""),
    "list all accelerators": ("20", "list_accelerators {'name_filter': None}"),
}
MILLION = 1_000_000


def plan() -> Iterator[Row]:
    """From a task to an offer, on the shipped catalog and on a synthetic one of a million rows."""
    with home() as here:
        from skynb_catalog import Catalog

        start = time.perf_counter()
        shipped = Catalog.open()
        yield Row("unpack the catalog, once", "2000", [(time.perf_counter() - start) * 1e3])
        *_, first, grown = plan_bench.fresh("", 10)
        yield Row("first plan in a fresh process", "60", first, peer="single A100:8 first")
        yield Row("  memory that it adds", "25", grown, unit="MiB")
        large = synthetic.catalog(MILLION, here.folder)
        for name, work in plan_bench.plans().items():
            if name in PLAN_ROWS:
                budget, peer = PLAN_ROWS[name]
                usual, million = plan_bench.paired(work, (shipped, large), 15)
                yield Row(name, budget, usual, peer=peer)
                growth = statistics.median(million) / statistics.median(usual)
                yield Row("  of 1,000,000 offers", budget, million, note=f"{growth:.1f} x the shipped one")


def launch() -> Iterator[Row]:
    """From a request to the first line of the log, on a node of this machine; the agent."""
    with home() as here:
        here.check()
        first, then = [], []
        for number in range(5):
            name = f"bench-{number}"
            first.append(first_line(here, lambda name=name: here.launch("echo here", name)))
        for _ in range(10):
            again = first_line(here, lambda: here.launch("echo here", "bench-0"))
            then.append(again)
        yield Row("launch on a local node -> first log line", "3000", first)
        yield Row("  the next job -> first log line", "100", then)
        agents = here.processes("agent.pyz")
        yield Row("agent memory on a node", "30", [mib(agent) for agent in agents], "MiB")
        yield Row("  agent processes a node", "1", [len(agents) / 5], "")


def logs() -> Iterator[Row]:
    """A job's log over the whole path: node, agent, server, disk, HTTP, this process."""
    with home() as here:
        here.check()
        list(here.pieces(here.launch("true", "bench")))
        late = []
        for _, text in here.pieces(here.launch(TICKS, "bench")):
            late += [(time.time_ns() - int(line)) / 1e6 for line in text.split()]
        yield Row("log line written -> read", "50", late)
        rates = []
        for _ in range(3):
            size, begun, ended = 0, 0.0, 0.0
            for when, text in here.pieces(here.launch(BULK, "bench")):
                begun, ended, size = begun or when, when, size + len(text)
            rates.append(size / 1e6 / (ended - begun))
        note = f"{STREAM_MB} MB a run; more is better"
        yield Row("log stream, one node", "50", rates, "MB/s", note=note)


PARTS: dict[str, Part] = {
    "import": imports,
    "status": status,
    "memory": memory,
    "plan": plan,
    "launch": launch,
    "logs": logs,
    "hosts": host_bench.hosts,
    "sync": host_bench.sync,
    "kernels": kernel_bench.kernels,
    "dask": dask_bench.dask,
    "panel": panel_bench.panel,
    "gang": crowd_bench.gang,
    "crowd": crowd_bench.launches,
    "listing": crowd_bench.listing,
    "line": crowd_bench.line,
    "jobs": crowd_bench.jobs,
}


def _tried(what: str, budget: str, measure: Callable[[], list[float]], peer: str = "") -> Iterator[Row]:
    """A row, also where what it measures is not there yet."""
    try:
        yield Row(what, budget, measure(), peer=peer)
    except NotHereError as error:
        yield Row(what, budget, note=f"not here: {error}")


def _warm_status() -> list[float]:
    return timed([SKYNB, "status"], 12)[2:]
