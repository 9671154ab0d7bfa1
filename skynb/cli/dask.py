"""dask up, scale, down, status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from skynb.cli import options

if TYPE_CHECKING:
    from skynb.client.listings import Dasks

_threads = click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
_memory = click.option("--memory", default="auto", show_default=True, help="Of each worker: 4GiB, auto.")


@click.group()
def dask() -> None:
    """Run Dask on a cluster's machines."""


@dask.command()
@options.cluster
@click.option("--workers", type=click.IntRange(min=0), help="How many; one a node by default.")
@click.option(
    "--per-node", type=click.IntRange(min=1), help="The most on a node; nodes are rented for those beyond."
)
@_threads
@_memory
@options.in_background
@options.output
def up(
    cluster: str, workers: int | None, per_node: int | None, threads: int, memory: str, in_background: bool
) -> Dasks:
    """Bring a Dask scheduler and workers up."""
    from skynb.client import dask as client
    from skynb.client.listings import Dasks

    wait = not in_background
    made = client.up(cluster, workers, threads=threads, memory=memory, per_node=per_node, wait=wait)
    return Dasks([made])


@dask.command()
@options.cluster
@click.argument("workers", type=click.IntRange(min=0))
@options.in_background
@options.output
def scale(cluster: str, workers: int, in_background: bool) -> Dasks:
    """Have so many workers, each like those that are there; nodes that were rented for some go with them."""
    from skynb.client import dask as client
    from skynb.client.listings import Dasks

    (now,) = client.status(cluster)  # NotFoundError: scaling brings nothing up
    wait = not in_background
    return Dasks([client.up(cluster, workers, threads=now.threads, memory=now.memory, wait=wait)])


@dask.command()
@options.cluster
@options.in_background
@options.output
def down(cluster: str, in_background: bool) -> Dasks:
    """Take Dask down; the cluster stays."""
    from skynb.client import dask as client
    from skynb.client.listings import Dasks

    return Dasks([client.down(cluster, wait=not in_background)])


@dask.command()
@options.cluster
@options.output
def status(cluster: str) -> Dasks:
    """Show the Dask of a cluster."""
    from skynb.client import dask as client

    return client.status(cluster)
