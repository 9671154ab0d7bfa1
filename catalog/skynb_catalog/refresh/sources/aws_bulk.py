"""AWS's price list of EC2, one CSV a region, open to all: on-demand Linux on shared hardware.

The file also holds dedicated hosts, Windows, reservations and software; without all of the filters below its
prices look right and are wrong. It knows no GPU's name, so a new type with an accelerator waits for a source
that does.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import islice
from typing import TYPE_CHECKING

from skynb_catalog.refresh.source import Fetched, Known, Source, amount, machine, micro
from skynb_catalog.refresh.web import MEGABYTE, Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from skynb_catalog.offers import Fact

_HOST = "https://pricing.us-east-1.amazonaws.com"
_INDEX = f"{_HOST}/offers/v1.0/aws/AmazonEC2/current/region_index.json"
_WANTED = {
    "TermType": {"OnDemand"},
    "Tenancy": {"Shared"},
    "Operating System": {"Linux"},
    "CapacityStatus": {"Used"},
    "Pre Installed S/W": {"", "NA"},
    "Unit": {"Hrs"},
    "Currency": {"USD"},
    "MarketOption": {"OnDemand"},
}
_READ = ("Instance Type", "PricePerUnit", "vCPU", "Memory")
_META_LINES = 5
_MEMORY = re.compile(r"([\d.,]+) GiB")
_REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-\d+")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_ACCELERATED = re.compile(r"(p|g|gr|inf|trn|dl|vt|f)\d")


class AwsBulk(Source):
    """See the module."""

    name = "aws-price-list"
    clouds = ("aws",)
    complete = True
    seconds = 1800.0

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        page = web.json(_INDEX)
        regions = page.get("regions") if isinstance(page, dict) else None
        if not isinstance(regions, dict):
            raise WebError("AWS's index of regions has another shape than it had")
        return sorted(name for name in regions if _REGION.fullmatch(name))

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        url = f"{_HOST}/offers/v1.0/aws/AmazonEC2/current/{unit}/index.csv"
        response = web.get(url, marks=fetched.marks, most=2000 * MEGABYTE)
        fetched.marks = response.marks
        with response.body, io.BufferedReader(response.body, MEGABYTE) as body:
            lines = io.TextIOWrapper(body, "utf-8", newline="")
            yield from parse(unit, lines, fetched)


def parse(region: str, lines: Iterable[str], fetched: Fetched) -> Iterator[Fact]:
    """The rows of one region's CSV. Raises WebError, ValueError, csv.Error if it is not that."""
    rows = csv.reader(_whole(lines))
    about = dict(row[:2] for row in islice(rows, _META_LINES) if len(row) > 1)
    published = about.get("Publication Date", "")[:10]
    head = next(rows, [])
    missing = [name for name in (*_WANTED, *_READ) if name not in head]
    if missing:
        raise WebError(f"AWS's price list has no column {', '.join(missing)}: its shape has changed")
    wanted = [(head.index(name), values) for name, values in _WANTED.items()]
    name, price, vcpus, memory = (head.index(column) for column in _READ)
    for row in rows:
        if len(row) != len(head):
            fetched.refuse("a line of another length than the head")
        elif all(row[number] in values for number, values in wanted) and row[name]:
            size = _MEMORY.fullmatch(row[memory])
            hourly = micro(row[price], fetched)
            if hourly is None:
                continue
            unsure = _ACCELERATED.match(row[name]) or not size
            yield machine(
                "aws",
                row[name],
                region=region,
                vcpus=None if unsure else amount(row[vcpus]),
                memory_gib=amount(size[1].replace(",", "")) if size and not unsure else None,
                hourly_micro=hourly,
                as_of=published if _DAY.fullmatch(published) else None,
                source="AWS price list",
            )


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """The lines, the last of which must have its end."""
    last = "\n"
    for last in lines:
        yield last
    if not last.endswith("\n"):
        raise WebError("AWS's price list ends in the middle of a line", passing=True)
