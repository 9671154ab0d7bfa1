"""How fast the catalog and the plan are: prints medians in ms. Run: python benchmarks/plan_bench.py [rounds].

`--offers N` sets a synthetic catalog of N rows beside the shipped one, asked in turn; it is built first.

Each figure in a fresh process includes the start of planning (imports, opening the cached database), not the
interpreter's own; warm figures come from this process. SKYNB_CACHE_DIR is a scratch folder.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace

FRESH = """
import time
{first}
def resident():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
before = resident()
start = time.perf_counter()
import msgspec, skynb.errors
middle = time.perf_counter()
from skynb.planning import plan
imported = time.perf_counter()
import sys; sys.path.insert(0, {folder!r})
from plan_bench import item, task
ready = time.perf_counter()
plan(task(item("A100", 8)))
end = time.perf_counter()
grown = resident() - before
print((middle - start) * 1e3, (imported - middle) * 1e3, (end - ready) * 1e3,
      (imported - start + end - ready) * 1e3, grown / 1024)
"""


def item(name: str | None = None, count: float = 1, cloud: str | None = None, **changes):
    """One alternative of a task's resources."""
    one = SimpleNamespace(name=name, count=count, manufacturer=None, memory_gb=None, memory_at_least=False)
    plain = {"cpus": None, "memory": None, "instance_type": None, "use_spot": False, "max_hourly_cost": None}
    return SimpleNamespace(
        infra=SimpleNamespace(cloud=cloud, region=None, zone=None),
        accelerators=(one,) if name else (),
        **(plain | changes),
    )


def task(*items):
    """A task with these alternatives."""
    return SimpleNamespace(
        name="bench", num_nodes=1, resources=SimpleNamespace(alternatives=lambda: (False, items))
    )


def timed(work, rounds: int) -> tuple[float, float]:
    """Median and worst milliseconds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e3)
    return median(taken), max(taken)


def paired(work, catalogs, rounds: int) -> list[float]:
    """Median milliseconds for each catalog, asked in turn so that a busy moment meets all of them."""
    for one in catalogs:
        work(one)
    taken = [[timed(lambda one=one: work(one), 1)[0] for one in catalogs] for _ in range(rounds)]
    return [median(column) for column in zip(*taken, strict=True)]


def warm(catalogs, rounds: int) -> None:
    """The hot paths in one process, a column for each catalog."""
    from skynb.planning import gpus, plan
    from skynb_catalog import Amount, Query

    cases = {
        "plan A100:8, all clouds": task(item("A100", 8)),
        "plan L4:1": task(item("L4")),
        "plan L4:1 spot": task(item("L4", use_spot=True)),
        "plan 80GB+": task(item("80GB+")),
        "plan default CPU": task(item()),
        "plan any_of of 5": task(*(item(name) for name in ("L4", "A10G", "T4", "L40S", "A100"))),
        "plan A100:8 on aws": task(item("A100", 8, "aws")),
    }
    machines = Query(cpus=Amount(8, at_least=True))
    asked = {
        **{name: lambda c, one=one: plan(one, catalog=c) for name, one in cases.items()},
        "by place, cpus 8+": lambda c: c.by_place(machines),
        "why not, cpus 8+": lambda c: c.why_not(machines),
        "list all accelerators": lambda c: gpus(catalog=c),
        "list H100, all regions": lambda c: gpus("H100", all_regions=True, catalog=c),
    }
    for name, work in asked.items():
        print(f"{name:<28}" + "".join(f"{one:9.2f}" for one in paired(work, catalogs, rounds)))


def fresh(title: str, first: str, rounds: int) -> None:
    """A process that runs `first`, then plans once, with the cache present (Linux: reads /proc)."""
    print(title)
    code = FRESH.format(folder=str(Path(__file__).parent), first=first)
    runs = [
        [float(part) for part in subprocess.check_output([sys.executable, "-c", code]).split()]
        for _ in range(rounds)
    ]
    names = (
        "  import msgspec, errors",
        "  import skynb.planning",
        "  open and plan",
        "  first plan in all",
        "  MiB added",
    )
    for name, values in zip(names, zip(*runs, strict=True), strict=True):
        print(f"{name:<28}{median(values):9.2f}{max(values):9.2f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=15)
    parser.add_argument(
        "--offers", type=int, help="rows of a synthetic catalog to set beside the shipped one"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKYNB_CACHE_DIR"] = folder
        from skynb_catalog import Catalog

        print(f"{'':<28}{'median':>9}{'worst':>9}")
        start = time.perf_counter()
        catalogs = [Catalog.open()]
        print(f"{'materialise':<28}{(time.perf_counter() - start) * 1e3:9.2f}")
        fresh("fresh process", "", options.rounds)
        fresh("fresh kernel", "import IPython.core.interactiveshell, ipykernel.kernelapp", options.rounds)
        if options.offers:
            from synthetic import catalog

            catalogs.append(catalog(options.offers, Path(folder)))
        sizes = "".join(f"{one.stamp.rows:>9}" for one in catalogs)
        print(f"{'median of rows':<28}{sizes}")
        warm(catalogs, options.rounds)
        print(f"{'peak RSS, MiB':<28}{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:9.2f}")


if __name__ == "__main__":
    main()
