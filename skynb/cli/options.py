"""Options that several commands share, with SkyPilot's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from skynb.cli.face import face
from skynb.errors import UnsupportedError

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

WAIT_FOR = click.Choice(["jobs_and_ssh", "jobs", "none"])


def together(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one decorator, in the order in which help shows them."""

    def decorate(function: F) -> F:
        decorated: Any = function
        for one in reversed(decorators):
            decorated = one(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def refused(*names: str, flag: bool = False) -> Callable[[Any], Any]:
    """An option of SkyPilot's that no part carries out yet: refused by its name, never ignored."""
    name = next(one for one in names if one.startswith("--")).partition("/")[0]

    def refuse(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value in {None, False} or context.resilient_parsing:
            return
        raise UnsupportedError(
            "no part of this version carries that out yet",
            where=name,
            mend="Leave it out",
        )

    default: dict[str, Any] = {"is_flag": True, "default": None} if flag else {}
    return click.option(*names, expose_value=False, hidden=True, callback=refuse, **default)


def complete_clusters(context: click.Context, parameter: click.Parameter, incomplete: str) -> Any:
    """Names of live clusters, for shells and notebooks."""
    from skynb.cli.completion import cluster_names

    return cluster_names(context, parameter, incomplete)


def _output(context: click.Context, _parameter: click.Parameter, value: str) -> None:
    if not context.resilient_parsing:
        face(context).output = value


cluster = click.argument("cluster", shell_complete=complete_clusters)
clusters = click.argument("clusters", nargs=-1, shell_complete=complete_clusters)
cluster_option = click.option("-c", "--cluster", help="The cluster's name.", shell_complete=complete_clusters)
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
env_sync = together(
    click.option("--env-sync", is_flag=True, help="In this Python's environment, made anew on the nodes."),
    click.option(
        "--env-without", multiple=True, metavar="NAME", help="Leave a distribution out; repeatable."
    ),
)
detach = click.option(
    "-d", "--detach-run", "--async", "detach", is_flag=True, help="Return at once, do not follow the log."
)
in_background = click.option(
    "--async/--no-async", "in_background", default=False, help="Return at once, do not wait until it is done."
)
# What others own is shown in any case.
all_users = click.option("-u", "--all-users", is_flag=True, expose_value=False, hidden=True)
output = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    expose_value=False,
    callback=_output,
    help="How to print the result.",
)
config = refused("--config")
graceful = together(refused("--graceful", flag=True), refused("--graceful-timeout"))

_TIERS = click.Choice(["low", "medium", "high", "ultra", "best", "none"])

# {RES} of SkyPilot: the task's fields, over those of its YAML.
task_fields = together(
    click.option("-n", "--name", help="The task's name."),
    click.option("--workdir", help="Folder that is copied to every node."),
    click.option("--infra", help="Where: cloud[/region[/zone]], local, k8s/context, ..."),
    click.option("--cloud", hidden=True),
    click.option("--region", hidden=True),
    click.option("--zone", hidden=True),
    click.option("--num-nodes", type=int, help="Machines, all or none."),
    click.option("--cpus", help="vCPUs of each: 4, 4+."),
    click.option("--memory", help="GB of each: 16, 16+."),
    click.option("--disk-size", help="GB."),
    click.option("--disk-tier", type=_TIERS),
    click.option("--network-tier", type=click.Choice(["standard", "best"])),
    click.option("--use-spot/--no-use-spot", default=None, help="Cheaper machines that may be taken away."),
    click.option("--image-id"),
    click.option("--env-file", help="Variables, one NAME=value a line."),
    click.option("--env", multiple=True, help="NAME=value, or NAME to take it from here. Repeatable."),
    click.option("--secret-file", help="Secrets, one NAME=value a line."),
    click.option("--secret", multiple=True, help="As --env, shown to nobody. Repeatable."),
    click.option("--local-disk"),
    click.option("--gpus", help="Accelerators of each: H100, A100:8, 80GB+."),
    click.option("-t", "--instance-type", help="The cloud's name of a machine."),
    click.option("--ports", multiple=True, help="Ports to open. Repeatable."),
    click.option("--priority", type=int, help="-1000 to 1000; higher runs first."),
    click.option("--git-url"),
    click.option("--git-ref"),
)
