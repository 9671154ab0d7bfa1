"""Sources of small clouds: their documented shapes, wrong shapes, and keys."""

from __future__ import annotations

import json

import pytest

from skynb_catalog.refresh import SOURCES
from skynb_catalog.refresh.fetching import Settings
from tests.support import market_pages as pages

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
VAST = {
    "offers": [
        pages.vast_offer("RTX 4090", 2, 0.84, cpu_cores=64, cpu_cores_effective=40, cpu_ram=131072),
        pages.vast_offer("RTX 9999", 1, 0.01),
    ]
}
RUNPOD = {
    "data": {
        "gpuTypes": [
            pages.runpod_type("H100 SXM", 80, 2.99, host={"minVcpu": 20, "minMemory": 125}),
            pages.runpod_type("Z999", 80, 0.01),
        ]
    }
}
PRIME = {
    "items": [
        pages.prime_offer("hyperstack", "H100_80GB", 2, 4.4),
        pages.prime_offer("hyperstack", "Z999_80GB", 2, 0.4),
    ],
    "totalCount": 2,
}
OCI = {
    "products.json": {"items": [pages.oci_product("B98415", 10), pages.oci_product("B1", 1)]},
    "shapes.json": {
        "items": [
            pages.oci_shape(
                "BM.GPU.H100.8", "gpu", {"ocpu": ("B98415", 112)}, gpuQty=8, bundleMemoryQty=2048
            ),
            pages.oci_shape("BM.GPU.Z999.8", "gpu", {"ocpu": ("B1", 112)}, gpuQty=8, bundleMemoryQty=2048),
        ]
    },
}
_OCI = "a/ocom/docs/cloudestimator2/data"
PAGES = {
    "lambda": ("lambda", "cloud.lambdalabs.com", {"api/v1/instance-types": LAMBDA}),
    "fluidstack": ("fluidstack", "platform.fluidstack.io", {"list_available_configurations": FLUIDSTACK}),
    "shadeform": ("shadeform", "api.shadeform.ai", {"v1/instances/types": SHADEFORM}),
    "hyperbolic": ("hyperbolic", "api.hyperbolic.xyz", {"v2/skypilot/catalog": HYPERBOLIC}),
    "vast": ("vast", "console.vast.ai", {"api/v0/bundles/": VAST}),
    "runpod": ("runpod", "api.runpod.io", {"graphql": RUNPOD}),
    "primeintellect": ("primeintellect", "api.primeintellect.ai", {"api/v1/availability/gpus": PRIME}),
    "oci-estimator": ("oci", "www.oracle.com", {f"{_OCI}/{name}": page for name, page in OCI.items()}),
}
KEYS = """LAMBDA_API_KEY FLUIDSTACK_API_KEY SHADEFORM_API_KEY HYPERBOLIC_API_KEY VAST_API_KEY RUNPOD_API_KEY
    PRIME_API_KEY"""


@pytest.fixture
def ask(server, run, monkeypatch, shipped_few):
    """A refresh of one small cloud whose pages are these, or all of which are this one."""

    def go(name, page=None):
        cloud, host, right = PAGES[name]
        for path, own in right.items():
            body = page if isinstance(page, bytes) else json.dumps(own if page is None else page)
            server.put(path, body, kind="application/json")
        for key in KEYS.split():
            monkeypatch.setenv(key, "very-secret")
        settings = Settings(hosts={host: server.mirror}, seconds=20, pause=0.01)
        return run(cloud, names=[name], sources=SOURCES, settings=settings)

    return go


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("lambda", ("us-east-1", None, "gpu_8x_h100_sxm5"), (31_920_000, "H100", 8.0)),
        ("lambda", (None, None, "gpu_1x_gh200"), (1_990_000, "GH200", 1.0)),
        ("fluidstack", ("CANADA", None, "A100_PCIE_80GB::4"), (7_200_000, "A100-80GB", 4.0)),
        ("shadeform", ("desmoines-usa-1", None, "massed_A100-80Gx2"), (2_460_000, "A100-80GB", 2.0)),
        ("hyperbolic", ("default", None, "1x-H100-75-722"), (1_990_000, "H100", 1.0)),
        ("vast", ("US", None, "2x-RTX_4090-32-65536"), (840_000, "RTX4090", 2.0)),
        ("runpod", (None, None, "4x_H100-SXM_SECURE"), (11_960_000, "H100", 4.0)),
        ("runpod", (None, None, "per-gpu:H100-SXM_SECURE"), (2_990_000, "H100", 1.0)),
        ("primeintellect", ("us-east-1", None, "hyperstack_H100_80GBx2"), (4_400_000, "H100", 2.0)),
        ("oci-estimator", (None, None, "BM.GPU.H100.8"), (80_000_000, "H100", 8.0)),
    ],
)
def test_documented_shapes(ask, rows, name, place, expected):
    """Each page becomes rows with price, accelerator, today's date and a confidence; unknown GPUs do not."""
    report = ask(name)
    assert report.ok
    found = rows(PAGES[name][0])
    row = found[place]
    assert (row.hourly_micro, row.accelerator, row.accelerator_count) == expected
    resold = name in {"vast", "primeintellect"}
    assert (row.as_of, row.confidence) == (report.collected, "medium" if resold else "high")
    assert not any("999" in key[2] or "kansas" in str(key[0]) for key in found)
    strange = name not in {"shadeform", "hyperbolic"}
    assert any("is not known" in reason for reason in report.sources[0].refused) == strange


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    "page",
    [
        *([], {}, [1], 7, None, b"", b"<html>", b"[" * 100_000, {"data": {"x": {}}}, {"vms": [3]}),
        *({"offers": 1}, {"offers": [1]}, {"offers": [{}]}, {"offers": []}, {"offers": [{"gpu_name": None}]}),
        *({"data": {"gpuTypes": [1]}}, {"data": {"gpuTypes": [{"securePrice": 1}]}}, {"errors": [1]}),
        *({"items": 1}, {"items": [7]}, {"items": [{}]}, {"items": [{"status": "ACTIVE"}]}),
    ],
    ids=lambda page: repr(page)[:40],
)
def test_other_shapes(ask, rows, name, page):
    """A page of another shape is refused, by name, and no row changes."""
    cloud = PAGES[name][0]
    before = rows(cloud)
    report = ask(name, b"null" if page is None else page)
    assert not report.ok
    assert rows(cloud) == before


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("lambda", "Authorization"),
        ("fluidstack", "Api-Key"),
        ("shadeform", "X-Api-Key"),
        ("hyperbolic", "Authorization"),
        ("vast", "Authorization"),
        ("runpod", "Authorization"),
        ("primeintellect", "Authorization"),
    ],
)
def test_keys_go_in_headers(ask, server, name, header):
    """To the one host, and into no address."""
    report = ask(name)
    assert server.headers[0][header].endswith("very-secret")
    assert not any("secret" in place for place in server.asked)
    assert b"secret" not in b"".join(server.bodies)
    assert "secret" not in repr(report)


def test_a_mirror_gets_no_key_of_an_open_source(server, run, monkeypatch, shipped_few):
    """Sources that can do without a key send none to who stands for their host."""
    monkeypatch.setenv("VAST_API_KEY", "very-secret")
    monkeypatch.setenv("RUNPOD_API_KEY", "very-secret")
    run("vast", "runpod", names=["vast", "runpod"], sources=SOURCES)
    assert server.headers
    assert not any("Authorization" in headers for headers in server.headers)


@pytest.mark.parametrize(("text", "key"), [("abc\n", "abc"), ("api_key = abc\n", "abc"), ("\n", None)])
def test_keys_from_files(monkeypatch, tmp_path, text, key):
    """The file holds it alone, or as `name = value`."""
    from skynb_catalog.refresh.source import Key

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("X_KEY", raising=False)
    (tmp_path / "key").write_text(text)
    assert Key("X_KEY", "~/key").read() == key
    assert Key("X_KEY", "~/none").read() is None
