"""nb run, get: notebooks as managed jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skynb.cli import options
from skynb.cli.entrypoint import task_from
from skynb.cli.face import face
from skynb.cli.handing import foretell

if TYPE_CHECKING:
    from skynb.client.managed import ManagedLaunch
    from skynb.notebooks.run import NotebookRun
    from skynb.spec import Task

_to = click.option("--to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")


@click.group()
def nb() -> None:
    """Run notebooks as jobs that finish whatever happens to the machines."""


@nb.command("run")
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@_to
@click.option("--setup", help="A command that goes before, as `pip install scikit-learn`.")
@options.detach
@options.yes
@options.output
@options.task_fields
@click.option("--job-recovery", "recovery", help="CHEAPEST, EAGER_NEXT_REGION, FAILOVER, or one installed.")
@click.option("--budget", type=float, metavar="DOLLARS", help="What it may cost in all.")
@click.option("--deadline", type=float, metavar="HOURS", help="End it after so many hours from now.")
@click.option(
    "--keep-session",
    metavar="FOLDER",
    help="On the nodes, and outliving them: keep there what the notebook's names hold after each cell.",
)
@options.env_sync
@click.option("--dryrun", is_flag=True, help="Plan, and hand nothing over.")
@options.config
def run(
    notebook: Path,
    parameters: tuple[str, ...],
    to: Path | None,
    setup: str | None,
    detach: bool,
    yes: bool,
    recovery: str | None,
    budget: float | None,
    deadline: float | None,
    keep_session: str | None,
    env_sync: bool,
    env_without: tuple[str, ...],
    dryrun: bool,
    **fields: Any,
) -> ManagedLaunch | NotebookRun:
    """Run a notebook on rented machines, cell by cell.

    What each cell gave is saved in FILE (NAME.job-N.ipynb) at once. After the loss of a machine it goes on at
    the first unfinished cell; earlier ones run again only where later ones need what they make. Without -d
    it is followed; Ctrl-C leaves it and cancels nothing.
    """
    from skynb import nb as client

    asked: dict[str, Any] = {
        "priority": fields["priority"],
        "recovery": recovery,
        "budget": budget,
        "deadline_hours": deadline,
        "keep_session": keep_session,
        "env_without": env_without,
    }
    values, here = _values(parameters), face()
    if env_sync:
        asked["env_sync"] = client.environment(notebook)
        here.say(f"environment: {asked['env_sync']}")
    task = _base(fields, setup)
    if dryrun:
        return client.plan(notebook, values, task, **asked)
    foretell(lambda: client.plan(notebook, values, task, **asked), yes=yes, budget=budget)
    handle = client.run(notebook, values, task, output=to, **asked)
    here.say(f"managed job {handle.job_id} handed over; {handle.ways_on()}")
    if not detach and here.lines(handle.lines(), handle.ways_on()):
        from skynb import jobs

        job = jobs.wait(handle.job_id)
        here.ended(job.status, final=job.final)
        here.say(f"Notebook job {job.id} {job.status}" + (f": {job.reason}" if job.reason else ""))
        here.insist(handle.result)
    return handle


@nb.command()
@click.argument("job", metavar="ID|NAME")
@_to
@options.output
@options.config
def get(job: str, to: Path | None) -> NotebookRun:
    """Save a notebook that was handed over, as far as it has come, in FILE (NAME.job-N.ipynb)."""
    from skynb import nb as client

    return client.get(job, to)


def _base(fields: dict[str, Any], setup: str | None) -> Task:
    """Where it runs, by the options; a cell above, as for launch, has no part in it."""
    task = task_from((), fields)
    if setup:
        task.setup = setup
    return task


def _values(words: tuple[str, ...]) -> dict[str, Any]:
    from skynb.notebooks.document import parameter

    found = {}
    for word in words:
        name, given, text = word.partition("=")
        if not given or not name.isidentifier():
            raise click.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="-p")
        found[name] = parameter(text)
    return found
