"""Azure's retail prices, open to all: pages of a thousand items, one walk a region, on-demand and spot.

Windows, dedicated hosts and the old low-priority meters are left out. It knows no sizes; they come from what
is known of a type already. Which regions there are it says nowhere; those that price one common type are
walked besides the known ones; clouds of governments and of China and edge zones are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from skynb_catalog.refresh.source import Fetched, Known, Source, machine, micro
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb_catalog.offers import Fact

_URL = "https://prices.azure.com/api/retail/prices"
_PAGES = 200  # a region has about ten
_EVERYWHERE = "Standard_D2s_v5"  # in each region that was known in 2026
_REGION = re.compile(r"(?!us(gov|dod|nat|sec)|china|delos|att|microsoft|sgx)[a-z]{4,30}\d?")


class AzureRetail(Source):
    """See the module."""

    name = "azure-retail-prices"
    clouds = ("azure",)
    complete = True
    seconds = 1800.0

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        regions = known.regions("azure")
        try:
            for page in _pages(web, f"armSkuName eq '{_EVERYWHERE}'"):
                regions |= {str(item.get("armRegionName")) for item in _items(page)}
        except WebError:
            if web.over() or not regions:
                raise  # else the known ones will do
        return sorted(name for name in regions if _REGION.fullmatch(name))

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        for page in _pages(web, f"armRegionName eq '{unit}'"):
            yield from parse(unit, page, fetched)


def _pages(web: Web, condition: str) -> Iterator[Any]:
    """The pages of virtual machines of which this holds."""
    wanted = f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and {condition}"
    url = f"{_URL}?api-version=2023-01-01-preview&$filter={quote(wanted)}"
    for _ in range(_PAGES):
        page = web.json(url)
        yield page
        url = str(page.get("NextPageLink") or "")
        if not url:
            return
        if urlsplit(url)[:2] != urlsplit(_URL)[:2]:
            raise WebError("Azure's next page lies on another host: not followed")
    raise WebError(f"Azure's prices where {condition} do not end")


def _items(page: Any) -> list[dict[str, Any]]:
    items = page.get("Items") if isinstance(page, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise WebError("Azure's page of prices has another shape than it had")
    return items


def parse(region: str, page: Any, fetched: Fetched) -> Iterator[Fact]:
    """The rows of one page. Raises WebError if it is none."""
    for item in _items(page):
        name, product, meter = (
            str(item.get(key) or "") for key in ("armSkuName", "productName", "meterName")
        )
        if not name or item.get("armRegionName") != region or item.get("type") != "Consumption":
            continue
        if "Windows" in product or "Dedicated" in product or "Low Priority" in meter:
            continue
        if item.get("unitOfMeasure") != "1 Hour" or item.get("currencyCode") != "USD":
            fetched.refuse("a price in another unit")
            continue
        price = micro(item.get("retailPrice"), fetched)
        if price is not None:
            column = "spot_hourly_micro" if "Spot" in meter else "hourly_micro"
            yield machine("azure", name, region=region, source="Azure retail prices", **{column: price})
