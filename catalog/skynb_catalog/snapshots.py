"""The shipped snapshot: one compressed file of integer columns, and a small page that says what is in it.

`pack` orders the rows as the database will keep them, so that loading them is one append. Names are numbered
in sorted order; comparing numbers is comparing names. Equal facts give equal bytes.
"""

from __future__ import annotations

import json
import lzma
import sys
from array import array
from hashlib import sha256
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb_catalog.errors import CatalogError
from skynb_catalog.offers import Stamp, day_number
from skynb_catalog.sanity import REASONS, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skynb_catalog.offers import Fact

FORMAT = 1
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
    columns: dict[str, Sequence[int]]


def pack(facts: Sequence[Fact]) -> bytes:
    """The snapshot's bytes. Raises CatalogError on two rows for one (cloud, region, zone, instance type)."""
    tables, rows = _number(facts)
    if len({row[2:5] for row in rows}) != len(rows):
        raise CatalogError("two rows describe the same machine in the same place")
    head = json.dumps({"format": FORMAT, "rows": len(rows), "tables": tables}, separators=(",", ":"))
    columns = zip(*rows, strict=True) if rows else [()] * len(_COLUMNS)
    body = b"".join(_encode(name, values) for name, values in zip(_COLUMNS, columns, strict=True))
    return lzma.compress(head.encode() + b"\n" + body, preset=9 | lzma.PRESET_EXTREME)


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
    columns: dict[str, Sequence[int]] = {}
    start = 0
    for name in _COLUMNS:
        columns[name], start = _decode(name, body, start, page["rows"])
    return Snapshot(page["tables"], columns)


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


def _decode(name: str, body: bytes, start: int, rows: int) -> tuple[list[int], int]:
    deltas = array("q" if name in _WIDE else "i")
    end = start + rows * deltas.itemsize
    deltas.frombytes(body[start:end])
    if sys.byteorder == "big":
        deltas.byteswap()
    return list(accumulate(deltas)), end


def _milli(value: float | None) -> int:
    return round(value * 1000) if value is not None else 0


def _mib(gib: float | None) -> int:
    return round(gib * 1024) if gib is not None else 0


def _shape(fact: Fact) -> tuple[str, int, int, int, str, str]:
    """What makes two machines alike for a query: everything about them but their name, place and price."""
    return (
        fact.accelerator or "",
        _milli(fact.accelerator_count),
        _milli(fact.vcpus),
        _mib(fact.memory_gib),
        fact.arch or "",
        fact.cloud,
    )


def _numbers(values: Iterable[Any]) -> dict[Any, int]:
    return {value: number for number, value in enumerate(sorted(set(values)))}


def _number(facts: Sequence[Fact]) -> tuple[dict[str, list[list[Any]]], list[tuple[int, ...]]]:
    clouds = _numbers(fact.cloud for fact in facts)
    regions = _numbers((fact.cloud, fact.region or "") for fact in facts)
    zones = _numbers((fact.cloud, fact.region or "", fact.zone or "") for fact in facts)
    accelerators = _numbers(["", *(fact.accelerator or "" for fact in facts)])
    shapes = _numbers(_shape(fact) for fact in facts)
    types = _numbers(
        (fact.cloud, fact.instance_type, shapes[_shape(fact)], _mib(fact.accelerator_memory_gib))
        for fact in facts
    )
    sources = _numbers(fact.source for fact in facts)
    tables = {
        "cloud": [[name] for name in clouds],
        "region": [[clouds[cloud], name] for cloud, name in regions],
        "zone": [[name] for _, _, name in zones],
        "accelerator": [[name] for name in accelerators],
        "shape": [[accelerators[s[0]], *s[1:5], clouds[s[5]]] for s in shapes],
        "type": [[clouds[cloud], *rest] for cloud, *rest in types],
        "source": [[text] for text in sources],
    }
    rows = [
        (
            shapes[_shape(fact)],
            NONE if fact.hourly_micro is None else fact.hourly_micro,
            regions[fact.cloud, fact.region or ""],
            zones[fact.cloud, fact.region or "", fact.zone or ""],
            types[fact.cloud, fact.instance_type, shapes[_shape(fact)], _mib(fact.accelerator_memory_gib)],
            NONE if fact.spot_hourly_micro is None else fact.spot_hourly_micro,
            day_number(fact.as_of),
            day_number(fact.spot_as_of),
            sources[fact.source],
            CONFIDENCES.index(fact.confidence),
            0 if reason is None else 1 + REASONS.index(reason),
        )
        for fact, reason in zip(facts, verdicts(facts), strict=True)
    ]
    return tables, sorted(rows)
