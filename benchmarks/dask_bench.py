"""What is measured of Dask: from a cluster that is up to a Dask with all its workers there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from measures import Row
from scratch import home

if TYPE_CHECKING:
    from skynb import SkyCluster

NODES, ROUNDS = 4, 5


def dask() -> Iterator[Row]:
    """On four nodes of this machine, which all its processors share; imports are done before."""
    from skynb import SkyCluster

    with home() as here:
        list(here.pieces(here.launch("true", "bench", num_nodes=NODES)))
        started, attached = [], []
        for _ in range(ROUNDS):
            made: list[SkyCluster] = []
            started.append(_timed(lambda made=made: made.append(SkyCluster("bench", quiet=True))))
            attached.append(_timed(lambda: SkyCluster("bench", quiet=True).close()))
            made[0].shutdown()
        yield Row(f"SkyCluster on {NODES} warm nodes, all workers", "3000", started)
        yield Row("  attached to one that runs, and closed", "", attached)
        options = {"n_workers": NODES, "workers_per_node": 1, "shutdown_on_close": True}
        with SkyCluster("bench", quiet=True, **options) as cluster:
            grown = []
            for _ in range(ROUNDS):
                grown.append(_timed(lambda: _scaled(cluster, NODES + 1)))
                _scaled(cluster, NODES)
        yield Row("  one more node and its worker", "", grown)


def _scaled(cluster: SkyCluster, workers: int) -> None:
    cluster.scale(workers)
    while len(cluster.observed) != workers:
        time.sleep(0.01)


def _timed(deed: Callable[[], object]) -> float:
    """Milliseconds."""
    begin = time.perf_counter()
    deed()
    return (time.perf_counter() - begin) * 1e3
