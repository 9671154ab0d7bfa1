"""SKUs in the shape that GCP's billing catalog serves, written anew; prices as published for us-central1."""

from __future__ import annotations

import json
from typing import Any

PLACE = "v1/services/6F81-5844-456A/skus"
_SPOT_CARD = " attached to Spot Preemptible VMs"


def sku(
    words: str, dollars: str, group: str = "CPU", regions: tuple[str, ...] = ("us-central1",), **changes: Any
) -> dict[str, Any]:
    """A SKU on demand, or preemptible if its words say so. dollars: as text, since nanos are exact."""
    whole, _, part = dollars.partition(".")
    unit = {"RAM": "GiBy.h", "LocalSSD": "GiBy.mo"}.get(group, "h")
    price = {"currencyCode": "USD", "units": whole, "nanos": int(part.ljust(9, "0"))}
    plain = {
        "skuId": "0000-0000-0000",
        "description": words,
        "category": {
            "serviceDisplayName": "Compute Engine",
            "resourceFamily": "Storage" if group == "LocalSSD" else "Compute",
            "resourceGroup": group,
            "usageType": "Preemptible" if "Preemptible" in words else "OnDemand",
        },
        "serviceRegions": list(regions),
        "pricingInfo": [
            {
                "pricingExpression": {
                    "usageUnit": changes.pop("unit", unit),
                    "tieredRates": [{"startUsageAmount": 0, "unitPrice": price}],
                }
            }
        ],
    }
    return plain | changes


def host(words: str, core: str, ram: str, **changes: Any) -> list[dict[str, Any]]:
    """A family's cores and memory, as of one place."""
    unit = changes.pop("ram_unit", "GiBy.h")
    return [
        sku(f"{words} Core running in Americas", core, **changes),
        sku(f"{words} Ram running in Americas", ram, "RAM", unit=unit, **changes),
    ]


def card(words: str, dollars: str, *, spot: bool = False) -> dict[str, Any]:
    """A GPU."""
    return sku(f"{words}{_SPOT_CARD if spot else ''} running in Americas", dollars, "GPU")


def page(skus: list[dict[str, Any]], following: str = "") -> str:
    """One page, and the token of the next."""
    return json.dumps({"skus": skus, "nextPageToken": following})


AMERICAS = [
    *host("N1 Predefined Instance", "0.031611", "0.004237"),
    *host("N2 Instance", "0.031611", "0.004237"),
    *host("E2 Instance", "0.02181159", "0.00292353"),
    *host("A2 Instance", "0.031611", "0.004237"),
    *host("C3 Instance", "0.03465", "0.003938"),
    *host("C4D Instance", "0.0327035", "0.003495578", ram_unit="GBy.h"),
    *host("Spot Preemptible N2 Instance", "0.015", "0.002"),
    card("Nvidia Tesla T4 GPU", "0.35"),
    card("Nvidia Tesla A100 GPU", "2.933908"),
    card("Nvidia Tesla A100 80GB GPU", "3.92808"),
    card("Nvidia Tesla T4 GPU", "0.11", spot=True),
    sku("SSD backed Local Storage", "0.08", "LocalSSD"),
    sku("C4D Instance Local SSD running in Americas", "0.16", "LocalSSD"),
]
