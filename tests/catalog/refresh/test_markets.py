"""Marketplaces: what many offers become, pages, and what may be gone tomorrow."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb_catalog.refresh.fetching import Settings
from skynb_catalog.refresh.source import Fetched
from skynb_catalog.refresh.sources import runpod, vast
from skynb_catalog.refresh.sources.primeintellect import PrimeIntellect
from skynb_catalog.refresh.sources.vast import Vast
from tests.support import market_pages as pages
from tests.support.facts import fact

_CPU = st.integers(1, 512)


def vast_rows(*offers):
    """What these offers become, by country and name, and what was refused."""
    fetched = Fetched()
    found = {(row.region, row.instance_type): row for row in vast.parse({"offers": list(offers)}, fetched)}
    return found, fetched.refused


@given(
    st.lists(
        st.builds(
            lambda price, bid, cores, mib, place: pages.vast_offer(
                "RTX 4090",
                1,
                price,
                min_bid=bid,
                cpu_cores=cores,
                cpu_cores_effective=cores,
                cpu_ram=mib,
                geolocation=place,
            ),
            st.integers(1, 9_000).map(lambda mills: mills / 1000),
            st.none() | st.integers(0, 9_000).map(lambda mills: mills / 1000),
            _CPU,
            st.integers(1024, 2**20),
            st.sampled_from(["Texas, US", "US", ", DE", "Sofia, Bulgaria, BG"]),
        ),
        max_size=12,
    )
)
def test_a_row_is_the_lowest_price_of_what_has_at_least_its_size(offers):
    """Every offer has one row in its country, not larger nor dearer than it; no price is invented."""
    found, refused = vast_rows(*offers)
    assert not refused
    prices = {round(offer["dph_total"] * 1_000_000) for offer in offers}
    for row in found.values():
        assert row.hourly_micro in prices
        assert row.spot_hourly_micro is None or 0 < row.spot_hourly_micro <= row.hourly_micro
    for offer in offers:
        cores, gib = offer["cpu_cores"], offer["cpu_ram"] / 1024
        mine = [
            row
            for (country, _), row in found.items()
            if offer["geolocation"].endswith(country) and cores / 2 < row.vcpus <= cores
            if gib / 2 < row.memory_gib <= gib
        ]
        assert len(mine) == 1
        assert mine[0].hourly_micro <= round(offer["dph_total"] * 1_000_000)


def test_a_share_of_a_host_has_a_share_of_its_memory():
    """A quarter of the cores comes with a quarter of the memory, of which the page tells the whole."""
    offer = pages.vast_offer("L40S", 1, 0.6, cpu_cores=128, cpu_cores_effective=32, cpu_ram=262144)
    found, _ = vast_rows(offer)
    assert list(found) == [("US", "1x-L40S-32-65536")]


@pytest.mark.parametrize(
    ("label", "mib", "accelerator"),
    [
        ("A100 SXM4", 40960, "A100"),
        ("A100 SXM4", 81920, "A100-80GB"),
        ("A100 PCIE", 81920, "A100-80GB"),
        ("H100 NVL", 95830, "H100-NVL"),
        ("Tesla V100", 32768, "V100-32GB"),
        ("Q RTX 6000", 24576, "RTX6000"),
        ("RTX 6000Ada", 49140, "RTX6000-Ada"),
        ("RTX PRO 6000 S", 97887, "RTX-PRO-6000"),
        ("RTX A6000", 49140, "A6000"),
    ],
)
def test_vasts_names_of_gpus(label, mib, accelerator):
    """They are the vocabulary's; the name of a row keeps the marketplace's own."""
    found, _ = vast_rows(pages.vast_offer(label, 2, 1.0, gpu_ram=mib))
    ((_, name),) = found
    assert found["US", name].accelerator == accelerator
    assert name == f"2x-{label.replace(' ', '_')}-32-65536"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rented": True}, None),
        ({"rentable": False}, None),
        ({"verification": "deverified"}, None),
        ({"geolocation": None}, "an offer without a country"),
        ({"geolocation": "somewhere"}, "an offer without a country"),
        ({"cpu_cores": None, "cpu_cores_effective": None}, "an offer of unknown size"),
        ({"cpu_ram": 0}, "an offer of unknown size"),
        ({"num_gpus": 0.5}, "an offer of unknown size"),
        ({"dph_total": 0}, "a price of zero or less"),
        ({"dph_total": "free"}, "a price is no number"),
        ({"gpu_name": "RTX 9999"}, "accelerator 'RTX 9999' is not known"),
    ],
)
def test_offers_that_do_not_count(changes, reason):
    """What cannot be rented is passed over; what cannot be understood is counted."""
    found, refused = vast_rows(pages.vast_offer("RTX 4090", 1, 0.5) | changes)
    assert found == {}
    assert dict(refused) == ({reason: 1} if reason else {})


def test_half_of_a_market_may_be_gone(server, run, rows, ship):
    """Fewer offers than yesterday are no broken answer; prices of the gone keep their older date."""
    ship([fact(cloud="vast", region="US", instance_type="1x-L40S-32-65536", as_of="2026-01-01")])
    settings = Settings(hosts={"console.vast.ai": server.mirror}, pause=0.01)
    for cards in ((1, 2, 4, 8), (1, 2)):
        offers = [pages.vast_offer("RTX 4090", count, 0.4 * count) for count in cards]
        server.put("api/v0/bundles/", json.dumps({"offers": offers}))
        report = run("vast", sources=[Vast()], settings=settings)
        assert report.ok
        (editions_round,) = report.sources
        assert editions_round.rows["vast"] == len(cards) * editions_round.asked
    assert rows("vast")["US", None, "1x-L40S-32-65536"].as_of == "2026-01-01"


def test_vast_is_asked_for_what_can_be_rented(server, run, ship):
    """By number of cards, so that no answer is too long: verified, not rented, lowest price first."""
    ship([])
    server.put("api/v0/bundles/", json.dumps({"offers": [pages.vast_offer("RTX 4090", 1, 0.5)]}))
    run("vast", sources=[Vast()], settings=Settings(hosts={"console.vast.ai": server.mirror}))
    asked = [json.loads(body) for body in server.bodies]
    spans = [(one["num_gpus"]["gte"], one["num_gpus"]["lte"]) for one in asked]
    assert [low for low, _ in spans[1:]] == [high + 1 for _, high in spans[:-1]]
    assert spans[0][0] == 1
    assert all(one["verified"] == one["rentable"] == {"eq": True} for one in asked)
    assert all(one["rented"] == {"eq": False} and one["order"] == [["dph_total", "asc"]] for one in asked)


def runpod_rows(cloud, count, *types):
    page = {"data": {"gpuTypes": list(types)}}
    return {row.instance_type: row for row in runpod.parse(cloud, count, page, Fetched())}


def test_pods_of_runpod():
    """Prices are of a card, sizes of the pod; spot where there is one; nothing of a cloud without a price."""
    host = {"minVcpu": 40, "minMemory": 250}
    kind = pages.runpod_type("A100 SXM", 80, 1.79, host=host, secureSpotPrice=0.9)
    assert runpod_rows("COMMUNITY", 2, kind) == {}
    (pod,) = runpod_rows("SECURE", 2, kind).values()
    assert (pod.instance_type, pod.region) == ("2x_A100-SXM_SECURE", None)
    assert (pod.accelerator, pod.accelerator_count, pod.vcpus, pod.memory_gib) == ("A100-80GB", 2, 40, 250)
    assert (pod.hourly_micro, pod.spot_hourly_micro) == (3_580_000, 1_800_000)


def test_runpods_cards_without_a_host_have_a_list_price():
    """Sold out, its size is not known: the price of a card is told, under the name that shipped rows have."""
    kind = pages.runpod_type("A100 SXM 40GB", 40, None, communityPrice=1.0)
    (card,) = runpod_rows("COMMUNITY", 1, kind).values()
    assert (card.instance_type, card.accelerator) == ("per-gpu:A100-SXM-40GB_COMMUNITY", "A100")
    assert runpod_rows("COMMUNITY", 2, kind) == {}


def test_runpod_sells_no_more_cards_than_a_host_has():
    """A type that comes in hosts of two is not offered by four."""
    host = {"minVcpu": 4, "minMemory": 16}
    kind = pages.runpod_type("RTX 3080", 10, 0.17, host=host, maxGpuCount=2)
    assert runpod_rows("SECURE", 4, kind) == {}


@pytest.fixture
def prime(server, run, monkeypatch, ship):
    """A refresh of Prime Intellect from these pages."""
    ship([])
    monkeypatch.setenv("PRIME_API_KEY", "very-secret")

    def go(*answers):
        for number, offers in enumerate(answers, 1):
            place = f"api/v1/availability/gpus?page={number}&page_size=100"
            server.put(place, json.dumps({"items": offers, "totalCount": 999}))
        hosts = {"api.primeintellect.ai": server.mirror}
        return run("primeintellect", sources=[PrimeIntellect()], settings=Settings(hosts=hosts, pause=0.01))

    return go


def test_pages_of_prime_intellect(prime, rows):
    """A page that is not full is the last; the cheapest offer counts, and one that may be ended is spot."""
    many = [pages.prime_offer("lambdalabs", "H100_80GB", 1, 3.0 + number / 100) for number in range(100)]
    spot = pages.prime_offer("lambdalabs", "H100_80GB", 1, 1.5, isSpot=True)
    assert prime(many, [spot]).ok
    row = rows("primeintellect")["us-east-1", None, "lambdalabs_H100_80GBx1"]
    assert (row.hourly_micro, row.spot_hourly_micro) == (3_000_000, 1_500_000)
    assert (row.vcpus, row.memory_gib) == (28, 180)


def test_pages_without_end_are_left(prime, server, rows):
    """A server whose every page is full is not asked for ever."""
    server.put(
        "api/v1/availability/gpus",
        json.dumps({"items": [pages.prime_offer("x", "H100_80GB", 1, 3.0)] * 100}),
    )
    report = prime()
    assert "do not end" in report.sources[0].failures[0][1]
    assert rows("primeintellect") == {}
