from __future__ import annotations

import tempfile
from datetime import date
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from skynb.errors import NoOfferError
from skynb.planning import plan
from skynb_catalog.offers import Fact
from tests.support.catalogs import catalog_in

rows = st.builds(
    Fact,
    cloud=st.sampled_from(["aws", "gcp", "vast"]),
    region=st.sampled_from(["east", "west"]),
    zone=st.sampled_from([None, "z"]),
    instance_type=st.sampled_from(["a", "b", "c"]),
    vcpus=st.just(8.0),
    memory_gib=st.just(32.0),
    accelerator=st.sampled_from(["H100", "L4", "T4"]),
    accelerator_count=st.sampled_from([1.0, 8.0]),
    accelerator_memory_gib=st.none(),
    arch=st.just("x86_64"),
    hourly_micro=st.sampled_from([100, 200, 300]),
    spot_hourly_micro=st.sampled_from([None, 50, 100]),
    as_of=st.just("2026-01-01"),
    spot_as_of=st.none(),
    source=st.just("a test"),
    confidence=st.just("high"),
    local_disk_gib=st.none(),
    local_disk_kind=st.none(),
)
catalogs = st.lists(
    rows, max_size=25, unique_by=lambda row: (row.cloud, row.region, row.zone, row.instance_type)
)
wishes = st.tuples(
    st.sampled_from(["H100", "L4", "T4"]),
    st.sampled_from([1, 8]),
    st.sampled_from([None, "aws", "gcp"]),
    st.booleans(),
    st.sampled_from([None, 200e-6]),
)


def item(wish):
    name, count, cloud, spot, limit = wish
    one = SimpleNamespace(name=name, count=count, manufacturer=None, memory_gb=None, memory_at_least=False)
    return SimpleNamespace(
        infra=SimpleNamespace(cloud=cloud, region=None, zone=None),
        accelerators=(one,),
        cpus=None,
        memory=None,
        instance_type=None,
        use_spot=spot,
        max_hourly_cost=limit,
        labels={},
        local_disk=None,
    )


def price(row, wish):
    return row.spot_hourly_micro if wish[3] else row.hourly_micro


def fitting(row, wish):
    name, count, cloud, _, limit = wish
    cost = price(row, wish)
    return (
        (row.accelerator, row.accelerator_count) == (name, count)
        and cloud in {None, row.cloud}
        and cost is not None
        and (limit is None or cost <= limit * 1e6)
        and (row.spot_hourly_micro is None or row.spot_hourly_micro <= row.hourly_micro)
    )


def expected(facts, asked, *, ordered):
    """Every (alternative, row) pair, sorted the plain way, the first mention of a machine kept."""
    pairs = [(n, row) for n, wish in enumerate(asked) for row in facts if fitting(row, wish)]

    def rank(pair):
        n, row = pair
        hint = row.cloud == "vast" and asked[n][3]  # a marketplace's spot price, and it carries no date
        place = (hint, price(row, asked[n]), row.cloud, row.region, row.zone or "", row.instance_type, n)
        return (n, *place) if ordered else place

    seen = {}
    for n, row in sorted(pairs, key=rank):
        seen.setdefault((row.cloud, row.region, row.zone, row.instance_type, asked[n][3]), n)
    return [(n, *key) for key, n in seen.items()]


@settings(max_examples=50, deadline=None)
@given(facts=catalogs, asked=st.lists(wishes, min_size=1, max_size=4), ordered=st.booleans())
def test_plans_choose_as_brute_force_does(facts, asked, ordered):
    """Any small catalog, any alternatives: same candidates, same order, same choice, or none at all."""
    task = SimpleNamespace(
        name=None,
        num_nodes=1,
        inputs=None,
        outputs=None,
        resources=SimpleNamespace(alternatives=lambda: (ordered, [item(wish) for wish in asked])),
    )
    with tempfile.TemporaryDirectory() as folder, catalog_in(folder, facts) as catalog:
        wanted = expected(facts, asked, ordered=ordered)
        known = {row.cloud for row in facts}
        try:
            found = plan(task, catalog=catalog, now=date(2026, 1, 2))
        except NoOfferError:
            assert wanted == []
        else:
            got = [
                (one.alternative, one.cloud, one.region, one.zone, one.instance_type, one.spot)
                for one in (found.choice, *found.alternatives)
            ]
            assert got == wanted
            assert found.tasks[0].more == 0
            assert {one.cloud for one in found.tasks[0].rejected} <= known | {None}
        catalog.close()
