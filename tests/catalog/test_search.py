from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skynb_catalog import Amount, Catalog, Query, cache, sanity, search
from skynb_catalog.offers import Fact
from skynb_catalog.snapshots import pack, stamp

CLOUDS = ("aws", "gcp", "vast")
REGIONS = (None, "east", "west")
ZONES = (None, "z1", "z2")
PRICES = st.sampled_from([100, 100, 200, 300, 1000])

facts = st.builds(
    Fact,
    cloud=st.sampled_from(CLOUDS),
    region=st.sampled_from(REGIONS),
    zone=st.sampled_from(ZONES),
    instance_type=st.sampled_from(["a", "b", "c", "per-gpu:x"]),
    vcpus=st.sampled_from([None, 0.5, 2.0, 8.0, 16.0]),
    memory_gib=st.sampled_from([None, 0.5, 8.0, 32.0, 64.0]),
    accelerator=st.sampled_from([None, None, "H100", "L4"]),
    accelerator_count=st.sampled_from([None, 0.333, 1.0, 8.0]),
    accelerator_memory_gib=st.sampled_from([None, 80.0]),
    arch=st.sampled_from([None, "x86_64", "arm64"]),
    hourly_micro=st.one_of(st.none(), PRICES, PRICES, st.just(0)),
    spot_hourly_micro=st.one_of(st.none(), PRICES),
    as_of=st.sampled_from([None, "2026-01-01"]),
    spot_as_of=st.just(None),
    source=st.sampled_from(["one", "two"]),
    confidence=st.sampled_from(["high", "low"]),
    local_disk_gib=st.sampled_from([None, None, 100.0, 838.19]),
    local_disk_kind=st.sampled_from([None, "ssd", "nvme"]),
).map(lambda row: row if row.accelerator else row._replace(accelerator_count=None))

catalogs = st.lists(
    facts, max_size=30, unique_by=lambda row: (row.cloud, row.region, row.zone, row.instance_type)
)
amounts = st.one_of(
    st.none(), st.builds(Amount, value=st.sampled_from([0.5, 2, 4, 8, 32]), at_least=st.booleans())
)
memories = st.one_of(amounts, st.builds(Amount, st.sampled_from([1, 4]), st.booleans(), st.just(value=True)))
queries = st.builds(
    Query,
    accelerators=st.sampled_from([(), ("H100",), ("L4", "H100"), ("T4",)]),
    count=st.sampled_from([1, 8, 0.33]),
    cpus=amounts,
    memory=memories,
    clouds=st.sampled_from([None, None, (), ("aws",), ("gcp", "vast", "nowhere")]),
    region=st.sampled_from([None, None, "east"]),
    zone=st.sampled_from([None, None, "z1"]),
    instance_type=st.sampled_from([None, None, "a"]),
    spot=st.booleans(),
    max_hourly_micro=st.sampled_from([None, None, 200]),
    arch=st.sampled_from([None, None, "arm64"]),
    limit=st.sampled_from([None, 1, 3]),
)


def enough(amount, value, vcpus):
    if amount is None:
        return True
    if not value or (amount.per_cpu and not vcpus):
        return False
    wanted = amount.value * vcpus if amount.per_cpu else amount.value
    return value >= wanted if amount.at_least else value == wanted


def fits(row, query):
    """The oracle: the promise of Query, said once more in the plainest way."""
    if query.accelerators:
        kind = (
            row.accelerator in query.accelerators and abs((row.accelerator_count or 0) - query.count) < 0.01
        )
    else:
        kind = row.accelerator is None or query.instance_type is not None
    price = row.spot_hourly_micro if query.spot else row.hourly_micro
    return (
        kind
        and enough(query.cpus, row.vcpus, row.vcpus)
        and enough(query.memory, row.memory_gib, row.vcpus)
        and (query.clouds is None or row.cloud in query.clouds)
        and (query.region is None or row.region in {None, query.region})
        and (query.zone is None or row.zone in {None, query.zone})
        and query.instance_type in {None, row.instance_type}
        and query.arch in {None, row.arch}
        and price is not None
        and (query.max_hourly_micro is None or price <= query.max_hourly_micro)
    )


def rank(row, query):
    price = row.spot_hourly_micro if query.spot else row.hourly_micro
    return (price, row.cloud, row.region or "", row.zone or "", row.instance_type)


@settings(max_examples=50, deadline=None)
@given(rows=catalogs, asked=st.lists(queries, min_size=1, max_size=6))
def test_offers_are_those_of_a_brute_force_search_in_the_same_order(rows, asked):
    """For any catalog and query: same set, same order, same count, and never a row that was set aside."""
    choosable = [row for row, why in zip(rows, sanity.verdicts(rows), strict=True) if why is None]
    packed = pack(rows)
    mark = stamp(packed, "2026-01-01", len(rows))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.sqlite"
        cache.build(path, mark, packed)
        catalog = Catalog(cache._open(path, mark), mark)
        for query in asked:
            fitting = sorted((row for row in choosable if fits(row, query)), key=lambda row: rank(row, query))
            found = catalog.offers(query)
            assert [rank(one, query) for one in found] == [rank(row, query) for row in fitting[: query.limit]]
            for one, row in zip(found, fitting, strict=False):
                assert (one.source, one.confidence, one.as_of) == (row.source, row.confidence, row.as_of)
                assert (one.vcpus, one.memory_gib, one.accelerator) == (
                    row.vcpus,
                    row.memory_gib,
                    row.accelerator,
                )
                assert (one.hourly_micro, one.spot_hourly_micro) == (row.hourly_micro, row.spot_hourly_micro)
            counted = {cloud: sum(row.cloud == cloud for row in fitting) for cloud in CLOUDS}
            assert catalog.count(query) == {cloud: number for cloud, number in counted.items() if number}
        catalog.close()


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
        statements.append(search.shapes_statement(query))
    for sql, values in statements:
        steps = [row[3] for row in shipped._db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert steps
        assert not [step for step in steps if step.startswith("SCAN")]
        if not (query.spot and region):  # a region's few spot offers may be sorted
            assert not [step for step in steps if "TEMP B-TREE" in step]


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
    assert len(search.shapes(shipped._db, query)) > 200
    assert opened <= 10
