"""Build the shipped snapshot: python catalog/build_snapshot.py FACTS.csv.gz --collected DATE.

The facts are a CSV with the columns named in `_fact`; nothing of it travels but the figures. Local disks come
from `local_disks.csv` beside this script, by cloud and instance type. The same facts give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from skynb_catalog.accelerators import resolve
from skynb_catalog.offers import Fact
from skynb_catalog.sanity import verdicts
from skynb_catalog.snapshots import STRONGEST, pack, stamp

_HOME = Path(__file__).parent / "skynb_catalog" / "snapshot"
_DISKS = Path(__file__).parent / "local_disks.csv"

Disks: TypeAlias = dict[tuple[str, str], tuple[float, str]]


def read_facts(path: Path) -> list[Fact]:
    """The rows of a facts file, with canonical accelerator names; an unknown one is refused by name."""
    disks = read_disks()
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return [_fact(row, disks) for row in csv.DictReader(lines)]


def read_disks() -> Disks:
    """GiB of all local disks and their kind, by cloud and instance type; what is not here is not known."""
    with _DISKS.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        return {(row["cloud"], row["instance_type"]): (float(row["gib"]), row["kind"]) for row in rows}


def _fact(row: dict[str, str], disks: Disks) -> Fact:
    accelerator = row["accelerator_name"]
    gib, kind = disks.get((row["cloud"], row["instance_type"]), (None, None))
    return Fact(
        cloud=row["cloud"],
        region=row["region"] or None,
        zone=row["zone"] or None,
        instance_type=row["instance_type"],
        vcpus=_number(row["vcpus"]),
        memory_gib=_number(row["memory_gib"]),
        accelerator=resolve(accelerator)[0].name if accelerator else None,
        accelerator_count=_number(row["accelerator_count"]),
        accelerator_memory_gib=_number(row["accelerator_memory_gib"]),
        arch=row["arch"] or None,
        hourly_micro=_micro(row["price_hourly_usd"]),
        spot_hourly_micro=_micro(row["spot_price_hourly_usd"]),
        as_of=row["as_of"] or None,
        spot_as_of=row["spot_as_of"] or None,
        source=row["source"],
        confidence=row["confidence"],
        local_disk_gib=gib,
        local_disk_kind=kind,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _micro(dollars: str) -> int | None:
    return round(Decimal(dollars) * 1_000_000) if dollars else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facts", type=Path)
    parser.add_argument("--collected", help="ISO date of the collection; default: the newest price's date")
    options = parser.parse_args()
    facts = read_facts(options.facts)
    packed = pack(facts, preset=STRONGEST)
    collected = options.collected or max(fact.as_of or "" for fact in facts)
    _HOME.mkdir(exist_ok=True)
    (_HOME / "offers.xz").write_bytes(packed)
    page = stamp(packed, collected, len(facts))
    (_HOME / "stamp.txt").write_text("".join(f"{value}\n" for value in page), encoding="ascii")
    print(f"{len(facts)} rows, {len(packed)} bytes, {page.hash}")  # noqa: T201 - a script's report
    for reason, count in Counter(reason for reason in verdicts(facts) if reason).most_common():
        print(f"{count:>8}  {reason}")  # noqa: T201 - as above


if __name__ == "__main__":
    main()
