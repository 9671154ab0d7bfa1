"""kernel ls, add, stop, prune."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from skynb.cli import options

if TYPE_CHECKING:
    from skynb.kernels.listing import Kernels, Pruned, Specs


@click.group()
def kernel() -> None:
    """Look at kernels on clusters, and end them. Jupyter starts them: each cluster has a kernel to choose."""


@kernel.command()
@click.argument("cluster", required=False, shell_complete=options.complete_clusters)
@click.option("--ended", is_flag=True, help="Also those that have ended.")
@options.output
def ls(cluster: str | None, ended: bool) -> Kernels:
    """List the kernels of a cluster, or of all."""
    from skynb import kernels

    return kernels.ls(cluster, ended=ended)


@kernel.command()
@options.cluster
@click.argument("name")
@click.option("--python", default="", help="On the node: a path or a command. Default: that of jobs.")
@click.option("--rank", type=int, default=0, show_default=True, help="Which node.")
@click.option("--lease-hours", type=float, default=12.0, show_default=True, help="It ends when left so long.")
@options.output
def add(cluster: str, name: str, python: str, rank: int, lease_hours: float) -> Specs:
    """Offer Jupyter another kernel on a cluster: another Python, another node."""
    from skynb import kernels
    from skynb.kernels.listing import Specs

    return Specs([kernels.add(cluster, name, python=python, rank=rank, lease_hours=lease_hours)])


@kernel.command()
@options.cluster
@click.argument("kernels", nargs=-1, type=int, required=True)
@options.output
def stop(cluster: str, kernels: tuple[int, ...]) -> Kernels:
    """End kernels, and all that their cells started."""
    from skynb import kernels as face

    return face.stop(cluster, kernels)


@kernel.command()
@click.option("--unattached", is_flag=True, help="Also end every kernel to which nobody is attached.")
@options.output
def prune(unattached: bool) -> Pruned:
    """Take away the kernelspecs of clusters that are not up."""
    from skynb import kernels

    return kernels.prune(unattached=unattached)
