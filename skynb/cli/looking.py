"""status, queue, logs, events, cost, check, gpus: commands that change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from skynb.cli import options
from skynb.cli.face import face
from skynb.errors import NotFoundError, UnsupportedError

if TYPE_CHECKING:
    from skynb.client.causes import Story
    from skynb.client.listings import Budgets, Charges, Checks, Clusters, Costs, Days, Events, Jobs
    from skynb.planning import GpuTable


@click.command()
@options.clusters
@click.option("-a", "--all", "ended", is_flag=True, help="Ended clusters, too.")
@click.option("-r", "--refresh", is_flag=True, help="Look at the infra first.")
@click.option("--ip", is_flag=True, help="Print the head node's address, and nothing else.")
@options.output
@options.all_users
@options.refused("-v", "--verbose", flag=True)
@options.refused("--endpoints", flag=True)
@options.refused("--endpoint")
@options.refused("--show-managed-jobs/--no-show-managed-jobs", flag=True)
@options.refused("--show-services/--no-show-services", flag=True)
@options.refused("--show-pools/--no-show-pools", flag=True)
@options.config
def status(clusters: tuple[str, ...], ended: bool, refresh: bool, ip: bool) -> Clusters | str:
    """Show clusters, all or those named."""
    from skynb.client import sdk

    found = sdk.status(clusters, all=ended, refresh=refresh)
    missing = [name for name in clusters if name not in {item.name for item in found}]
    if missing:
        mend = "`skynb status -a` shows ended ones, too" if not ended else "`skynb status -a` shows all"
        raise NotFoundError(f"there is no cluster {missing[0]!r}", mend=mend)
    if not ip:
        return found
    if len(found) != 1:
        raise click.UsageError("--ip is for one cluster")
    address = found[0].nodes[0].address if found[0].nodes else ""
    if not address:
        raise NotFoundError(f"cluster {found[0].name!r} has no address while it is {found[0].status}")
    return address


@click.command()
@options.clusters
@click.option("-s", "--skip-finished", is_flag=True, help="Only jobs that have not ended.")
@options.output
@options.all_users
@options.config
def queue(clusters: tuple[str, ...], skip_finished: bool) -> Jobs:
    """Show the jobs of clusters, of all live ones by default."""
    from skynb.client import sdk
    from skynb.client.listings import Jobs

    names = clusters or [item.name for item in sdk.status()]
    return Jobs(job for name in names for job in sdk.queue(name, skip_finished))


@click.command()
@options.cluster
@click.argument("job_ids", nargs=-1, type=int)
@click.option("--follow/--no-follow", default=True, help="Go on until the job ends.")
@click.option("--tail", type=click.IntRange(min=0), default=0, help="Begin so many lines before the end.")
@click.option("--status", "only_status", is_flag=True, help="Exit with the job's status, print no log.")
@click.option("-w", "--worker", type=click.IntRange(min=0), help="Only this rank.")
@options.output
@options.refused("-s", "--sync-down", flag=True)
@options.refused("--provision", flag=True)
@options.refused("--hook", flag=True)
@options.refused("--autostop", flag=True)
@options.config
def logs(
    cluster: str, job_ids: tuple[int, ...], follow: bool, tail: int, only_status: bool, worker: int | None
) -> Jobs | None:
    """Show the log of a job, of the latest by default.

    Exits with 0 if the job succeeded, 100 if it failed, 101 if it has not ended, 102 if there is none, 103 if
    it was cancelled. Ctrl-C leaves the log; the job goes on.
    """
    from skynb.client import sdk
    from skynb.client.listings import Jobs

    if len(job_ids) > 1:
        raise click.UsageError("one job at a time")
    here = face()
    job = sdk.latest_job(cluster, job_ids[0] if job_ids else None)
    if not only_status:
        lines = sdk.tail_logs(cluster, job.id, follow=follow, rank=worker, tail=tail)
        if not here.lines(lines, f"skynb logs {cluster} {job.id}"):
            return None
        job = sdk.latest_job(cluster, job.id)
    here.ended(job.status, final=job.final)
    return Jobs([job]) if only_status or here.output == "json" else None


@click.command()
@click.argument("cluster", required=False, shell_complete=options.complete_clusters)
@click.option("--follow/--no-follow", default=False, help="Show each event as it happens.")
@click.option("--tail", type=click.IntRange(min=0), default=0, help="Only the last so many.")
@options.output
@options.config
def events(cluster: str | None, follow: bool, tail: int) -> Events | None:
    """Show what was decided, when and from what: of a cluster, or of everything."""
    from skynb.client import sdk
    from skynb.client.listings import Events

    found = sdk.events(cluster)
    shown = Events(found[-tail:]) if tail else found
    if not follow:
        return shown
    here = face()
    here.show(shown)
    after = found[-1].seq if found else 0
    lines = ("  ".join(shown.cells(item, 0)) for item in sdk.follow_events(cluster, after))
    here.lines(lines, " ".join(["skynb events --follow", *filter(None, [cluster])]))
    return None


@click.command()
@options.cluster
@click.option("-a", "--all", "every", is_flag=True, help="The small steps, too.")
@options.output
@options.config
def why(cluster: str, every: bool) -> Story:
    """Show why a cluster is as it is: what was asked, tried and refused, and what each step rested on."""
    from skynb.client import sdk

    return sdk.why_cluster(cluster, every=every)


@click.command()
@click.argument("cluster", required=False, shell_complete=options.complete_clusters)
@click.option("-a", "--all", "everything", is_flag=True, help="Of all times.")
@click.option("--days", type=click.IntRange(min=0), default=30, show_default=True, help="Of so many days.")
@options.output
@options.config
def cost(cluster: str | None, everything: bool, days: int) -> Costs | Charges:
    """Show the bill, a line a cluster: what is spent, and what is reserved for what runs.

    Of one CLUSTER, also one that has ended: a line for each node and price, with where the price is from.
    """
    from skynb.client import sdk

    if cluster is not None:
        return sdk.charges(cluster)
    return sdk.cost_report(None if everything else days)


@click.command()
@click.argument("dollars", type=float, required=False)
@click.option("--user", help="Of this person; default everybody together.")
@click.option("--clear", is_flag=True, help="Take the cap away.")
@options.output
@options.config
def budget(dollars: float | None, user: str | None, clear: bool) -> Budgets:
    """Show the caps on a month's spending, or set one: `skynb budget 100`.

    A launch that could pass a cap is refused, and what runs ends before it is passed. A cap for one cluster:
    `skynb launch --budget`.
    """
    from skynb.client import sdk

    if clear and dollars is not None:
        raise click.UsageError("--clear takes the cap away; leave the amount out")
    if dollars is None and not clear:
        if user is not None:
            raise click.UsageError("--user needs an amount, or --clear")
        return sdk.budgets()
    return sdk.set_budget(dollars, user=user)


@click.command()
@click.option("--days", type=click.IntRange(1, 366), default=14, help="So many, today last.")
@options.output
def spend(days: int) -> Days:
    """Show what each of the last days cost. Days end at midnight UTC, as budgets do."""
    from skynb.client import sdk

    return sdk.spend(days)


@click.command()
@click.argument("infra", nargs=-1)
@click.option("-v", "--verbose", is_flag=True, expose_value=False, hidden=True)  # all is shown in any case
@options.output
@options.refused("-w", "--workspace")
@options.config
def check(infra: tuple[str, ...]) -> Checks:
    """Show which infra may be used, and how to mend what may not."""
    from skynb.client import sdk
    from skynb.client.listings import Checks

    found = sdk.check()
    unknown = [name for name in infra if name not in {item.infra for item in found}]
    if unknown:
        known = ", ".join(item.infra for item in found)
        raise NotFoundError(f"the server has no provider for {unknown[0]!r}", mend=f"It has {known}")
    return Checks(item for item in found if not infra or item.infra in infra)


@click.command()
@click.argument("words", nargs=-1, metavar="[list] [NAME[:COUNT]]")
@click.option("-a", "--all", "everything", is_flag=True, expose_value=False, hidden=True)  # it always is
@click.option("--infra", help="Only there: cloud[/region].")
@click.option("--cloud", hidden=True)
@click.option("--region", hidden=True)
@click.option("--all-regions", is_flag=True, help="A row a region, not only the cheapest.")
@options.output
@options.refused("-v", "--verbose", flag=True)
@options.config
def gpus(words: tuple[str, ...], infra: str | None, all_regions: bool, **place: Any) -> GpuTable:
    """List accelerators with their machines and prices, all or those of a name or memory (80GB+)."""
    if words[:1] == ("label",):
        raise UnsupportedError("no part of this version carries that out yet", where="gpus label")
    names = words[1:] if words[:1] == ("list",) else words
    if len(names) > 1:
        raise click.UsageError(f"one name is expected, {names[1]!r} is one too many")
    from skynb.client import sdk

    cloud, region = _place(infra, **place)
    name, _, count = (names[0] if names else "").partition(":")
    table = sdk.gpus(name or None, all_regions=all_regions or region is not None, cloud=cloud)
    return _only(table, region, count, names[0] if names else "accelerator")


def _place(infra: str | None, cloud: str | None, region: str | None) -> tuple[str | None, str | None]:
    if infra is None:
        return cloud, region
    if cloud or region:
        raise click.UsageError("--infra says cloud, region and zone")
    from skynb.spec import Infra

    parsed = Infra.parse(infra, "--infra")
    return parsed.cloud, parsed.region


def _only(table: GpuTable, region: str | None, count: str, asked: str) -> GpuTable:
    """The rows of that region and count."""
    if not region and not count:
        return table
    try:
        wanted = float(count) if count else None
    except ValueError:
        raise click.UsageError(f"{count!r} is not a count") from None
    from msgspec.structs import replace

    rows = tuple(
        row
        for row in table.rows
        if (not region or row.region == region) and wanted in {None, row.accelerator_count}
    )
    if not rows:
        raise NotFoundError(f"the catalog has no {asked}{f' in {region}' if region else ''}")
    return replace(table, rows=rows)
