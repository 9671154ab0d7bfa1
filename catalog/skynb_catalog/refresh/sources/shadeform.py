"""Shadeform's instance types, with the user's key: machines of many clouds under one account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skynb_catalog.refresh.source import Fetched, Key, Keyed, Known, accelerator, amount, machine, number
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb_catalog.offers import Fact

_URL = "https://api.shadeform.ai/v1/instances/types"
_MEMORY = re.compile(r"_\d+GB?$")


class Shadeform(Keyed):
    """See the module. What is sold out now keeps its price here: this is a price list, not the stock."""

    name = "shadeform"
    clouds = ("shadeform",)
    seconds = 60.0
    key = Key("SHADEFORM_API_KEY", "~/.shadeform/api_key")

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return ["types"]

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        yield from parse(web.json(_URL, headers={"X-API-KEY": self.secret()}), fetched)


def parse(page: Any, fetched: Fetched) -> Iterator[Fact]:
    """A row a type and region, on demand; prices come in cents."""
    types = page.get("instance_types") if isinstance(page, dict) else None
    if not isinstance(types, list):
        raise WebError("Shadeform's page of types has another shape than it had")
    for item in types:
        size = item["configuration"]
        count, memory = amount(size["num_gpus"]), amount(size.get("vram_per_gpu_in_gb"))
        cents = number(item["hourly_price"])
        gpu = accelerator(_MEMORY.sub("", str(size["gpu_type"])), memory, fetched) if count else None
        if gpu is None or cents is None:
            continue
        kind = str(item["shade_instance_type"]).replace("_", "-")
        for place in item.get("availability") or ():
            if place.get("rental_type") in {None, "on_demand"}:
                yield machine(
                    "shadeform",
                    f"{item['cloud']}_{kind}",
                    region=str(place["region"]),
                    vcpus=amount(size["vcpus"]),
                    memory_gib=amount(size["memory_in_gb"]),
                    accelerator=gpu,
                    accelerator_count=count,
                    accelerator_memory_gib=memory,
                    hourly_micro=round(cents * 10_000),
                    source="Shadeform API",
                )
