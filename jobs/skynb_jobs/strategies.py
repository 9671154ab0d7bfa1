"""Where a task goes next: recovery strategies, each an order of the offers that its plan has.

Others are found as entry points of the group `skynb.recovery`: a callable with the contract of `Strategy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import entry_points

import msgspec

from skynb.errors import SpecError
from skynb_clusters.records import Offer

GROUP = "skynb.recovery"
DEFAULT = "CHEAPEST"
RESTART_HOURS = 0.25  # what a preemption costs in time: machines, setup, work done again
PRIOR_HOURS = 24.0  # of observation that the prior counts for: a zone is known after about a day
PRIOR_A_DAY = 1.0  # preemptions of a spot machine a day in a zone of which nothing is known

Zone = tuple[str, str | None, str | None]


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a task needs machines.

    lost: offers of the attempts that were lost, oldest first. hours, preemptions: spot hours that all tasks
    have had by zone lately, and how often one ended by the infra's will. ordered: the task ranks its
    alternatives itself.
    """

    lost: tuple[Offer, ...] = ()
    hours: Mapping[Zone, float] = {}
    preemptions: Mapping[Zone, int] = {}
    ordered: bool = False

    def hourly_preemptions(self, offer: Offer) -> float:
        """How often an hour a machine of this offer is expected to be taken away; 0 unless spot."""
        if not offer.spot:
            return 0.0
        zone = zone_of(offer)
        seen, hours = self.preemptions.get(zone, 0), self.hours.get(zone, 0.0)
        return (PRIOR_A_DAY * PRIOR_HOURS / 24 + seen) / (PRIOR_HOURS + hours)


Strategy = Callable[[Sequence[Offer], Past], Iterable[Offer]]
"""Called whenever a task rents, also the first time: the offers in the order in which they are tried.

It is pure and fast, gets the plan's offers cheapest first, and answers with some of them. One that answers
with none is passed over: the plan's order holds.
"""


def zone_of(offer: Offer) -> Zone:
    """The market that an offer belongs to."""
    return offer.cloud, offer.region, offer.zone


def cheapest(offers: Sequence[Offer], past: Past) -> Iterable[Offer]:
    """By what an hour of work is expected to cost: today's price, and the time that preemptions take."""
    if past.ordered:
        return offers
    return sorted(
        offers, key=lambda one: one.hourly_micro * (1 + past.hourly_preemptions(one) * RESTART_HOURS)
    )


def eager_next_region(offers: Sequence[Offer], past: Past) -> Iterable[Offer]:
    """Away from the region, or cloud without regions, where the last attempt was lost."""
    if not past.lost:
        return offers
    left = _region(past.lost[-1])
    return sorted(offers, key=lambda one: _region(one) == left)


def failover(offers: Sequence[Offer], past: Past) -> Iterable[Offer]:
    """Again in the region where the last attempt was, then elsewhere."""
    if not past.lost:
        return offers
    stay = _region(past.lost[-1])
    return sorted(offers, key=lambda one: _region(one) != stay)


def _region(offer: Offer) -> tuple[str, str | None]:
    return offer.cloud, offer.region


_OWN: dict[str, Strategy] = {
    "CHEAPEST": cheapest,
    "EAGER_NEXT_REGION": eager_next_region,
    "FAILOVER": failover,
}


def strategy(name: str | None) -> Strategy:
    """The strategy of that name, None for the default; SpecError if there is none."""
    wanted = (name or DEFAULT).upper()
    if wanted in _OWN:
        return _OWN[wanted]
    others = {entry.name.upper(): entry for entry in entry_points(group=GROUP)}
    if wanted in others:
        loaded: Strategy = others[wanted].load()
        return loaded
    known = ", ".join([*_OWN, *others])
    raise SpecError(f"there is no recovery strategy {name!r}", where="job_recovery", mend=f"Known: {known}")


def ordered(offers: Sequence[Offer], past: Past, name: str) -> tuple[Offer, ...]:
    """The offers in the order of a strategy; what it invents is left out, and so is an empty answer."""
    known = set(offers)
    chosen = tuple(one for one in strategy(name)(offers, past) if one in known)
    return chosen or tuple(offers)
