"""reap, adopt, rebuild: commands about machines that no cluster of this server leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from skynb.cli import options
from skynb.cli.face import face

if TYPE_CHECKING:
    from skynb.client.listings import Clusters, Machines


@click.command()
@click.argument("machines", nargs=-1, metavar="[INFRA:ID]...")
@click.option("-a", "--all", "every", is_flag=True, help="Show the machines that are claimed, too; end none.")
@options.yes
@options.output
@options.config
def reap(machines: tuple[str, ...], every: bool, yes: bool) -> Machines:
    """Find machines that this server rented and no live record claims, and end those, or the ones named.

    Another owner's machine is ended only when it is named and its first lease is over; whether its owner's
    server lives is not known here.
    """
    from skynb.client import sdk

    here, names = face(), list(machines)
    if not (machines and yes):
        found = sdk.forgotten(every=every)
        names = names or [one.name for one in found if one.claim in sdk.FORGOTTEN]
        if every or not names or not (yes or here.asks()):
            return found
        here.show(found)
        if not yes:
            here.confirm(f"End {', '.join(names)}?")
    here.say(f"Ended: {', '.join(sdk.reap(names)) or 'nothing'}")
    return sdk.forgotten()


@click.command()
@click.argument("machines", nargs=-1, metavar="[INFRA:ID]...")
@click.option("--down", is_flag=True, help="End the machines that are named, whoever rented them.")
@options.yes
@options.output
@options.config
def adopt(machines: tuple[str, ...], down: bool, yes: bool) -> Machines | Clusters:
    """Show machines in your accounts that are not this server's; take the clusters of those named in.

    Only a machine with skynb's tags can be taken in. One that skynb did not rent can be ended with --down.
    """
    from skynb.client import sdk

    if not machines:
        if down:
            raise click.UsageError("--down ends the machines that are named; name them")
        return sdk.strangers()
    if not down:
        return _written(machines, None)
    here = face()
    if not yes:
        here.confirm(f"End {', '.join(machines)} with all that is on them?")
    here.say(f"Ended: {', '.join(sdk.reap(machines, foreign=True)) or 'nothing'}")
    return sdk.strangers()


@click.command()
@click.option("--from-tags", is_flag=True, help="From the machines' tags and agents; there is no other way.")
@click.option("--owner", metavar="ID", help="Take over the machines of this server, which is gone for good.")
@options.yes
@options.output
@options.config
def rebuild(from_tags: bool, owner: str | None, yes: bool) -> Clusters:
    """Write the clusters of a lost ledger again: same names, machines and jobs. What is there stays."""
    if not from_tags:
        raise click.UsageError("say --from-tags: the machines' tags and agents are what is read")
    if owner is not None and not yes:
        face().confirm(f"Take over the machines of {owner}? Only if that server is gone for good.")
    return _written((), owner)


def _written(machines: tuple[str, ...], owner: str | None) -> Clusters:
    from skynb.client import sdk
    from skynb.client.listings import Clusters

    here, done = face(), sdk.rebuild(machines, owner=owner)
    here.say(f"Written: {', '.join(done.clusters) or 'nothing; the ledger knows every machine it can take'}")
    for name, why in done.left.items():
        here.say(f"Left: {name}: {why}")
    for place in done.blind:
        here.say(f"Could not be seen: {place}. What is there is unknown.")
    return sdk.status(done.clusters) if done.clusters else Clusters()
