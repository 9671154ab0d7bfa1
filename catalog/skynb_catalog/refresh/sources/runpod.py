"""RunPod's GPU types, live: a price a card in its secure and its community cloud, the same everywhere.

A pod of several cards costs their sum. Its vCPUs and memory are those of the smallest host that RunPod names
for so many cards; without such a host a pod is not to be had now, and only the list price of a card is told.
Asked without a key; one is sent if there is one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from skynb_catalog.refresh.source import Fetched, Key, Known, Source, accelerator, amount, machine, micro
from skynb_catalog.refresh.web import Web, WebError
from skynb_catalog.sanity import LIST_PRICE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb_catalog.offers import Fact

_URL = "https://api.runpod.io/graphql"
_QUERY = """query Types($host: GpuLowestPriceInput) {
  gpuTypes {
    id displayName memoryInGb maxGpuCount
    securePrice communityPrice secureSpotPrice communitySpotPrice
    lowestPrice(input: $host) { minVcpu minMemory }
  }
}"""
_COUNTS = (1, 2, 4, 8)
_CLOUDS = {
    "SECURE": ("securePrice", "secureSpotPrice"),
    "COMMUNITY": ("communityPrice", "communitySpotPrice"),
}
_BOARD = re.compile(r"\s+(SXM\d?|PCIe)(\s+\d+\s?GB)?$")


class Runpod(Source):
    """See the module. A unit is a cloud and a number of cards."""

    name = "runpod"
    clouds = ("runpod",)
    least_share = 0.5  # what is sold out now has no size
    seconds = 120.0
    key = Key("RUNPOD_API_KEY")

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return [f"{cloud} {count}" for cloud in _CLOUDS for count in _COUNTS]

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        cloud, _, count = unit.partition(" ")
        host = {"gpuCount": int(count), "secureCloud": cloud == "SECURE"}
        data = json.dumps({"query": _QUERY, "variables": {"host": host}}).encode()
        headers = {"Content-Type": "application/json"}
        secret = None if web.mirror else self.key.read()
        headers |= {"Authorization": f"Bearer {secret}"} if secret else {}
        yield from parse(cloud, int(count), web.json(_URL, headers=headers, data=data), fetched)


def parse(cloud: str, count: int, page: Any, fetched: Fetched) -> Iterator[Fact]:
    """Pods of so many cards in this cloud; with one card also the list prices. Raises WebError."""
    data = page.get("data") if isinstance(page, dict) and not page.get("errors") else None
    types = data.get("gpuTypes") if isinstance(data, dict) else None
    if not isinstance(types, list):
        raise WebError("RunPod's page of GPU types has another shape than it had")
    dear, low = _CLOUDS[cloud]
    for item in types:
        if item.get(dear) in {None, 0}:  # not in this cloud
            continue
        label, memory = " ".join(str(item["displayName"]).split()), amount(item.get("memoryInGb"))
        gpu = accelerator(_BOARD.sub("", label), memory, fetched)
        each = micro(item[dear], fetched)
        if gpu is None or each is None:
            continue
        card = machine(
            "runpod",
            f"{LIST_PRICE_PREFIX}{label.replace(' ', '-')}_{cloud}",
            accelerator=gpu,
            accelerator_count=1.0,
            accelerator_memory_gib=memory,
            hourly_micro=each,
            source="RunPod API",
        )
        if count == 1:
            yield card
        spot = micro(item[low], fetched) if item.get(low) not in {None, 0} else None
        pod = _pod(item, count)
        if pod is not None:
            yield card._replace(
                instance_type=f"{count}x_{label.replace(' ', '-')}_{cloud}",
                vcpus=pod[0],
                memory_gib=pod[1],
                accelerator_count=float(count),
                hourly_micro=each * count,
                spot_hourly_micro=None if spot is None else spot * count,
            )


def _pod(item: dict[str, Any], count: int) -> tuple[float, float] | None:
    """The vCPUs and GiB of the smallest host of so many cards; None if there is none."""
    most, host = amount(item.get("maxGpuCount")), item.get("lowestPrice")
    if not isinstance(host, dict) or (most is not None and most < count):
        return None
    vcpus, memory = amount(host.get("minVcpu")), amount(host.get("minMemory"))
    return (vcpus, memory) if vcpus and memory else None
