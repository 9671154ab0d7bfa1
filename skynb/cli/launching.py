"""launch, exec, plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from skynb.cli import options
from skynb.cli.entrypoint import dag_from, task_from
from skynb.cli.face import face
from skynb.cli.ssh import ease

if TYPE_CHECKING:
    from skynb.client.launch import Launch
    from skynb.planning import Plan
    from skynb.planning.diff import PlanDiff
    from skynb.planning.planner import Minimize
    from skynb.planning.why import Why
    from skynb.spec import Task

_entrypoint = click.argument("entrypoint", nargs=-1)


@click.command()
@_entrypoint
@options.cluster_option
@click.option("--dryrun", is_flag=True, help="Plan, and launch nothing.")
@options.detach
@click.option("-i", "--idle-minutes-to-autostop", "idle", type=int, help="Stop after so many idle minutes.")
@click.option("--wait-for", type=options.WAIT_FOR, help="What keeps a cluster from being idle.")
@click.option("--down", is_flag=True, help="Take the cluster down when it is idle, instead of stopping it.")
@click.option("--no-setup", is_flag=True, help="Skip the task's setup.")
@click.option("--fresh-setup", is_flag=True, help="Run it also on nodes that have had it.")
@click.option("--fast", is_flag=True, help="Skip it on a cluster that is up.")
@options.yes
@options.output
@options.task_fields
@click.option("-r", "--retry-until-up", is_flag=True, help="Go on until machines are had.")
@click.option("--race", type=click.IntRange(1, 8), default=1, help="Try so many offers at a time.")
@click.option("--budget", type=float, metavar="DOLLARS", help="What a new cluster may cost in all.")
@options.refused("--clone-disk-from", "--clone")
@options.refused("--docker", flag=True)
@options.refused("--resize", flag=True)
@options.refused("-w", "--workspace")
@options.config
def launch(
    entrypoint: tuple[str, ...],
    cluster: str | None,
    dryrun: bool,
    detach: bool,
    idle: int | None,
    wait_for: str | None,
    down: bool,
    no_setup: bool,
    fresh_setup: bool,
    fast: bool,
    retry_until_up: bool,
    race: int,
    budget: float | None,
    yes: bool,
    **fields: Any,
) -> Launch:
    """Run a task on a new cluster, or on the live one of that name.

    ENTRYPOINT is a YAML file or a bare command; - reads either from standard input. In a notebook the cell is
    the task. Without -d the log is followed; Ctrl-C leaves it and cancels nothing.
    """
    asked = {
        "idle_minutes_to_autostop": idle,
        "wait_for": wait_for,
        "down": down,
        "no_setup": no_setup,
        "fresh_setup": fresh_setup,
        "fast": fast,
        "retry_until_up": retry_until_up,
        "race": race,
        "budget": budget,
    }
    return _launch(task_from(entrypoint, fields), cluster, asked, dryrun=dryrun, detach=detach, yes=yes)


@click.command("exec")
@click.argument("words", nargs=-1, metavar="CLUSTER [ENTRYPOINT]...")
@click.option("-c", "--cluster", hidden=True)
@options.detach
@options.output
@options.task_fields
@options.config
def exec_(words: tuple[str, ...], cluster: str | None, detach: bool, **fields: Any) -> Launch:
    """Run a task on a live cluster, without its setup.

    ENTRYPOINT is as for launch. Without -d the log is followed; Ctrl-C leaves it and cancels nothing.
    """
    if cluster is None:
        if not words:
            raise click.UsageError("Missing argument 'CLUSTER'.")
        cluster, words = words[0], words[1:]
    from skynb.client import sdk

    handle = sdk.exec(task_from(words, fields), cluster)
    if not detach:
        face().follow(handle)
    return handle


@click.command()
@_entrypoint
@click.option("--minimize", type=click.Choice(["cost", "time"]), default="cost", help="What is best.")
@click.option("--deadline", type=float, metavar="HOURS", help="Only what is done by then.")
@click.option(
    "--hours",
    multiple=True,
    metavar="[KEY=]HOURS",
    help="How long the work takes: in all, or by accelerator (H100:8=1.5), task (train=2) or both "
    "(train/H100=1). Repeatable; default 1.",
)
@click.option("--measured", is_flag=True, help="Take the hours from past runs of the same name.")
@click.option("--diff", "old", metavar="PLAN", help="Show what differs from a kept plan (-o json).")
@click.option("--why", is_flag=True, help="Show for every kind of offer why it is no candidate.")
@options.output
@options.task_fields
@options.config
def plan(
    entrypoint: tuple[str, ...],
    minimize: Minimize,
    deadline: float | None,
    hours: tuple[str, ...],
    measured: bool,
    old: str | None,
    why: bool,
    **fields: Any,
) -> Plan | PlanDiff | Why:
    """Show what tasks would run on, what else they could, and the price.

    No server is asked, but for what was --measured.     `skynb launch --dryrun` plans with what the server
    may use.
    """
    if old and why:
        raise click.UsageError("--diff and --why are two answers; ask for one")
    from skynb.client import sdk

    asked: dict[str, Any] = {
        "minimize": minimize,
        "deadline_hours": deadline,
        "hours": _hours(hours),
        "measured": measured,
    }
    dag = dag_from(entrypoint, fields)
    if why:
        return sdk.why(dag, **asked)
    found = sdk.plan(dag, **asked)
    if old is None:
        return found
    from skynb.planning.diff import diff
    from skynb.planning.reading import read_plan_file

    return diff(read_plan_file(old), found)


def _hours(words: tuple[str, ...]) -> dict[str, float] | None:
    found: dict[str, float] = {}
    for word in words:
        key, _, number = word.rpartition("=")
        try:
            found[key] = float(number)
        except ValueError:
            message = f"{number!r} is not a number of hours"
            raise click.BadParameter(message, param_hint="--hours") from None
    return found or None


def _launch(
    task: Task, cluster: str | None, asked: dict[str, Any], *, dryrun: bool, detach: bool, yes: bool
) -> Launch:
    from skynb.client import sdk
    from skynb.client.words import span

    here = face()
    confirms = not yes and here.asks()
    if not dryrun and (confirms or here.previews()):
        cluster = _previewed(task, cluster, asked, confirms=confirms)
    handle = sdk.launch(task, cluster, dryrun=dryrun, **asked)
    if dryrun:
        if handle.worst_micro:
            here.say(f"At worst: {handle.worst()}")
        return handle
    if handle.plan is not None and "plan_hash" not in asked and not here.previews():
        here.say(f"Launching {handle.cluster}: {str(handle.plan).partition(chr(10))[0]}")
    if handle.lease is not None:
        unused, busy = span(handle.lease.presence_s), span(handle.lease.envelope_s)
        here.say(f"Lease: without a server, unused nodes end after {unused}, busy ones after {busy}")
    if handle.worst_micro:
        here.say(f"At worst: {handle.worst()}")
    if not detach:
        try:
            here.follow(handle)
        finally:
            ease(handle.cluster)
    return handle


def _previewed(task: Task, cluster: str | None, asked: dict[str, Any], *, confirms: bool) -> str:
    """Show what a new cluster will be and cost, and have it confirmed if asked; the cluster's name."""
    from skynb.client import sdk
    from skynb.client.outlook import outlook

    here = face()
    draft = sdk.launch(task, cluster, dryrun=True, **asked)
    if draft.plan is None:
        return draft.cluster
    if confirms:
        here.show(draft.plan)
    here.announce(outlook([draft.plan], asked["budget"]))
    if confirms:
        here.confirm(f"Launch {draft.cluster}?")
        asked["plan_hash"] = draft.plan.hash
    return draft.cluster
