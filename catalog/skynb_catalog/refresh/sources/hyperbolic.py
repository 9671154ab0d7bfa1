"""Hyperbolic's list of machines, with the user's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skynb_catalog.refresh.source import Fetched, Key, Keyed, Known, accelerator, amount, machine, micro
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb_catalog.offers import Fact

_URL = "https://api.hyperbolic.xyz/v2/skypilot/catalog"


class Hyperbolic(Keyed):
    """See the module."""

    name = "hyperbolic"
    clouds = ("hyperbolic",)
    seconds = 60.0
    key = Key("HYPERBOLIC_API_KEY", "~/.hyperbolic/api_key")

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return ["machines"]

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        yield from parse(web.json(_URL, headers={"Authorization": f"Bearer {self.secret()}"}), fetched)


def parse(page: Any, fetched: Fetched) -> Iterator[Fact]:
    """A row a machine."""
    rows = page.get("vms") if isinstance(page, dict) else None
    if not isinstance(rows, list):
        raise WebError("Hyperbolic's list of machines has another shape than it had")
    for row in rows:
        gpu = accelerator(str(row["AcceleratorName"]), None, fetched)
        price = micro(row["Price"], fetched)
        if gpu is not None and price is not None:
            yield machine(
                "hyperbolic",
                str(row["InstanceType"]),
                region=str(row["Region"]),
                vcpus=amount(row["vCPUs"]),
                memory_gib=amount(row["MemoryGiB"]),
                accelerator=gpu,
                accelerator_count=amount(row["AcceleratorCount"]),
                hourly_micro=price,
                source="Hyperbolic API",
            )
