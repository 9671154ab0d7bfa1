"""A whole refresh against a server that serves the documented shapes."""

from __future__ import annotations

import threading
from urllib.parse import quote

import pytest

from skynb_catalog import Catalog, CatalogError, Query, editions
from skynb_catalog.refresh import SOURCES
from skynb_catalog.refresh.fetching import Settings
from skynb_catalog.refresh.sources.aws_bulk import AwsBulk
from skynb_catalog.refresh.sources.gpuhunt import Gpuhunt
from tests.support import price_pages as pages

pytestmark = pytest.mark.usefixtures("shipped_few")


def source_of(report, name):
    return next(one for one in report.sources if one.name == name)


def cloud_of(report, name):
    return next(one for one in report.clouds if one.cloud == name)


def test_aws_prices_land_with_date_and_zones(server, run, rows):
    """A region's price goes to each of its zones; sizes stay; date and source are the list's."""
    pages.aws(server, {"us-east-1": [pages.aws_row("m.large", "0.5"), pages.aws_row("p5.48xlarge", 60)]})
    report = run("aws", names=["aws-price-list"])
    assert report.ok
    assert report.published
    found = rows("aws")
    for zone in ("use1-az1", "use1-az2"):
        row = found["us-east-1", zone, "m.large"]
        assert (row.hourly_micro, row.as_of, row.source) == (500_000, "2026-11-21", "AWS price list")
        assert (row.vcpus, row.memory_gib, row.confidence) == (8.0, 32.0, "high")
    assert found["us-east-1", None, "p5.48xlarge"].accelerator == "H100"
    assert found["eu-west-1", None, "m.large"].hourly_micro == 440_000
    assert cloud_of(report, "aws").moved == 2


def test_the_catalog_opens_what_landed_and_the_old_stays_open(server, run):
    """Who opens now sees the new prices; who had it open goes on with the old ones."""
    before = Catalog.open()
    pages.aws(server, {"us-east-1": [pages.aws_row("m.large", "0.5"), pages.aws_row("p5.48xlarge", 60)]})
    report = run("aws", names=["aws-price-list"])
    after = Catalog.open()
    query = Query(("H100",), 8, clouds=("aws",))
    assert [offer.hourly_micro for offer in before.offers(query)] == [55_000_000]
    assert [offer.hourly_micro for offer in after.offers(query)] == [60_000_000]
    assert after.stamp.hash == report.hash != before.stamp.hash
    record = editions.records(after.stamp)["aws"]
    assert record.sources == {"aws-price-list": 2}
    assert record.refreshed == report.collected


@pytest.mark.parametrize(
    "wrong",
    [
        {"Tenancy": "Dedicated"},
        {"Tenancy": "Host"},
        {"Operating System": "Windows"},
        {"Pre Installed S/W": "SQL Std"},
        {"CapacityStatus": "UnusedCapacityReservation"},
        {"TermType": "Reserved"},
        {"Unit": "Quantity"},
        {"Currency": "CNY"},
        {"MarketOption": "CapacityBlock"},
    ],
    ids=lambda wrong: " ".join(wrong.values()),
)
def test_rows_of_aws_that_look_right_and_are_not(server, run, rows, wrong):
    """Each filter counts: a row that fails only one of them changes no price."""
    right = [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 55)]
    pages.aws(server, {"us-east-1": [*right, pages.aws_row("m.large", "0.44", **wrong)]})
    assert run("aws", names=["aws-price-list"]).ok
    assert rows("aws")["us-east-1", "use1-az1", "m.large"].hourly_micro == 410_000


def test_types_that_nobody_knows(server, run, rows):
    """A new plain type of AWS is taken with its size; a new one with an accelerator waits for its name."""
    known = [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 55)]
    new = [pages.aws_row("m9x.xlarge", 1, vCPU=4, Memory="1,024 GiB"), pages.aws_row("trn9.large", 9)]
    pages.aws(server, {"us-east-1": [*known, *new]})
    report = run("aws", names=["aws-price-list"])
    assert rows("aws")["us-east-1", None, "m9x.xlarge"].memory_gib == 1024
    assert not [key for key in rows("aws") if key[2] == "trn9.large"]
    assert source_of(report, "aws-price-list").refused == {"a machine of unknown size": 1}


def test_what_a_complete_list_lacks_is_gone(server, run, rows):
    """A type that AWS's list of a region no longer names is removed there, and only there."""
    keep = [pages.aws_row("p5.48xlarge", 55), *(pages.aws_row(f"m{n}.large", 1) for n in range(9))]
    pages.aws(server, {"us-east-1": keep})
    report = run("aws", names=["aws-price-list"])
    assert {key for key in rows("aws") if key[2] == "m.large"} == {("eu-west-1", None, "m.large")}
    assert cloud_of(report, "aws").removed == 2


def azure_listing(*regions):
    """The page of who has the type that every region has."""
    return pages.azure_page([pages.azure_item("Standard_D2s_v5", region, 0.1) for region in regions])


def azure_place(condition):
    """Where the items of virtual machines lie of which this holds."""
    wanted = f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and {condition}"
    return f"{pages.AZURE}?api-version=2023-01-01-preview&$filter={quote(wanted)}"


def test_azure_finds_regions(server, run, rows):
    """A region that nobody knew is walked too, with known sizes; clouds apart and odd names are not."""
    names = ("eastus", "marsnorth2", "usgovvirginia", "usdodeast", "chinanorth3", "attatlanta1", "../x", "")
    server.put(azure_place("armSkuName eq 'Standard_D2s_v5'"), azure_listing(*names))
    for region in ("eastus", "marsnorth2"):
        items = [
            pages.azure_item("Standard_D8s_v5", region, 0.5),
            pages.azure_item("Standard_ND96isr_H100_v5", region, 99),
        ]
        server.put(azure_place(f"armRegionName eq '{region}'"), pages.azure_page(items))
    report = run("azure", names=["azure-retail-prices"])
    assert report.ok
    assert report.sources[0].asked == 2
    row = rows("azure")["marsnorth2", None, "Standard_D8s_v5"]
    assert (row.hourly_micro, row.vcpus) == (500_000, 8.0)


@pytest.mark.parametrize("listing", ["[]", "<html>", '{"Items": [7]}', '{"Items": {}}'])
def test_azures_known_regions_do_without_the_listing(server, run, rows, listing):
    """A listing that cannot be read costs the new regions and nothing else."""
    server.put(azure_place("armSkuName eq 'Standard_D2s_v5'"), listing)
    items = [
        pages.azure_item("Standard_D8s_v5", "eastus", 0.5),
        pages.azure_item("Standard_ND96isr_H100_v5", "eastus", 99),
    ]
    server.put(azure_place("armRegionName eq 'eastus'"), pages.azure_page(items))
    assert run("azure", names=["azure-retail-prices"]).ok
    assert rows("azure")["eastus", None, "Standard_D8s_v5"].hourly_micro == 500_000


def test_azure_pages_spot_and_what_is_left_out(server, run, rows):
    """Pages are followed; Spot meters are the spot price; Windows, dedicated, low priority do not count."""
    name, gpu = "Standard_D8s_v5", "Standard_ND96isr_H100_v5"
    following = "https://prices.azure.com/api/retail/prices?api-version=x&$skip=1000"
    first = [
        pages.azure_item(name, "eastus", 0.4),
        pages.azure_item(name, "eastus", 0.9, productName="Virtual Machines Series Windows"),
        pages.azure_item(name, "eastus", 0.8, productName="Dedicated Host"),
        pages.azure_item(name, "eastus", 0.1, meterName="D8s v5 Low Priority"),
        pages.azure_item(name, "eastus", 0.2, type="Reservation"),
        pages.azure_item(name, "eastus", 99, unitOfMeasure="1 GB"),
        pages.azure_item("Standard_Unheard_v9", "eastus", 0.001),
    ]
    second = [
        pages.azure_item(name, "eastus", 0.08, meterName="D8s v5 Spot"),
        pages.azure_item(gpu, "eastus", 98.32),
    ]
    server.put(f"{pages.AZURE}?api-version=x&$skip=1000", pages.azure_page(second))
    server.put(pages.AZURE, pages.azure_page(first, following))
    report = run("azure", names=["azure-retail-prices"])
    assert report.ok
    row = rows("azure")["eastus", None, name]
    assert (row.hourly_micro, row.spot_hourly_micro) == (400_000, 80_000)
    assert row.as_of == row.spot_as_of == report.collected
    assert source_of(report, "azure-retail-prices").refused == {
        "a price in another unit": 1,
        "a machine of unknown size": 1,
    }


def test_gpuhunt_items_become_offers(server, run, rows):
    """Spot and on-demand join; a GCP zone is its region's; names, flags, odd accelerators are understood."""
    h100 = {"gpu_count": 8, "gpu_name": "H100", "gpu_memory": 80.0, "gpu_vendor": "nvidia"}
    a100 = {"gpu_count": 2, "gpu_name": "A100", "gpu_memory": 80.0, "gpu_vendor": "nvidia"}
    items = [
        pages.item("a3-highgpu-8g", "us-central1-a", 90.5, **h100),
        pages.item("a3-highgpu-8g", "us-central1-a", 30.25, spot="True", **h100),
        pages.item("a3-highgpu-8g", "us-central1-a", 60, flags="gcp-dws-calendar-mode", **h100),
        pages.item("a3-highgpu-8g", "us-central1-a", 1, flags="gcp-something-new", **h100),
        pages.item(
            "n1-standard-8", "europe-west4-b", 2.5, **(a100 | {"gpu_name": "V100", "gpu_memory": 16.0})
        ),
        pages.item("n1-standard-8", "europe-west4-b", 0.38),
        pages.item("a2-ultragpu-2g", "europe-west4-b", 10.1, **a100),
        pages.item(
            "v5litepod-4", "us-west4-a", 4.8, gpu_count=1, gpu_name="v5litepod-4", gpu_vendor="google"
        ),
        pages.item("x9", "us-west4-a", 1, gpu_count=1, gpu_name="Z999", gpu_vendor="nvidia"),
    ]
    pages.gpuhunt(server, "gcp", items)
    report = run("gcp")
    found = rows("gcp")
    row = found["us-central1", "us-central1-a", "a3-highgpu-8g"]
    assert (row.hourly_micro, row.spot_hourly_micro, row.as_of) == (90_500_000, 30_250_000, "2026-11-20")
    assert row.spot_as_of == "2026-11-20"
    assert ("us-central1", None, "a3-highgpu-8g") not in found  # the zone says more
    assert found["europe-west4", "europe-west4-b", "n1-standard-8+2xV100"].accelerator_count == 2
    assert found["europe-west4", "europe-west4-b", "n1-standard-8"].accelerator is None
    assert found["europe-west4", "europe-west4-b", "a2-ultragpu-2g"].accelerator == "A100-80GB"
    assert found["us-west4", "us-west4-a", "tpu-v5litepod-4"].accelerator == "tpu-v5litepod-4"
    assert source_of(report, "gpuhunt").refused == {
        "flag 'gcp-something-new' is not known": 1,
        "accelerator 'Z999' is not known": 1,
    }


def test_the_official_price_stands_over_gpuhunts(server, run, rows):
    """Where both have a price the cloud's own counts; the spot price that only gpuhunt has is kept."""
    items = [
        pages.item("m.large", "us-east-1", 0.3),
        pages.item("m.large", "us-east-1", 0.1, spot="True"),
        pages.item("m.large", "eu-west-1", 0.47),
    ]
    pages.gpuhunt(server, "aws", items)
    pages.aws(server, {"us-east-1": [pages.aws_row("m.large", "0.45"), pages.aws_row("p5.48xlarge", 55)]})
    assert run("aws").ok
    found = rows("aws")
    row = found["us-east-1", "use1-az1", "m.large"]
    assert (row.hourly_micro, row.spot_hourly_micro, row.source) == (450_000, 100_000, "AWS price list")
    assert found["eu-west-1", None, "m.large"].source == "gpuhunt 20261120-42"


def test_a_source_that_fails_is_named_and_the_others_land(server, run, rows):
    """Azure answers errors; AWS lands; the report says which and why, and is not ok."""
    pages.aws(server, {"us-east-1": [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 55)]})
    server.put(pages.AZURE, "broken", status=500)
    report = run("aws", "azure", names=["aws-price-list", "azure-retail-prices"])
    assert not report.ok
    assert report.published
    failed = source_of(report, "azure-retail-prices")
    assert failed.state == "failed"
    assert failed.failures == (("eastus", "127.0.0.1/prices.azure.com/api/retail/prices answered 500"),)
    assert rows("aws")["us-east-1", "use1-az1", "m.large"].hourly_micro == 410_000
    assert rows("azure")["eastus", None, "Standard_D8s_v5"].hourly_micro == 384_000


def test_a_part_of_a_source_that_fails_leaves_its_rows_alone(server, run, rows):
    """One region of two comes; the other keeps its prices, and the source landed in part."""
    pages.aws(
        server,
        {
            "us-east-1": [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 55)],
            "eu-west-1": [pages.aws_row("m.large", "0.45")],
        },
    )
    server.put(f"{pages.AWS}/eu-west-1/index.csv", "gone", status=404)
    report = run("aws", names=["aws-price-list"])
    assert source_of(report, "aws-price-list").state == "in part"
    assert rows("aws")["eu-west-1", None, "m.large"].hourly_micro == 440_000
    assert rows("aws")["us-east-1", "use1-az1", "m.large"].hourly_micro == 410_000


def test_a_dry_run_changes_nothing(server, run, rows):
    """Everything is fetched and checked, and the old edition stays in force."""
    pages.aws(server, {"us-east-1": [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 55)]})
    report = run("aws", names=["aws-price-list"], dry_run=True)
    assert report.ok
    assert not report.published
    assert cloud_of(report, "aws").rows == 4
    assert rows("aws")["us-east-1", "use1-az1", "m.large"].hourly_micro == 400_000


@pytest.mark.parametrize(
    ("clouds", "names", "said"),
    [(["awz"], [], "awz"), ([], ["gpuhund"], "gpuhund"), (["gcp"], ["aws-price-list"], "no prices of gcp")],
)
def test_names_that_nobody_knows(run, clouds, names, said):
    """A wrong cloud or source is one clear message, before anything is asked of anybody."""
    with pytest.raises(CatalogError, match=said):
        run(*clouds, names=names)


def test_a_source_without_its_key_is_left_out(run, monkeypatch, tmp_path):
    """Not a failure: it says what to set."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LAMBDA_API_KEY", raising=False)
    report = run(names=["lambda"], sources=SOURCES, settings=Settings())
    (only,) = report.sources
    assert report.ok
    assert not report.published
    assert (only.state, "LAMBDA_API_KEY" in only.note) == ("left out", True)


def test_a_newer_shipped_catalog_wins(server, run, rows, ship, shipped_few):
    """After an upgrade, the shipped rows count until the next refresh, cloud by cloud."""
    from tests.support.facts import fact

    pages.aws(server, {"us-east-1": [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 55)]})
    assert run("aws", names=["aws-price-list"]).published
    mark = ship([fact(hourly_micro=999_000), fact(cloud="azure", hourly_micro=7)], "2999-01-01")
    assert editions.in_force() == mark
    assert rows("aws")["us-east-1", None, "m.large"].hourly_micro == 999_000
    pages.gpuhunt(server, "gcp", [pages.item("e2", "us-central1-a", 1)])
    assert run("gcp").published
    assert rows("aws")["us-east-1", None, "m.large"].hourly_micro == 999_000
    assert list(rows("gcp")) == [("us-central1", "us-central1-a", "e2")]


@pytest.mark.parametrize(
    ("way", "said"), [("hangs", "left behind"), ("breaks", "cannot be read (ZeroDivisionError)")]
)
def test_a_source_with_a_bug_takes_no_other_with_it(server, run, rows, monkeypatch, way, said):
    """One whose thread hangs where no deadline reaches it, or that breaks: named, and the others land."""
    hold = threading.Event()

    class Broken(AwsBulk):
        name = "broken"

        def units(self, web, known, clouds):
            hold.wait() if way == "hangs" else 1 / 0
            return []

    monkeypatch.setattr("skynb_catalog.refresh.fetching._GRACE", 0.0)
    short = Settings(mirror=server.mirror, seconds=2, pause=0.01)
    pages.gpuhunt(server, "gcp", [pages.item("e2-standard-8", "us-central1-a", 0.27)])
    try:
        report = run("aws", "gcp", sources=[Broken(), Gpuhunt()], settings=short)
    finally:
        hold.set()
    assert said in source_of(report, "broken").failures[0][1]
    assert ("us-central1", "us-central1-a", "e2-standard-8") in rows("gcp")


def test_gpuhunt_covers_what_it_says():
    """Its clouds are ours by our names."""
    assert "lambda" in Gpuhunt.clouds
    assert "lambdalabs" not in Gpuhunt.clouds
