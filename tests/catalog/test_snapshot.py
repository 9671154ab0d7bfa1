from __future__ import annotations

from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import skynb_catalog
from skynb_catalog import Amount, CatalogError, Query, cache, resolve, snapshots
from skynb_catalog.offers import day, day_number
from skynb_catalog.snapshots import pack, unpack

FOLDER = Path(skynb_catalog.__file__).parent / "snapshot"


def test_the_stamp_is_that_of_the_bytes():
    """The page beside the snapshot tells its hash and rows truly, or a cache would be keyed by a lie."""
    packed = (FOLDER / "offers.xz").read_bytes()
    stamp = cache.shipped_stamp()
    assert sha256(packed).hexdigest() == stamp.hash
    assert len(unpack(packed).columns["price"]) == stamp.rows == 125_322
    assert len(packed) < 1_500_000


def test_equal_facts_give_equal_bytes(fact):
    """The order of the facts does not matter."""
    facts = [fact(region=f"r{n}", hourly_micro=100 + n) for n in range(20)]
    assert pack(facts) == pack(facts[::-1])


def test_two_rows_for_one_machine_are_refused(fact):
    """A snapshot with two prices for one thing would depend on chance."""
    with pytest.raises(CatalogError, match="same machine"):
        pack([fact(hourly_micro=1), fact(hourly_micro=2)])


SPARSE = dict.fromkeys(("region", "vcpus", "memory_gib", "arch", "as_of", "hourly_micro"))
DISK = {"local_disk_gib": 838.0, "local_disk_kind": "nvme", "spot_hourly_micro": 5}
GPU = {"accelerator": "A10", "accelerator_count": 0.333, "accelerator_memory_gib": 8.0}


def test_facts_come_back(fact):
    """What was packed can be read again, so that a refresh keeps the rows it has no news of."""
    facts = [
        fact(),
        fact(zone="z", instance_type="n", **SPARSE),
        fact(cloud="gcp", instance_type="n", **DISK),
        fact(instance_type="g", hourly_micro=2**40, **GPU),
        fact(instance_type="m.large", region="west", hourly_micro=-1_000, confidence="low", source="other"),
    ]
    assert sorted(snapshots.facts(pack(facts)), key=str) == sorted(facts, key=str)
    assert snapshots.facts(pack([])) == []


def test_the_shipped_facts_pack_to_the_same_snapshot():
    """Reading and packing again loses nothing of the shipped figures."""
    packed = (FOLDER / "offers.xz").read_bytes()
    assert pack(snapshots.facts(packed), preset=snapshots.STRONGEST) == packed


@pytest.mark.parametrize("packed", [b"", b"not xz at all"])
def test_damaged_bytes_are_named(packed):
    """A damaged snapshot is one clear error."""
    with pytest.raises(CatalogError, match="damaged"):
        unpack(packed)


@given(st.dates(min_value=date(1970, 1, 2)))
def test_days_come_back(one):
    """A date survives as a number."""
    assert day(day_number(one.isoformat())) == one.isoformat()
    assert day(day_number(None)) is None


def test_p5_48xlarge_has_eight_h100(shipped):
    """Anyone can check: AWS p5.48xlarge in us-east-1 has 8 H100, 192 vCPUs and 2 TiB."""
    found = shipped.offers(Query(("H100",), 8, clouds=("aws",), region="us-east-1"))
    assert {one.instance_type for one in found} == {"p5.48xlarge"}
    one = found[0]
    assert (one.accelerator, one.accelerator_count, one.accelerator_memory_gib) == ("H100", 8, 80)
    assert (one.vcpus, one.memory_gib, one.arch) == (192, 2048, "x86_64")
    assert one.zone is not None
    assert one.zone.startswith("use1-az")
    assert 20_000_000 < one.hourly_micro < 100_000_000


def test_m5_large_price(shipped):
    """AWS m5.large in us-east-1 is 2 vCPUs, 8 GiB, 9.6 cents."""
    query = Query(clouds=("aws",), region="us-east-1", instance_type="m5.large")
    assert {(one.vcpus, one.memory_gib, one.hourly_micro) for one in shipped.offers(query)} == {
        (2, 8, 96_000)
    }


def test_gcp_g2_and_azure_t4(shipped):
    """GCP g2-standard-4 has one L4; Azure NC4as_T4_v3 has one T4."""
    g2 = shipped.offers(
        Query(("L4",), 1, clouds=("gcp",), region="us-central1", instance_type="g2-standard-4")
    )
    assert [(one.vcpus, one.memory_gib) for one in g2] == [(4, 16)]
    t4 = shipped.offers(Query(("T4",), 1, clouds=("azure",), region="eastus", limit=1))
    assert t4[0].instance_type == "Standard_NC4as_T4_v3"


def test_local_disks(shipped):
    """p5.48xlarge has eight NVMe disks of 3.8 TB, that is 28 TiB and not 30; of m5.large no disk is known."""
    with_disk = Query(("H100",), 8, local_disk=Amount(28_000, at_least=True), local_disk_kind="nvme", limit=1)
    one = shipped.offers(with_disk._replace(clouds=("aws",)))[0]
    assert (one.instance_type, one.local_disk_kind) == ("p5.48xlarge", "nvme")
    assert one.local_disk_gib == pytest.approx(8 * 3.8e12 / 2**30, rel=1e-3)
    assert shipped.offers(with_disk._replace(clouds=("aws",), local_disk=Amount(30_000, at_least=True))) == []
    assert shipped.offers(Query(instance_type="m5.large", local_disk=Amount(0, at_least=True))) == []
    a2 = shipped.offers(Query(instance_type="a2-ultragpu-4g", limit=1))[0]
    assert (a2.local_disk_gib, a2.local_disk_kind) == (1500, "nvme")


def test_every_accelerator_is_in_the_vocabulary(shipped):
    """No row carries a name that a task cannot write."""
    for row in shipped.accelerators():
        assert [one.name for one in resolve(row.accelerator)] == [row.accelerator]


def test_offers_have_sane_prices_and_no_list_prices(shipped):
    """All 100,000 offers: positive price, spot at most on-demand, launchable, with source and confidence."""
    for query in (Query(), Query(tuple(one.name for one in resolve("1GB+")), 8)):
        for one in shipped.offers(query):
            assert one.hourly_micro > 0
            assert one.spot_hourly_micro is None or 0 < one.spot_hourly_micro <= one.hourly_micro
            assert not one.instance_type.startswith("per-gpu:")
            assert one.source
            assert one.confidence in {"high", "medium", "low"}


def test_listing_shows_list_prices_as_such(shipped):
    """RunPod publishes prices per GPU: listed, marked, never offered."""
    rows = [row for row in shipped.accelerators("H100") if row.cloud == "runpod"]
    assert rows
    assert not any(row.launchable for row in rows)
    assert shipped.offers(Query(("H100",), 1, clouds=("runpod",))) == []


def test_listing_has_one_row_per_machine_with_its_cheapest_price(shipped):
    """The listed price is the least that offers() gives for that machine; all regions give more rows."""
    rows = shipped.accelerators("L4", clouds=["gcp", "aws"])
    assert {row.cloud for row in rows} == {"gcp", "aws"}
    assert len({(row.cloud, row.instance_type) for row in rows}) == len(rows)
    for row in rows:
        if row.accelerator_count and row.hourly_micro:
            query = Query(clouds=(row.cloud,), instance_type=row.instance_type, limit=1)
            one = shipped.offers(query)[0]
            assert (one.hourly_micro, one.spot_hourly_micro) == (row.hourly_micro, row.spot_hourly_micro)
            assert (one.source, one.arch, one.local_disk_gib) == (row.source, row.arch, row.local_disk_gib)
    assert len(shipped.accelerators("L4", clouds=["gcp", "aws"], all_regions=True)) > len(rows)


def test_types_without_a_price_are_listed_without_one(shipped):
    """AWS trn2.48xlarge is known but not priced: seen in the list, never chosen."""
    (row,) = [row for row in shipped.accelerators("Trainium2") if row.instance_type == "trn2.48xlarge"]
    assert row.hourly_micro is None
    assert shipped.offers(Query(("Trainium2",), 16)) == []


def test_a_type_whose_count_is_unknown_is_listed_and_never_chosen(shipped):
    """Azure NV4as_v4 has a part of an MI25, the source does not say which: no count asks for it."""
    rows = [row for row in shipped.accelerators("MI25") if row.cloud == "azure"]
    assert rows
    assert {row.accelerator_count for row in rows} == {None}
    assert shipped.offers(Query(("MI25",), 1)) == []


def test_fractions_of_a_card_are_found_as_people_write_them(shipped):
    """A third of an A10 is A10:0.33 or A10:0.333."""
    for count in (0.33, 0.333, 0.33333333):
        assert shipped.offers(Query(("A10",), count, limit=1))[0].accelerator_count == pytest.approx(0.333)


def test_prices_without_region_hold_in_any(shipped):
    """OCI's price is equal everywhere: an asked region finds it."""
    assert shipped.offers(
        Query(cpus=Amount(8, at_least=True), clouds=("oci",), region="eu-frankfurt-1", limit=1)
    )
