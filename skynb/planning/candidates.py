"""From offers to candidates, and the rules that order them. Pure."""

from __future__ import annotations

from heapq import merge
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from skynb.planning.amounts import HOUR
from skynb.planning.asks import HOSTS, LOCAL, SIMULATED, WHOLE, simulated
from skynb.planning.model import Candidate
from skynb_catalog import USUAL_ARCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from skynb.planning.asks import Ask
    from skynb_catalog import Amount, Offer, Query

Rank: TypeAlias = "tuple[Any, ...]"

_COUNT_SLACK = 0.0101  # a third is written 0.33, 0.333 or 0.33333333


def candidate(offer: Offer, ask: Ask, seconds: int = HOUR, *, hint: bool = False) -> Candidate:
    """The offer as an answer to the ask; a price that holds everywhere is placed where the ask wants it."""
    spot = ask.query.spot
    price = offer.spot_hourly_micro if spot and offer.spot_hourly_micro is not None else offer.hourly_micro
    return Candidate(
        alternative=ask.alternative,
        cloud=offer.cloud,
        region=offer.region or ask.query.region,
        zone=ask.zone_name or offer.zone or ask.query.zone,
        instance_type=offer.instance_type,
        spot=spot,
        hourly_micro=price,
        on_demand_micro=offer.hourly_micro,
        spot_micro=offer.spot_hourly_micro,
        vcpus=offer.vcpus,
        memory_gib=offer.memory_gib,
        accelerator=offer.accelerator,
        accelerator_count=offer.accelerator_count,
        accelerator_memory_gib=offer.accelerator_memory_gib,
        arch=offer.arch,
        as_of=offer.spot_as_of if spot else offer.as_of,
        source=offer.source,
        confidence=offer.confidence,
        local_disk_gib=offer.local_disk_gib,
        local_disk_kind=offer.local_disk_kind,
        seconds=seconds,
        hint=hint,
    )


def by_cost(one: Candidate) -> Rank:
    """Cheapest first, for the whole run of the task; names last, so that ties never depend on chance."""
    place = (one.cloud, one.region or "", one.zone or "")
    return (one.hint, one.hourly_micro * one.seconds, one.seconds, *place, one.instance_type, one.alternative)


def by_time(one: Candidate) -> Rank:
    """Soonest done first, then cheapest."""
    place = (one.cloud, one.region or "", one.zone or "")
    return (one.hint, one.seconds, one.hourly_micro, *place, one.instance_type, one.alternative)


def ranked(groups: Sequence[Iterable[Candidate]], rank: Callable[[Candidate], Rank]) -> list[Candidate]:
    """All candidates of groups that are each in order, best first.

    A machine that several groups offer stands once, for the best.
    """
    return _once(merge(*groups, key=rank))


def preferred(groups: Sequence[Iterable[Candidate]]) -> list[Candidate]:
    """All candidates, group after group, since their order is a preference; each machine once."""
    return _once(chain(*groups))


def _once(candidates: Iterable[Candidate]) -> list[Candidate]:
    seen: dict[tuple[str, str, str, str, bool], Candidate] = {}
    for one in candidates:
        seen.setdefault(one.key, one)
    return list(seen.values())


def admits(ask: Ask, offer: Offer) -> bool:
    """Whether an offer from outside the catalog fits.

    This machine, and a host that is given out whole, fit if they have at least what is asked. Nobody who
    names own hosts means the usual size of a cloud's machines.
    """
    whole = offer.cloud == HOSTS and offer.instance_type.startswith(WHOLE)
    own = offer.cloud == LOCAL or (offer.cloud == HOSTS and ask.cloud == HOSTS)
    query = ask.without_defaults() if own else ask.query
    return (
        (ask.cloud in {None, offer.cloud} or (ask.cloud == SIMULATED and simulated(offer.cloud)))
        and _place(query, offer)
        and query.instance_type in {None, offer.instance_type}
        and (own or query.arch in {None, offer.arch or USUAL_ARCH})
        and _accelerated(query, offer, own=whole or offer.cloud == LOCAL)
        and (own or _disk(query, offer))
        and _enough(query.cpus, offer.vcpus, offer.vcpus, own=own or whole)
        and _enough(query.memory, offer.memory_gib, offer.vcpus, own=own or whole)
        and _affordable(query, offer)
    )


def serves(ask: Ask, offer: Offer) -> bool:
    """Whether a machine that is there has at least what is asked, whatever it costs."""
    query = ask.without_defaults()
    return (
        ask.cloud in {None, offer.cloud}
        and _place(query, offer)
        and query.instance_type in {None, offer.instance_type}
        and _accelerated(query, offer, own=True)
        and _enough(query.cpus, offer.vcpus, offer.vcpus, own=True)
        and _enough(query.memory, offer.memory_gib, offer.vcpus, own=True)
    )


def _place(query: Query, offer: Offer) -> bool:
    return (query.region is None or offer.region in {None, query.region}) and (
        query.zone is None or offer.zone in {None, query.zone}
    )


def _accelerated(query: Query, offer: Offer, *, own: bool) -> bool:
    if not query.accelerators:
        return own or offer.accelerator is None or query.instance_type is not None
    has = offer.accelerator_count or 0
    exact = 0 if query.count == int(query.count) else _COUNT_SLACK
    return offer.accelerator in query.accelerators and (
        has >= query.count if own else abs(has - query.count) <= exact
    )


def _disk(query: Query, offer: Offer) -> bool:
    if query.local_disk is None:
        return True
    kind = query.local_disk_kind in {None, offer.local_disk_kind}
    return kind and _enough(query.local_disk, offer.local_disk_gib, None, own=False)


def _enough(asked: Amount | None, has: float | None, vcpus: float | None, *, own: bool) -> bool:
    if asked is None:
        return True
    if not has or (asked.per_cpu and not vcpus):
        return False
    wanted = asked.value * (vcpus or 0) if asked.per_cpu else asked.value
    return has >= wanted if asked.at_least or own else has == wanted


def _affordable(query: Query, offer: Offer) -> bool:
    price = offer.spot_hourly_micro if query.spot else offer.hourly_micro
    return price is not None and (query.max_hourly_micro is None or price <= query.max_hourly_micro)
