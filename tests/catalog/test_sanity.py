from __future__ import annotations

import pytest

from skynb_catalog import Query, sanity


def regional(fact, prices, **changes):
    return [fact(region=f"r{n}", hourly_micro=price, **changes) for n, price in enumerate(prices)]


def test_what_is_far_off_its_family_is_set_aside(fact):
    """More than 5x above or below the median over regions is refused; exactly 5x is not."""
    facts = regional(fact, [100, 100, 100, 501, 500, 20, 19])
    assert sanity.verdicts(facts) == [None, None, None, sanity.OFF_FAMILY, None, None, sanity.OFF_FAMILY]


def test_two_regions_cannot_say_which_is_wrong(fact):
    """A median of two prices accuses nobody."""
    assert sanity.verdicts(regional(fact, [100, 1000])) == [None, None]


def test_zones_of_a_region_have_one_vote(fact):
    """Six zones with a wrong price do not outvote three regions."""
    right = regional(fact, [100, 100, 100])
    wrong = [fact(region="odd", zone=f"z{n}", hourly_micro=1000) for n in range(6)]
    assert sanity.verdicts([*right, *wrong]) == [None] * 3 + [sanity.OFF_FAMILY] * 6


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hourly_micro": 0}, sanity.NOT_POSITIVE),
        ({"hourly_micro": -5}, sanity.NOT_POSITIVE),
        ({"spot_hourly_micro": 0}, sanity.NOT_POSITIVE),
        ({"hourly_micro": 100, "spot_hourly_micro": 101}, sanity.SPOT_ABOVE),
        ({"hourly_micro": None}, sanity.NO_PRICE),
        ({"hourly_micro": None, "spot_hourly_micro": 5}, sanity.NO_PRICE),
        ({"instance_type": "per-gpu:H100"}, sanity.LIST_PRICE),
        ({"hourly_micro": 100, "spot_hourly_micro": 100}, None),
    ],
)
def test_each_reason(fact, catalog_of, changes, reason):
    """A doubtful row says why, stays in the file, and is never offered."""
    row = fact(**changes)
    assert sanity.verdicts([row]) == [reason]
    catalog = catalog_of([row])
    assert len(catalog.offers(Query())) == (reason is None)
    assert [why for *_, why in catalog.set_aside()] == ([reason] if reason else [])


def test_the_known_outliers_of_the_snapshot_are_quarantined(shipped):
    """Azure's newzealandnorth F*ams_v6 are at a tenth of their family: exactly these seven are off family."""
    aside = shipped.set_aside(sanity.OFF_FAMILY)
    assert len(aside) == 7
    assert {(cloud, region) for cloud, region, *_ in aside} == {("azure", "newzealandnorth")}
    assert all(name.startswith("Standard_F") and name.endswith("ams_v6") for _, _, name, _ in aside)
    query = Query(clouds=("azure",), region="newzealandnorth", instance_type="Standard_F2ams_v6")
    assert shipped.offers(query) == []
