"""Everything that may be had at a moment, as one source of candidates in order.

The catalog, offers from outside it, the user's own terms, what failures have blocked, and what is known of
run times: a plan asks here and nowhere else, so that one task, each task of a graph and a launch that fails
over see the same machines at the same prices.
"""

from __future__ import annotations

from datetime import date, datetime, time, timezone
from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from skynb.planning.asks import LOCAL, Ask, cloud_name
from skynb.planning.blocks import active, covers
from skynb.planning.candidates import Rank, admits, by_cost, by_time, candidate, ranked
from skynb.planning.estimates import Estimates
from skynb.planning.model import HOUR
from skynb.planning.terms import NO_TERMS, Rule, Terms
from skynb.planning.this_machine import this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from skynb.planning.blocks import Block
    from skynb.planning.model import Candidate
    from skynb_catalog import Catalog, Offer, Query

MARKETPLACES = frozenset({"vast", "shadeform", "runpod", "primeintellect"})
FRESH_MARKETPLACE_DAYS = 1
FRESH_SPOT_DAYS = 7
FRESH_DAYS = 30


class Part(NamedTuple):
    """A query whose answers share a way of pricing: the catalog's, or a rule of the user's.

    limited: the catalog's order is the answers' order, so the first ones are enough.
    """

    query: Query
    rule: Rule | None = None
    limited: bool = True


class Market:
    """Candidates for asks, best first. Reads the catalog and changes nothing."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        clouds: Iterable[str] | None = None,
        extra_offers: Iterable[Offer] = (),
        terms: Terms = NO_TERMS,
        blocks: Iterable[Block] = (),
        now: datetime | date | None = None,
        estimates: Estimates | None = None,
        minimize: str = "cost",
        deadline_seconds: int | None = None,
    ) -> None:
        """clouds: those that may be used, None for all.

        extra_offers are candidates whatever `clouds` says.
        """
        moment = _moment(now)
        self.catalog = catalog
        self.today = moment.date()
        self.enabled = None if clouds is None else tuple(sorted({cloud_name(name) for name in clouds}))
        own = [offer for offer in terms.offers if self.enabled is None or offer.cloud in self.enabled]
        self.outside = (*extra_offers, *own)
        self.known = frozenset({*catalog.clouds(), *(offer.cloud for offer in self.outside)})
        self.blocks = active(blocks, moment.timestamp())
        self.estimates = estimates or Estimates()
        self.deadline_seconds = deadline_seconds
        self.rank: Callable[[Candidate], Rank] = by_time if minimize == "time" else by_cost
        self._rules = terms.on(self.today)
        self._blocked = tuple(one.scope for one in self.blocks)

    def best(self, wanted: Ask, task: str | None, nodes: int, limit: int | None) -> list[Candidate]:
        """The candidates for an ask, in order, at most `limit`."""

        def read(part: Part) -> list[Offer]:
            return self.catalog.offers(part.query._replace(limit=limit if part.limited else None))

        found = self._outside(wanted, task, nodes)
        if wanted.cloud != LOCAL:
            found = ranked([found, *self._inside(wanted, task, nodes, read)], self.rank)
        return list(islice(found, limit))

    def by_place(
        self, wanted: Ask, task: str | None, nodes: int, ceiling_micro: int | None
    ) -> list[Candidate]:
        """The best of each cloud, region and accelerator that costs no more than the ceiling, in order.

        ceiling_micro: micro-dollars per hour of one node, before the user's own terms.
        """

        def read(part: Part) -> list[Offer]:
            return self.catalog.by_place(part.query, ceiling_micro if part.rule is None else None)

        groups = [self._outside(wanted, task, nodes)]
        if wanted.cloud != LOCAL:
            groups += self._inside(wanted, task, nodes, read)
        best: dict[tuple[str, str, str], Candidate] = {}
        for one in ranked(groups, self.rank):
            best.setdefault((one.cloud, one.region or "", one.accelerator or ""), one)
        return list(best.values())

    def count(self, wanted: Ask, nodes: int) -> dict[str, int]:
        """How many offers of the catalog fit, by cloud."""
        found: dict[str, int] = {}
        if wanted.cloud == LOCAL:
            return found
        for part in self._parts(wanted.query, nodes):
            for cloud, number in self.catalog.count(part.query).items():
                found[cloud] = found.get(cloud, 0) + number
        return found

    def open_query(self, wanted: Ask) -> Query:
        """The ask's query without what failures have blocked."""
        return wanted.query._replace(without=self._blocked)

    def own_machine(self) -> Offer:
        """This machine, as given or as found."""
        return next((offer for offer in self.outside if offer.cloud == LOCAL), None) or this_machine()

    def shortest(self, wanted: Ask, task: str | None) -> int | None:
        """The seconds of the fastest machine of the ask; None where none has an estimate."""
        found = [seconds for _, seconds in self._split(wanted.query, task) if seconds is not None]
        return min(found, default=None)

    def too_slow(self, seconds: int) -> bool:
        """Whether a run of this length misses the deadline."""
        return self.deadline_seconds is not None and seconds > self.deadline_seconds

    def _outside(self, wanted: Ask, task: str | None, nodes: int) -> list[Candidate]:
        offers = (self.own_machine(),) if wanted.cloud == LOCAL else self.outside
        found = (self._timed(one, wanted, task) for one in offers if admits(wanted, one))
        free = (one for one in found if one and not any(covers(held, one) for held in self._blocked))
        return sorted(free, key=self.rank)

    def _timed(self, offer: Offer, wanted: Ask, task: str | None) -> Candidate | None:
        seconds = self.estimates.seconds(task, offer.accelerator, offer.accelerator_count)
        if seconds is None or self.too_slow(seconds):
            return None
        return candidate(offer, wanted, seconds, hint=self._is_hint(offer, wanted))

    def untimely(self, wanted: Ask, task: str | None) -> Iterator[str]:
        """Why accelerators of the ask have no place in the plan for the time that they take."""
        for query, seconds in self._split(wanted.query, task):
            kind = f"{' or '.join(query.accelerators) or 'a machine without accelerators'}"
            if seconds is None:
                yield f"no estimate of the hours on {kind}, while other machines have one"
            elif self.too_slow(seconds):
                yield f"{hours_text(seconds)} on {kind}, later than the deadline"

    def _inside(
        self, wanted: Ask, task: str | None, nodes: int, read: Callable[[Part], list[Offer]]
    ) -> Iterator[list[Candidate]]:
        for query, seconds in self._split(wanted.query, task):
            if seconds is None or self.too_slow(seconds):
                continue
            for part in self._parts(query, nodes):
                yield self._candidates(part, wanted, seconds, nodes, read(part))

    def _candidates(
        self, part: Part, wanted: Ask, seconds: int, nodes: int, offers: list[Offer]
    ) -> list[Candidate]:
        found = [candidate(one, wanted, seconds, hint=self._is_hint(one, wanted)) for one in offers]
        if part.rule is None and not any(one.hint for one in found):
            return found
        if part.rule is not None:
            limit = wanted.query.max_hourly_micro
            found = [_on_terms(one, part.rule, nodes) for one in found]
            found = [one for one in found if limit is None or one.hourly_micro <= limit]
        return sorted(found, key=self.rank)

    def _split(self, query: Query, task: str | None) -> Iterator[tuple[Query, int | None]]:
        """The query by groups of accelerators that take the same time."""
        if not query.accelerators or self.estimates.uniform(task):
            first = query.accelerators[0] if query.accelerators else None
            count = query.count if query.accelerators else None
            yield query, self.estimates.seconds(task, first, count)
            return
        timed = [(self.estimates.seconds(task, name, query.count) or 0, name) for name in query.accelerators]
        for seconds, group in groupby(sorted(timed), key=lambda pair: pair[0]):
            yield query._replace(accelerators=tuple(name for _, name in group)), seconds or None

    def _parts(self, query: Query, nodes: int) -> Iterator[Part]:
        """The query apart by who makes the price, and marketplaces apart since their old prices are hints."""
        without = self._blocked
        for rule in self._rules:
            if rule.scope.spot in {None, query.spot} and _may_concern(rule, query):
                limit = _listed_limit(rule, query)
                part = query._replace(within=rule.scope, without=without, max_hourly_micro=limit)
                yield Part(part, rule, limited=rule.percent is not None)
                without = (*without, rule.scope)
        clouds = query.clouds
        markets = [name for name in sorted(MARKETPLACES & self.known) if clouds is None or name in clouds]
        if markets:
            asked = sorted(self.known) if clouds is None else clouds
            yield Part(query._replace(clouds=tuple(markets), without=without), limited=False)
            clouds = tuple(name for name in asked if name not in markets)
        if clouds != ():
            yield Part(query._replace(clouds=clouds, without=without))

    def _is_hint(self, offer: Offer, wanted: Ask) -> bool:
        if offer.cloud not in MARKETPLACES:
            return False
        as_of = offer.spot_as_of if wanted.query.spot else offer.as_of
        return as_of is None or (self.today - date.fromisoformat(as_of)).days > FRESH_MARKETPLACE_DAYS


def hours_text(seconds: int) -> str:
    """Seconds as a reader wants them: `1.5 h`, `20 min`."""
    return f"{seconds / HOUR:.3g} h" if seconds >= HOUR else f"{seconds / 60:.3g} min"


def _on_terms(one: Candidate, rule: Rule, nodes: int) -> Candidate:
    return structs.replace(one, hourly_micro=rule.price(one.hourly_micro, nodes), terms=rule.note(nodes))


def _may_concern(rule: Rule, query: Query) -> bool:
    return rule.scope.cloud is None or query.clouds is None or rule.scope.cloud in query.clouds


def _listed_limit(rule: Rule, query: Query) -> int | None:
    """The catalog's price up to which the user's own can be within the limit, if there is such a one."""
    if query.max_hourly_micro is None or rule.percent is None or rule.percent >= 100:
        return None
    return int((query.max_hourly_micro + 1) * 100 / (100 - rule.percent))


def _moment(now: datetime | date | None) -> datetime:
    if now is None:
        return datetime.now(timezone.utc)
    return now if isinstance(now, datetime) else datetime.combine(now, time(), timezone.utc)
