"""Fluidstack's configurations: prices per GPU, counts, and regions. A key is sent if there is one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skynb_catalog.refresh.source import Fetched, Key, Known, Source, accelerator, amount, machine, number
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb_catalog.offers import Fact

_URL = "https://platform.fluidstack.io/list_available_configurations"
_MEMORY = re.compile(r"(.+?)_(\d+)GB")


class Fluidstack(Source):
    """See the module."""

    name = "fluidstack"
    clouds = ("fluidstack",)
    seconds = 60.0
    key = Key("FLUIDSTACK_API_KEY", "~/.fluidstack/api_key")

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return ["configurations"]

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        secret = None if web.mirror else self.key.read()
        yield from parse(web.json(_URL, headers={"api-key": secret} if secret else None), fetched)


def parse(page: Any, fetched: Fetched) -> Iterator[Fact]:
    """A row a configuration, count and region."""
    if not isinstance(page, list):
        raise WebError("Fluidstack's page of configurations has another shape than it had")
    for plan in page:
        kind = str(plan["gpu_type"])
        words = _MEMORY.fullmatch(kind)
        memory = amount(words[2]) if words else None
        gpu = accelerator(words[1] if words else kind, memory, fetched)
        each = number(plan["price_per_gpu_hr"])
        if gpu is None or each is None:
            continue
        for count in plan["gpu_counts"]:
            for region in plan.get("regions") or ():
                yield machine(
                    "fluidstack",
                    f"{kind}::{int(count)}",
                    region=str(region),
                    accelerator=gpu,
                    accelerator_count=float(int(count)),
                    accelerator_memory_gib=memory,
                    arch="x86_64",
                    hourly_micro=round(each * int(count) * 1_000_000),
                    source="Fluidstack API",
                )
