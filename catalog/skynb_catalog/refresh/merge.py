"""Fresh rows laid over what is known. Pure.

A source knows prices well and machines badly, so what is known of a machine (vCPUs, memory, accelerators)
stays unless nothing is known; prices, their dates and their source are replaced. A row that says where it
holds replaces rows of the same machine that say less.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from skynb_catalog.sanity import LIST_PRICE_PREFIX

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Sequence

    from skynb_catalog.offers import Fact

_SPECS = (
    "vcpus",
    "memory_gib",
    "accelerator",
    "accelerator_count",
    "accelerator_memory_gib",
    "arch",
    "local_disk_gib",
    "local_disk_kind",
)
MOVED = 0.1
_NAME = re.compile(r"[\w.+:$ /()@#&,-]{1,100}", re.ASCII)

Place = tuple[str, "str | None", "str | None", str]  # cloud, region, zone, instance type


class Change(NamedTuple):
    """How many rows of a cloud are new, gone, or have an on-demand price that moved by more than 10 %."""

    added: int
    removed: int
    moved: int


def place(fact: Fact) -> Place:
    """What makes a row one row."""
    return fact.cloud, fact.region, fact.zone, fact.instance_type


def single(facts: Iterable[Fact], refused: Counter[str]) -> list[Fact]:
    """One row a place. Of two on-demand prices the dearer is kept, for too cheap is the dangerous mistake."""
    found: dict[Place, Fact] = {}
    for fact in facts:
        if not all(word is None or _NAME.fullmatch(word) for word in place(fact)):
            refused["a name that no cloud gives"] += 1
            continue
        before = found.setdefault(place(fact), fact)
        if before is fact:
            continue
        found[place(fact)] = _joined(before, fact)
        if None not in {before.hourly_micro, fact.hourly_micro} and before.hourly_micro != fact.hourly_micro:
            refused["two prices for one machine in one place"] += 1
    return list(found.values())


def overlay(
    base: Sequence[Fact], fresh: Sequence[Fact], *, complete: bool, refused: Counter[str]
) -> list[Fact]:
    """The rows of one cloud with the fresh ones laid over them.

    complete: older priced rows in the regions of the fresh ones are gone if no fresh one tells of them. A
    fresh row of a machine of which nobody knows the size is refused: it could be anything.
    """
    rows = {place(fact): fact for fact in base}
    by_type = _by_type(base)
    in_region = _in_region(base)
    of_type: dict[str, list[Place]] = defaultdict(list)
    for (instance_type, _), places_there in in_region.items():
        of_type[instance_type] += places_there
    told: set[Place] = set()
    for fact in sorted(fresh, key=_exactness):
        sized = _sized(fact, by_type.get(fact.instance_type))
        if sized is None:
            refused["a machine of unknown size"] += 1
            continue
        there = in_region[fact.instance_type, fact.region] if fact.region else of_type[fact.instance_type]
        targets = _targets(sized, rows, there)
        for target in targets:
            rows[place(target)] = _priced(target, sized)
            told.add(place(target))
        if sized.hourly_micro is not None:
            for vague in _vaguer(sized, in_region, told):
                rows.pop(vague, None)
    if complete:
        places = {fact.region for fact in fresh}
        rows = {key: row for key, row in rows.items() if key in told or not _gone(row, places)}
    return list(rows.values())


def change(before: Iterable[Fact], after: Iterable[Fact]) -> Change:
    """What differs between two sets of rows of one cloud."""
    old = {place(fact): fact.hourly_micro for fact in before}
    new = {place(fact): fact.hourly_micro for fact in after}
    moved = sum(1 for key in old.keys() & new.keys() if _moved(old[key], new[key]))
    return Change(len(new.keys() - old.keys()), len(old.keys() - new.keys()), moved)


def _joined(one: Fact, other: Fact) -> Fact:
    """Two rows of one place, as on-demand and spot items are."""
    dearer = max(one, other, key=lambda fact: -1 if fact.hourly_micro is None else fact.hourly_micro)
    spots = [fact.spot_hourly_micro for fact in (one, other) if fact.spot_hourly_micro is not None]
    spot_as_of = one.spot_as_of or other.spot_as_of
    return dearer._replace(spot_hourly_micro=max(spots, default=None), spot_as_of=spot_as_of)


def _by_type(base: Sequence[Fact]) -> dict[str, Fact]:
    return {fact.instance_type: fact for fact in base if fact.vcpus is not None or fact.accelerator}


def _in_region(base: Sequence[Fact]) -> dict[tuple[str, str | None], list[Place]]:
    found: dict[tuple[str, str | None], list[Place]] = defaultdict(list)
    for fact in base:
        found[fact.instance_type, fact.region].append(place(fact))
    return found


def _sized(fact: Fact, known: Fact | None) -> Fact | None:
    """The row with what is known of its machine; None if nothing is."""
    if known is not None:
        specs = {name: getattr(known, name) for name in _SPECS if getattr(known, name) is not None}
        return fact._replace(**specs)
    return fact if fact.vcpus is not None or fact.accelerator else None


def _targets(fact: Fact, rows: dict[Place, Fact], there: list[Place]) -> list[Fact]:
    """The known rows that a fresh one speaks of: its own, or what lies in its region or cloud."""
    if fact.zone is None:
        found = [rows[key] for key in there if key in rows]
        if found:
            return found
    known = rows.get(place(fact))
    if known is None:  # what it does not say is as it is around it
        around = rows.get((fact.cloud, fact.region, None, fact.instance_type))
        around = around or rows.get((fact.cloud, None, None, fact.instance_type))
        known = around._replace(region=fact.region, zone=fact.zone) if around else None
    return [known or fact]


def _exactness(fact: Fact) -> int:
    """What says less of its place goes first, so that what says more has the last word."""
    return (fact.region is not None) + (fact.zone is not None)


def _priced(target: Fact, fresh: Fact) -> Fact:
    if target is fresh:
        return fresh
    specs = {name: getattr(fresh, name) for name in _SPECS if getattr(target, name) is None}
    row = target._replace(**specs)
    if fresh.hourly_micro is not None:
        row = row._replace(
            hourly_micro=fresh.hourly_micro,
            as_of=fresh.as_of,
            source=fresh.source,
            confidence=fresh.confidence,
        )
        if fresh.spot_hourly_micro is None and (row.spot_hourly_micro or 0) > fresh.hourly_micro:
            row = row._replace(spot_hourly_micro=None, spot_as_of=None)  # from before the price was cut
    if fresh.spot_hourly_micro is not None:
        row = row._replace(spot_hourly_micro=fresh.spot_hourly_micro, spot_as_of=fresh.spot_as_of)
    return row


def _vaguer(
    fact: Fact, in_region: dict[tuple[str, str | None], list[Place]], told: set[Place]
) -> list[Place]:
    """Older rows of the machine that a fresh one, which says more of its place, stands for."""
    found: list[Place] = []
    if fact.region is not None:
        found += [key for key in in_region.get((fact.instance_type, None), ()) if key not in told]
    if fact.zone is not None:
        key = (fact.cloud, fact.region, None, fact.instance_type)
        found += [key] if key not in told else []
    return found


def _gone(row: Fact, places: set[str | None]) -> bool:
    list_price = row.instance_type.startswith(LIST_PRICE_PREFIX)
    return row.hourly_micro is not None and not list_price and (row.region in places or row.region is None)


def _moved(old: int | None, new: int | None) -> bool:
    if old is None or new is None or old <= 0:
        return old != new
    return abs(new - old) > MOVED * old
