"""Vast's marketplace: what its hosts offer now, as the lowest price of a kind of machine in a country.

An offer lives minutes, so a row says what such a machine costs today, never which one it is. Machines are as
odd as their hosts; cores and memory are rounded down to powers of two, and a row's name says what one must
have at least: `2x-RTX_4090-32-65536` is two cards, 32 vCPUs and 65,536 MiB. A key is sent if there is one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb_catalog.refresh.source import (
    Fetched,
    Key,
    Known,
    Source,
    accelerator,
    amount,
    machine,
    micro,
    number,
)
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb_catalog.offers import Fact

_URL = "https://console.vast.ai/api/v0/bundles/"
_CARDS = {"1": (1, 1), "2": (2, 2), "3 to 4": (3, 4), "5 to 8": (5, 8), "9 and more": (9, 1024)}
_MOST_OFFERS = 10_000
_COUNTRY = re.compile(r"(?:.*,)?\s*([A-Z]{2})", re.DOTALL)
_MAKE = re.compile(r"(Tesla|Q|GeForce|Quadro)\s+")
_ARCH = {"amd64": "x86_64", "arm64": "arm64"}
_MIB = 1024


class _Kind(NamedTuple):
    """What makes offers one row."""

    country: str
    name: str
    vcpus: int
    memory_gib: int
    gpu: str
    cards: int
    arch: str | None


class _Price(NamedTuple):
    """The lowest of a kind, in micro-dollars an hour."""

    hourly: int
    bid: int | None
    gpu_memory_gib: float | None


class Vast(Source):
    """See the module."""

    name = "vast"
    clouds = ("vast",)
    least_share = 0.3  # half of the hosts may be gone tomorrow
    seconds = 120.0
    key = Key("VAST_API_KEY", "~/.vast_api_key")

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return list(_CARDS)

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        least, most = _CARDS[unit]
        wanted = {
            "limit": _MOST_OFFERS,
            "type": "on-demand",
            "verified": {"eq": True},
            "rentable": {"eq": True},
            "rented": {"eq": False},
            "num_gpus": {"gte": least, "lte": most},
            "order": [["dph_total", "asc"]],
        }
        headers = {"Content-Type": "application/json"}
        secret = None if web.mirror else self.key.read()
        headers |= {"Authorization": f"Bearer {secret}"} if secret else {}
        yield from parse(web.json(_URL, headers=headers, data=json.dumps(wanted).encode()), fetched)


def parse(page: Any, fetched: Fetched) -> Iterator[Fact]:
    """A row a kind of machine and country. Raises WebError if it is no page of offers."""
    offers = page.get("offers") if isinstance(page, dict) else None
    if not isinstance(offers, list):
        raise WebError("Vast's page of offers has another shape than it had")
    lowest: dict[_Kind, _Price] = {}
    for offer in offers:
        if not _for_rent(offer):
            continue
        kind, price = _kind(offer, fetched), _price(offer, fetched)
        if kind and price:
            lowest[kind] = _lower(lowest.get(kind), price)
    for kind, price in lowest.items():
        bid = price.bid if price.bid is not None and price.bid <= price.hourly else None
        yield machine(
            "vast",
            kind.name,
            region=kind.country,
            vcpus=float(kind.vcpus),
            memory_gib=float(kind.memory_gib),
            accelerator=kind.gpu,
            accelerator_count=float(kind.cards),
            accelerator_memory_gib=price.gpu_memory_gib,
            arch=kind.arch,
            hourly_micro=price.hourly,
            spot_hourly_micro=bid,
            source="Vast API (marketplace)",
            confidence="medium",
        )


def _for_rent(offer: dict[str, Any]) -> bool:
    """Whether it is what was asked for, should the filter not be heeded."""
    if offer.get("rentable") is False or offer.get("rented") is True:
        return False
    return offer.get("verification") in {None, "verified"}


def _kind(offer: dict[str, Any], fetched: Fetched) -> _Kind | None:
    label = " ".join(str(offer["gpu_name"]).split())
    gpu = accelerator(_MAKE.sub("", label), _gib(offer.get("gpu_ram")), fetched)
    if gpu is None:
        return None
    country = _COUNTRY.fullmatch(str(offer.get("geolocation") or "").strip())
    if country is None:
        fetched.refuse("an offer without a country")
        return None
    cards, cores, all_cores = (
        amount(offer.get(key)) for key in ("num_gpus", "cpu_cores_effective", "cpu_cores")
    )
    host_gib = _gib(offer.get("cpu_ram"))
    share = min(1.0, cores / all_cores) if cores and all_cores else 1.0  # of the host, its memory too
    vcpus, memory_gib = _below(cores), _below(host_gib and host_gib * share)
    if not cards or cards != int(cards) or not vcpus or not memory_gib:
        fetched.refuse("an offer of unknown size")
        return None
    name = f"{cards:g}x-{label.replace(' ', '_')}-{vcpus}-{memory_gib * _MIB}"
    arch = _ARCH.get(str(offer.get("cpu_arch")))
    return _Kind(country[1], name, vcpus, memory_gib, gpu, int(cards), arch)


def _gib(mib: object) -> float | None:
    found = number(mib)  # not `amount`: hosts have millions of MiB
    return None if found is None else amount(found / _MIB)


def _below(size: float | None) -> int | None:
    """The power of two that is not above it; None below one."""
    return 1 << (int(size).bit_length() - 1) if size and size >= 1 else None


def _price(offer: dict[str, Any], fetched: Fetched) -> _Price | None:
    hourly = micro(offer.get("dph_total"), fetched)
    if hourly is None:
        return None
    if hourly <= 0:
        fetched.refuse("a price of zero or less")
        return None
    bid = micro(offer["min_bid"], fetched) if offer.get("min_bid") is not None else None
    return _Price(hourly, bid if bid and bid > 0 else None, _gib(offer.get("gpu_ram")))


def _lower(one: _Price | None, other: _Price) -> _Price:
    if one is None:
        return other
    bid = min((bid for bid in (one.bid, other.bid) if bid is not None), default=None)
    return _Price(min(one.hourly, other.hourly), bid, one.gpu_memory_gib or other.gpu_memory_gib)
