"""A plan for several tasks: where each runs when data moves between them, or when they share one infra."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from skynb.errors import NoOfferError, SkynbError, SpecError
from skynb.planning.amounts import HOUR, hours_text
from skynb.planning.model import Candidate, Transfer
from skynb.planning.placement import (
    Edge,
    Goal,
    NoCommonPlaceError,
    NoPlacementError,
    Option,
    Placement,
    Tariff,
    place,
    together,
)
from skynb.planning.planner import SHOWN, Alternatives, Minimize, listed, task_plan, whole_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb.planning.asks import Ask
    from skynb.planning.market import Market
    from skynb.planning.model import Plan, TaskPlan
    from skynb.planning.words import DagLike, TaskLike

_STORES = {"s3": "aws", "gs": "gcp", "az": "azure", "cos": "ibm", "oci": "oci", "nebius": "nebius"}
_AZURE_HOST = ".blob.core.windows.net"


class Step(NamedTuple):
    """A task of the graph: its alternatives, the ways in which it can run, and what else is shown of it.

    inflow: GB that come from the store of a cloud, for a task that waits for no other. reach: micro-dollars
    that a better place can save in transfers at most.
    """

    alternatives: Alternatives
    ways: list[Candidate]
    shown: list[Candidate]
    more: int
    inflow: tuple[str, float] | None
    reach: int


def plan_dag(dag: DagLike, market: Market, minimize: Minimize) -> Plan:
    """The plan for all tasks of a Dag together. Raises SpecError, NoOfferError."""
    tasks = list(dag.tasks)
    if not tasks:
        raise SpecError("there is no task to plan", where="dag")
    group = dag.is_job_group()
    number = {id(task): index for index, task in enumerate(tasks)}
    edges = [
        Edge(number[id(first)], number[id(then)], _out(first)) for first, then in ([] if group else dag.edges)
    ]
    tariff = Tariff()
    waiting = {edge.then for edge in edges}
    steps = [
        _step(
            index, task, market, tariff, edges, fixed=group or minimize == "time", source=index not in waiting
        )
        for index, task in enumerate(tasks)
    ]
    steps = _everywhere(steps)
    options = [[_option(one, step, tariff) for one in step.ways] for step in steps]
    goal = Goal(minimize, market.deadline_seconds)
    placed = _placed(options, edges, goal, tariff, steps, group=group)
    chosen = [step.ways[way] for step, way in zip(steps, placed.chosen, strict=True)]
    transfers = _transfers(steps, chosen, edges, placed, tariff)
    return whole_plan(
        dag.name,
        tuple(_task_plan(index, step, chosen, edges, tariff) for index, step in enumerate(steps)),
        market,
        minimize,
        cost_micro=placed.micro,
        seconds=placed.seconds,
        edges=tuple((edge.first, edge.then) for edge in edges),
        transfers=transfers,
        bound=None if placed.exact else placed.bound,
    )


def _step(
    index: int,
    task: TaskLike,
    market: Market,
    tariff: Tariff,
    edges: Sequence[Edge],
    *,
    fixed: bool,
    source: bool,
) -> Step:
    """fixed: every place counts, whatever it costs."""
    try:
        alternatives = Alternatives(task, market)
        groups, shown, more = listed(alternatives)
    except SkynbError as error:
        raise _of_task(index, task, error) from error
    inflow = _inflow(task) if source else None
    moved = [edge.gigabytes for edge in edges if index in {edge.first, edge.then}]
    reach = sum(_dearest(tariff, one) for one in [*moved, inflow[1] if inflow else 0])
    best = groups[0][0] if alternatives.ordered else shown[0]
    numbers = {best.alternative} if alternatives.ordered else {one.alternative for one in alternatives.asks}
    asks = [one for one in alternatives.asks if one.alternative in numbers]
    if not reach and not fixed and market.deadline_seconds is None:
        ways = [best]
    else:
        everywhere = fixed or market.deadline_seconds is not None
        ways = _ways(asks, alternatives, None if everywhere else (best, reach))
    return Step(alternatives, ways, shown, more, inflow, reach)


def _ways(
    asks: Sequence[Ask], alternatives: Alternatives, bounded: tuple[Candidate, int] | None
) -> list[Candidate]:
    """The best candidate of each place; none so dear that no saved transfer makes up for it."""
    market, task = alternatives.market, alternatives.task
    found: list[Candidate] = []
    for wanted in asks:
        ceiling = None
        if bounded is not None:
            best, reach = bounded
            least = market.shortest(wanted, task.name) or best.seconds
            ceiling = (best.cost_micro(task.num_nodes) + reach) * HOUR // (task.num_nodes * least) + 1
        found += market.by_place(wanted, task.name, task.num_nodes, ceiling)
    firm = [one for one in found if not one.hint]
    return firm or found


def _everywhere(steps: Sequence[Step]) -> list[Step]:
    """The steps with the ways that have no region in all regions that others of their cloud name."""
    regions: dict[str, set[str]] = {}
    for step in steps:
        for one in step.ways:
            if one.region:
                regions.setdefault(one.cloud, set()).add(one.region)

    def placed(one: Candidate) -> list[Candidate]:
        named = () if one.region else sorted(regions.get(one.cloud, ()))
        return [structs.replace(one, region=region) for region in named] or [one]

    return [step._replace(ways=[way for one in step.ways for way in placed(one)]) for step in steps]


def _dearest(tariff: Tariff, gigabytes: float) -> int:
    """What moving it costs at most, wherever it goes."""
    rates = (*tariff.rates.values(), tariff.others)
    return max(max(rate.internet_micro(gigabytes), rate.between_micro(gigabytes)) for rate in rates)


def _option(one: Candidate, step: Step, tariff: Tariff) -> Option:
    micro, seconds = one.cost_micro(step.alternatives.task.num_nodes), one.seconds
    if step.inflow is not None and step.inflow[0] != one.cloud:
        source, target = (step.inflow[0], ""), (one.cloud, one.region or "")
        micro += tariff.micro(source, target, step.inflow[1])
        seconds += tariff.seconds(source, target, step.inflow[1])
    return Option(one.cloud, one.region or "", micro, seconds)


def _placed(
    options: Sequence[Sequence[Option]],
    edges: Sequence[Edge],
    goal: Goal,
    tariff: Tariff,
    steps: Sequence[Step],
    *,
    group: bool,
) -> Placement:
    try:
        return together(options, goal) if group else place(options, edges, goal, tariff)
    except NoPlacementError as error:
        least, asked = hours_text(error.least_seconds), hours_text(error.deadline_seconds)
        raise NoOfferError(
            f"nothing finishes within {asked}",
            why=f"The shortest{'' if error.proved else ' found'} takes {least}",
            mend="Give it more time, or name faster accelerators",
            where="deadline",
        ) from error
    except NoCommonPlaceError as error:
        names = ", ".join(_called(task, steps[task].alternatives.task) for task in error.tasks)
        raise NoOfferError(
            f"no infra has machines for all of {names}",
            why="The jobs of a group run in one region of one cloud",
            mend="Relax the resources of one of them, or make them a chain",
            where="resources",
        ) from error


def _transfers(
    steps: Sequence[Step],
    chosen: Sequence[Candidate],
    edges: Sequence[Edge],
    placed: Placement,
    tariff: Tariff,
) -> tuple[Transfer, ...]:
    found = []
    for index, (step, one) in enumerate(zip(steps, chosen, strict=True)):
        if step.inflow is not None:
            bare = _option(one, step._replace(inflow=None), tariff)
            full = _option(one, step, tariff)
            micro, seconds = full.micro - bare.micro, full.seconds - bare.seconds
            cloud, gigabytes = step.inflow
            found.append(Transfer(None, index, gigabytes, cloud, _place_text(one), micro, seconds))
    for edge, moved in zip(edges, placed.transfers, strict=True):
        source, target = _place_text(chosen[edge.first]), _place_text(chosen[edge.then])
        if edge.gigabytes:
            found.append(
                Transfer(edge.first, edge.then, edge.gigabytes, source, target, moved.micro, moved.seconds)
            )
    return tuple(found)


def _task_plan(
    index: int, step: Step, chosen: Sequence[Candidate], edges: Sequence[Edge], tariff: Tariff
) -> TaskPlan:
    """The task's part, its alternatives in the order of what they would cost while the other tasks stay."""

    @cache
    def moved(here: tuple[str, str]) -> int:
        out = sum(
            tariff.micro(here, _place(chosen[edge.then]), edge.gigabytes)
            for edge in edges
            if edge.first == index
        )
        return out + sum(
            tariff.micro(_place(chosen[edge.first]), here, edge.gigabytes)
            for edge in edges
            if edge.then == index
        )

    def total(one: Candidate) -> tuple[bool, int]:
        return (one.hint, _option(one, step, tariff).micro + moved(_place(one)))

    choice = chosen[index]
    every = {one.key: one for one in (*step.shown, *step.ways)}
    for same in (choice, structs.replace(choice, region=None)):  # the offer as it was before it had a region
        every.pop(same.key, None)
    others = list(every.values())
    if step.reach and not step.alternatives.ordered:
        others.sort(key=total)
    kept = others[:SHOWN]
    # A price that holds in every region counts once and may be kept for several of them.
    more = max(0, step.more + len(step.shown) - 1 - len(kept))
    return task_plan(step.alternatives, [choice, *kept], more)


def _out(task: TaskLike) -> float:
    return float(sum((task.outputs or {}).values()))


def _inflow(task: TaskLike) -> tuple[str, float] | None:
    """The cloud whose store holds the task's inputs, and GB; where in that cloud is not known."""
    for uri, gigabytes in (task.inputs or {}).items():
        scheme, _, rest = uri.partition("://")
        if scheme == "https" and rest.partition("/")[0].endswith(_AZURE_HOST):
            scheme = "az"
        if scheme in _STORES and gigabytes:
            return _STORES[scheme], float(gigabytes)
    return None


def _of_task(index: int, task: TaskLike, error: SkynbError) -> SkynbError:
    where = f"tasks[{index}].{error.where}" if error.where else f"tasks[{index}]"
    return type(error)(f"{_called(index, task)}: {error.what}", why=error.why, mend=error.mend, where=where)


def _called(index: int, task: TaskLike) -> str:
    return task.name or f"task {index + 1}"


def _place(one: Candidate) -> tuple[str, str]:
    return (one.cloud, one.region or "")


def _place_text(one: Candidate) -> str:
    return "/".join(part for part in _place(one) if part)
