"""How fast the catalog and the plan are: prints medians in ms. Run: python benchmarks/plan_bench.py [rounds].

`--offers N` sets a synthetic catalog of N rows beside the shipped one, asked in turn; it is built first.

Figures of a fresh process are of `import skynb`, a task and its plan, without the interpreter's own start;
warm ones come from this process. SKYNB_CACHE_DIR is a scratch folder.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median

FIVE = ("H100:8", "A100:8", "A100-80GB:8", "L4:8", "V100:8")
FRESH = """
import time
{first}
def resident():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
before = resident()
start = time.perf_counter()
import skynb
task = skynb.Task(run="true", resources={{"accelerators": "A100:8"}})
written = time.perf_counter()
import skynb.planning
imported = time.perf_counter()
skynb.planning.plan(task)
end = time.perf_counter()
grown = resident() - before
parts = (written - start, imported - written, end - imported, end - start)
print(*(1e3 * part for part in parts), grown / 1024)
"""
FRESH_ROWS = (
    "import skynb, a task",
    "import skynb.planning",
    "open and plan",
    "first plan in all",
    "MiB added",
)


def task(**resources):
    """A task with these resources."""
    from skynb import Task

    return Task(run="true", resources=resources)


def chain(number: int, gigabytes: float, **resources):
    """Tasks in a line that hand data on."""
    from skynb import Dag

    dag = Dag()
    for index in range(number):
        one = task(**resources)
        if gigabytes:
            one.set_outputs("s3://data", gigabytes)
        dag.add(one)
        if index:
            dag.add_edge(dag.tasks[index - 1], one)
    return dag


def diamond(width: int, gigabytes: float, **resources):
    """One task, `width` after it side by side, and one after all of them."""
    from skynb import Dag

    dag = Dag()
    for _ in range(width + 2):
        one = task(**resources)
        if gigabytes:
            one.set_outputs("s3://data", gigabytes)
        dag.add(one)
    first, *middle, last = dag.tasks
    for one in middle:
        dag.add_edge(first, one)
        dag.add_edge(one, last)
    return dag


def tangle(number: int, seed: int):
    """A random graph: tasks of many kinds, one in eight of all possible edges, up to 500 GB on each."""
    from skynb import Dag

    random = Random(seed)
    kinds = ({"accelerators": "L4:1"}, {"accelerators": "A100:8"}, {"cpus": "8+"}, {"accelerators": "T4:1"})
    dag = Dag()
    for index in range(number):
        one = task(**random.choice(kinds))
        one.set_outputs("s3://data", random.choice((0, 1, 10, 100, 500)))
        dag.add(one)
        for before in dag.tasks[:index]:
            if random.random() < 1 / 8:
                dag.add_edge(before, one)
    return dag


def plans() -> dict[str, Callable]:
    """What is asked of a catalog, by name."""
    from skynb.planning import gpus, plan
    from skynb.planning.why import why

    asked = {
        "plan A100:8": task(accelerators="A100:8"),
        "plan L4:1": task(accelerators="L4:1"),
        "plan L4:1 spot": task(accelerators="L4:1", use_spot=True),
        "plan cpus 8+": task(cpus="8+"),
        "plan cpus 4+ memory 16+": task(cpus="4+", memory="16+"),
        "plan 80GB+": task(accelerators="80GB+"),
        "plan A100:8 aws/us-east-1": task(accelerators="A100:8", infra="aws/us-east-1"),
        "plan any_of of 5": task(any_of=[{"accelerators": name} for name in FIVE]),
        "plan ordered of 5": task(ordered=[{"accelerators": name} for name in FIVE]),
        "plan chain of 10, L4:1, 100 GB": chain(10, 100, accelerators="L4:1"),
        "plan chain of 10, cpus 8+, 100 GB": chain(10, 100, cpus="8+"),
        "plan diamond of 5, A100:8": diamond(3, 0, accelerators="A100:8"),
        "plan diamond of 5, cpus 8+, 100 GB": diamond(3, 100, cpus="8+"),
        "plan random DAG of 30": tangle(30, 1),
    }
    reasons = task(accelerators="A100:8")
    return {
        **{name: lambda catalog, one=one: plan(one, catalog=catalog) for name, one in asked.items()},
        "why not, A100:8": lambda catalog: why(reasons, catalog=catalog),
        "list all accelerators": lambda catalog: gpus(catalog=catalog),
        "list H100, all regions": lambda catalog: gpus("H100", all_regions=True, catalog=catalog),
    }


def paired(work: Callable, catalogs, rounds: int) -> list[list[float]]:
    """Milliseconds for each catalog, asked in turn so that a busy moment meets all of them."""
    for one in catalogs:
        work(one)
    taken: list[list[float]] = [[] for _ in catalogs]
    for _ in range(rounds):
        for column, one in zip(taken, catalogs, strict=True):
            start = time.perf_counter()
            work(one)
            column.append((time.perf_counter() - start) * 1e3)
    return taken


def fresh(first: str, rounds: int) -> list[list[float]]:
    """Figures (FRESH_ROWS) of processes that run `first`, then plan once, the cache present (reads /proc)."""
    code = FRESH.format(first=first)
    runs = [
        [float(part) for part in subprocess.check_output([sys.executable, "-c", code]).split()]
        for _ in range(rounds)
    ]
    return [list(column) for column in zip(*runs, strict=True)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=15)
    parser.add_argument("--offers", type=int, help="rows of a synthetic catalog beside the shipped one")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKYNB_CACHE_DIR"] = os.environ["SKYNB_HOME"] = folder
        from skynb_catalog import Catalog

        start = time.perf_counter()
        catalogs = [Catalog.open()]
        print(f"{'materialise':<38}{(time.perf_counter() - start) * 1e3:9.2f}")
        for title, first in {
            "fresh process": "",
            "fresh kernel": "import IPython.core.interactiveshell, ipykernel.kernelapp",
        }.items():
            print(f"{title:<38}{'median':>9}{'worst':>9}")
            for name, values in zip(FRESH_ROWS, fresh(first, options.rounds), strict=True):
                print(f"  {name:<36}{median(values):9.2f}{max(values):9.2f}")
        if options.offers:
            from synthetic import catalog

            catalogs.append(catalog(options.offers, Path(folder)))
        sizes = "".join(f"{one.stamp.rows:>11,}" for one in catalogs)
        print(f"{'median of rows':<36}{sizes}")
        for name, work in plans().items():
            columns = "".join(f"{median(one):11.2f}" for one in paired(work, catalogs, options.rounds))
            print(f"{name:<36}{columns}", flush=True)
        print(f"{'peak RSS, MiB':<36}{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:11.2f}")


if __name__ == "__main__":
    main()
