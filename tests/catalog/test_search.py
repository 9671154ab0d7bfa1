from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skynb_catalog import Amount, Query, Scope, search
from skynb_catalog.shapes import floors, floors_statement
from tests.support.depth import examples
from tests.support.searching import CLOUDS, catalog_with, catalogs, fitting, queries, rank, scopes, why_not


@settings(max_examples=examples(50), deadline=None)
@given(rows=catalogs, asked=st.lists(queries, min_size=1, max_size=6))
def test_offers_are_those_of_a_brute_force_search_in_the_same_order(rows, asked):
    """For any catalog and query: same set, same order, same count, and never a row that was set aside."""
    with catalog_with(rows) as catalog:
        for query in asked:
            expected = fitting(rows, query)
            found = catalog.offers(query)
            assert [rank(one, query) for one in found] == [
                rank(row, query) for row in expected[: query.limit]
            ]
            for one, row in zip(found, expected, strict=False):
                assert (one.source, one.confidence, one.as_of) == (row.source, row.confidence, row.as_of)
                assert (one.vcpus, one.memory_gib, one.accelerator) == (
                    row.vcpus,
                    row.memory_gib,
                    row.accelerator,
                )
                assert (one.hourly_micro, one.spot_hourly_micro) == (row.hourly_micro, row.spot_hourly_micro)
                assert one.local_disk_gib == pytest.approx(row.local_disk_gib, abs=0.001)
                assert one.local_disk_kind == row.local_disk_kind
            counted = {cloud: sum(row.cloud == cloud for row in expected) for cloud in CLOUDS}
            assert catalog.count(query) == {cloud: number for cloud, number in counted.items() if number}


@settings(max_examples=examples(50), deadline=None)
@given(rows=catalogs, query=queries, scope=scopes)
def test_within_and_without_a_scope_are_complements(rows, query, scope):
    """Every offer is on one side of a scope, never on both."""
    asked = query._replace(limit=None, within=None)
    with catalog_with(rows) as catalog:
        inside = catalog.offers(asked._replace(within=scope))
        outside = catalog.offers(asked._replace(without=(*asked.without, scope)))
        assert sorted([*inside, *outside], key=str) == sorted(catalog.offers(asked), key=str)


@settings(max_examples=examples(75), deadline=None)
@given(rows=catalogs, query=queries, ceiling=st.sampled_from([None, None, 200, 100]))
def test_by_place_is_the_first_offer_of_each_place(rows, query, ceiling):
    """The same as grouping every offer by cloud, region and accelerator, for any query and ceiling."""
    with catalog_with(rows) as catalog:
        first = {}
        for one in catalog.offers(query._replace(limit=None)):
            if ceiling is None or rank(one, query)[0] <= ceiling:
                first.setdefault((one.cloud, one.region, one.accelerator), one)
        assert catalog.by_place(query, ceiling) == list(first.values())[: query.limit]


@settings(max_examples=examples(75), deadline=None)
@given(rows=catalogs, query=queries)
def test_every_row_is_a_candidate_or_refused_for_its_first_reason(rows, query):
    """Candidates and refusals are all rows, counted by cloud and the first test that a row fails."""
    with catalog_with(rows) as catalog:
        refused = catalog.why_not(query)
        expected = Counter(
            (row.cloud, *reason) for row in rows if (reason := why_not(row, query, rows)) is not None
        )
        assert {(one.cloud, one.reason, one.why): one.offers for one in refused} == expected
        assert sum(catalog.count(query).values()) + sum(one.offers for one in refused) == len(rows)
        named = {row.instance_type for row in rows}
        assert all(one.example in named for one in refused if one.example is not None)


HOT = {
    "accelerator": Query(("H100",), 8, limit=50),
    "accelerators": Query(("H100", "L4"), 1, limit=50),
    "spot": Query(("L4",), 1, spot=True, limit=50),
    "size": Query(cpus=Amount(8, at_least=True), memory=Amount(4, at_least=True, per_cpu=True), limit=50),
    "type": Query(instance_type="p5.48xlarge", limit=50),
    "cloud": Query(("L4",), 1, clouds=("aws",), limit=50),
    "price": Query(("L4",), 1, max_hourly_micro=10**6, limit=50),
    "zone": Query(("L4",), 1, zone="use1-az1", limit=50),
}


@pytest.mark.parametrize("query", HOT.values(), ids=HOT)
@pytest.mark.parametrize("region", [None, 3])
def test_hot_queries_search_indices_and_scan_nothing(shipped, query, region):
    """SQLite's own plan names a search for every table, and reads in order without sorting."""
    statements = [search.stream_statement(query, 5, region)]
    if query.instance_type is None:
        statements.append(floors_statement(query))
    for sql, values in statements:
        steps = [row[3] for row in shipped._db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert steps
        assert not [step for step in steps if step.startswith("SCAN")]
        if not (query.spot and region):  # a region's few spot offers may be sorted
            assert not [step for step in steps if "TEMP B-TREE" in step]


def test_the_cheapest_of_each_place_are_one_question(shipped):
    """Where nothing is refused, all places together are one statement, however many there are."""
    statements: list[str] = []
    shipped._db.set_trace_callback(statements.append)
    found = shipped.by_place(HOT["size"]._replace(limit=None))
    shipped._db.set_trace_callback(None)
    assert len(found) > 100
    assert len(statements) == 1


def test_scopes_touch_only_what_they_name(shipped):
    """Leaving out one machine in one zone reads no offers of other machines to count what is left."""
    query = HOT["size"]
    failed = Scope("aws", "us-east-1", "use1-az1", "m5.2xlarge")
    statements: list[str] = []
    shipped._db.set_trace_callback(statements.append)
    left = shipped.count(query._replace(without=(failed,)))
    shipped._db.set_trace_callback(None)
    assert left["aws"] == shipped.count(query)["aws"] - 1
    assert sum("FROM offer" in statement for statement in statements) == 1


def test_threads_share_one_catalog(shipped):
    """A server asks from many threads at once: every answer is the one a single thread gets."""
    asked = list(HOT.values()) * 4
    alone = [shipped.offers(query) for query in asked]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(shipped.offers, asked)) == alone


def test_a_query_reads_only_the_shapes_it_returns(shipped):
    """The cost follows the answer: of hundreds of fitting shapes, a bounded query opens few."""
    query = Query(cpus=Amount(8, at_least=True), limit=10)
    statements: list[str] = []
    shipped._db.set_trace_callback(statements.append)
    shipped.offers(query)
    shipped._db.set_trace_callback(None)
    opened = sum("FROM offer" in statement for statement in statements)
    assert len(floors(shipped._db, query)) > 200
    assert opened <= 10
