"""`plan(task)`: the cheapest fitting machines, and everything needed to see why.

It asks no server, no network and no credentials: a catalog, a date and offers in, a plan out.
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import TYPE_CHECKING

from skynb.errors import NoOfferError, SkynbError, SpecError, UnsupportedError
from skynb.planning.asks import LOCAL, Ask, ask, cloud_name
from skynb.planning.candidates import admits, candidate, ranked
from skynb.planning.model import SCHEMA, Candidate, Plan, Rejection, sealed
from skynb.planning.shared import shared_catalog
from skynb.planning.this_machine import this_machine
from skynb.planning.why_not import described, explain, rejected_clouds
from skynb_catalog import Catalog, CatalogError, Offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skynb.planning.words import ItemLike, TaskLike

SHOWN = 50
_MARKETPLACES = frozenset({"vast", "shadeform", "runpod"})
_FRESH_DAYS = 30
_FRESH_SPOT_DAYS = 7
_FRESH_MARKETPLACE_DAYS = 1


def plan(
    task: TaskLike,
    *,
    clouds: Iterable[str] | None = None,
    extra_offers: Iterable[Offer] = (),
    now: datetime | date | None = None,
    catalog: Catalog | None = None,
) -> Plan:
    """The machines for a task: the first feasible alternative if they are ordered, else the cheapest.

    clouds: those that may be used, None for every cloud of the catalog. extra_offers: machines outside it
    (this one, simulated clouds), which are always candidates. now: for the age of prices, default today.
    Raises SpecError for a name nobody knows, NoOfferError saying what comes nearest, UnsupportedError for
    several tasks, SkynbError if the catalog cannot be read.
    """
    one = _single(task)
    try:
        return _plan(one, clouds, tuple(extra_offers), now, catalog or shared_catalog())
    except CatalogError as error:
        raise SkynbError(error.what, why=error.why, mend=error.mend) from error


def _plan(
    task: TaskLike,
    clouds: Iterable[str] | None,
    extra: tuple[Offer, ...],
    now: datetime | date | None,
    catalog: Catalog,
) -> Plan:
    ordered, items = task.resources.alternatives()
    enabled = None if clouds is None else sorted({cloud_name(name) for name in clouds})
    known = {*catalog.clouds(), *(offer.cloud for offer in extra)}
    groups: list[list[Candidate]] = []
    rejected: list[Rejection] = []
    failures: list[SkynbError] = []
    total = 0
    for number, item in enumerate(items):
        try:
            group, count, refused = _alternative(item, number, enabled, known, extra, catalog)
        except NoOfferError as error:
            failures.append(error)
            rejected.append(Rejection(number, None, str(error)))
            continue
        groups.append(group)
        rejected.extend(refused)
        total += count
    if not groups:
        raise _nothing(failures)
    best = ranked(groups, ordered=ordered)
    repeated = sum(len(group) for group in groups) - len(best)
    shown = best[: SHOWN + 1]
    return _finish(task, shown, total - repeated - len(shown), rejected, now, catalog)


def _alternative(
    item: ItemLike,
    number: int,
    enabled: Sequence[str] | None,
    known: set[str],
    extra: tuple[Offer, ...],
    catalog: Catalog,
) -> tuple[list[Candidate], int, list[Rejection]]:
    """The best candidates of one alternative, how many there are in all, and the clouds without any."""
    wanted = ask(item, number, enabled=enabled, known=known)
    outside = _outside(wanted, extra)
    if wanted.cloud == LOCAL:
        if not outside:
            machine = _own_machine(extra)
            raise NoOfferError(
                f"this machine does not fit {described(wanted.query)}",
                why=f"It has {_contents(machine)}",
                where="resources",
            )
        return outside, len(outside), []
    inside, counts = _inside(wanted, catalog)
    group = ranked([outside, inside], ordered=False)
    if not group and wanted.query.clouds == () and wanted.cloud:
        raise NoOfferError(
            f"{wanted.cloud} is not enabled here",
            mend=f"Enabled: {', '.join(enabled or ()) or 'none'}",
            where="resources.infra",
        )
    if not group:
        why, mend = explain(catalog, wanted.query)
        raise NoOfferError(f"nothing fits {described(wanted.query)}", why=why, mend=mend, where="resources")
    refused = []
    if wanted.cloud is None:
        refused = list(rejected_clouds(catalog, wanted.query, number, counts))
    return group, sum(counts.values()) + len(group) - len(inside), refused


def _inside(wanted: Ask, catalog: Catalog) -> tuple[list[Candidate], dict[str, int]]:
    if wanted.zone_name is None:
        query = wanted.query._replace(limit=SHOWN + 1)
        return [candidate(offer, wanted) for offer in catalog.offers(query)], catalog.count(query)
    # The account's zone is one of the region's AZ ids, nobody here knows which: one candidate for each type.
    found: dict[str, Candidate] = {}
    for offer in catalog.offers(wanted.query):
        found.setdefault(offer.instance_type, candidate(offer, wanted))
    return list(found.values()), {"aws": len(found)} if found else {}


def _outside(wanted: Ask, extra: tuple[Offer, ...]) -> list[Candidate]:
    offers = (_own_machine(extra),) if wanted.cloud == LOCAL else extra
    return sorted(
        (candidate(offer, wanted) for offer in offers if admits(wanted, offer)), key=lambda one: one.rank
    )


def _own_machine(extra: tuple[Offer, ...]) -> Offer:
    return next((offer for offer in extra if offer.cloud == LOCAL), None) or this_machine()


def _contents(machine: Offer) -> str:
    gpus = (
        f", {machine.accelerator}:{machine.accelerator_count:g}" if machine.accelerator else ", no known GPU"
    )
    return f"{machine.vcpus or 0:g} vCPUs, {machine.memory_gib or 0:.1f} GiB{gpus}"


def _nothing(failures: Sequence[SkynbError]) -> SkynbError:
    if len(failures) == 1:
        return failures[0]
    if not failures:
        return SpecError("there is no alternative to choose from", where="resources")
    reasons = "; ".join(f"{number}: {failure.what}" for number, failure in enumerate(failures, 1))
    first = failures[0]
    return NoOfferError(
        f"none of the {len(failures)} alternatives fits ({reasons})",
        why=first.why,
        mend=first.mend,
        where="resources",
    )


def _finish(
    task: TaskLike,
    shown: Sequence[Candidate],
    more: int,
    rejected: Sequence[Rejection],
    now: datetime | date | None,
    catalog: Catalog,
) -> Plan:
    choice = shown[0]
    age = _age_days(choice, now)
    return sealed(
        Plan(
            schema=SCHEMA,
            task=task.name,
            num_nodes=task.num_nodes,
            choice=choice,
            alternatives=tuple(shown[1:]),
            more=more,
            hourly_micro=choice.hourly_micro * task.num_nodes,
            source=choice.source,
            confidence=choice.confidence,
            price_as_of=choice.as_of,
            price_age_days=age,
            stale=_stale(choice, age),
            snapshot=catalog.stamp.hash,
            snapshot_date=catalog.stamp.collected,
            rejected=tuple(rejected),
        )
    )


def _age_days(choice: Candidate, now: datetime | date | None) -> int | None:
    if choice.as_of is None:
        return None
    moment = now or datetime.now(timezone.utc)
    today = moment.date() if isinstance(moment, datetime) else moment
    return max(0, (today - date.fromisoformat(choice.as_of)).days)


def _stale(choice: Candidate, age: int | None) -> tuple[str, ...]:
    if choice.cloud == LOCAL:
        return ()
    kind, fresh = (
        ("marketplace", _FRESH_MARKETPLACE_DAYS)
        if choice.cloud in _MARKETPLACES
        else ("spot", _FRESH_SPOT_DAYS)
        if choice.spot
        else ("on-demand", _FRESH_DAYS)
    )
    if age is None:
        return (f"the {kind} price of {choice.instance_type} carries no date; take it as a hint",)
    if age > fresh:
        return (f"the {kind} price of {choice.instance_type} is {age} days old ({fresh} would be fresh)",)
    return ()


def _single(task: TaskLike) -> TaskLike:
    tasks = getattr(task, "tasks", None)
    if tasks is None:
        return task
    if len(tasks) == 1:
        return tasks[0]  # type: ignore[no-any-return]
    raise UnsupportedError(
        f"a plan over {len(tasks)} tasks is not made yet",
        mend="Plan each task of the dag by itself",
        where="dag",
    )
