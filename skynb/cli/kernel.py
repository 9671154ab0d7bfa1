"""kernel ls, stop, prune."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from skynb.cli import options

if TYPE_CHECKING:
    from skynb.kernels.listing import Kernels, Pruned


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
