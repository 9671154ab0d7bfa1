"""What is said, and asked, before managed jobs are handed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from skynb.cli.face import face

if TYPE_CHECKING:
    from skynb.client.managed import ManagedLaunch


def foretell(plan: Callable[[], ManagedLaunch], *, yes: bool, budget: float | None, jobs: int = 1) -> None:
    """Machines, price, expected cost and caps, in a cell always; where a person is asked, the plan as well.

    plan: a dry run of the same. budget: US dollars that each of so many jobs may cost.
    """
    from skynb.client.outlook import outlook

    here = face()
    confirms = not yes and here.asks()
    if not confirms and not here.previews():
        return
    draft = plan()
    if confirms:
        for one in draft.plans:
            here.show(one)
    if draft.plans:
        here.announce(outlook(draft.plans, budget, jobs))
    if confirms:
        here.confirm(f"Hand {draft.name} over?")
