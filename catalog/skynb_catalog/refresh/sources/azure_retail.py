"""Azure's retail prices, open to all: pages of a thousand items, one walk a region, on-demand and spot.

Windows, dedicated hosts and the old low-priority meters are left out. It knows no sizes; they come from what
is known of a type already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from skynb_catalog.refresh.source import Fetched, Known, Source, machine, micro
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb_catalog.offers import Fact

_URL = "https://prices.azure.com/api/retail/prices"
_PAGES = 200  # a region has about ten


class AzureRetail(Source):
    """See the module."""

    name = "azure-retail-prices"
    clouds = ("azure",)
    complete = True
    seconds = 1800.0

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return sorted(known.regions("azure"))

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        wanted = (
            f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq '{unit}'"
        )
        url = f"{_URL}?api-version=2023-01-01-preview&$filter={quote(wanted)}"
        for _ in range(_PAGES):
            page = web.json(url)
            yield from parse(unit, page, fetched)
            url = str(page.get("NextPageLink") or "")
            if not url:
                return
            if urlsplit(url)[:2] != urlsplit(_URL)[:2]:
                raise WebError("Azure's next page lies on another host: not followed")
        raise WebError(f"Azure's prices of {unit} do not end")


def parse(region: str, page: Any, fetched: Fetched) -> Iterator[Fact]:
    """The rows of one page. Raises WebError if it is none."""
    items = page.get("Items") if isinstance(page, dict) else None
    if not isinstance(items, list):
        raise WebError("Azure's page of prices has another shape than it had")
    for item in items:
        if not isinstance(item, dict):
            raise WebError("Azure's page of prices has another shape than it had")
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
