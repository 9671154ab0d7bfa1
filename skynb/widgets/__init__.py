"""What lives, what it costs and what could be had, as live widgets for cells and as a served dashboard.

from skynb import widgets
widgets.clusters()

They are Panel components with plots. Without Panel the same calls give the tables of that moment.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from skynb.client import sdk

if TYPE_CHECKING:
    from skynb.client.tasks import TaskLike

__all__ = ["clusters", "costs", "gpus", "jobs", "what_if"]

REFRESH_SECONDS = 2.0


def clusters(*, refresh_s: float = REFRESH_SECONDS) -> Any:
    """Clusters, and what an hour of each costs. refresh_s: seconds between two looks."""
    if not _panel():
        return sdk.status()
    from skynb.widgets.views import clusters

    return clusters(refresh_s)


def jobs(*, refresh_s: float = REFRESH_SECONDS) -> Any:
    """Managed jobs, and how many there are of each status. refresh_s: seconds between two looks."""
    from skynb.jobs import queue

    if not _panel():
        return queue()
    from skynb.widgets.views import jobs

    return jobs(refresh_s)


def costs(days: int = 14, *, refresh_s: float = 30.0) -> Any:
    """What each of the last so many days cost (UTC), by cloud; the month's caps; the bill of each cluster."""
    if not _panel():
        return sdk.spend(days)
    from skynb.widgets.views import costs

    return costs(days, refresh_s)


def gpus(name: str | None = None, *, cloud: str | None = None) -> Any:
    """Accelerators and their prices, to filter by name. Raises what `skynb.gpus` raises."""
    table = sdk.gpus(name, cloud=cloud)
    if not _panel():
        return table
    from skynb.widgets.views import gpus

    return gpus(table, name or "", cloud)


def what_if(task: TaskLike, **options: Any) -> Any:
    """Cost against time for a task on other machines. Options and errors: those of `skynb.what_if`."""
    found = sdk.what_if(task, **options)
    if not _panel():
        return found
    from skynb.widgets.views import what_if

    return what_if(found)


def _panel() -> bool:
    """Whether there is Panel."""
    return find_spec("panel") is not None
