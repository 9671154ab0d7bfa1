"""catalog refresh, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from skynb.cli import options
from skynb.cli.face import face
from skynb.errors import ProviderError

if TYPE_CHECKING:
    from skynb.client.catalog import Health
    from skynb_catalog.refresh import Progress

INTERRUPTED = 130


@click.group()
def catalog() -> None:
    """Refresh prices, and look at how the catalog is."""


@catalog.command()
@click.argument("clouds", nargs=-1)
@click.option("--source", "sources", multiple=True, help="Only this source. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Fetch and check; put nothing in force.")
@options.output
def refresh(clouds: tuple[str, ...], sources: tuple[str, ...], dry_run: bool) -> None:
    """Fetch today's prices of all clouds, or of these, and put them in force.

    A source or a cloud that fails keeps its old rows, is named, and makes the command exit with 1; the others
    land. Interrupted, it changes nothing, and within the hour it goes on where it was.
    """
    from skynb.client import catalog as client

    here = face()
    seen: dict[str, str] = {}

    def watch(progress: Progress) -> None:
        seen[progress.source] = client.progress_line(progress)
        here.redraw(list(seen.values()))

    try:
        found = client.refresh(*clouds, sources=sources, dry_run=dry_run, watch=watch)
    except KeyboardInterrupt:
        here.say("Interrupted. The old catalog stays; `skynb catalog refresh` goes on with what has come.")
        click.get_current_context().exit(INTERRUPTED)
    here.show(found)
    if not found.ok:
        raise ProviderError(
            f"not everything landed: {', '.join(found.failed)}",
            mend="`skynb catalog refresh` asks again, within the hour only for what is missing",
        )


@catalog.command()
@click.argument("clouds", nargs=-1)
@click.option("--reason", help="Only rows set aside for a reason with these words.")
@options.output
def doctor(clouds: tuple[str, ...], reason: str | None) -> Health:
    """Show which catalog is in force, how old its prices are, and what was set aside and why."""
    from skynb.client import catalog as client

    return client.doctor(*clouds, reason=reason)
