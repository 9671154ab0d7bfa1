"""A failure blocks exactly what it disproves, for as long as that is believed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from skynb.errors import NoOfferError
from skynb.planning import plan
from skynb.planning.blocks import LASTS, block
from skynb.planning.market import Market

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
AT = NOW.timestamp()


@pytest.fixture
def world(catalog_of, say):
    """Two clouds; AWS with two regions of two zones, two types with H100 and one with L4."""
    rows = [
        say.fact(
            region=region,
            zone=zone,
            instance_type=kind,
            accelerator=name,
            accelerator_count=1.0,
            hourly_micro=price,
            spot_hourly_micro=price // 2,
            spot_as_of="2026-01-01",
        )
        for region in ("east", "west")
        for zone in (f"{region}-a", f"{region}-b")
        for kind, name, price in (
            ("p5.big", "H100", 4_000_000),
            ("p5.fat", "H100", 5_000_000),
            ("g6", "L4", 1_000_000),
        )
    ]
    other = say.fact(
        cloud="gcp", region="west", instance_type="a3", accelerator="H100", accelerator_count=1.0,
        hourly_micro=9_000_000,
    )  # fmt: skip
    return catalog_of([*rows, other])


def h100(say, **changes):
    return say.task(say.gpu("H100", **changes))


@pytest.mark.parametrize(
    ("failure", "gone"),
    [
        ("capacity", {("aws", "east", "east-a", "p5.big")}),
        ("zone", {("aws", "east", "east-a", kind) for kind in ("p5.big", "p5.fat")}),
        ("type", {("aws", "east", f"east-{zone}", "p5.big") for zone in "ab"}),
        ("quota", {("aws", "east", f"east-{zone}", kind) for zone in "ab" for kind in ("p5.big", "p5.fat")}),
        ("region", {("aws", "east", f"east-{zone}", kind) for zone in "ab" for kind in ("p5.big", "p5.fat")}),
        (
            "cloud",
            {
                ("aws", region, f"{region}-{zone}", kind)
                for region in ("east", "west")
                for zone in "ab"
                for kind in ("p5.big", "p5.fat")
            },
        ),
    ],
)
def test_each_failure_takes_away_what_it_disproves(world, say, failure, gone):
    """And nothing else; when its time is over, all is as before."""
    first = plan(h100(say), catalog=world, now=NOW)
    assert first.choice.key[:4] == ("aws", "east", "east-a", "p5.big")
    held = block(failure, first.choice, AT, "no luck")
    then = plan(h100(say), catalog=world, now=NOW, blocks=[held])
    assert {one.key[:4] for one in (first.choice, *first.alternatives)} - gone == {
        one.key[:4] for one in (then.choice, *then.alternatives)
    }
    assert len(then.blocks) == 1
    assert "no luck" in then.blocks[0]
    later = plan(h100(say), catalog=world, now=NOW + timedelta(seconds=LASTS[failure]), blocks=[held])
    assert later == plan(h100(say), catalog=world, now=NOW + timedelta(seconds=LASTS[failure]))


def test_a_quota_for_spot_says_nothing_of_on_demand(world, say):
    """Nor of another accelerator."""
    spot = plan(h100(say, use_spot=True), catalog=world, now=NOW)
    held = block("quota", spot.choice, AT, "limit 0")
    assert plan(h100(say), catalog=world, now=NOW, blocks=[held]).choice.infra == "aws/east/east-a"
    assert plan(h100(say, use_spot=True), catalog=world, now=NOW, blocks=[held]).choice.region == "west"
    light = say.task(say.gpu("L4", use_spot=True))
    assert plan(light, catalog=world, now=NOW, blocks=[held]).choice.infra == "aws/east/east-a"


def test_when_everything_is_blocked_the_error_says_so(world, say):
    """Not: there is no such machine."""
    held = block("cloud", plan(h100(say), catalog=world, now=NOW).choice, AT, "credentials expired")
    with pytest.raises(NoOfferError, match="credentials expired"):
        plan(say.task(say.gpu("H100", infra="aws")), catalog=world, now=NOW, blocks=[held])


def test_a_ladder_leads_through_every_candidate_and_heeds_new_failures(world, say):
    """The whole order over types, zones, regions and clouds; a failure on one rung takes others away."""
    found = plan(h100(say), catalog=world, now=NOW)
    market = Market(world)
    prices = [one.hourly_micro for one in found.ladder(market=market)]
    assert prices == sorted(prices)
    assert len(prices) == 9
    failures = []
    tried = []
    for one in found.ladder(blocks=lambda: failures, market=market):
        tried.append(one.infra)
        failures.append(block("region", one, AT, "no capacity"))
    assert tried == ["aws/east/east-a", "aws/west/west-a", "gcp/west"]


def test_a_ladder_goes_on_where_the_plan_ends(catalog_of, say):
    """80 regions: 51 are in the plan, the ladder has all of them, in order and once each."""
    catalog = catalog_of([say.fact(region=f"r{n:02}", hourly_micro=1000 + n) for n in range(80)])
    found = plan(say.task(), catalog=catalog, now=NOW)
    rungs = [one.region for one in found.ladder(market=Market(catalog))]
    assert rungs == [f"r{n:02}" for n in range(80)]


def test_a_place_that_the_task_names_can_be_blocked(catalog_of, say):
    """Where the catalog states no region, or the account's own name of a zone, the failure still counts."""
    catalog = catalog_of([say.fact(cloud="oci", region=None), say.fact(zone="use1-az1")])
    for infra in ("oci/fra", "aws/us-east-1/us-east-1a"):
        wanted = say.task(say.Item(infra=say.at(infra)))
        tried = plan(wanted, catalog=catalog, now=NOW).choice
        assert tried.infra == infra
        for failure in ("capacity", "zone", "region"):
            if failure == "zone" and tried.zone is None:
                continue
            with pytest.raises(NoOfferError, match="is blocked"):
                plan(wanted, catalog=catalog, now=NOW, blocks=[block(failure, tried, AT, "none left")])


def test_a_block_beside_a_named_region_leaves_the_next_best_of_it(catalog_of, say):
    """In a graph only the best of each place takes part; where that is blocked, it is the next."""
    cheap, dear = (
        say.fact(cloud="oci", region=None, instance_type=name, hourly_micro=price, accelerator="L4",
                 accelerator_count=1.0)
        for name, price in (("cheap", 1_000_000), ("dear", 2_000_000))
    )  # fmt: skip
    catalog = catalog_of([cheap, dear])
    wanted = say.task(say.gpu("L4", infra="oci/fra"), inputs={"s3://data": 10})
    tried = plan(wanted, catalog=catalog, now=NOW).choice
    assert tried.instance_type == "cheap"
    held = block("capacity", tried, AT, "none left")
    assert plan(wanted, catalog=catalog, now=NOW, blocks=[held]).choice.instance_type == "dear"
