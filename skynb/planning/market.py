"""Everything that may be had at a moment, as one source of candidates in order.

The catalog, offers from outside it, the user's own terms, what failures have blocked, and what is known of
run times: a plan asks here and nowhere else, so that one task, each task of a graph and a launch that fails
over see the same machines at the same prices.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, time, timezone
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec import structs

from skynb.planning.amounts import HOUR, hours_text
from skynb.planning.asks import LOCAL, Ask, cloud_name
from skynb.planning.blocks import active, covers
from skynb.planning.candidates import Rank, admits, by_cost, by_time, candidate, ranked
from skynb.planning.estimates import Estimates
from skynb.planning.terms import NO_TERMS, Rule, Terms
from skynb.planning.this_machine import this_machine
from skynb_catalog import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from skynb.planning.blocks import Block
    from skynb.planning.model import Candidate
    from skynb_catalog import Catalog, Offer, Scope

T = TypeVar("T")

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
        self._newest = catalog.newest()
        self.known = frozenset({*self._newest, *(offer.cloud for offer in self.outside)})
        self.blocks = active(blocks, moment.timestamp())
        self.estimates = estimates or Estimates()
        self.deadline_seconds = deadline_seconds
        self.rank: Callable[[Candidate], Rank] = by_time if minimize == "time" else by_cost
        self._rules = terms.on(self.today)
        self._blocked = tuple(one.scope for one in self.blocks)
        self._answers: dict[Hashable, Any] = {}

    def best(self, wanted: Ask, task: str | None, nodes: int, limit: int | None) -> list[Candidate]:
        """The candidates for an ask, in order, at most `limit`."""

        def read(part: Part) -> list[Offer]:
            enough = limit if part.limited and not self._checks_blocks(wanted) else None
            return self.catalog.offers(part.query._replace(limit=enough))

        def make() -> list[Candidate]:
            return list(islice(self._ranked(wanted, task, nodes, read, limit), limit))

        return self.once(("best", wanted, self._pace(wanted, task), nodes, limit), make)

    def by_place(
        self, wanted: Ask, task: str | None, nodes: int, ceiling_micro: int | None
    ) -> list[Candidate]:
        """The best of each cloud, region and accelerator that costs no more than the ceiling, in order.

        ceiling_micro: micro-dollars per hour of one node, before the user's own terms.
        """
        # Rounded up to a power of two, so that tasks that ask for the same share one reading of the catalog.
        coarse = None if ceiling_micro is None else 1 << ceiling_micro.bit_length()

        def read(part: Part) -> list[Offer]:
            if self._checks_blocks(wanted):  # the cheapest of a place may be one that is blocked
                return self.catalog.offers(part.query)
            return self.catalog.by_place(part.query, coarse if part.rule is None else None)

        def make() -> list[Candidate]:
            best: dict[tuple[str, str, str], Candidate] = {}
            for one in self._ranked(wanted, task, nodes, read, 1):
                best.setdefault((one.cloud, one.region or "", one.accelerator or ""), one)
            return list(best.values())

        found = self.once(("by place", wanted, self._pace(wanted, task), nodes, coarse), make)
        return [one for one in found if ceiling_micro is None or one.hourly_micro <= ceiling_micro]

    def count(self, wanted: Ask, task: str | None, nodes: int) -> dict[str, int]:
        """How many offers of the catalog fit, by cloud."""

        def make() -> dict[str, int]:
            found: Counter[str] = Counter()
            for query, _ in () if wanted.cloud == LOCAL else self._timely(wanted.query, task):
                for part in (*self._firm_parts(query), *self._hint_parts(query)):
                    found.update(self._number(part, wanted, nodes))
            return dict(found)

        return self.once(("count", wanted, self._pace(wanted, task), nodes), make)

    def once(self, question: Hashable, make: Callable[[], T]) -> T:
        """An answer that is kept: the tasks of a graph often ask for the same. Nobody may change it."""
        if question not in self._answers:
            self._answers[question] = make()
        return self._answers[question]  # type: ignore[no-any-return]

    def _number(self, part: Part, wanted: Ask, nodes: int) -> dict[str, int]:
        if part.rule is None or wanted.query.max_hourly_micro is None:
            return self.catalog.count(part.query)
        # Whether the user's own price is within the limit, only the offers themselves tell.
        kept = self._candidates(part, wanted, HOUR, nodes, self.catalog.offers(part.query))
        return dict(Counter(one.cloud for one in kept))

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

    def _ranked(
        self,
        wanted: Ask,
        task: str | None,
        nodes: int,
        read: Callable[[Part], list[Offer]],
        enough: int | None,
    ) -> list[Candidate]:
        """All candidates in order; hints, which stand behind all others, only where there are not enough."""
        found = self._outside(wanted, task)
        if wanted.cloud == LOCAL:
            return found

        def inside(parts: Callable[[Query], Iterator[Part]]) -> Iterator[list[Candidate]]:
            for query, seconds in self._timely(wanted.query, task):
                for part in parts(query):
                    yield self._candidates(part, wanted, seconds, nodes, read(part))

        found = ranked([found, *inside(self._firm_parts)], self.rank)
        if enough is not None and len(found) >= enough:
            return found
        return ranked([found, *inside(self._hint_parts)], self.rank)

    def _pace(self, wanted: Ask, task: str | None) -> Hashable:
        """What else than the ask decides the candidates: how long the task takes on them."""
        return task if self.outside else tuple(seconds for _, seconds in self._split(wanted.query, task))

    def _outside(self, wanted: Ask, task: str | None) -> list[Candidate]:
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

    def _candidates(
        self, part: Part, wanted: Ask, seconds: int, nodes: int, offers: list[Offer]
    ) -> list[Candidate]:
        found = [candidate(one, wanted, seconds, hint=self._is_hint(one, wanted)) for one in offers]
        if self._checks_blocks(wanted):
            found = [one for one in found if not any(covers(held, one) for held in self._blocked)]
        if part.rule is None and not any(one.hint for one in found):
            return found
        if part.rule is not None:
            limit = wanted.query.max_hourly_micro
            found = [_on_terms(one, part.rule, nodes) for one in found]
            found = [one for one in found if limit is None or one.hourly_micro <= limit]
        return sorted(found, key=self.rank)

    def _timely(self, query: Query, task: str | None) -> Iterator[tuple[Query, int]]:
        """The parts of `_split` that have an estimate and meet the deadline."""
        for part, seconds in self._split(query, task):
            if seconds is not None and not self.too_slow(seconds):
                yield part, seconds

    def _checks_blocks(self, wanted: Ask) -> bool:
        """Whether candidates have a place from the ask, by which the catalog cannot leave them out."""
        return bool(self._blocked) and (wanted.query.region is not None or wanted.zone_name is not None)

    def _split(self, query: Query, task: str | None) -> Iterator[tuple[Query, int | None]]:
        """The query by groups of accelerators that take the same time."""
        if query.instance_type and not query.accelerators and not self.estimates.uniform(task):
            yield from self._of_type(query, task)
            return
        if not query.accelerators or self.estimates.uniform(task):
            first = query.accelerators[0] if query.accelerators else None
            count = query.count if query.accelerators else None
            yield query, self.estimates.seconds(task, first, count)
            return
        timed = [(self.estimates.seconds(task, name, query.count) or 0, name) for name in query.accelerators]
        for seconds, group in groupby(sorted(timed), key=lambda pair: pair[0]):
            yield query._replace(accelerators=tuple(name for _, name in group)), seconds or None

    def _of_type(self, query: Query, task: str | None) -> Iterator[tuple[Query, int | None]]:
        """The query by what the named type has in it, which decides the time."""
        kinds: dict[tuple[str, float], set[str]] = {}
        for one in self.catalog.offers(Query(instance_type=query.instance_type, clouds=query.clouds)):
            kind = (one.accelerator or "", one.accelerator_count or 0)
            kinds.setdefault(kind, set()).add(one.cloud)
        for (name, count), clouds in sorted(kinds.items()):
            part = query._replace(clouds=tuple(sorted(clouds)))
            if name and count:
                part = part._replace(accelerators=(name,), count=count)
            yield part, self.estimates.seconds(task, name or None, count)

    def _firm_parts(self, query: Query) -> Iterator[Part]:
        """The query apart by who makes the price, without the marketplaces that have only old prices."""
        for rule, without in self._ruled(query):
            limit = _listed_limit(rule, query)
            part = query._replace(within=rule.scope, without=without, max_hourly_micro=limit)
            yield Part(part, rule, limited=rule.percent is not None)
        firm, mixed, _ = self._clouds(query)
        if mixed:
            yield Part(query._replace(clouds=mixed, without=self._not_ruled(query)), limited=False)
        if firm != ():
            yield Part(query._replace(clouds=firm, without=self._not_ruled(query)))

    def _hint_parts(self, query: Query) -> Iterator[Part]:
        """The query on marketplaces that have only old prices."""
        _, _, stale = self._clouds(query)
        if stale:
            yield Part(query._replace(clouds=stale, without=self._not_ruled(query)))

    def _ruled(self, query: Query) -> Iterator[tuple[Rule, tuple[Scope, ...]]]:
        """The user's rules that may concern the query, with what is not theirs."""
        without = self._blocked
        for rule in self._rules:
            if rule.scope.spot in {None, query.spot} and _may_concern(rule, query):
                yield rule, without
                without = (*without, rule.scope)

    def _not_ruled(self, query: Query) -> tuple[Scope, ...]:
        return (*self._blocked, *(rule.scope for rule, _ in self._ruled(query)))

    def _clouds(self, query: Query) -> tuple[tuple[str, ...] | None, tuple[str, ...], tuple[str, ...]]:
        """The query's clouds apart: ordinary ones, marketplaces with new prices, and with old ones only."""
        asked = self._newest if query.clouds is None else query.clouds
        markets = [name for name in asked if name in MARKETPLACES and name in self._newest]
        if not markets:
            return query.clouds, (), ()
        new = tuple(name for name in markets if not self._is_old(self._newest[name][query.spot]))
        old = tuple(name for name in markets if name not in new)
        return tuple(name for name in asked if name not in markets), new, old

    def _is_hint(self, offer: Offer, wanted: Ask) -> bool:
        as_of = offer.spot_as_of if wanted.query.spot else offer.as_of
        return offer.cloud in MARKETPLACES and self._is_old(as_of)

    def _is_old(self, as_of: str | None) -> bool:
        return as_of is None or (self.today - date.fromisoformat(as_of)).days > FRESH_MARKETPLACE_DAYS


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
