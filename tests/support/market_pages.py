"""Items in the shapes that the APIs of marketplaces and of small clouds serve, written anew."""

from __future__ import annotations

from typing import Any


def vast_offer(gpu: str, cards: int, price: float, **changes: Any) -> dict[str, Any]:
    """An offer of Vast's: a verified machine in the United States with 32 cores and 64 GiB."""
    plain = {
        "id": 1,
        "gpu_name": gpu,
        "num_gpus": cards,
        "gpu_ram": 24564,
        "gpu_frac": 1.0,
        "cpu_cores": 32,
        "cpu_cores_effective": 32.0,
        "cpu_ram": 65536,
        "cpu_arch": "amd64",
        "dph_base": price,
        "dph_total": price,
        "min_bid": price / 2,
        "geolocation": "Texas, US",
        "verification": "verified",
        "rentable": True,
        "rented": False,
    }
    return plain | changes


def runpod_type(
    name: str, memory: int, price: float | None, host: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A GPU type of RunPod's at this price in the secure cloud. host: the smallest, for so many cards."""
    plain = {
        "id": f"NVIDIA {name}",
        "displayName": name,
        "memoryInGb": memory,
        "maxGpuCount": 8,
        "securePrice": price,
        "communityPrice": None,
        "secureSpotPrice": None,
        "communitySpotPrice": None,
        "lowestPrice": host or {"minVcpu": None, "minMemory": None},
    }
    return plain | changes


def prime_offer(cloud: str, gpu: str, cards: int, price: float, **changes: Any) -> dict[str, Any]:
    """An offer of Prime Intellect's."""
    plain = {
        "cloudId": f"{cloud}-{gpu}",
        "provider": cloud,
        "gpuType": gpu,
        "gpuCount": cards,
        "gpuMemory": 80 * cards,
        "dataCenter": "us-east-1",
        "country": "US",
        "vcpu": {"defaultCount": 28 * cards},
        "memory": {"defaultCount": 180 * cards},
        "prices": {"onDemand": price, "communityPrice": None, "currency": "USD"},
        "isSpot": None,
        "stockStatus": "Available",
    }
    return plain | changes


def oci_product(part: str, price: float, **changes: Any) -> dict[str, Any]:
    """A product of Oracle's estimator, by the hour; other currencies come first."""
    local = [
        {"currencyCode": code, "prices": [{"model": "PAY_AS_YOU_GO", "value": value}]}
        for code, value in (("JPY", price * 150), ("USD", price))
    ]
    plain = {"partNumber": part, "billingModel": "UCM", "pricetype": "HOUR"}
    return plain | {"currencyCodeLocalizations": local} | changes


def oci_shape(name: str, kind: str, products: dict[str, tuple[str, float]], **changes: Any) -> dict[str, Any]:
    """A shape of Oracle's estimator. products: (part number, quantity) by what they are."""
    plain = {
        "name": name,
        "hidden": False,
        "status": "ACTIVE",
        "allowPreemptible": False,
        "bundleMemoryQty": None,
        "gpuQty": None,
        "gpuMemoryQty": None,
        "processorType": {"value": "amd"},
        "shapeType": {"value": name[:2].lower()},
        "subType": {"value": kind},
        "products": [
            {"partNumber": part, "qty": qty, "type": {"value": what}}
            for what, (part, qty) in products.items()
        ],
    }
    return plain | changes
