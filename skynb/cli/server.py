"""server start, stop, status, logs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from skynb.cli import options
from skynb.cli.face import face

if TYPE_CHECKING:
    from skynb.client.listings import Servers

FOLLOW_SECONDS = 0.2


@click.group()
def server() -> None:
    """Start, stop and look at the server of this home ($SKYNB_HOME or ~/.skynb)."""


@server.command()
@options.output
def start() -> Servers:
    """Start the server, if none runs."""
    from skynb.client import server as daemon

    daemon.ensure()
    return _running()


@server.command()
@options.output
def stop() -> Servers:
    """Stop the server. Machines and jobs go on; the next command starts it again."""
    from skynb.client import server as daemon

    face().say("Stopped." if daemon.stop() else "No server runs.")
    return _running()


@server.command()
@options.output
def status() -> Servers:
    """Show the server, without starting one."""
    return _running()


@server.command()
@click.option("--follow/--no-follow", default=False, help="Go on as it writes.")
@click.option("--tail", type=click.IntRange(min=0), default=0, help="Only the last so many lines.")
def logs(follow: bool, tail: int) -> None:
    """Show the server's own log."""
    face().lines(_lines(follow, tail), "skynb server logs --follow")


def _running() -> Servers:
    import msgspec

    from skynb.client import server as daemon
    from skynb.client.listings import Servers
    from skynb.wire import ServerInfo

    card = daemon.card()
    return Servers([msgspec.convert(card, ServerInfo)] if card else [])


def _lines(follow: bool, tail: int) -> Iterator[str]:
    from skynb.client import server as daemon
    from skynb.errors import NotFoundError

    path = daemon.home() / "server.log"
    if not path.exists():
        raise NotFoundError("no server has written a log yet", where=str(path))
    with path.open(errors="replace") as file:
        yield from (line.rstrip("\n") for line in file.readlines()[-tail:])
        while follow:
            line = file.readline()
            if line:
                yield line.rstrip("\n")
            else:
                time.sleep(FOLLOW_SECONDS)
