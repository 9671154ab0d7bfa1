"""Which of GCP's SKUs is the price of what: cores, memory, GPUs and local disks of the families known here.

A SKU is known by the whole of its description, apart from the place at its end; wordings change without
notice, so what is not exactly as expected counts as unknown. RAM is billed by GiB, for some families by GB.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb_catalog.refresh.source import number

if TYPE_CHECKING:
    from collections.abc import Iterable

_FAMILIES = {
    "a2": "A2 Instance",
    "a3": "A3 Instance",
    "c2": "Compute optimized",
    "c2d": "C2D AMD Instance",
    "c3": "C3 Instance",
    "c3d": "C3D Instance",
    "c4": "C4 Instance",
    "c4a": "C4A Arm Instance",
    "c4d": "C4D Instance",
    "e2": "E2 Instance",
    "g2": "G2 Instance",
    "n1": "N1 Predefined Instance",
    "n2": "N2 Instance",
    "n2d": "N2D AMD Instance",
    "n4": "N4 Instance",
    "n4a": "N4A Instance",
    "n4d": "N4D Instance",
    "t2a": "T2A Arm Instance",
    "t2d": "T2D AMD Instance",
}
_OWN_DISKS = {"c4": "C4", "c4a": "C4A", "c4d": "C4D"}  # the others share one price of local disks
_CARDS = {
    "A100": ("Nvidia Tesla A100 GPU",),
    "A100-80GB": ("Nvidia Tesla A100 80GB GPU",),
    "H100": ("Nvidia H100 80GB GPU",),
    "H100-MEGA": ("Nvidia H100 80GB Mega GPU", "Nvidia H100 Mega 80GB GPU", "Nvidia H100 80GB Plus GPU"),
    "L4": ("Nvidia L4 GPU",),
    "P100": ("Nvidia Tesla P100 GPU",),
    "P4": ("Nvidia Tesla P4 GPU",),
    "T4": ("Nvidia Tesla T4 GPU",),
    "V100": ("Nvidia Tesla V100 GPU",),
}
FAMILIES = frozenset(_FAMILIES)
_WORDS = (
    {f"{words} {part}": (part, name) for name, words in _FAMILIES.items() for part in ("Core", "Ram")}
    | {"Compute optimized Instance Core": ("Core", "c2"), "Compute optimized Instance Ram": ("Ram", "c2")}
    | {f"{words} Instance Local SSD": ("Disk", name) for name, words in _OWN_DISKS.items()}
    | {"SSD backed Local Storage": ("Disk", "")}
    | {words: ("Card", name) for name, spellings in _CARDS.items() for words in spellings}
)
_SPOT = re.compile(r"(?:Spot )?Preemptible (.+)|(.+) attached to (?:Spot )?Preemptible VMs")
_PLACE = re.compile(r"(.+?) (?:running )?in (?!.*\b(?:for|with|to)\b)[^:]{2,60}")
_HOURS_A_MONTH = 730
_UNITS = {
    ("Core", "h"): Decimal(1),
    ("Card", "h"): Decimal(1),
    ("Ram", "GiBy.h"): Decimal(1),
    ("Ram", "GBy.h"): Decimal(2**30) / 10**9,
    ("Disk", "GiBy.mo"): Decimal(1) / _HOURS_A_MONTH,
}


class Part(NamedTuple):
    """What a SKU is a price of. kind: Core, Ram, Disk or Card. name: a family, or an accelerator."""

    kind: str
    name: str
    spot: bool


class Prices:
    """What is known so far: dollars an hour of each part in each region; of two prices the dearer stands."""

    def __init__(self) -> None:
        self._found: dict[tuple[Part, str], Decimal] = {}
        self.unknown: Counter[str] = Counter()

    def add(self, skus: Iterable[Any]) -> None:
        """Take the SKUs of a page; those of other things do not count, those that should be known do."""
        for sku in skus:
            usage = sku["category"]["usageType"]
            if usage not in {"OnDemand", "Preemptible"}:
                continue
            found = part(str(sku["description"]), spot=usage == "Preemptible")
            if found is None:
                if _concerns(sku):
                    self.unknown["a SKU whose words are not known"] += 1
                continue
            price = _hourly(sku, found.kind)
            if price is None:
                self.unknown[f"a SKU of {found.kind.lower()}s in an unknown unit"] += 1
                continue
            for region in sku["serviceRegions"]:
                key = found, str(region)
                self._found[key] = max(price, self._found.get(key, price))

    def of(self, kind: str, name: str, region: str, *, spot: bool) -> Decimal | None:
        """Dollars an hour; None if no SKU says."""
        return self._found.get((Part(kind, name, spot), region))

    def disk(self, family: str, region: str, *, spot: bool) -> Decimal | None:
        """A GiB of the local disks of a family."""
        return self.of("Disk", family if family in _OWN_DISKS else "", region, spot=spot)


def part(description: str, *, spot: bool) -> Part | None:
    """What these words are the price of; None for words that are not known."""
    placed = _PLACE.fullmatch(description)
    words = placed[1] if placed else description
    preemptible = _SPOT.fullmatch(words)
    if bool(preemptible) != spot:
        return None
    words = (preemptible[1] or preemptible[2]) if preemptible else words
    found = _WORDS.get(words)
    return Part(*found, spot) if found else None


def _concerns(sku: Any) -> bool:
    """Whether it may be a part of a machine, so that it is worth saying that nobody knows it."""
    return sku["category"].get("resourceGroup") in {"CPU", "RAM", "GPU", "N1Standard", "LocalSSD"}


def _hourly(sku: Any, kind: str) -> Decimal | None:
    """Dollars an hour of one core, GiB or card."""
    pricing = sku["pricingInfo"][-1]["pricingExpression"]
    unit = pricing["tieredRates"][-1]["unitPrice"]
    units, nanos = number(unit.get("units") or 0), number(unit.get("nanos") or 0)
    factor = _UNITS.get((kind, str(pricing.get("usageUnit"))))
    if factor is None or units is None or nanos is None or unit.get("currencyCode", "USD") != "USD":
        return None
    return (units + nanos / 10**9) * factor
