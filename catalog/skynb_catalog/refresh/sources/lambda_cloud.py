"""Lambda's instance types, with the user's key: sizes, and prices that hold in all of its regions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skynb_catalog.refresh.source import Fetched, Key, Keyed, Known, accelerator, amount, machine, number
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skynb_catalog.offers import Fact

_URL = "https://cloud.lambdalabs.com/api/v1/instance-types"
_DESCRIBED = re.compile(r"(\d+)x (?:Tesla )?(.+?) \((\d+) GB.*")


class Lambda(Keyed):
    """See the module."""

    name = "lambda"
    clouds = ("lambda",)
    seconds = 60.0
    key = Key("LAMBDA_API_KEY", "~/.lambda_cloud/lambda_keys")

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return ["instance-types"]

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        yield from parse(web.json(_URL, headers={"Authorization": f"Bearer {self.secret()}"}), fetched)


def parse(page: Any, fetched: Fetched) -> Iterator[Fact]:
    """A row a type, without a region."""
    types = page.get("data") if isinstance(page, dict) else None
    if not isinstance(types, dict):
        raise WebError("Lambda's page of instance types has another shape than it had")
    for item in types.values():
        kind, specs = item["instance_type"], item["instance_type"]["specs"]
        gpu, count, memory = _gpu(kind, fetched)
        cents = number(kind["price_cents_per_hour"])
        if cents is None or (count and gpu is None):
            continue
        yield machine(
            "lambda",
            str(kind["name"]),
            vcpus=amount(specs["vcpus"]),
            memory_gib=amount(specs["memory_gib"]),
            accelerator=gpu,
            accelerator_count=count,
            accelerator_memory_gib=memory,
            arch="arm64" if gpu and re.match(r"G[HB]\d", gpu) else "x86_64",
            hourly_micro=round(cents * 10_000),
            source="Lambda API",
        )


def _gpu(kind: dict[str, Any], fetched: Fetched) -> tuple[str | None, float | None, float | None]:
    described = _DESCRIBED.fullmatch(str(kind.get("description") or ""))
    if described is None:
        return None, None, None
    memory = amount(described[3])
    return accelerator(described[2], memory, fetched), amount(described[1]), memory
