"""GCP's SKUs: parts by their words, machines as sums of them, and what is not believed."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb_catalog import cache
from skynb_catalog.refresh.fetching import Settings
from skynb_catalog.refresh.source import Fetched
from skynb_catalog.refresh.sources import gcp_parts, gcp_skus
from skynb_catalog.refresh.sources.gcp_skus import GcpSkus
from skynb_catalog.refresh.web import WebError
from skynb_catalog.snapshots import facts
from tests.support import gcp_pages as pages
from tests.support.facts import fact

FAMILIES = ("n1", "n2", "e2", "a2", "c3", "c4d")


def parsed(known, skus=pages.AMERICAS):
    """What these SKUs make of the known rows, by machine and region, and what was refused."""
    fetched = Fetched()
    found = gcp_skus.parse([{"skus": skus}], known, fetched)
    return {(row.instance_type, row.region): row for row in found}, dict(fetched.refused)


def known(name, vcpus, memory, region="us-central1", **changes):
    changes = {"vcpus": vcpus, "memory_gib": memory, "region": region, "as_of": "2026-01-01"} | changes
    return fact(cloud="gcp", instance_type=name, **changes)


@pytest.mark.parametrize(
    ("words", "spot", "expected"),
    [
        ("N1 Predefined Instance Core running in Americas", False, ("Core", "n1")),
        ("Spot Preemptible N1 Predefined Instance Ram running in Sao Paulo", True, ("Ram", "n1")),
        ("Preemptible E2 Instance Core running in Zurich", True, ("Core", "e2")),
        ("Compute optimized Core running in Americas", False, ("Core", "c2")),
        ("T2A Arm Instance Ram running in Netherlands", False, ("Ram", "t2a")),
        ("Nvidia Tesla A100 80GB GPU running in Americas", False, ("Card", "A100-80GB")),
        ("Nvidia H100 80GB GPU attached to Spot Preemptible VMs running in Tokyo", True, ("Card", "H100")),
        ("Nvidia H100 80GB Mega GPU running in Americas", False, ("Card", "H100-MEGA")),
        ("Nvidia H100 80GB Plus GPU running in Americas", False, ("Card", "H100-MEGA")),
        ("SSD backed Local Storage", False, ("Disk", "")),
        ("SSD backed Local Storage in Jakarta", False, ("Disk", "")),
        ("SSD backed Local Storage attached to Spot Preemptible VMs", True, ("Disk", "")),
        ("Spot Preemptible C4D Instance Local SSD running in Americas", True, ("Disk", "c4d")),
    ],
)
def test_words_that_are_known(words, spot, expected):
    """In each wording that was seen, with any place at the end."""
    assert gcp_parts.part(words, spot=spot) == (*expected, spot)
    assert gcp_parts.part(words, spot=not spot) is None


@pytest.mark.parametrize(
    "words",
    [
        "N2 Custom Instance Core running in Americas",
        "N2 Custom Extended Instance Ram running in Americas",
        "N2 Instance Core running in Americas for 1 Year",
        "N2D AMD Sole Tenancy Instance Core running in Americas",
        "Sole Tenancy Premium for N2 Sole Tenancy Instance Core running in Americas",
        "Reserved A3 Core running in Americas",
        "Commitment v1: A2 Cpu in Americas for 1 Year",
        "Nvidia Tesla T4 GPU attached to Sole Tenancy VMs running in Americas",
        "Nvidia Tesla T4 Virtual Workstation GPU running in Americas",
        "M1 Memory-optimized Instance Core running in Americas",
        "",
    ],
)
def test_words_that_are_something_else(words):
    """Custom machines, sole tenants, commitments, reservations and unknown families price no machine."""
    assert gcp_parts.part(words, spot=False) is None


def test_the_shipped_prices_are_these_sums():
    """With the published prices of parts, every shipped machine of these families costs what is published."""
    shipped = [
        row
        for row in facts(cache.shipped_packed())
        if row.cloud == "gcp" and row.region == "us-central1" and row.instance_type.split("-")[0] in FAMILIES
        if row.accelerator in {None, "T4", "A100", "A100-80GB"}
    ]
    found, refused = parsed(shipped)
    assert not any(reason.startswith("no SKU") for reason in refused)
    assert len(found) > 150
    for row in shipped:
        assert found[row.instance_type, row.region].hourly_micro == pytest.approx(row.hourly_micro, abs=60)


def test_spot_is_told_where_all_parts_have_it():
    """A machine whose card alone is preemptible has no spot price."""
    rows = [
        known("n2-standard-4", 4, 16),
        known("n1-standard-4+1xT4", 4, 15, accelerator="T4", accelerator_count=1),
    ]
    found, _ = parsed(rows)
    assert found["n2-standard-4", "us-central1"].spot_hourly_micro == 92_000
    assert found["n1-standard-4+1xT4", "us-central1"].spot_hourly_micro is None


@pytest.mark.parametrize(
    ("row", "lacks"),
    [
        (known("n4-standard-4", 4, 16), "no SKU for cores of n4"),
        (known("n2-standard-4", 4, 16, region="mars-north1"), "no SKU for cores of n2"),
        (known("n2-standard-4", 4, None), "no SKU for memory of n2"),
        (
            known("a2-highgpu-1g", 12, 85, accelerator="H200", accelerator_count=1),
            "no SKU for accelerator H200",
        ),
        (
            known("a2-ultragpu-1g", 12, 170, accelerator="A100-80GB", accelerator_count=1),
            "no SKU for disks of a2",
        ),
    ],
)
def test_a_part_without_a_price_makes_no_price(row, lacks):
    """Never the sum of the rest, which would be too low: the machine is counted by what it lacks."""
    enough = [known(f"n2-standard-{count}", count, 4 * count) for count in (2, 4, 8, 16, 32)]
    found, refused = parsed([*enough, row._replace(instance_type=row.instance_type + "-x")])
    assert len(found) == len(enough)
    assert refused[lacks] == 1


def test_memory_is_billed_by_gib_or_by_gb():
    """A GiB costs more where the SKU prices a GB; a unit that nobody knows prices nothing."""
    rows = [known("c4d-standard-4", 4, 15)]
    found, _ = parsed(rows)
    assert found["c4d-standard-4", "us-central1"].hourly_micro == 187_114
    odd = pages.host("C4D Instance", "0.0327035", "0.003495578", ram_unit="TiBy.d")
    with pytest.raises(WebError, match="price 0 of 1 known machines"):
        parsed(rows, odd)


@given(
    st.lists(
        st.sampled_from(["n2-standard-4", "e2-standard-4", "n4-standard-4", "m1-ultramem-40", "tpu-v5p-8"]),
        min_size=1,
        max_size=12,
    )
)
def test_too_few_priced_machines_are_not_believed(names):
    """Below four fifths of the machines of known families nothing lands; other families do not count."""
    rows = [known(name, 4, 16, region=f"r-{number}") for number, name in enumerate(names)]
    regions = tuple(row.region for row in rows)
    skus = [one | {"serviceRegions": list(regions)} for one in pages.AMERICAS]
    counted = [name for name in names if name[:2] in {"n2", "e2", "n4"}]
    priced = [name for name in counted if not name.startswith("n4")]
    if len(priced) < Decimal("0.8") * len(counted):
        with pytest.raises(WebError, match="their words may have changed"):
            parsed(rows, skus)
    else:
        assert len(parsed(rows, skus)[0]) == len(priced)


def test_of_two_prices_of_a_part_the_dearer_stands():
    """Too cheap is the dangerous mistake."""
    twice = [*pages.host("N2 Instance", "0.01", "0.004237"), *pages.host("N2 Instance", "0.031611", "0.001")]
    for skus in (twice, twice[::-1]):
        found, _ = parsed([known("n2-standard-4", 4, 16)], skus)
        assert found["n2-standard-4", "us-central1"].hourly_micro == 194_236


def test_shared_cores_cost_their_share():
    """E2's small machines show two vCPUs to whoever asks the cloud."""
    found, _ = parsed([known("e2-micro", 2, 1)])
    assert found["e2-micro", "us-central1"].hourly_micro == 8_376


def test_what_concerns_machines_and_is_not_known_is_counted():
    """SKUs of cores, memory and cards are; networks and commitments are not."""
    other = [
        pages.sku("M9 Instance Core running in Americas", "1"),
        pages.sku("Network Egress from Americas to Africa", "1", "VPNInternetEgress"),
        pages.sku("Commitment v1: N2 Cpu in Americas for 1 Year", "1"),
    ]
    other[2]["category"]["usageType"] = "Commit1Yr"
    _, refused = parsed([known("n2-standard-4", 4, 16)], [*pages.AMERICAS, *other])
    assert refused == {"a SKU whose words are not known": 1}


@pytest.fixture
def gcp(server, run, ship, monkeypatch):
    """A refresh of GCP from the billing API, with two known machines and a TPU."""
    monkeypatch.setenv("GCP_BILLING_API_KEY", "very-secret")
    small = known("n2-standard-4", 4, 16, hourly_micro=200_000)
    tpu = known("tpu-v5p-8", 208, 448, zone="us-central1-a", accelerator="tpu-v5p-8", accelerator_count=1)
    ship([small, small._replace(zone="us-central1-a"), tpu])
    hosts = {"cloudbilling.googleapis.com": server.mirror}
    return lambda: run("gcp", sources=[GcpSkus()], settings=Settings(hosts=hosts, pause=0.01))


def test_pages_are_followed_and_the_key_stays_in_its_header(gcp, server, rows):
    """The token of each page asks for the next; prices land on every row of the machine in the region."""
    first = f"{pages.PLACE}?pageSize=5000&currencyCode=USD"
    server.put(first, pages.page(pages.AMERICAS[:3], "t/w=o"))
    server.put(f"{first}&pageToken=t%2Fw%3Do", pages.page(pages.AMERICAS[3:]))
    report = gcp()
    assert report.ok
    assert [headers["X-Goog-Api-Key"] for headers in server.headers] == ["very-secret"] * 2
    assert not any("secret" in place for place in server.asked)
    assert "secret" not in repr(report)
    for zone in (None, "us-central1-a"):
        row = rows("gcp")["us-central1", zone, "n2-standard-4"]
        assert (row.hourly_micro, row.spot_hourly_micro) == (194_236, 92_000)
        assert (row.as_of, row.source) == (report.collected, "GCP billing SKUs")
    assert rows("gcp")["us-central1", "us-central1-a", "tpu-v5p-8"].as_of == "2026-01-01"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (pages.page(pages.AMERICAS, "again"), "do not end"),
        (pages.page([]), "price 0 of 1 known machines"),
        (json.dumps({"error": {"message": "API key not valid: very-secret"}}), "another shape"),
        ("[]", "another shape"),
        (json.dumps({"skus": [{}]}), "cannot be read"),
        (json.dumps({"skus": [7]}), "cannot be read"),
        (json.dumps({"skus": {}}), "another shape"),
        ("<html>", "is not the JSON"),
        ("[" * 100_000, "is not the JSON"),
    ],
    ids=lambda value: value[:20],
)
def test_answers_that_are_none(gcp, server, rows, body, said):
    """Each is refused with its reason, changes no row, and no key is quoted."""
    server.put(pages.PLACE, body)
    report = gcp()
    assert not report.published
    ((_, reason),) = report.sources[0].failures
    assert said in reason
    assert "secret" not in repr(report)
    assert rows("gcp")["us-central1", None, "n2-standard-4"].hourly_micro == 200_000


def test_without_a_key_it_waits(run, ship, monkeypatch):
    """It says what to set, and is no failure."""
    monkeypatch.delenv("GCP_BILLING_API_KEY", raising=False)
    ship([known("n2-standard-4", 4, 16)])
    report = run("gcp", sources=[GcpSkus()], settings=Settings())
    assert report.ok
    assert report.sources[0].note == "set GCP_BILLING_API_KEY"
