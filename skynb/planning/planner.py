"""`plan(task)`: the best fitting machines, and everything needed to see why.

It asks no server, no network and no credentials: a catalog, a date, offers, terms and blocks in, a plan out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from skynb.errors import NoOfferError, SkynbError, SpecError
from skynb.planning.amounts import HOUR
from skynb.planning.asks import LOCAL, Ask, ask, to_plain
from skynb.planning.candidates import preferred, ranked
from skynb.planning.estimates import Estimates, Hours, Run
from skynb.planning.market import (
    FRESH_DAYS,
    FRESH_MARKETPLACE_DAYS,
    FRESH_SPOT_DAYS,
    MARKETPLACES,
    Market,
)
from skynb.planning.model import (
    SCHEMA,
    Candidate,
    Plan,
    Rejection,
    TaskPlan,
    Transfer,
    days_between,
)
from skynb.planning.shared import shared_catalog
from skynb.planning.terms import Terms, own_terms
from skynb.planning.why_not import described, explain, rejected_clouds
from skynb_catalog import Catalog, CatalogError, Offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from skynb.planning.blocks import Block
    from skynb.planning.words import DagLike, ItemLike, TaskLike

SHOWN = 50
Minimize = Literal["cost", "time"]


def plan(
    task: TaskLike | DagLike,
    *,
    clouds: Iterable[str] | None = None,
    extra_offers: Iterable[Offer] = (),
    minimize: Minimize = "cost",
    deadline_hours: float | None = None,
    hours: Hours | None = None,
    measured: Iterable[Run] = (),
    blocks: Iterable[Block] = (),
    terms: Terms | None = None,
    now: datetime | date | None = None,
    catalog: Catalog | None = None,
) -> Plan:
    """The machines for a task, or for all tasks of a Dag together.

    Of ordered alternatives the first feasible one is taken, else what is best: cheapest, with
    `minimize="time"` soonest done, with a deadline the cheapest that meets it. hours: how long the work takes
    (`Estimates`); measured: the same from past runs. clouds: those that may be used, None for every cloud of
    the catalog. extra_offers: machines outside it (this one, simulated clouds), which are always candidates.
    blocks: what failures have disproved. terms: the user's own prices, by default those of `offers.yaml`.
    now: for the age of prices and blocks, default this moment.

    Raises SpecError for a name nobody knows, NoOfferError saying what comes nearest, SkynbError if the
    catalog cannot be read.
    """
    market = market_for(
        clouds=clouds,
        extra_offers=extra_offers,
        minimize=minimize,
        deadline_hours=deadline_hours,
        hours=hours,
        measured=measured,
        blocks=blocks,
        terms=terms,
        now=now,
        catalog=catalog,
    )
    dag = cast("DagLike", task if hasattr(task, "tasks") else Alone(task.name, (task,)))
    market.estimates.check(one.name for one in dag.tasks)
    try:
        if len(dag.tasks) == 1 and not dag.tasks[0].inputs:
            alternatives = Alternatives(dag.tasks[0], market)
            _, shown, more = listed(alternatives)
            return _plan_of(task_plan(alternatives, shown, more), dag.name, market, minimize)
        from skynb.planning.dags import plan_dag

        return plan_dag(dag, market, minimize)
    except CatalogError as error:
        raise SkynbError(error.what, why=error.why, mend=error.mend) from error


def market_for(
    *,
    minimize: Minimize = "cost",
    deadline_hours: float | None = None,
    hours: Hours | None = None,
    measured: Iterable[Run] = (),
    terms: Terms | None = None,
    catalog: Catalog | None = None,
    **options: Any,
) -> Market:
    """The market that the options of `plan` describe. Raises SpecError, SkynbError."""
    if minimize not in {"cost", "time"}:
        raise SpecError(f"{minimize!r} is no goal", mend="Write `cost` or `time`", where="minimize")
    if deadline_hours is not None and not 0 < deadline_hours < 1e6:
        raise SpecError(f"{deadline_hours!r} is no deadline", mend="Write hours above 0", where="deadline")
    try:
        return Market(
            catalog or shared_catalog(),
            terms=own_terms() if terms is None else terms,
            estimates=Estimates(hours, tuple(measured)),
            minimize=minimize,
            deadline_seconds=None if deadline_hours is None else round(deadline_hours * HOUR),
            **options,
        )
    except CatalogError as error:
        raise SkynbError(error.what, why=error.why, mend=error.mend) from error


class Alone(NamedTuple):
    """A task as a graph of one."""

    name: str | None
    tasks: tuple[TaskLike | DagLike, ...]
    edges: tuple[()] = ()

    def is_job_group(self) -> bool:
        return False


class Alternatives:
    """The alternatives of one task: their asks, and what is wrong with those that cannot be met."""

    def __init__(self, task: TaskLike, market: Market) -> None:
        """SpecError for a name nobody knows."""
        self.task = task
        self.market = market
        self.ordered, items = task.resources.alternatives()
        self.asks: list[Ask] = []
        self.rejected: list[Rejection] = []
        self._failures: list[SkynbError] = []
        for number, item in enumerate(items):
            try:
                self.asks.append(self._ask(item, number))
            except NoOfferError as error:
                self.fail(number, error)

    def _ask(self, item: ItemLike, number: int) -> Ask:
        return ask(item, number, enabled=self.market.enabled, known=self.market.known)

    def fail(self, number: int, error: NoOfferError) -> None:
        """An alternative that nothing fits: named, and passed over."""
        self._failures.append(error)
        self.rejected.append(Rejection(number, None, str(error)))

    def note(self, wanted: Ask, counts: dict[str, int]) -> None:
        """Keep the reasons why clouds, or accelerators, have no candidate for an ask that others can meet."""
        for reason in self.market.untimely(wanted, self.task.name):
            self.rejected.append(Rejection(wanted.alternative, None, reason))
        if wanted.cloud is None:
            query, number = self.market.open_query(wanted), wanted.alternative
            self.rejected += self.market.once(
                ("rejected", query, number, tuple(counts)),
                lambda: list(rejected_clouds(self.market.catalog, query, number, counts)),
            )

    def nothing(self) -> SkynbError:
        """The one error for alternatives of which none can be met."""
        failures = self._failures
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


def listed(alternatives: Alternatives) -> tuple[list[list[Candidate]], list[Candidate], int]:
    """The best candidates: by alternative, all in order, and how many more there are.

    NoOfferError if no alternative can be met.
    """
    groups: list[list[Candidate]] = []
    total = 0
    for wanted in alternatives.asks:
        try:
            group, number = _alternative(wanted, alternatives)
        except NoOfferError as error:
            alternatives.fail(wanted.alternative, error)
        else:
            groups.append(group)
            total += number
    if not groups:
        raise alternatives.nothing()
    best = preferred(groups) if alternatives.ordered else ranked(groups, alternatives.market.rank)
    repeated = sum(len(group) for group in groups) - len(best)
    shown = best[: SHOWN + 1]
    return groups, shown, total - repeated - len(shown)


def _alternative(wanted: Ask, alternatives: Alternatives) -> tuple[list[Candidate], int]:
    """The best candidates of one alternative, and how many there are in all.

    NoOfferError if there are none.
    """
    market, task = alternatives.market, alternatives.task
    counts: dict[str, int]
    if wanted.zone_name is not None:
        # The account's zone is one of the region's AZ ids, nobody here knows which: a candidate for each
        # type.
        found: dict[str, Candidate] = {}
        for one in market.best(wanted, task.name, task.num_nodes, None):
            found.setdefault(one.instance_type, one)
        group, counts = list(found.values()), {"aws": len(found)}
    else:
        group = market.best(wanted, task.name, task.num_nodes, SHOWN + 1)
        counts = market.count(wanted, task.name, task.num_nodes)
    if not group:
        raise _nothing_fits(wanted, alternatives)
    alternatives.note(wanted, counts)
    outside = sum(1 for one in group if one.cloud not in counts)
    return group, max(len(group), sum(counts.values()) + outside)


def task_plan(alternatives: Alternatives, shown: Sequence[Candidate], more: int) -> TaskPlan:
    """A task's part of a plan, the choice first in `shown`."""
    task, market, choice = alternatives.task, alternatives.market, shown[0]
    age = days_between(choice.as_of, market.today.isoformat())
    return TaskPlan(
        task=task.name,
        num_nodes=task.num_nodes,
        choice=choice,
        alternatives=tuple(shown[1:]),
        more=more,
        rejected=tuple(dict.fromkeys(alternatives.rejected)),
        estimate=market.estimates.origin(task.name, choice.accelerator, choice.accelerator_count),
        asks=tuple(map(to_plain, alternatives.asks)),
        ordered=alternatives.ordered,
        stale=_stale(choice, age),
    )


def _plan_of(task: TaskPlan, name: str | None, market: Market, minimize: Minimize) -> Plan:
    return whole_plan(
        name, (task,), market, minimize, cost_micro=task.cost_micro, seconds=task.choice.seconds
    )


def whole_plan(
    name: str | None,
    tasks: tuple[TaskPlan, ...],
    market: Market,
    minimize: Minimize,
    *,
    cost_micro: int,
    seconds: int,
    edges: tuple[tuple[int, int], ...] = (),
    transfers: tuple[Transfer, ...] = (),
    bound: int | None = None,
) -> Plan:
    """The plan of these tasks. bound: given where nothing proves that this is the best."""
    return Plan(
        schema=SCHEMA,
        name=name,
        tasks=tasks,
        edges=edges,
        transfers=transfers,
        minimize=minimize,
        deadline_seconds=market.deadline_seconds,
        cost_micro=cost_micro,
        seconds=seconds,
        bound=bound,
        snapshot=market.catalog.stamp.hash,
        snapshot_date=market.catalog.stamp.collected,
        today=market.today.isoformat(),
        blocks=tuple(map(str, market.blocks)),
    )


def _nothing_fits(wanted: Ask, alternatives: Alternatives) -> NoOfferError:
    market = alternatives.market
    if wanted.cloud == LOCAL:
        return NoOfferError(
            f"this machine does not fit {described(wanted.query)}",
            why=f"It has {_contents(market.own_machine())}",
            where="resources",
        )
    if wanted.query.clouds == () and wanted.cloud:
        return NoOfferError(
            f"{wanted.cloud} is not enabled here",
            mend=f"Enabled: {', '.join(market.enabled or ()) or 'none'}",
            where="resources.infra",
        )
    if market.blocks and market.catalog.count(wanted.query):
        return NoOfferError(
            f"all that fits {described(wanted.query)} is blocked",
            why="; ".join(map(str, market.blocks)),
            mend="Wait until then, or name other infra",
            where="resources",
        )
    untimely = list(market.untimely(wanted, alternatives.task.name))
    if untimely:
        why: str = "; ".join(untimely)
        mend: str | None = "Give it more time, estimate its hours there too, or name other accelerators"
    else:
        why, mend = explain(market.catalog, market.open_query(wanted))
    return NoOfferError(f"nothing fits {described(wanted.query)}", why=why, mend=mend, where="resources")


def _contents(machine: Offer) -> str:
    gpus = (
        f", {machine.accelerator}:{machine.accelerator_count:g}" if machine.accelerator else ", no known GPU"
    )
    return f"{machine.vcpus or 0:g} vCPUs, {machine.memory_gib or 0:.1f} GiB{gpus}"


def _stale(choice: Candidate, age: int | None) -> tuple[str, ...]:
    if choice.cloud == LOCAL:
        return ()
    kind, fresh = (
        ("marketplace", FRESH_MARKETPLACE_DAYS)
        if choice.cloud in MARKETPLACES
        else ("spot", FRESH_SPOT_DAYS)
        if choice.spot
        else ("on-demand", FRESH_DAYS)
    )
    if age is None:
        return (f"the {kind} price of {choice.instance_type} carries no date",)
    if age > fresh:
        return (f"the {kind} price of {choice.instance_type} is {age} days old ({fresh} would be fresh)",)
    return ()
