"""Oracle's cost estimator: shapes and products become rows without a region."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from skynb_catalog.refresh.fetching import Settings
from skynb_catalog.refresh.source import Fetched
from skynb_catalog.refresh.sources import oci
from tests.support import market_pages as pages
from tests.support.facts import fact

PRICES = {"E4": Decimal("0.025"), "E4-GB": Decimal("0.0015"), "S2": Decimal("0.0638"), "GPU": Decimal("2.95")}
SIZE = "VM.Standard.E4.Flex$_16_64"


def shape(name, kind="standard", products=None, **changes):
    sold = products or {"ocpu": ("E4", 1), "memory": ("E4-GB", 16)}
    return pages.oci_shape(name, kind, sold, **changes)


def parsed(*shapes, known=()):
    fetched = Fetched()
    facts = [fact(cloud="oci", region=None, instance_type=name) for name in known]
    found = {row.instance_type: row for row in oci.parse({"items": list(shapes)}, PRICES, facts, fetched)}
    return found, dict(fetched.refused)


def test_flexible_shapes_in_the_sizes_that_are_known():
    """An OCPU is two vCPUs; preemptible costs half. The figures are those that ship."""
    found, _ = parsed(shape("VM.Standard.E4.Flex", "flexible", allowPreemptible=True), known=[SIZE])
    assert list(found) == [SIZE]
    assert (found[SIZE].hourly_micro, found[SIZE].spot_hourly_micro) == (296_000, 148_000)


def test_shipped_sizes_cost_what_ships():
    """The sums reproduce every flexible row of the shipped catalog."""
    from skynb_catalog import cache
    from skynb_catalog.snapshots import facts

    shipped = {
        row.instance_type: row.hourly_micro
        for row in facts(cache.shipped_packed())
        if row.cloud == "oci" and ".E4.Flex" in row.instance_type
    }
    found, _ = parsed(shape("VM.Standard.E4.Flex", "flexible"), known=shipped)
    assert {name: row.hourly_micro for name, row in found.items()} == shipped


@pytest.mark.parametrize(
    ("name", "cards", "expected"),
    [
        ("VM.GPU3.4", 4, ("V100", 16, "x86_64")),
        ("BM.GPU4.8", 8, ("A100", 40, "x86_64")),
        ("BM.GPU.A100-v2.8", 8, ("A100-80GB", 80, "x86_64")),
        ("BM.GPU.RTXPRO.8", 8, ("RTX-PRO-6000", 96, "x86_64")),
        ("BM.GPU.GB200.4 (NVL72)", 4, ("GB200", 192, "arm64")),
    ],
)
def test_gpu_shapes_cost_their_gpus(name, cards, expected):
    """The price of a card times the cards, whatever the host; words in brackets are no part of the name."""
    one = shape(name, "gpu", {"ocpu": ("GPU", 6)}, gpuQty=cards, bundleMemoryQty=90)
    found, refused = parsed(one)
    row = found[name.partition(" ")[0]]
    assert (row.accelerator, row.accelerator_memory_gib, row.arch) == expected
    assert (row.accelerator_count, row.hourly_micro) == (cards, 2_950_000 * cards)
    assert row.spot_hourly_micro is None
    assert refused == {}


def test_shapes_of_one_size():
    """OCPUs and, where it has its own price, memory; two vCPUs an OCPU."""
    old = shape("VM.Standard2.4", products={"ocpu": ("S2", 4)}, bundleMemoryQty=60)
    new = shape(
        "BM.Standard.E4.128", products={"ocpu": ("E4", 128), "memory": ("E4-GB", 2048)}, bundleMemoryQty=2048
    )
    found, _ = parsed(old, new)
    assert (found["VM.Standard2.4"].vcpus, found["VM.Standard2.4"].memory_gib) == (8, 60)
    assert found["VM.Standard2.4"].hourly_micro == 255_200
    assert found["BM.Standard.E4.128"].hourly_micro == 6_272_000


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (shape("VM.Standard2.4", hidden=True), None),
        (shape("VM.Standard2.4", status="DEPRECATED"), None),
        (shape("VM.Standard.A1.Flex", processorType={"value": "arm"}), None),
        (
            shape("BM.DenseIO.E5.128", products={"ocpu": ("E4", 128), "disk": ("D", 81.6)}),
            "a shape that is not sold by OCPU and memory",
        ),
        (shape("VM.Standard.E9.Flex", products={"ocpu": ("E9", 1)}), "a shape without a price"),
        (
            shape("BM.GPU.B300.8", "gpu", {"ocpu": ("GPU", 1)}),
            "a GPU shape without a price, or of unknown size",
        ),
        (
            shape("BM.GPU.Z9.8", "gpu", {"ocpu": ("GPU", 1)}, gpuQty=8),
            "accelerator 'Z9' is not known",
        ),
    ],
)
def test_shapes_that_do_not_count(one, reason):
    """Hidden, retired and Arm shapes are passed over; what cannot be priced is counted."""
    found, refused = parsed(one, known=["VM.Standard.A1.Flex$_4_24"])
    assert found == {}
    assert refused == ({reason: 1} if reason else {})


def test_prices_are_dollars_an_hour_above_the_free_share():
    """Other currencies, other periods, other contracts and a first tier of zero do not count."""
    free = pages.oci_product("A1", 0.01)
    free["currencyCodeLocalizations"][-1]["prices"].insert(0, {"model": "PAY_AS_YOU_GO", "value": 0})
    free["currencyCodeLocalizations"][-1]["prices"].append({"model": "MONTHLY_COMMIT", "value": 7})
    page = {"items": [free, pages.oci_product("X", 9, pricetype="MONTH"), pages.oci_product("Y", 2)]}
    assert oci.prices(page) == {"A1": Decimal("0.01"), "Y": Decimal(2)}


def test_fresh_prices_land_on_the_known_sizes(server, run, rows, ship):
    """From the two files of the estimator, dated today; what it does not tell of stays."""
    old = {"region": None, "hourly_micro": 1}
    ship([fact(cloud="oci", instance_type=name, **old) for name in (SIZE, "VM.Other")])
    folder = "a/ocom/docs/cloudestimator2/data"
    products = [pages.oci_product("E4", 0.025), pages.oci_product("E4-GB", 0.0015)]
    server.put(f"{folder}/products.json", json.dumps({"items": products}))
    server.put(f"{folder}/shapes.json", json.dumps({"items": [shape("VM.Standard.E4.Flex", "flexible")]}))
    report = run("oci", sources=[oci.Oci()], settings=Settings(hosts={"www.oracle.com": server.mirror}))
    assert report.ok
    row = rows("oci")[None, None, SIZE]
    assert (row.hourly_micro, row.as_of, row.source) == (296_000, report.collected, "Oracle cost estimator")
    assert rows("oci")[None, None, "VM.Other"].hourly_micro == 1
