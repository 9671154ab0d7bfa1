"""GCP's billing SKUs, with the user's API key: prices of parts, of which those of known machines are summed.

GCP publishes no price of a machine. What a machine is made of comes from the rows in force; a machine with a
part that no SKU prices keeps its old price and is counted. If too few of the known machines can be priced,
the words of the SKUs have changed, and nothing is believed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from skynb_catalog.refresh.source import HIGHEST_MICRO, Fetched, Key, Keyed, Known, machine
from skynb_catalog.refresh.sources.gcp_parts import FAMILIES, Prices
from skynb_catalog.refresh.web import Web, WebError
from skynb_catalog.sanity import LEAST_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from skynb_catalog.offers import Fact

_URL = "https://cloudbilling.googleapis.com/v1/services/6F81-5844-456A/skus"  # Compute Engine
_PAGES = 100  # there are about ten of 5,000
_SHARED_CORES = {"e2-micro": 0.25, "e2-small": 0.5, "e2-medium": 1.0}  # each shows two vCPUs
_BUNDLED = re.compile(r"a2-ultragpu-.*|a3-.*|.*-lssd(-metal)?")


class GcpSkus(Keyed):
    """See the module. Not GOOGLE_API_KEY, which many set for other services and would be refused here."""

    name = "gcp-skus"
    clouds = ("gcp",)
    seconds = 300.0
    key = Key("GCP_BILLING_API_KEY")

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return ["skus"]

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        yield from parse(self._pages(web), known.rows.get("gcp", ()), fetched)

    def _pages(self, web: Web) -> Iterator[Any]:
        token = ""
        for _ in range(_PAGES):
            url = f"{_URL}?pageSize=5000&currencyCode=USD" + (
                f"&pageToken={quote(token, safe='')}" if token else ""
            )
            page = web.json(url, headers={"X-Goog-Api-Key": self.secret()})
            yield page
            token = str(page.get("nextPageToken") or "")
            if not token:
                return
        raise WebError("GCP's SKUs do not end")


def parse(pages: Iterable[Any], known: Iterable[Fact], fetched: Fetched) -> Iterator[Fact]:
    """A row a known machine and region. Raises WebError if the pages are none, or price too few machines."""
    prices = Prices()
    for page in pages:
        skus = page.get("skus") if isinstance(page, dict) else None
        if not isinstance(skus, list):
            raise WebError("GCP's page of SKUs has another shape than it had")
        prices.add(skus)
    fetched.refused.update(prices.unknown)
    machines = {(fact.instance_type, fact.region): fact for fact in known if _summed(fact)}
    priced = [row for fact in machines.values() if (row := _row(fact, prices, fetched))]
    if len(priced) < LEAST_SHARE * len(machines):
        raise WebError(
            f"GCP's SKUs price {len(priced)} of {len(machines)} known machines, fewer than {LEAST_SHARE:.0%}",
            why="their words may have changed",
        )
    yield from priced


def _summed(fact: Fact) -> bool:
    """Whether a machine is a sum of parts that are known here."""
    return _family(fact) in FAMILIES and fact.region is not None


def _family(fact: Fact) -> str:
    return fact.instance_type.partition("-")[0]


def _row(fact: Fact, prices: Prices, fetched: Fetched) -> Fact | None:
    on_demand, lacks = _sum(fact, prices, spot=False)
    if on_demand is None:
        fetched.refuse(f"no SKU for {lacks}")
        return None
    spot, _ = _sum(fact, prices, spot=True)
    return machine(
        "gcp",
        fact.instance_type,
        region=fact.region,
        hourly_micro=_micro(on_demand),
        spot_hourly_micro=None if spot is None else _micro(spot),
        source="GCP billing SKUs",
    )


def _sum(fact: Fact, prices: Prices, *, spot: bool) -> tuple[Decimal | None, str]:
    """Dollars an hour of all parts together, or None and what has no price."""
    family, region = _family(fact), fact.region or ""
    cores = _SHARED_CORES.get(fact.instance_type, fact.vcpus)
    parts = [
        (f"cores of {family}", cores, prices.of("Core", family, region, spot=spot)),
        (f"memory of {family}", fact.memory_gib, prices.of("Ram", family, region, spot=spot)),
    ]
    if fact.accelerator:
        card = prices.of("Card", fact.accelerator, region, spot=spot)
        parts.append((f"accelerator {fact.accelerator}", fact.accelerator_count, card))
    if _BUNDLED.fullmatch(fact.instance_type):
        parts.append((f"disks of {family}", fact.local_disk_gib, prices.disk(family, region, spot=spot)))
    total = Decimal(0)
    for what, amount, each in parts:
        if amount is None or each is None:
            return None, what
        total += Decimal(str(amount)) * each
    return total, ""


def _micro(dollars: Decimal) -> int:
    return min(round(dollars * 1_000_000), HIGHEST_MICRO)
