"""Prime Intellect's offers of other clouds' machines, with the user's key: pages of what is to be had now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skynb_catalog.refresh.source import Fetched, Key, Keyed, Known, accelerator, amount, machine, micro
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb_catalog.offers import Fact

_URL = "https://api.primeintellect.ai/api/v1/availability/gpus"
_A_PAGE = 100
_PAGES = 50
_MEMORY = re.compile(r"(.+?)_(\d+)GB")


class PrimeIntellect(Keyed):
    """See the module. Of several offers of one machine in one place the cheapest counts."""

    name = "primeintellect"
    clouds = ("primeintellect",)
    least_share = 0.3  # what is sold out is not listed
    seconds = 120.0
    key = Key("PRIME_API_KEY")

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return ["offers"]

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        headers = {"Authorization": f"Bearer {self.secret()}"}
        offers: list[Any] = []
        for number in range(1, _PAGES + 1):
            page = web.json(f"{_URL}?page={number}&page_size={_A_PAGE}", headers=headers)
            items = page.get("items") if isinstance(page, dict) else None
            if not isinstance(items, list):
                raise WebError("Prime Intellect's page of offers has another shape than it had")
            offers += items
            if len(items) < _A_PAGE:
                yield from parse(offers, fetched)
                return
        raise WebError("Prime Intellect's offers do not end")


def parse(offers: list[Any], fetched: Fetched) -> Iterator[Fact]:
    """A row a machine and data centre: its plain price and, from offers that may be ended, its spot price."""
    lowest: dict[tuple[str, str], Fact] = {}
    spots: dict[tuple[str, str], int] = {}
    for offer in offers:
        row = _row(offer, fetched)
        if row is None or row.hourly_micro is None:
            continue
        key, price = (row.instance_type, row.region or ""), row.hourly_micro
        if offer.get("isSpot") is True:
            spots[key] = min(price, spots.get(key, price))
        elif key not in lowest or price < (lowest[key].hourly_micro or 0):
            lowest[key] = row
    for key, row in lowest.items():
        yield row._replace(spot_hourly_micro=spots.get(key))


def _row(offer: dict[str, Any], fetched: Fetched) -> Fact | None:
    kind, count = str(offer["gpuType"]), amount(offer["gpuCount"])
    words = _MEMORY.fullmatch(kind)
    memory = amount(words[2]) if words else None
    gpu = accelerator(words[1] if words else kind, memory, fetched)
    price = micro(offer["prices"].get("onDemand"), fetched)
    place = offer.get("dataCenter") or offer.get("country")
    if gpu is None or price is None or not count or not place:
        return None
    return machine(
        "primeintellect",
        f"{offer['provider']}_{kind}x{count:g}",
        region=str(place),
        vcpus=amount((offer.get("vcpu") or {}).get("defaultCount")),
        memory_gib=amount((offer.get("memory") or {}).get("defaultCount")),
        accelerator=gpu,
        accelerator_count=count,
        accelerator_memory_gib=memory,
        hourly_micro=price,
        source="Prime Intellect API",
        confidence="medium",
    )
