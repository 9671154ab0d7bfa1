"""Which rows may never be chosen, and why. Pure: the snapshot's builder and a later refresh both ask here.

The optimizer picks a wrong price exactly because it is wrong (too low), so a doubtful row is set aside with
its reason instead of competing. It stays in the file, so that anybody can see what was refused.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skynb_catalog.offers import Fact

NO_PRICE = "no on-demand price known"
LIST_PRICE = "list price of one accelerator, not launchable"
NOT_POSITIVE = "price zero or negative"
OFF_FAMILY = "more than 5x off the type's median over regions"
SPOT_ABOVE = "spot price above on-demand"
REASONS = (NO_PRICE, LIST_PRICE, NOT_POSITIVE, OFF_FAMILY, SPOT_ABOVE)

FACTOR = 5
LEAST_REGIONS = 3  # the median of two prices cannot say which of them is wrong
LIST_PRICE_PREFIX = "per-gpu:"


def verdicts(facts: Sequence[Fact]) -> list[str | None]:
    """For each row, in order: None if it may be chosen, else one of REASONS."""
    medians = family_medians(facts)
    return [_verdict(fact, medians.get((fact.cloud, fact.instance_type))) for fact in facts]


def family_medians(facts: Iterable[Fact]) -> dict[tuple[str, str], float]:
    """The median price of each (cloud, instance type) over its regions; zones of a region count once."""
    from statistics import median  # heavy, and only who builds a snapshot needs it

    by_region: dict[tuple[str, str], dict[str | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for fact in facts:
        if fact.hourly_micro is not None and fact.hourly_micro > 0:
            by_region[fact.cloud, fact.instance_type][fact.region].append(fact.hourly_micro)
    return {
        family: median(median(prices) for prices in regions.values())
        for family, regions in by_region.items()
        if len(regions) >= LEAST_REGIONS
    }


def _verdict(fact: Fact, family: float | None) -> str | None:
    price, spot = fact.hourly_micro, fact.spot_hourly_micro
    if fact.instance_type.startswith(LIST_PRICE_PREFIX):
        return LIST_PRICE
    if price is None:
        return NO_PRICE
    if price <= 0 or (spot is not None and spot <= 0):
        return NOT_POSITIVE
    if family is not None and not family / FACTOR <= price <= family * FACTOR:
        return OFF_FAMILY
    if spot is not None and spot > price:
        return SPOT_ABOVE
    return None
