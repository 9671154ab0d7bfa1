"""Which of a task's alternatives machines serve that are there already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skynb.errors import NoOfferError
from skynb.planning.asks import ask
from skynb.planning.candidates import serves
from skynb.planning.shared import shared_catalog
from skynb_catalog import Offer

if TYPE_CHECKING:
    from skynb.planning.words import TaskLike


def fitting(task: TaskLike, offer: Offer) -> int | None:
    """The first of the task's alternatives that a machine of this offer has enough for, or None.

    Prices and spot play no part: the machine is rented. SpecError for a name nobody knows.
    """
    known = {*shared_catalog().clouds(), offer.cloud}
    _, items = task.resources.alternatives()
    for number, item in enumerate(items):
        try:
            if serves(ask(item, number, enabled=None, known=known), offer):
                return number
        except NoOfferError:
            continue
    return None
