from __future__ import annotations

import pytest

from skynb_catalog import cache, editions
from skynb_catalog.refresh import refresh
from skynb_catalog.refresh.fetching import Settings
from skynb_catalog.refresh.sources.aws_bulk import AwsBulk
from skynb_catalog.refresh.sources.azure_retail import AzureRetail
from skynb_catalog.refresh.sources.gpuhunt import Gpuhunt
from skynb_catalog.snapshots import pack, stamp
from tests.support.facts import fact
from tests.support.price_server import price_server

OPEN_SOURCES = (Gpuhunt(), AwsBulk(), AzureRetail())


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of this test, empty."""
    monkeypatch.setenv("SKYNB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SKYNB_CATALOG_MIRROR", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # nobody asks the network for credentials
    yield tmp_path / "cache"
    cache._own_folder.cache_clear()


@pytest.fixture
def ship(tmp_path, monkeypatch, own_cache):
    """Ship these rows instead of the real snapshot."""

    def make(facts, collected="2026-01-01"):
        folder = tmp_path / "shipped"
        folder.mkdir(exist_ok=True)
        packed = pack(facts)
        mark = stamp(packed, collected, len(facts))
        (folder / "offers.xz").write_bytes(packed)
        (folder / "stamp.txt").write_text("".join(f"{value}\n" for value in mark))
        monkeypatch.setattr(cache, "SHIPPED", folder / "offers.xz")
        return mark

    return make


@pytest.fixture
def shipped_few(ship):
    """A small world: AWS in two regions (one with zones), Azure, GCP, Lambda."""
    zones = [fact(zone=zone, hourly_micro=400_000) for zone in ("use1-az1", "use1-az2")]
    gpu = {"accelerator": "H100", "accelerator_count": 8.0, "accelerator_memory_gib": 80.0}
    return ship(
        [
            *zones,
            fact(region="eu-west-1", hourly_micro=440_000),
            fact(instance_type="p5.48xlarge", hourly_micro=55_000_000, **gpu),
            fact(cloud="azure", region="eastus", instance_type="Standard_D8s_v5", hourly_micro=384_000),
            fact(
                cloud="azure",
                region="eastus",
                instance_type="Standard_ND96isr_H100_v5",
                hourly_micro=98_000_000,
                **gpu,
            ),
            fact(
                cloud="gcp",
                region="us-central1",
                instance_type="a3-highgpu-8g",
                hourly_micro=88_000_000,
                **gpu,
            ),
            fact(
                cloud="lambda",
                region="us-east-1",
                instance_type="gpu_8x_h100_sxm5",
                hourly_micro=24_000_000,
                **gpu,
            ),
        ]
    )


@pytest.fixture
def server():
    with price_server() as found:
        yield found


@pytest.fixture
def settings(server):
    """Everything is asked of the server here, and nothing is waited for long."""
    return Settings(mirror=server.mirror, seconds=20, read_seconds=5, pause=0.01)


@pytest.fixture
def run(settings):
    """A refresh from the server here."""

    def go(*clouds, sources=OPEN_SOURCES, settings=settings, **options):
        return refresh(clouds, sources=sources, settings=settings, **options)

    return go


@pytest.fixture
def rows():
    """The rows in force, by (region, zone, instance type)."""
    from skynb_catalog.refresh.base import facts

    def read(cloud):
        packed, _ = editions.packed_in_force()
        return {(one.region, one.zone, one.instance_type): one for one in facts(packed) if one.cloud == cloud}

    return read
