"""Whether machines that are there already have what a task asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skynb.errors import NoOfferError
from skynb.planning.asks import ask
from skynb.planning.candidates import serves
from skynb.planning.shared import shared_catalog
from skynb_catalog import Offer

if TYPE_CHECKING:
    from skynb.planning.words import TaskLike


def fits(task: TaskLike, offer: Offer) -> bool:
    """True if a machine of this offer has at least what one of the task's alternatives asks for.

    Prices and spot play no part: the machine is rented. SpecError for a name nobody knows.
    """
    known = {*shared_catalog().clouds(), offer.cloud}
    _, items = task.resources.alternatives()
    for number, item in enumerate(items):
        try:
            if serves(ask(item, number, enabled=None, known=known), offer):
                return True
        except NoOfferError:
            continue
    return False
