"""cancel, stop, start, down, autostop: commands that move what is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from skynb.cli import options
from skynb.cli.face import face
from skynb.errors import NotFoundError

if TYPE_CHECKING:
    from skynb.client.listings import Clusters, Jobs
    from skynb.wire import ClusterInfo

_idle = click.option("-i", "--idle-minutes", "idle", type=int, help="Idle minutes; negative turns it off.")
_wait_for = click.option("--wait-for", type=options.WAIT_FOR, help="What keeps a cluster from being idle.")
_everything = click.option("-a", "--all", "everything", is_flag=True, help="All clusters.")


@click.command()
@options.cluster
@click.argument("jobs", nargs=-1, type=int)
@click.option("-a", "--all", "everything", is_flag=True, help="All jobs that have not ended.")
@options.yes
@options.output
@options.all_users
@click.option("--async/--no-async", expose_value=False, hidden=True)  # a cancel is durable at once
@options.config
def cancel(cluster: str, jobs: tuple[int, ...], everything: bool, yes: bool) -> Jobs:
    """Cancel jobs by number, or else the latest that has not ended. The cluster stays."""
    from skynb.client import sdk
    from skynb.client.listings import Jobs

    if jobs and everything:
        raise click.UsageError("name jobs or give --all, not both")
    if everything and not yes:
        face().confirm(f"Cancel all jobs of {cluster}?")
    numbers = sdk.cancel(cluster, jobs, all=everything)
    return Jobs(job for job in sdk.queue(cluster) if job.id in numbers)


@click.command()
@options.clusters
@_everything
@options.yes
@options.in_background
@options.output
@options.all_users
@options.graceful
@options.config
def stop(clusters: tuple[str, ...], everything: bool, yes: bool, in_background: bool) -> Clusters:
    """Turn machines off and keep their disks; a name may have * and ?."""
    from skynb.client import sdk

    return _move(_named(clusters, everything), "Stop", sdk.stop, yes=yes, wait=not in_background)


@click.command()
@options.clusters
@_everything
@options.yes
@options.in_background
@options.output
@options.all_users
@options.graceful
@options.refused("-p", "--purge", flag=True)
@options.config
def down(clusters: tuple[str, ...], everything: bool, yes: bool, in_background: bool) -> Clusters:
    """Give machines and their disks back; a name may have * and ?."""
    from skynb.client import sdk

    return _move(_named(clusters, everything), "Take down", sdk.down, yes=yes, wait=not in_background)


@click.command()
@options.clusters
@_everything
@options.yes
@click.option("-i", "--idle-minutes-to-autostop", "idle", type=int, help="Stop after so many idle minutes.")
@_wait_for
@click.option("--down", is_flag=True, help="Take the cluster down when it is idle, instead of stopping it.")
@options.in_background
@options.output
@click.option("-r", "--retry-until-up", is_flag=True, expose_value=False, help="It does in any case.")
@options.refused("-f", "--force", flag=True)
@options.config
def start(
    clusters: tuple[str, ...],
    everything: bool,
    yes: bool,
    idle: int | None,
    wait_for: str | None,
    down: bool,
    in_background: bool,
) -> Clusters:
    """Turn stopped clusters on again, or repair what is not whole; a name may have * and ?."""
    from skynb.client import sdk

    names = _named(clusters, everything)
    sdk.wish(idle, wait_for, down=down)  # wrong options are told before anything moves
    found = _move(names, "Start", sdk.start, yes=yes, wait=not in_background)
    if idle is None and not down:
        return found
    return type(found)(sdk.autostop(name, idle or 0, down=down, wait_for=wait_for) for name in names)


@click.command()
@options.clusters
@_everything
@_idle
@_wait_for
@click.option("--cancel", "off", is_flag=True, help="Turn autostop off.")
@click.option("--down", is_flag=True, help="Take the cluster down instead of stopping it.")
@options.yes
@options.output
@options.all_users
@click.option("--async/--no-async", expose_value=False, hidden=True)  # the wish is durable at once
@options.config
def autostop(
    clusters: tuple[str, ...],
    everything: bool,
    idle: int | None,
    wait_for: str | None,
    off: bool,
    down: bool,
    yes: bool,
) -> Clusters:
    """Stop clusters, or take them down, after idle minutes (5 by default); a name may have * and ?."""
    if off and (idle is not None or down or wait_for):
        raise click.UsageError("--cancel goes with none of -i, --down and --wait-for")
    from skynb.client import sdk
    from skynb.client.listings import Clusters

    names = _named(clusters, everything)
    if not yes:
        face().confirm(f"Change autostop of {', '.join(names)}?")
    minutes = -1 if off else 5 if idle is None else idle
    return Clusters(sdk.autostop(name, minutes, down=down, wait_for=wait_for) for name in names)


def _named(given: Sequence[str], everything: bool) -> list[str]:
    """The clusters that are meant. NotFoundError for a name or a pattern that fits none.

    One that works for managed jobs is meant by its whole name only, and the server says what holds it.
    """
    if bool(given) == everything:
        raise click.UsageError("name clusters or give --all" + (", not both" if everything else ""))
    from skynb.client import sdk

    live = [item.name for item in sdk.status()]
    others = [pattern for pattern in given if not any(fnmatchcase(name, pattern) for name in live)]
    held = [item.name for item in sdk.status(others)] if others else []
    for pattern in others:
        if pattern not in held:
            raise NotFoundError(f"there is no cluster {pattern!r}", mend="`skynb status` lists the clusters")
    return [*(name for name in live if everything or any(fnmatchcase(name, one) for one in given)), *held]


def _move(
    names: Sequence[str], verb: str, move: Callable[..., ClusterInfo], *, yes: bool, wait: bool
) -> Clusters:
    """Ask for all, then wait for each; the wish stands when somebody leaves meanwhile."""
    from skynb.client import sdk
    from skynb.client.listings import Clusters

    here = face()
    if names and not yes:
        here.confirm(f"{verb} {', '.join(names)}?")
    asked = [move(name, wait=False) for name in names]
    if not wait:
        return Clusters(asked)
    try:
        return Clusters(sdk.settled(item) for item in asked)
    except KeyboardInterrupt:
        here.say("\nNot waiting any longer; it goes on. `skynb status -a` shows how it stands.")
        return sdk.status(names, all=True)
