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
from skynb.planning import Plan, plan, why
from skynb.planning.blocks import LASTS, block, covers
from skynb.planning.market import Market
from skynb.planning.planner import market_for
from tests.support import markets
from tests.support.facts import catalog_in
from tests.support.markets import Asked, ladder, task_of

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
    return [(one.key, one.alternative, one.hourly_micro, one.seconds, one.hint) for one in found.ladder(market=market)]


@settings(max_examples=150)
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
