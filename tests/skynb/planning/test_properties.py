"""What holds of every plan, over small random markets (tests/support/markets.py has the oracle)."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import datetime, timezone
from tempfile import TemporaryDirectory
from unittest import mock

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from skynb.errors import NoOfferError
from skynb.planning import Plan, plan
from skynb.planning.blocks import LASTS, block, covers
from skynb.planning.planner import market_for
from skynb.planning.terms import NO_TERMS
from skynb.planning.why import why
from skynb.spec import Dag
from tests.support import markets
from tests.support.catalogs import catalog_in
from tests.support.depth import examples
from tests.support.facts import fact
from tests.support.markets import Asked, ladder, task_of
from tests.support.processes import printed_by_any_hash

NOW = datetime(2026, 1, 21, tzinfo=timezone.utc)
AT = NOW.timestamp()

plain = st.builds(lambda task: Asked(*task, today=NOW.date()), markets.tasks)
asked = st.builds(
    lambda task, hours, deadline, minimize, terms: Asked(*task, hours, deadline, minimize, terms, NOW.date()),
    markets.tasks,
    markets.hours,
    st.sampled_from([None, None, None, 0.5, 2.0]),
    st.sampled_from(["cost", "cost", "time"]),
    markets.terms,
)


@contextmanager
def catalog_of(rows):
    with TemporaryDirectory() as folder, catalog_in(folder, rows) as catalog:
        yield catalog


def options(catalog, request: Asked, **changes):
    return {
        "catalog": catalog,
        "now": NOW,
        "hours": request.hours,
        "deadline_hours": request.deadline_hours,
        "minimize": request.minimize,
        "terms": request.terms,
    } | changes


def planned(catalog, request: Asked, **changes) -> Plan | None:
    """The plan, or None where nothing fits."""
    try:
        return plan(task_of(request), **options(catalog, request, **changes))
    except NoOfferError:
        return None


def rungs(found, market):
    return [
        (one.key, one.alternative, one.hourly_micro, one.seconds, one.hint)
        for one in found.ladder(market=market)
    ]


@settings(max_examples=examples(150))
@given(rows=markets.catalogs, request=asked, shown=st.sampled_from([1, 3, 50]))
def test_a_plan_is_what_trying_everything_finds(rows, request, shown):
    """Choice, order, count and cost, under hints, estimates, deadlines, discounts and reservations.

    The ladder has every candidate exactly once and in order, however few of them the plan itself keeps.
    """
    expected = ladder(rows, request)
    with catalog_of(rows) as catalog, mock.patch("skynb.planning.planner.SHOWN", shown):
        found = planned(catalog, request)
        assert (found is None) == (not expected)
        if found is None:
            return
        market = market_for(**options(catalog, request))
        assert rungs(found, market) == [
            (one.key, one.alternative, one.hourly, one.seconds, one.hint) for one in expected
        ]
    best, task = expected[0], found.tasks[0]
    assert found.cost_micro == (request.nodes * best.hourly * best.seconds + 1800) // 3600
    assert found.seconds == best.seconds
    assert len(task.alternatives) == min(shown, len(expected) - 1)
    if len(request.wanted) == 1:
        assert 1 + len(task.alternatives) + task.more == len(expected)


def worth(found: Plan):
    """What orders plans: the hints last, then the cost."""
    return (found.choice.hint, found.cost_micro)


@settings(max_examples=examples(60))
@given(rows=markets.catalogs, request=asked, other=markets.facts)
def test_one_more_offer_never_makes_the_best_dearer(rows, request, other):
    """Whatever joins the catalog, the best is as good as before or better."""
    named = {(row.cloud, row.region, row.zone, row.instance_type) for row in rows}
    more = [
        *rows,
        *([other] if (other.cloud, other.region, other.zone, other.instance_type) not in named else []),
    ]
    request = request._replace(minimize="cost", ordered=False)
    with catalog_of(rows) as catalog, catalog_of(more) as larger:
        before, after = planned(catalog, request), planned(larger, request)
    assert before is None or worth(after) <= worth(before)


@settings(max_examples=examples(100))
@given(
    rows=markets.catalogs,
    request=asked,
    failures=st.lists(st.tuples(st.sampled_from(sorted(LASTS)), st.integers(0, 20)), min_size=1, max_size=3),
)
def test_what_is_blocked_is_nowhere_and_nothing_gets_cheaper(rows, request, failures):
    """Choice, alternatives and ladder are all candidates but those that the failures disprove, in order."""
    request = request._replace(minimize="cost", ordered=False)
    with catalog_of(rows) as catalog:
        before = planned(catalog, request)
        if before is None:
            return
        every = (before.choice, *before.alternatives)
        blocks = [block(kind, every[number % len(every)], AT, "a test") for kind, number in failures]
        left = [one.key for one in every if not any(covers(held.scope, one) for held in blocks)]
        after = planned(catalog, request, blocks=blocks)
        assert (after is None) == (not left)
        if after is None:
            return
        market = market_for(**options(catalog, request, blocks=blocks))
        assert [one.key for one in (after.choice, *after.alternatives)] == left
        assert [one.key for one in after.ladder(market=market)] == left
        assert [one.key for one in before.ladder(market=market, blocks=lambda: blocks)] == left
    assert worth(after) >= worth(before)


@settings(max_examples=examples(60))
@given(rows=markets.catalogs, request=asked)
def test_a_plan_survives_yaml_and_json(rows, request):
    """Plan, YAML, plan, JSON, plan: the same plan, the same bytes, the same hash."""
    with catalog_of(rows) as catalog:
        found = planned(catalog, request)
    if found is None:
        return
    again = Plan.from_yaml(found.to_yaml())
    third = Plan.from_yaml(json.dumps(again.to_dict()))
    assert found == again == third
    assert found.hash == again.hash == third.hash
    assert msgspec.json.encode(found) == msgspec.json.encode(third)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Plan) == found


@settings(max_examples=examples(60))
@given(rows=markets.catalogs, request=plain, hours=st.sampled_from([0.25, 1.0, 3.0, 1000.0]))
def test_costs_are_nodes_times_hours_times_price(rows, request, hours):
    """Three times the nodes or hours: three times the cost, on the same machine. Prices doubled: double."""
    dearer = [
        row._replace(
            hourly_micro=2 * row.hourly_micro,
            spot_hourly_micro=row.spot_hourly_micro and 2 * row.spot_hourly_micro,
        )
        for row in rows
    ]
    request = request._replace(hours=hours, nodes=1)
    dear = request._replace(wanted=[_dear(wish) for wish in request.wanted])
    with catalog_of(rows) as catalog, catalog_of(dearer) as other:
        one = planned(catalog, request)
        if one is None:
            return
        three = planned(catalog, request._replace(nodes=3))
        longer = planned(catalog, request._replace(hours=3 * hours))
        double = planned(other, dear)
    assert [found.cost_micro for found in (three, longer, double)] == [
        3 * one.cost_micro,
        3 * one.cost_micro,
        2 * one.cost_micro,
    ]
    assert [found.choice.key for found in (three, longer, double)] == [one.choice.key] * 3
    assert three.hourly_micro == 3 * one.hourly_micro
    assert longer.seconds == 3 * one.seconds


def _dear(wish):
    limit = wish.get("max_hourly_cost")
    return wish if limit is None else wish | {"max_hourly_cost": 2 * limit}


@settings(max_examples=examples(30))
@given(gib=st.integers(100, 5000), room=st.sampled_from([0, 1, 7]))
def test_local_disks_are_asked_in_gb_and_known_in_gib(gib, room):
    """1 GiB is 1.073741824 GB: the disk holds the GB that fit into it and not one more."""
    fit = gib * 2**30 // 10**9
    row = fact(local_disk_gib=float(gib), local_disk_kind="nvme")
    with catalog_of([row]) as catalog:
        for size, does in ((fit - room, True), (fit + 1 + room, False)):
            request = Asked([{"local_disk": f"nvme:{size}+"}], ordered=False, nodes=1, today=NOW.date())
            assert (planned(catalog, request) is not None) == does


@settings(max_examples=examples(40))
@given(rows=markets.catalogs, cpus=st.sampled_from([4, 8, 16]), ratio=st.sampled_from([1, 2, 4, 8]))
def test_memory_per_vcpu_is_memory(rows, cpus, ratio):
    """So many vCPUs with `4x` are so many vCPUs with four times as many GiB or more."""
    with catalog_of(rows) as catalog:
        by_ratio, by_sum = (
            planned(catalog, Asked([{"cpus": str(cpus), "memory": memory}], ordered=False, nodes=1))
            for memory in (f"{ratio}x", f"{ratio * cpus}+")
        )
    assert (by_ratio is None) == (by_sum is None)
    if by_ratio is not None:
        assert (by_ratio.choice, by_ratio.alternatives) == (by_sum.choice, by_sum.alternatives)


@settings(max_examples=examples(60))
@given(rows=markets.catalogs, request=plain)
def test_candidates_and_reasons_are_the_whole_catalog(rows, request):
    """For every alternative: those that fit, and those that do not with the one reason, are all rows."""
    request = request._replace(wanted=request.wanted[:1])
    with catalog_of(rows) as catalog:
        try:
            found = why(task_of(request), **options(catalog, request))
        except NoOfferError:
            return
    candidates = 1 + len(found.plan.alternatives) + found.plan.tasks[0].more
    assert candidates + sum(one.offers for one in found.reasons) == len(rows)


tasks_of_dag = st.lists(
    st.builds(lambda wish, nodes, gigabytes: (wish, nodes, gigabytes), markets.wide, st.integers(1, 2),
              st.sampled_from([0, 0.5, 5, 100])),
    min_size=2,
    max_size=4,
)  # fmt: skip
arrows = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)))


def dag_of(parts, edges):
    with Dag("graph") as dag:
        made = [
            task_of(Asked([wish], ordered=False, nodes=nodes), f"t{number}", outputs={"s3://out": gigabytes})
            for number, (wish, nodes, gigabytes) in enumerate(parts)
        ]
        for first, then in sorted(edges):
            if first < then < len(made):
                _ = made[first] >> made[then]
    return dag


@settings(max_examples=examples(60))
@given(rows=markets.catalogs, parts=tasks_of_dag, edges=arrows, hours=markets.hours, other=markets.facts)
def test_graphs_with_more_time_or_more_offers_are_never_dearer(rows, parts, edges, hours, other):
    """A later deadline, none at all, or one more offer: as cheap or cheaper; always the sum of its parts."""
    rows = [row._replace(as_of="2026-01-20", spot_as_of="2026-01-20") for row in rows]  # no hints among them
    named = {(row.cloud, row.region, row.zone, row.instance_type) for row in rows}
    other = other._replace(as_of="2026-01-20", spot_as_of="2026-01-20")
    joined = rows if (other.cloud, other.region, other.zone, other.instance_type) in named else [*rows, other]
    costs = []
    with catalog_of(rows) as catalog, catalog_of(joined) as larger:
        for deadline, source in (
            (1.0, catalog),
            (2.5, catalog),
            (9.0, catalog),
            (None, catalog),
            (None, larger),
        ):
            try:
                found = plan(dag_of(parts, edges), catalog=source, now=NOW, hours=hours, terms=NO_TERMS,
                             deadline_hours=deadline)  # fmt: skip
            except NoOfferError:
                costs.append(None)
                continue
            assert found.bound is None
            assert deadline is None or found.seconds <= deadline * 3600
            assert found.cost_micro == sum(one.cost_micro for one in (*found.tasks,)) + sum(
                one.micro for one in found.transfers
            )
            assert Plan.from_yaml(found.to_yaml()) == found
            costs.append(found.cost_micro)
    known = [cost for cost in costs if cost is not None]
    assert None not in costs[costs.index(known[0]) :] if known else True
    assert known == sorted(known, reverse=True)


SCRIPT = """
import sys, msgspec
from datetime import date
from skynb.planning import plan
from skynb.planning.terms import NO_TERMS
from skynb.planning.why import why
from skynb.spec import Dag, Task
from tests.support.depth import examples
with Dag("graph") as dag:
    start, *middle, end = [
        Task.from_yaml_config({"name": f"t{n}", "num_nodes": n + 1, "outputs": {"s3://out": 10 * n},
                               "resources": {"accelerators": kind}})
        for n, kind in enumerate(["80GB+", "L4", "T4", "24GB+"])
    ]
    for one in middle:
        start >> one
        one >> end
found = plan(dag, now=date(2026, 11, 23), terms=NO_TERMS, deadline_hours=30)
sys.stdout.buffer.write(msgspec.json.encode(found) + found.to_yaml().encode())
"""


def test_two_processes_decide_a_graph_alike(shipped, cache_folder):
    """A diamond over the shipped catalog: whatever PYTHONHASHSEED is, the same to the last byte."""
    answers = printed_by_any_hash(SCRIPT, SKYNB_CACHE_DIR=str(cache_folder))
    assert len(answers) == 1
    assert b"aws" in answers.pop()
