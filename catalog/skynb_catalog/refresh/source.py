"""What a source of prices is, and what its parsers need: numbers, names, and a tally of what they refuse."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from skynb_catalog.accelerators import resolve
from skynb_catalog.errors import UnknownAcceleratorError
from skynb_catalog.offers import Fact
from skynb_catalog.sanity import LEAST_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from skynb_catalog.refresh.web import Web

HIGHEST_MICRO = 10**15  # beyond any price; what is higher is written down as this, and set aside
_LARGER = {"A100": "A100-80GB", "V100": "V100-32GB"}


class Key(NamedTuple):
    """A secret of the user: a variable that holds it, or a file with it alone or as `name = value`."""

    variable: str
    file: str | None = None

    def read(self) -> str | None:
        """The secret; None where there is none."""
        found = os.environ.get(self.variable, "").strip()
        if found or self.file is None:
            return found or None
        try:
            lines = Path(self.file).expanduser().read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError, RuntimeError):
            return None
        words = (line.rpartition("=")[2].strip() for line in lines)
        return next((word for word in words if word), None)

    def wanted(self) -> str:
        """How to give it."""
        return f"set {self.variable}" + (f", or write the key to {self.file}" if self.file else "")


class Known(NamedTuple):
    """What the edition in force knows, by cloud."""

    rows: Mapping[str, Sequence[Fact]]

    def regions(self, cloud: str) -> frozenset[str]:
        """The regions of a cloud."""
        return frozenset(fact.region for fact in self.rows.get(cloud, ()) if fact.region)


class Fetched:
    """What comes of a unit besides its rows: validators for next time, what was refused and why."""

    def __init__(self, marks: Mapping[str, str] | None = None) -> None:
        self.marks = dict(marks or {})
        self.refused: Counter[str] = Counter()

    def refuse(self, reason: str) -> None:
        """Count a row that cannot be used."""
        self.refused[reason[:120]] += 1


class Source(ABC):
    """One place that publishes prices. A subclass says what it covers and yields facts, a unit at a time.

    clouds: what it covers. complete: a unit lists everything that there is in the places that it names, so
    older priced rows there that it lacks are gone. least_share: of the rows that it gave the last time; fewer
    are taken for a broken answer. seconds: for all units together. needs: what is missing before it can be
    used, else None. Prices of a later source in SOURCES replace those of an earlier one.
    """

    name: ClassVar[str]
    clouds: ClassVar[tuple[str, ...]]
    complete: ClassVar[bool] = False
    least_share: ClassVar[float] = LEAST_SHARE
    seconds: ClassVar[float] = 300.0
    parser: ClassVar[int] = 1  # raised when the same answer gives other rows

    def needs(self) -> str | None:
        """What the user must set before this source can be used."""
        return None

    @abstractmethod
    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        """What can be fetched by itself, for these clouds."""

    @abstractmethod
    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        """The rows of a unit. as_of None: as of today. Raises UnchangedError by `fetched.marks`, WebError.

        known: for sources that price parts of machines and know no machine.
        """


class Keyed(Source):
    """A source that asks for a key."""

    key: ClassVar[Key]

    def needs(self) -> str | None:
        """The variable and file that may hold the key."""
        return None if self.key.read() else self.key.wanted()

    def secret(self) -> str:
        """The key; `needs` has been asked before."""
        return self.key.read() or ""


def machine(cloud: str, instance_type: str, **known: object) -> Fact:
    """A row; what is not said is not known."""
    unknown = Fact(
        cloud=cloud,
        region=None,
        zone=None,
        instance_type=instance_type,
        vcpus=None,
        memory_gib=None,
        accelerator=None,
        accelerator_count=None,
        accelerator_memory_gib=None,
        arch=None,
        hourly_micro=None,
        spot_hourly_micro=None,
        as_of=None,
        spot_as_of=None,
        source="",
        confidence="high",
    )
    return unknown._replace(**known)  # type: ignore[arg-type]


def number(value: object) -> Decimal | None:
    """A finite number, however it is written; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    return found if found.is_finite() else None


def amount(value: object) -> float | None:
    """A plausible number of vCPUs, GiB or cards; None for anything else, zero included."""
    found = number(value)
    return float(found) if found is not None and 0 < found < 10**6 else None


def micro(dollars: object, fetched: Fetched) -> int | None:
    """Dollars an hour in micro-dollars; None, counted, for what is no number."""
    found = number(dollars)
    if found is None:
        fetched.refuse("a price is no number")
        return None
    bounded = max(min(found, Decimal(HIGHEST_MICRO)), -Decimal(HIGHEST_MICRO))
    return min(round(bounded * 1_000_000), HIGHEST_MICRO)


def accelerator(name: str, memory_gib: float | None, fetched: Fetched) -> str | None:
    """The canonical name; None, counted by name, for one that nobody knows. Memory tells two sizes apart."""
    try:
        found = resolve(name)
    except UnknownAcceleratorError:
        found = ()
    if len(found) != 1:  # a memory pattern is no name
        fetched.refuse(f"accelerator {name[:40]!r} is not known")
        return None
    larger = _LARGER.get(found[0].name)
    return larger if larger and memory_gib and memory_gib > found[0].memory_gib * 1.2 else found[0].name
