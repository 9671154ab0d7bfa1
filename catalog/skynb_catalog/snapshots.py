"""The shipped snapshot: one compressed file of integer columns, and a small page that says what is in it.

`pack` orders the rows as the database will keep them, so that loading them is one append. Names are numbered
in sorted order; comparing numbers is comparing names. Equal facts give equal bytes.
"""

from __future__ import annotations

import json
import lzma
import sys
from array import array
from functools import cache
from hashlib import sha256
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb_catalog.errors import CatalogError
from skynb_catalog.offers import Fact, Stamp, day, day_number
from skynb_catalog.sanity import REASONS, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FORMAT = 2
STRONGEST = 9 | lzma.PRESET_EXTREME  # for the shipped file: a fifth smaller, some ten times slower
CONFIDENCES = ("high", "medium", "low", "spec-only")
NONE = -1  # an unknown price
_COLUMNS = (
    "shape",
    "price",
    "region",
    "zone",
    "type",
    "spot",
    "as_of",
    "spot_as_of",
    "source",
    "confidence",
    "reason",
)
_WIDE = frozenset({"price", "spot"})  # micro-dollars may pass 2**31


class Snapshot(NamedTuple):
    """The tables of names (rows of lists, ids counting from 0) and the columns of all offers."""

    tables: dict[str, list[list[Any]]]
    columns: dict[str, array[int]]


def pack(facts: Sequence[Fact], *, preset: int = 6) -> bytes:
    """The snapshot's bytes. preset: how hard xz tries, from 0 to STRONGEST.

    Raises CatalogError on two rows for one (cloud, region, zone, instance type).
    """
    tables, rows = _number(facts)
    if len({row[2:5] for row in rows}) != len(rows):
        raise CatalogError("two rows describe the same machine in the same place")
    head = json.dumps({"format": FORMAT, "rows": len(rows), "tables": tables}, separators=(",", ":"))
    columns = zip(*rows, strict=True) if rows else [()] * len(_COLUMNS)
    body = b"".join(_encode(name, values) for name, values in zip(_COLUMNS, columns, strict=True))
    return lzma.compress(head.encode() + b"\n" + body, preset=preset)


def unpack(packed: bytes) -> Snapshot:
    """The reverse of `pack`. Raises CatalogError if the bytes are not a snapshot of this format."""
    try:
        head, _, body = lzma.decompress(packed).partition(b"\n")
        page = json.loads(head)
    except (lzma.LZMAError, ValueError) as error:
        raise CatalogError(
            "the catalog's snapshot is damaged", why=str(error), mend="Reinstall skynb"
        ) from error
    if page["format"] != FORMAT:
        raise CatalogError(f"the catalog's snapshot has format {page['format']}, this skynb reads {FORMAT}")
    columns: dict[str, array[int]] = {}
    start = 0
    for name in _COLUMNS:
        columns[name], start = _decode(name, body, start, page["rows"])
    return Snapshot(page["tables"], columns)


def facts(packed: bytes) -> list[Fact]:
    """The rows that `pack` was given, in the snapshot's order.

    Counts and vCPUs come back in whole thousandths, memory and disks in whole MiB. Raises CatalogError as
    `unpack` does.
    """
    return list(_facts(unpack(packed)))


def stamp(packed: bytes, collected: str, rows: int) -> Stamp:
    """What stands beside the packed bytes, for those who need not read them."""
    return Stamp(sha256(packed).hexdigest(), collected, rows)


def _encode(name: str, values: Iterable[int]) -> bytes:
    # Differences of neighbours compress to half: the rows are sorted by shape and price.
    deltas = array("q" if name in _WIDE else "i")
    before = 0
    for value in values:
        deltas.append(value - before)
        before = value
    if sys.byteorder == "big":
        deltas.byteswap()
    return deltas.tobytes()


def _decode(name: str, body: bytes, start: int, rows: int) -> tuple[array[int], int]:
    deltas = array("q" if name in _WIDE else "i")
    end = start + rows * deltas.itemsize
    deltas.frombytes(body[start:end])
    if sys.byteorder == "big":
        deltas.byteswap()
    return array(deltas.typecode, accumulate(deltas)), end


def _facts(snapshot: Snapshot) -> Iterator[Fact]:
    tables, columns = snapshot
    machines = _machines(tables)
    zones = [name or None for (name,) in tables["zone"]]
    regions = [name or None for _, name in tables["region"]]
    for row in zip(*(columns[name] for name in _COLUMNS[1:-1]), strict=True):
        price, region, zone, kind, spot, as_of, spot_as_of, source, confidence = row
        cloud, size, disk = machines[kind]
        place = (cloud, regions[region], zones[zone])
        prices = (None if price == NONE else price, None if spot == NONE else spot)
        dates = (day(as_of), day(spot_as_of))
        known = (tables["source"][source][0], CONFIDENCES[confidence])
        yield Fact._make((*place, *size, *prices, *dates, *known, *disk))


def _machines(tables: dict[str, list[list[Any]]]) -> list[tuple[str, tuple[Any, ...], tuple[Any, ...]]]:
    """By type: its cloud, the columns of a fact from instance_type to arch, and those of its local disk."""
    found = []
    for cloud, name, shape, memory_each in tables["type"]:
        accelerator, count, vcpus, memory, arch, _, disk, disk_kind = tables["shape"][shape]
        size = (
            name,
            vcpus / 1000 or None,
            memory / 1024 or None,
            tables["accelerator"][accelerator][0] or None,
            count / 1000 or None,
            memory_each / 1024 or None,
            arch or None,
        )
        found.append((tables["cloud"][cloud][0], size, (disk / 1024 or None, disk_kind or None)))
    return found


def _milli(value: float | None) -> int:
    return round(value * 1000) if value is not None else 0


def _mib(gib: float | None) -> int:
    return round(gib * 1024) if gib is not None else 0


def _shape(fact: Fact) -> tuple[str, int, int, int, str, str, int, str]:
    """What makes two machines alike for a query: everything about them but their name, place and price."""
    return (
        fact.accelerator or "",
        _milli(fact.accelerator_count),
        _milli(fact.vcpus),
        _mib(fact.memory_gib),
        fact.arch or "",
        fact.cloud,
        _mib(fact.local_disk_gib),
        fact.local_disk_kind or "",
    )


def _numbers(values: Iterable[Any]) -> dict[Any, int]:
    return {value: number for number, value in enumerate(sorted(set(values)))}


def _number(facts: Sequence[Fact]) -> tuple[dict[str, list[list[Any]]], list[tuple[int, ...]]]:
    shape_of = [_shape(fact) for fact in facts]
    clouds = _numbers(fact.cloud for fact in facts)
    regions = _numbers((fact.cloud, fact.region or "") for fact in facts)
    zones = _numbers((fact.cloud, fact.region or "", fact.zone or "") for fact in facts)
    accelerators = _numbers(["", *(fact.accelerator or "" for fact in facts)])
    shapes = _numbers(shape_of)
    type_of = [
        (fact.cloud, fact.instance_type, shapes[shape], _mib(fact.accelerator_memory_gib))
        for fact, shape in zip(facts, shape_of, strict=True)
    ]
    types = _numbers(type_of)
    sources = _numbers(fact.source for fact in facts)
    tables = {
        "cloud": [[name] for name in clouds],
        "region": [[clouds[cloud], name] for cloud, name in regions],
        "zone": [[name] for _, _, name in zones],
        "accelerator": [[name] for name in accelerators],
        "shape": [[accelerators[s[0]], *s[1:5], clouds[s[5]], *s[6:]] for s in shapes],
        "type": [[clouds[cloud], *rest] for cloud, *rest in types],
        "source": [[text] for text in sources],
    }
    days: Callable[[str | None], int] = cache(day_number)
    rows = [
        (
            shapes[shape],
            NONE if fact.hourly_micro is None else fact.hourly_micro,
            regions[fact.cloud, fact.region or ""],
            zones[fact.cloud, fact.region or "", fact.zone or ""],
            types[kind],
            NONE if fact.spot_hourly_micro is None else fact.spot_hourly_micro,
            days(fact.as_of),
            days(fact.spot_as_of),
            sources[fact.source],
            CONFIDENCES.index(fact.confidence),
            0 if reason is None else 1 + REASONS.index(reason),
        )
        for fact, shape, kind, reason in zip(facts, shape_of, type_of, verdicts(facts), strict=True)
    ]
    return tables, sorted(rows)
