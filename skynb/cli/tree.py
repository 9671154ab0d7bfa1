"""The table of commands."""

from __future__ import annotations

import click

from skynb._version import __version__
from skynb.cli.lazy import LazyGroup

_COMMANDS = {
    "launch": ("skynb.cli.launching:launch", "Run a task on a new cluster, or on one that is there."),
    "exec": ("skynb.cli.launching:exec_", "Run a task on a live cluster, without its setup."),
    "plan": ("skynb.cli.launching:plan", "Show what a task would run on, and what it would cost."),
    "run": ("skynb.cli.kernel:run", "Run code in a kernel on a cluster, with its outputs here."),
    "status": ("skynb.cli.looking:status", "Show clusters."),
    "queue": ("skynb.cli.looking:queue", "Show the jobs of clusters."),
    "logs": ("skynb.cli.looking:logs", "Show and follow the log of a job."),
    "events": ("skynb.cli.looking:events", "Show the history of decisions."),
    "why": ("skynb.cli.looking:why", "Show why a cluster is as it is."),
    "ssh": ("skynb.cli.ssh:ssh", "Open a shell on a node, or run a command there."),
    "cost": ("skynb.cli.looking:cost", "Show the bill, a line a cluster."),
    "spend": ("skynb.cli.looking:spend", "Show what each day cost."),
    "dashboard": ("skynb.cli.dashboard:dashboard", "Serve clusters, jobs and costs as a page with plots."),
    "budget": ("skynb.cli.looking:budget", "Show the caps on spending, or set one."),
    "cost-report": ("skynb.cli.looking:cost", ""),
    "check": ("skynb.cli.looking:check", "Show which infra may be used."),
    "catalog": ("skynb.cli.catalog:catalog", "Refresh prices, and look at how the catalog is."),
    "gpus": ("skynb.cli.looking:gpus", "List accelerators and their prices."),
    "cancel": ("skynb.cli.moving:cancel", "Cancel jobs."),
    "stop": ("skynb.cli.moving:stop", "Turn machines off and keep their disks."),
    "start": ("skynb.cli.moving:start", "Turn a stopped cluster on again."),
    "down": ("skynb.cli.moving:down", "Give machines back."),
    "reap": ("skynb.cli.found:reap", "Find forgotten machines, and end them."),
    "adopt": (
        "skynb.cli.found:adopt",
        "Show machines that are not this server's, take them in, or end them.",
    ),
    "rebuild": ("skynb.cli.found:rebuild", "Write a lost ledger again, from the machines."),
    "autostop": ("skynb.cli.moving:autostop", "Stop or end a cluster when it is idle."),
    "jobs": ("skynb.cli.jobs:jobs", "Hand work over that finishes whatever happens to the machines."),
    "nb": ("skynb.cli.nb:nb", "Run notebooks as jobs that finish whatever happens to the machines."),
    "dask": ("skynb.cli.dask:dask", "Run Dask on a cluster."),
    "kernel": ("skynb.cli.kernel:kernel", "Look at kernels on clusters, and end them."),
    "server": ("skynb.cli.server:server", "Start, stop and look at the skynb server."),
}


def _completion(context: click.Context, parameter: click.Parameter, shell: str | None) -> None:
    if not shell or context.resilient_parsing:
        return
    from skynb.cli.completion import install, uninstall

    done = uninstall(shell) if parameter.name == "uninstall_shell_completion" else install(shell)
    click.echo(done)
    context.exit()


_SHELLS = click.Choice(["bash", "zsh", "fish", "auto"])


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-v", "--version", message="skynb, version %(version)s")
@click.option(
    "--install-shell-completion",
    type=_SHELLS,
    is_eager=True,
    expose_value=False,
    callback=_completion,
    help="Complete commands, options and cluster names in this shell.",
)
@click.option(
    "--uninstall-shell-completion", type=_SHELLS, is_eager=True, expose_value=False, callback=_completion
)
def tree() -> None:
    """Rent, use and give back machines on any cloud."""
