"""run; kernel ls, add, stop, prune."""

from __future__ import annotations

import keyword
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skynb.cli import options
from skynb.cli.face import face
from skynb.errors import SpecError

if TYPE_CHECKING:
    from skynb.kernels.listing import Kernels, Pruned, Specs
    from skynb.kernels.remote import Ran


@click.command()
@options.cluster_option
@click.option("--in", "inputs", default="", metavar="NAME,...", help="Names of here that it reads there.")
@click.option("--out", "outputs", default="", metavar="NAME,...", help="Names of there that come back.")
@click.option("--pickle", "pickled", is_flag=True, help="Also values that travel only pickled.")
@click.option("--limit", type=float, default=64, show_default=True, help="MB that one value may have.")
@click.argument("script", required=False, type=click.Path(path_type=Path))
@options.output
def run(
    cluster: str | None, inputs: str, outputs: str, pickled: bool, limit: float, script: Path | None
) -> Ran | None:
    """Run the cell, or a SCRIPT (- is standard input), in a kernel on a cluster; its outputs appear here.

    The next cell there finds what this one left. Without -c it is the only cluster that is up.
    """
    from skynb import kernels

    here = face()
    code, names = _code(here.body, script), here.names()
    reads, comes = _split(inputs), _split(outputs)
    if (reads or comes) and names is None:
        raise SpecError("a terminal has no names to read or write", mend="Use --in and --out in a notebook")
    if missing := [name for name in reads if name not in (names or {})]:
        raise SpecError(f"there is no {missing[0]!r} here", where="--in")
    ran = kernels.run(
        code,
        cluster,
        inputs={name: (names or {})[name] for name in reads},
        outputs=comes,
        pickled=pickled,
        limit=int(limit * 1e6),
        emit=here.emit,
    )
    if names is not None:
        names.update(ran.values)
    return ran if reads or comes or here.output == "json" else None


def _code(body: str | None, script: Path | None) -> str:
    if body is not None and script is not None:
        raise click.UsageError(f"the cell is what runs; {str(script)!r} is one too many")
    if body is not None:
        return body
    if script is None:
        raise click.UsageError("there is nothing to run: give a cell, or a script")
    try:
        return sys.stdin.read() if str(script) == "-" else script.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"{script} cannot be read", why=getattr(error, "strerror", None) or str(error)
        ) from None


def _split(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if wrong := [name for name in names if not name.isidentifier() or keyword.iskeyword(name)]:
        raise SpecError(f"{wrong[0]!r} is no name", mend="Names of variables, as x,y")
    return names


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
@click.option("--lease-hours", type=float, help="It ends when left idle for so long; default: 12.")
@options.output
def add(cluster: str, name: str, python: str, rank: int, lease_hours: float | None) -> Specs:
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
