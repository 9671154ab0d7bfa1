"""Small random catalogs and queries, and what a query must find in them, said in the plainest way."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from fnmatch import fnmatchcase

from hypothesis import strategies as st

from skynb_catalog import Amount, Query, Scope, sanity
from skynb_catalog.offers import Fact
from tests.support.catalogs import catalog_in

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
scopes = st.builds(
    Scope,
    cloud=st.sampled_from([None, None, "aws", "gcp", "nowhere"]),
    region=st.sampled_from([None, None, "east", "north", ""]),
    zone=st.sampled_from([None, None, None, "z1", ""]),
    instance_type=st.sampled_from([None, None, "a", "*", "[ab]", "[!a]", "A", "b*", "?", "[", "", "%", "_"]),
    accelerator=st.sampled_from([None, None, None, "H100", ""]),
    spot=st.sampled_from([None, None, None, True, False]),
)
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
    arch=st.sampled_from([None, None, "arm64", "x86_64"]),
    local_disk=st.one_of(
        st.none(), st.none(), st.builds(Amount, st.sampled_from([100, 838.19, 20]), st.booleans())
    ),
    local_disk_kind=st.sampled_from([None, None, "nvme"]),
    within=st.one_of(st.none(), st.none(), scopes),
    without=st.one_of(st.just(()), st.lists(scopes, max_size=4).map(tuple)),
    limit=st.sampled_from([None, 1, 3]),
)


def enough(amount, value, vcpus):
    if amount is None:
        return True
    if not value or (amount.per_cpu and not vcpus):
        return False
    wanted = amount.value * vcpus if amount.per_cpu else amount.value
    return value >= wanted if amount.at_least else value == wanted


def belongs(row, scope, query):
    """The oracle of scopes: an offer is of it if it states every word that is given."""
    return (
        scope.cloud in {None, row.cloud}
        and (scope.region is None or (scope.region == row.region))
        and (scope.zone is None or (scope.zone == row.zone))
        and (scope.instance_type is None or fnmatchcase(row.instance_type, scope.instance_type))
        and (scope.accelerator is None or scope.accelerator == row.accelerator)
        and scope.spot in {None, query.spot}
    )


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
        and query.arch in {None, row.arch or "x86_64"}
        and enough(query.local_disk, row.local_disk_gib, row.vcpus)
        and query.local_disk_kind in {None, row.local_disk_kind}
        and (query.within is None or belongs(row, query.within, query))
        and not any(belongs(row, scope, query) for scope in query.without)
        and price is not None
        and (query.max_hourly_micro is None or price <= query.max_hourly_micro)
    )


def rank(row, query):
    price = row.spot_hourly_micro if query.spot else row.hourly_micro
    return (price, row.cloud, row.region or "", row.zone or "", row.instance_type)


def why_not(row, query, rows):
    """The first reason why a row is no candidate and, if set aside, what for; None for a candidate."""
    aside = dict(zip(rows, sanity.verdicts(rows), strict=True))[row]
    price = row.spot_hourly_micro if query.spot else row.hourly_micro
    milli = row.accelerator_count or 0
    bare = not query.accelerators and query.instance_type is None
    reasons = {
        "other accelerator": row.accelerator not in query.accelerators
        if query.accelerators
        else bare and row.accelerator is not None,
        "other count": bool(query.accelerators) and abs(milli - query.count) >= 0.01,
        "instance type": query.instance_type not in {None, row.instance_type},
        "local disk": not enough(query.local_disk, row.local_disk_gib, row.vcpus)
        or query.local_disk_kind not in {None, row.local_disk_kind},
        "vCPUs": not enough(query.cpus, row.vcpus, row.vcpus),
        "memory": not enough(query.memory, row.memory_gib, row.vcpus),
        "arch": query.arch not in {None, row.arch or "x86_64"},
        "cloud": query.clouds is not None and row.cloud not in query.clouds,
        "region": query.region is not None and row.region not in {None, query.region},
        "zone": query.zone is not None and row.zone not in {None, query.zone},
        "set aside": aside is not None,
        "no spot price": query.spot and price is None,
        "above the price limit": query.max_hourly_micro is not None and (price or 0) > query.max_hourly_micro,
        "within": query.within is not None and not belongs(row, query.within, query),
        "without": any(belongs(row, scope, query) for scope in query.without),
    }
    return next(
        ((name, aside if name == "set aside" else None) for name, fails in reasons.items() if fails), None
    )


def choosable(rows):
    return [row for row, why in zip(rows, sanity.verdicts(rows), strict=True) if why is None]


def fitting(rows, query):
    """The rows that a query must find, in order, whatever its limit."""
    return sorted((row for row in choosable(rows) if fits(row, query)), key=lambda row: rank(row, query))


@contextmanager
def catalog_with(rows):
    with tempfile.TemporaryDirectory() as folder, catalog_in(folder, rows) as catalog:
        yield catalog
