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
ABSURD = "more than $100,000 an hour"
GIVEN_AWAY = "accelerator at less than a fiftieth of what others ask"
# A snapshot numbers them in this order: new ones go to the end.
REASONS = (NO_PRICE, LIST_PRICE, NOT_POSITIVE, OFF_FAMILY, SPOT_ABOVE, ABSURD, GIVEN_AWAY)

FACTOR = 5
GIFT = 50  # marketplaces ask as little as a twentieth of the large clouds
LEAST_CLOUDS = 3
MOST_MICRO = 100_000 * 1_000_000
LEAST_SHARE = 0.8  # of the last good set
LEAST_REGIONS = 3  # the median of two prices cannot say which of them is wrong
LIST_PRICE_PREFIX = "per-gpu:"


def verdicts(facts: Sequence[Fact]) -> list[str | None]:
    """For each row, in order: None if it may be chosen, else one of REASONS."""
    medians = family_medians(facts)
    usual = accelerator_medians(facts)
    return [
        _verdict(fact, medians.get((fact.cloud, fact.instance_type)), usual.get(fact.accelerator or ""))
        for fact in facts
    ]


def shortfall(before: Sequence[Fact], after: Sequence[Fact]) -> str | None:
    """Why the new rows of a cloud are too few to replace the old ones; None if they may.

    Fewer than 80 % of the rows with a price, or an accelerator that nothing offers any more. Both are judged
    by what may be chosen, so that a refresh of zeros counts as nothing.
    """
    old, new = _choosable(before), _choosable(after)
    if len(new) < LEAST_SHARE * len(old):
        return f"{len(new)} usable rows, fewer than {LEAST_SHARE:.0%} of {len(old)}"
    lost = {fact.accelerator for fact in old} - {fact.accelerator for fact in new} - {None}
    return f"no more {', '.join(sorted(map(str, lost)))}" if lost else None


def _choosable(facts: Sequence[Fact]) -> list[Fact]:
    return [fact for fact, reason in zip(facts, verdicts(facts), strict=True) if reason is None]


def accelerator_medians(facts: Iterable[Fact]) -> dict[str, float]:
    """What one of each accelerator costs in a machine: the median over clouds of each cloud's median."""
    from statistics import median  # as below

    by_cloud: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for fact in facts:
        each = _price_of_one(fact)
        if each is not None and each > 0:
            by_cloud[fact.accelerator or ""][fact.cloud].append(each)
    return {
        accelerator: median(median(prices) for prices in clouds.values())
        for accelerator, clouds in by_cloud.items()
        if len(clouds) >= LEAST_CLOUDS
    }


def _price_of_one(fact: Fact) -> float | None:
    if fact.accelerator is None or not fact.accelerator_count or fact.hourly_micro is None:
        return None
    return fact.hourly_micro / fact.accelerator_count


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


def _verdict(fact: Fact, family: float | None, usual: float | None) -> str | None:
    price, spot = fact.hourly_micro, fact.spot_hourly_micro
    if fact.instance_type.startswith(LIST_PRICE_PREFIX):
        return LIST_PRICE
    if price is None:
        return NO_PRICE
    if price <= 0 or (spot is not None and spot <= 0):
        return NOT_POSITIVE
    if price > MOST_MICRO:
        return ABSURD
    each = _price_of_one(fact)
    if usual is not None and each is not None and each < usual / GIFT:
        return GIVEN_AWAY
    if family is not None and not family / FACTOR <= price <= family * FACTOR:
        return OFF_FAMILY
    if spot is not None and spot > price:
        return SPOT_ABOVE
    return None
