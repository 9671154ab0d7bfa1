"""jobs pool apply, status, down, logs: warm workers for managed jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from skynb.cli import options
from skynb.cli.entrypoint import dag_from
from skynb.cli.face import face

if TYPE_CHECKING:
    from skynb.client.pools import Pools
    from skynb.planning import Plan


@click.group()
def pool() -> None:
    """Keep warm workers for jobs: set up once, lent to one job after another."""


@pool.command()
@click.argument("entrypoint", nargs=-1)
@click.option("-p", "--pool", "called", required=True, metavar="POOL", help="What it is called.")
@click.option("--workers", type=click.IntRange(0, 1000), help="So many, before what the YAML says.")
@click.option("--dryrun", is_flag=True, help="Plan, and make nothing.")
@click.option("--mode", type=click.Choice(["rolling"]), hidden=True, expose_value=False)
@options.yes
@options.output
@options.task_fields
@options.config
def apply(
    entrypoint: tuple[str, ...], called: str, workers: int | None, dryrun: bool, yes: bool, **fields: Any
) -> Pools | Plan:
    """Make a pool, or give it other workers; jobs that run go on to their end."""
    from skynb import jobs as client
    from skynb.client.pools import Pools

    dag, here = dag_from(entrypoint, fields), face()
    if dryrun or (not yes and here.asks()):
        from skynb.planning import Plan

        draft = client.pool_apply(dag, called, workers=workers, dryrun=True)
        plan = msgspec.convert(draft.plan, Plan)
        if dryrun:
            return plan
        here.show(plan)
        many = str(draft.least) if draft.least == draft.most else f"{draft.least} to {draft.most}"
        here.confirm(f"Keep {many} of these as pool {called}?")
    return Pools([client.pool_apply(dag, called, workers=workers)])


@pool.command()
@click.argument("pool_names", nargs=-1, metavar="[POOL]...")
@click.option("-a", "--all", "everything", is_flag=True, hidden=True, expose_value=False)  # all are shown
@click.option("-v", "--verbose", is_flag=True, hidden=True, expose_value=False)
@options.output
@options.config
def status(pool_names: tuple[str, ...]) -> Pools:
    """Show pools and their workers."""
    from skynb import jobs as client

    return client.pool_status(pool_names)


@pool.command()
@click.argument("pool_names", nargs=-1, metavar="[POOL]...")
@click.option("-a", "--all", "everything", is_flag=True, help="All pools.")
@options.yes
@options.output
@options.refused("-p", "--purge", flag=True)
@options.config
def down(pool_names: tuple[str, ...], everything: bool, yes: bool) -> Pools:
    """Take pools down; refused while jobs of one go on."""
    from skynb import jobs as client

    if bool(pool_names) == everything:
        raise click.UsageError("name pools, or --all")
    if not yes:
        face().confirm(f"Take down {', '.join(pool_names) or 'all pools'}?")
    return client.pool_down(pool_names, all=everything)


@pool.command()
@click.argument("name", metavar="POOL")
@click.argument("worker", type=int)
@click.option("--follow/--no-follow", default=True, help="Go on until it ends.")
@click.option("--tail", type=click.IntRange(min=0), default=0, help="Begin so many lines before the end.")
@options.output
@options.config
def logs(name: str, worker: int, follow: bool, tail: int) -> None:
    """Show how a worker was set up."""
    from skynb.client import sdk

    lines = sdk.tail_logs(f"{name}-w{worker}", 1, follow=follow, tail=tail)
    face().lines(lines, f"skynb jobs pool logs {name} {worker}")
