"""Fresh rows over known ones, whatever they are."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from skynb_catalog.refresh import merge
from skynb_catalog.sanity import ABSURD, GIVEN_AWAY, shortfall, verdicts
from tests.support.facts import fact

_prices = st.none() | st.integers(-5, 10**12)


@st.composite
def facts(draw, *, sized=True):
    """Rows of one cloud, few names, so that they meet."""
    region = draw(st.sampled_from([None, "r1", "r2"]))
    return fact(
        region=region,
        zone=draw(st.sampled_from([None, "z1", "z2"])) if region else None,
        instance_type=draw(st.sampled_from(["a", "b", "per-gpu:c"])),
        vcpus=8.0 if sized or draw(st.booleans()) else None,
        memory_gib=32.0,
        hourly_micro=draw(_prices),
        spot_hourly_micro=draw(_prices),
    )


def unique(rows):
    return list({merge.place(row): row for row in rows}.values())


@given(st.lists(facts(), max_size=12), st.lists(facts(sized=False), max_size=12), st.booleans())
def test_whatever_meets_is_a_catalog(base, fresh, complete):
    """One row a place, each of known size; an exact price of a known machine is in it."""
    refused: Counter[str] = Counter()
    base, fresh = unique(base), merge.single(fresh, refused)
    found = merge.overlay(base, fresh, complete=complete, refused=refused)
    assert len({merge.place(row) for row in found}) == len(found)
    assert all(row.vcpus is not None for row in found)
    prices = {(row.instance_type, row.hourly_micro) for row in found}
    known = {row.instance_type for row in base}
    for row in fresh:
        if row.instance_type in known and row.hourly_micro is not None and row.zone is not None:
            assert (row.instance_type, row.hourly_micro) in prices


@given(st.lists(facts(), max_size=12), st.lists(facts(), max_size=12), st.booleans())
def test_laying_it_over_twice_changes_nothing(base, fresh, complete):
    """A second refresh with the same answer finds everything as it is."""
    base, fresh = unique(base), merge.single(fresh, Counter())
    once = merge.overlay(base, fresh, complete=complete, refused=Counter())
    twice = merge.overlay(once, fresh, complete=complete, refused=Counter())
    assert merge.change(once, twice) == (0, 0, 0)


@given(st.lists(facts(), max_size=20))
def test_one_row_a_place_and_never_the_cheaper(rows):
    """Of several prices of one machine in one place none is below the one that is kept."""
    found = {merge.place(row): row for row in merge.single(rows, Counter())}
    assert set(found) == {merge.place(row) for row in rows}
    for row in rows:
        if row.hourly_micro is not None:
            assert found[merge.place(row)].hourly_micro >= row.hourly_micro


def test_a_price_cut_drops_the_old_spot_price():
    """A spot price from before the cut would be above on-demand and take the whole row away."""
    old = fact(hourly_micro=1000, spot_hourly_micro=600)
    (found,) = merge.overlay([old], [fact(hourly_micro=500)], complete=False, refused=Counter())
    assert (found.hourly_micro, found.spot_hourly_micro, found.spot_as_of) == (500, None, None)
    (found,) = merge.overlay([old], [fact(hourly_micro=900)], complete=False, refused=Counter())
    assert found.spot_hourly_micro == 600


def test_a_price_without_a_region_holds_everywhere():
    """It goes to every known region of its machine; a new machine gets a row without one."""
    base = [fact(region="r1", hourly_micro=1), fact(region="r2", hourly_micro=2)]
    found = merge.overlay(base, [fact(region=None, hourly_micro=9)], complete=False, refused=Counter())
    assert [(row.region, row.hourly_micro) for row in found] == [("r1", 9), ("r2", 9)]


def test_a_region_says_more_than_none():
    """Rows with regions replace the older row that held everywhere."""
    base = [fact(region=None, hourly_micro=1)]
    fresh = [fact(region="r1", hourly_micro=2), fact(region="r2", hourly_micro=3)]
    found = merge.overlay(base, fresh, complete=False, refused=Counter())
    assert [(row.region, row.hourly_micro) for row in found] == [("r1", 2), ("r2", 3)]


def test_a_zone_takes_over_what_was_known_of_its_region():
    """Its price is new; the spot price and its date stay until somebody knows better."""
    old = fact(hourly_micro=1000, spot_hourly_micro=300, spot_as_of="2026-01-01", local_disk_gib=7.0)
    fresh = fact(zone="z1", hourly_micro=900, vcpus=None, as_of="2026-02-02")
    (found,) = merge.overlay([old], [fresh], complete=False, refused=Counter())
    assert (found.zone, found.hourly_micro, found.as_of) == ("z1", 900, "2026-02-02")
    assert (found.spot_hourly_micro, found.spot_as_of) == (300, "2026-01-01")
    assert (found.vcpus, found.local_disk_gib) == (8.0, 7.0)


def test_an_accelerator_that_is_given_away_is_set_aside():
    """A fiftieth of what three clouds ask for one is an error at the source, in whatever machine it is."""
    gpu = {"accelerator": "B200", "accelerator_count": 8.0}
    rows = [fact(cloud=cloud, hourly_micro=80_000_000, **gpu) for cloud in ("aws", "gcp", "oci")]
    wrong = fact(cloud="x", hourly_micro=80_000, **gpu)
    low = fact(cloud="x", instance_type="low", hourly_micro=4_000_000, **gpu)
    assert verdicts([*rows, wrong, low]) == [None, None, None, GIVEN_AWAY, None]
    assert verdicts([fact(hourly_micro=10**15)]) == [ABSURD]


def test_too_few_rows_or_accelerators():
    """80 % of what could be chosen, and every accelerator that could be had."""
    many = [fact(instance_type=f"m{number}") for number in range(10)]
    gpu = fact(instance_type="g", accelerator="L4", accelerator_count=1.0)
    assert shortfall(many, many[:8]) is None
    assert shortfall(many, many[:7]) == "7 usable rows, fewer than 80% of 10"
    assert shortfall(many, [row._replace(hourly_micro=0) for row in many]) is not None
    assert shortfall([*many, gpu], many) == "no more L4"
    assert shortfall([], []) is None
