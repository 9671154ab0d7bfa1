"""Sources of small clouds: their documented shapes, wrong shapes, and keys."""

from __future__ import annotations

import json

import pytest

from skynb_catalog.refresh import SOURCES
from skynb_catalog.refresh.fetching import Settings

LAMBDA = {
    "data": {
        "gpu_8x_h100_sxm5": {
            "instance_type": {
                "name": "gpu_8x_h100_sxm5",
                "description": "8x H100 (80 GB SXM5)",
                "price_cents_per_hour": 3192,
                "specs": {"vcpus": 208, "memory_gib": 1800, "storage_gib": 22000},
            },
            "regions_with_capacity_available": [],
        },
        "gpu_1x_gh200": {
            "instance_type": {
                "name": "gpu_1x_gh200",
                "description": "1x GH200 (96 GB)",
                "price_cents_per_hour": 199,
                "specs": {"vcpus": 64, "memory_gib": 432, "storage_gib": 4096},
            },
        },
        "gpu_1x_new": {
            "instance_type": {
                "name": "gpu_1x_new",
                "description": "1x Z999 (96 GB)",
                "price_cents_per_hour": 1,
                "specs": {"vcpus": 64, "memory_gib": 432, "storage_gib": 4096},
            },
        },
    }
}
FLUIDSTACK = [
    {
        "gpu_type": "A100_PCIE_80GB",
        "gpu_counts": [1, 4],
        "price_per_gpu_hr": "1.80",
        "regions": ["CANADA"],
    },
    {"gpu_type": "Q_1GB", "gpu_counts": [1], "price_per_gpu_hr": "0.01", "regions": ["CANADA"]},
]
SHADEFORM = {
    "instance_types": [
        {
            "cloud": "massed",
            "shade_instance_type": "A100_80Gx2",
            "configuration": {
                "gpu_type": "A100_80G",
                "num_gpus": 2,
                "vcpus": 30,
                "memory_in_gb": 240,
                "vram_per_gpu_in_gb": 80,
            },
            "hourly_price": 246,
            "availability": [
                {"region": "desmoines-usa-1", "available": False},
                {"region": "kansas-usa-1", "available": True, "rental_type": "spot"},
            ],
        }
    ]
}
HYPERBOLIC = {
    "vms": [
        {
            "InstanceType": "1x-H100-75-722",
            "AcceleratorName": "H100",
            "AcceleratorCount": 1.0,
            "vCPUs": 75,
            "MemoryGiB": 722,
            "Price": 1.99,
            "Region": "default",
            "GpuInfo": {},
            "SpotPrice": "",
        }
    ]
}
PAGES = {
    "lambda": ("cloud.lambdalabs.com", "api/v1/instance-types", LAMBDA),
    "fluidstack": ("platform.fluidstack.io", "list_available_configurations", FLUIDSTACK),
    "shadeform": ("api.shadeform.ai", "v1/instances/types", SHADEFORM),
    "hyperbolic": ("api.hyperbolic.xyz", "v2/skypilot/catalog", HYPERBOLIC),
}


@pytest.fixture
def ask(server, run, monkeypatch, shipped_few):
    """A refresh of one small cloud whose page is this."""

    def go(name, page=None):
        host, path, right = PAGES[name]
        body = page if isinstance(page, bytes) else json.dumps(right if page is None else page)
        server.put(path, body, kind="application/json")
        monkeypatch.setenv(f"{name.upper()}_API_KEY", "very-secret")
        settings = Settings(hosts={host: server.mirror}, seconds=20, pause=0.01)
        return run(name, names=[name], sources=SOURCES, settings=settings)

    return go


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("lambda", ("us-east-1", None, "gpu_8x_h100_sxm5"), (31_920_000, "H100", 8.0)),
        ("lambda", (None, None, "gpu_1x_gh200"), (1_990_000, "GH200", 1.0)),
        ("fluidstack", ("CANADA", None, "A100_PCIE_80GB::4"), (7_200_000, "A100-80GB", 4.0)),
        ("shadeform", ("desmoines-usa-1", None, "massed_A100-80Gx2"), (2_460_000, "A100-80GB", 2.0)),
        ("hyperbolic", ("default", None, "1x-H100-75-722"), (1_990_000, "H100", 1.0)),
    ],
)
def test_documented_shapes(ask, rows, name, place, expected):
    """Each page becomes rows with price, accelerator, today's date and high confidence."""
    report = ask(name)
    assert report.ok
    row = rows(name)[place]
    assert (row.hourly_micro, row.accelerator, row.accelerator_count) == expected
    assert (row.as_of, row.confidence) == (report.collected, "high")
    assert not any("Z999" in key[2] or "kansas" in str(key[0]) for key in rows(name))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    "page", [[], {}, [1], 7, None, b"", b"<html>", {"data": {"x": {}}}, {"vms": [3]}], ids=repr
)
def test_other_shapes(ask, rows, name, page):
    """A page of another shape is refused, by name, and no row changes."""
    before = rows(name)
    report = ask(name, b"null" if page is None else page)
    assert not report.ok
    assert rows(name) == before


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("lambda", "Authorization"),
        ("fluidstack", "Api-Key"),
        ("shadeform", "X-Api-Key"),
        ("hyperbolic", "Authorization"),
    ],
)
def test_keys_go_in_headers(ask, server, name, header):
    """To the one host, and into no address."""
    ask(name)
    assert server.headers[0][header].endswith("very-secret")
    assert not any("secret" in place for place in server.asked)


@pytest.mark.parametrize(("text", "key"), [("abc\n", "abc"), ("api_key = abc\n", "abc"), ("\n", None)])
def test_keys_from_files(monkeypatch, tmp_path, text, key):
    """The file holds it alone, or as `name = value`."""
    from skynb_catalog.refresh.source import Key

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("X_KEY", raising=False)
    (tmp_path / "key").write_text(text)
    assert Key("X_KEY", "~/key").read() == key
    assert Key("X_KEY", "~/none").read() is None
