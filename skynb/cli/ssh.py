"""ssh: a shell on a node."""

from __future__ import annotations

from contextlib import suppress

import click

from skynb.cli import options
from skynb.cli.face import face
from skynb.errors import NotFoundError, SkynbError


@click.command(context_settings={"ignore_unknown_options": True})
@options.cluster
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--rank", type=click.IntRange(0), default=0, help="Which node; 0 is the head.")
@options.config
def ssh(cluster: str, command: tuple[str, ...], rank: int) -> None:
    """Open a shell on a node, or run a command there.

    From then on plain `ssh CLUSTER` works, too, and `ssh CLUSTER-1` for the node of rank 1, and so do scp and
    editors: `~/.ssh/config` includes skynb's entries. A launch that is followed sees to that as well.
    """
    from skynb.client import sdk
    from skynb.client import ssh as entries

    here = face()
    if not command and not here.asks():
        raise click.UsageError("a shell needs a terminal; give a command to run")
    found = next((one for one in sdk.ssh_entries(cluster) if one.rank == rank), None)
    if found is None:
        mend = f"`skynb status {cluster}` shows it"
        raise NotFoundError(f"cluster {cluster!r} has no node {rank} that is up", mend=mend)
    _include(cluster)
    here.run(entries.command_line(found, command))


def ease(cluster: str) -> None:
    """Have plain `ssh CLUSTER` work, where the cluster's machines have ssh and are up. It raises nothing."""
    from skynb.client import sdk

    with suppress(SkynbError, OSError):  # a home that cannot be written to is no reason to fail a launch
        if sdk.ssh_entries(cluster):
            _include(cluster)


def _include(cluster: str) -> None:
    from skynb.client import ssh as entries

    if entries.include():
        face().say(f"`ssh {cluster}` works from now on: ~/.ssh/config includes {entries.file()}")
