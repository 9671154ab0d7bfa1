"""gpuhunt's published catalogs: a version page and a zip with one CSV for each of nine providers.

On-demand and spot are separate items, joined later. Its lists are filtered by what dstack wants, so they are
never complete. Items that are no single machine at its plain price (capacity reservations, clusters,
duplicates for old clients) carry a flag; a flag that is not known is refused, for it could be another such.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
import zipfile
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb_catalog.refresh.source import Fetched, Known, Source, accelerator, amount, machine, micro
from skynb_catalog.refresh.web import MEGABYTE, UnchangedError, Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from skynb_catalog.offers import Fact

_BASE = "https://dstack-gpu-pricing.s3.eu-west-1.amazonaws.com/v3"
_PROVIDERS = {
    "aws": "aws",
    "azure": "azure",
    "cloudrift": "cloudrift",
    "gcp": "gcp",
    "lambda": "lambdalabs",
    "nebius": "nebius",
    "oci": "oci",
    "runpod": "runpod",
    "verda": "verda",
}
_PLAIN = {"gcp-a4", "gcp-g4", "lambda-arm", "oci-spot", "runpod-cpu"}
_OTHERS = {"gcp-dws-calendar-mode", "gcp-g4-preview", "runpod-cluster"}
_COLUMNS = {
    "instance_name",
    "location",
    "price",
    "cpu",
    "memory",
    "gpu_count",
    "gpu_name",
    "gpu_memory",
    "spot",
}
_VERSION = re.compile(r"(\d{4})(\d\d)(\d\d)-\d{1,9}")
_ZONE = re.compile(r"([a-z]+-[a-z]+\d+)-[a-z]")
_MOST_CSV = 300 * MEGABYTE
_ARCH = {"x86": "x86_64", "arm": "arm64"}
_LAMBDA_GB = 1.074  # its GiB are written down as GB


class _Item(NamedTuple):
    """A row of the CSV whose words are understood."""

    cloud: str
    name: str
    region: str | None
    zone: str | None
    gpu: str | None
    cards: float | None
    gpu_memory: float | None


class Gpuhunt(Source):
    """See the module."""

    name = "gpuhunt"
    clouds = tuple(_PROVIDERS)
    seconds = 300.0

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        return [cloud for cloud in self.clouds if cloud in clouds]

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        provider = _PROVIDERS[unit]
        version = web.text(f"{_BASE}/{provider}/version")
        found = _VERSION.fullmatch(version)
        if found is None:
            raise WebError(f"gpuhunt names no version of {provider} that can be read")
        if fetched.marks.get("version") == version:
            raise UnchangedError
        fetched.marks = {"version": version}
        try:
            as_of = date(*map(int, found.groups())).isoformat()
        except ValueError as error:
            raise WebError(f"gpuhunt names no version of {provider} that can be read") from error
        with tempfile.TemporaryFile() as file:
            with web.get(f"{_BASE}/{provider}/{version}/catalog.zip").body as body:
                shutil.copyfileobj(body, file)
            for fact in parse(unit, _lines(file, f"{provider}.csv"), fetched):
                spot = as_of if fact.spot_hourly_micro is not None else None
                day = as_of if fact.hourly_micro is not None else None
                yield fact._replace(as_of=day, spot_as_of=spot, source=f"gpuhunt {version}")


def _lines(file: Any, member: str) -> Iterator[str]:
    """The lines of one member, whatever else the archive holds; it is never unpacked to disk."""
    try:
        with zipfile.ZipFile(file) as archive:
            size = archive.getinfo(member).file_size
            if size > _MOST_CSV:
                raise WebError(f"gpuhunt's {member} would unpack to {size / MEGABYTE:.0f} MB")
            with archive.open(member) as packed, io.TextIOWrapper(packed, "utf-8", newline="") as lines:
                yield from lines
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError) as error:
        raise WebError(f"gpuhunt's archive of {member} is damaged", why=str(error)[:100]) from error


def parse(cloud: str, lines: Iterable[str], fetched: Fetched) -> Iterator[Fact]:
    """The rows of one provider's CSV, on-demand and spot apart. Raises WebError, ValueError, csv.Error."""
    reader = csv.DictReader(lines)
    missing = _COLUMNS - set(reader.fieldnames or ())
    if missing:
        raise WebError(f"gpuhunt's {cloud} has no column {', '.join(sorted(missing))}: its shape has changed")
    for row in reader:
        flags = set((row.get("flags") or "").split())
        for flag in flags - _PLAIN - _OTHERS:
            fetched.refuse(f"flag {flag[:40]!r} is not known")
        item = _item(cloud, row, fetched) if flags <= _PLAIN else None
        price = micro(row["price"], fetched) if item else None
        if item is None or price is None:
            continue
        spot = {"true": True, "false": False}.get((row["spot"] or "").lower())
        if spot is None:
            fetched.refuse("neither spot nor on-demand")
            continue
        memory = amount(row["memory"])
        yield machine(
            cloud,
            item.name,
            region=item.region,
            zone=item.zone,
            vcpus=amount(row["cpu"]),
            memory_gib=memory / _LAMBDA_GB if memory and cloud == "lambda" else memory,
            accelerator=item.gpu,
            accelerator_count=item.cards,
            accelerator_memory_gib=item.gpu_memory,
            arch=_ARCH.get(row.get("cpu_arch") or "x86"),
            **{"spot_hourly_micro" if spot else "hourly_micro": price},
        )


def _item(cloud: str, row: dict[str, str], fetched: Fetched) -> _Item | None:
    name, location = (row["instance_name"] or "").strip(), (row["location"] or "").strip()
    count, memory = amount(row["gpu_count"]), amount(row["gpu_memory"])
    if not name or len(name) > 100 or len(location) > 60:
        fetched.refuse("a row without a name")
        return None
    gpu = None
    if count:
        tpu = row.get("gpu_vendor") == "google" and not row["gpu_name"].startswith("tpu-")
        gpu = accelerator(f"tpu-{row['gpu_name']}" if tpu else row["gpu_name"] or "", memory, fetched)
        if gpu is None:
            return None
    zone = _ZONE.fullmatch(location) if cloud == "gcp" else None
    return _Item(
        cloud=cloud,
        name=_name(cloud, name, location, gpu, count, row),
        region=(zone[1] if zone else location) or None,
        zone=location if zone else None,
        gpu=gpu,
        cards=count,
        gpu_memory=memory if gpu else None,
    )


def _name(
    cloud: str, name: str, location: str, gpu: str | None, count: float | None, row: dict[str, str]
) -> str:
    """The catalog's name of a machine, where its cloud's own name says too little."""
    if cloud == "gcp" and gpu and name.startswith("n1-"):
        return f"{name}+{count:g}x{gpu}"
    if cloud == "gcp" and gpu and gpu.startswith("tpu-"):
        return gpu
    if cloud == "nebius":
        return name.replace(" ", "_")
    if cloud == "oci" and name.endswith(".Flex"):
        return f"{name}$_{amount(row['cpu']) or 0:g}_{amount(row['memory']) or 0:g}"
    if cloud == "runpod" and gpu:  # a data centre is the secure cloud, a country the community's
        return f"{count:g}x_{gpu}_{'SECURE' if '-' in location else 'COMMUNITY'}"
    return name
