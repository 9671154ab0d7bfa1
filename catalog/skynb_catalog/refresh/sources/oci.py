"""Oracle's public cost estimator: shapes, and products that price a shape's OCPUs, memory or GPUs.

Prices are equal in all commercial regions, so rows have none. A GPU shape costs its GPUs, all else included;
other shapes cost OCPUs and memory. Flexible shapes have any size; those that are known already are priced. An
OCPU is two vCPUs; Arm is left out, where that differs from shape to shape.
Preemptible machines cost half, where the estimator says that a shape may be one.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from skynb_catalog.accelerators import resolve
from skynb_catalog.refresh.source import (
    HIGHEST_MICRO,
    Fetched,
    Known,
    Source,
    accelerator,
    amount,
    machine,
    number,
)
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from skynb_catalog.offers import Fact

_URL = "https://www.oracle.com/a/ocom/docs/cloudestimator2/data"
_FLEXIBLE = re.compile(r"(.+\.Flex)\$_(\d+)_(\d+)")
_GPU = re.compile(r"(?:VM|BM)\.(?:GPU\.)?(.+)\.\d+")
_GPUS = {"GPU2": "P100", "GPU3": "V100", "GPU4": "A100", "A100-v2": "A100-80GB", "RTXPRO": "RTX-PRO-6000"}
_ARM_HOSTS = ("GB", "GH")
_SOLD_BY = {"ocpu", "memory"}


class Oci(Source):
    """See the module."""

    name = "oci-estimator"
    clouds = ("oci",)
    seconds = 120.0

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return ["estimator"]

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        products = prices(web.json(f"{_URL}/products.json"))
        yield from parse(web.json(f"{_URL}/shapes.json"), products, known.rows.get("oci", ()), fetched)


def prices(page: Any) -> dict[str, Decimal]:
    """Dollars an hour by part number; the free share that some begin with does not count."""
    found: dict[str, Decimal] = {}
    for product in _items(page, "products"):
        if product.get("pricetype") != "HOUR":
            continue
        for local in product.get("currencyCodeLocalizations") or ():
            asked = [
                number(price.get("value"))
                for price in local.get("prices") or ()
                if price.get("model") == "PAY_AS_YOU_GO"
            ]
            values = [value for value in asked if value is not None]
            if local.get("currencyCode") == "USD" and values:
                found[str(product["partNumber"])] = max(values)
    return found


def parse(page: Any, products: dict[str, Decimal], known: Iterable[Fact], fetched: Fetched) -> Iterator[Fact]:
    """A row a shape, a flexible one's for every size that is known. Raises WebError if the page is none."""
    sizes: dict[str, set[str]] = {}
    for fact in known:
        flexible = _FLEXIBLE.fullmatch(fact.instance_type)
        if flexible:
            sizes.setdefault(flexible[1], set()).add(fact.instance_type)
    for shape in _items(page, "shapes"):
        if shape.get("hidden") or shape.get("status") != "ACTIVE":
            continue
        name = re.sub(r" \(.*\)$", "", str(shape["name"]))
        parts = {str(part["type"]["value"]): part for part in shape.get("products") or ()}
        if not parts or not parts.keys() <= _SOLD_BY or "ocpu" not in parts:
            fetched.refuse("a shape that is not sold by OCPU and memory")
        elif shape["subType"]["value"] == "gpu":
            yield from _with_gpus(name, shape, products.get(str(parts["ocpu"]["partNumber"])), fetched)
        elif shape["processorType"]["value"] != "arm":
            yield from _plain(name, shape, parts, products, sizes.get(name, set()), fetched)


def _items(page: Any, what: str) -> list[Any]:
    items = page.get("items") if isinstance(page, dict) else None
    if not isinstance(items, list):
        raise WebError(f"Oracle's page of {what} has another shape than it had")
    return items


def _with_gpus(name: str, shape: Any, each: Decimal | None, fetched: Fetched) -> Iterator[Fact]:
    """The row of a shape that is sold by its GPUs."""
    cards, words = amount(shape.get("gpuQty")), _GPU.fullmatch(name)
    if each is None or not cards or not words:
        fetched.refuse("a GPU shape without a price, or of unknown size")
        return
    gpu = accelerator(_GPUS.get(words[1], words[1]), None, fetched)
    if gpu is None:
        return
    ocpus = amount(shape["products"][0].get("qty"))
    arm = words[1].startswith(_ARM_HOSTS)
    yield _priced(
        machine(
            "oci",
            name,
            vcpus=ocpus * (1 if arm else 2) if ocpus else None,
            memory_gib=amount(shape.get("bundleMemoryQty")),
            accelerator=gpu,
            accelerator_count=cards,
            accelerator_memory_gib=resolve(gpu)[0].memory_gib,
            arch="arm64" if arm else "x86_64",
        ),
        shape,
        each * Decimal(str(cards)),
    )


def _plain(
    name: str,
    shape: Any,
    parts: dict[str, Any],
    products: dict[str, Decimal],
    sizes: set[str],
    fetched: Fetched,
) -> Iterator[Fact]:
    """The rows of a shape without GPUs: its own, or those of its sizes, whose names say vCPUs and GiB."""
    each = {kind: products.get(str(part["partNumber"])) for kind, part in parts.items()}
    ocpu, gib = each["ocpu"], each.get("memory", Decimal(0))
    if ocpu is None or gib is None:
        fetched.refuse("a shape without a price")
    elif name.endswith(".Flex"):
        for size in sorted(sizes):
            vcpus, memory = map(int, size.rpartition("$_")[2].split("_"))
            yield _priced(machine("oci", size), shape, vcpus * ocpu / 2 + memory * gib)
    else:
        ocpus, memory_gib = amount(parts["ocpu"].get("qty")), amount(shape.get("bundleMemoryQty"))
        if ocpus and memory_gib:
            row = machine("oci", name, vcpus=2 * ocpus, memory_gib=memory_gib, arch="x86_64")
            yield _priced(row, shape, Decimal(str(ocpus)) * ocpu + Decimal(str(memory_gib)) * gib)


def _priced(row: Fact, shape: Any, dollars: Decimal) -> Fact:
    hourly = min(round(dollars * 1_000_000), HIGHEST_MICRO)
    spot = round(dollars * 500_000) if shape.get("allowPreemptible") is True else None
    return row._replace(hourly_micro=hourly, spot_hourly_micro=spot, source="Oracle cost estimator")
