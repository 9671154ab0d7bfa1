"""Accelerators as people ask for them: `A100:8`, `80GB+:2`, `nvidia:80GB`, lists and maps of those."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skynb.spec.checks import below, boolean, fail, filled, number, parsed_number, show
from skynb.spec.plain import SpecValue
from skynb.spec.records import Field, Record
from skynb.spec.values import spelt

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+/()-]*")
_MEMORY = re.compile(r"([0-9]{1,9})\s*([GMT])(?:B|iB)(\+?)", re.IGNORECASE)
_GB_PER_UNIT = {"M": 2**-10, "G": 1, "T": 2**10}
_SHAPE = "Write `NAME`, `NAME:COUNT`, or by memory `80GB+:COUNT`"


@dataclass(frozen=True, slots=True)
class Accelerator(SpecValue):
    """`count` of one kind a node: by `name`, or of any kind by `memory_gb`, perhaps of one `manufacturer`."""

    name: str | None = None
    count: float = 1
    manufacturer: str | None = None
    memory_gb: float | None = None
    memory_at_least: bool = False

    @property
    def kind(self) -> str:
        """The spelling without the count: `A100`, `nvidia:80GB+`."""
        if self.memory_gb is None:
            return self.name or ""
        whole = float(self.memory_gb).is_integer()
        memory = f"{int(self.memory_gb)}GB" if whole else f"{int(self.memory_gb * 1024)}MB"
        maker = f"{self.manufacturer}:" if self.manufacturer else ""
        return f"{maker}{memory}{'+' if self.memory_at_least else ''}"

    @classmethod
    def parse(cls, value: Any, where: str) -> Accelerator:
        """The accelerator that a text spells."""
        if not isinstance(value, str):
            fail(where, f"{show(value)} is not an accelerator", mend=_SHAPE)
        parts = [part.strip() for part in value.split(":")]
        maker = parts.pop(0) if len(parts) > 1 and _MEMORY.fullmatch(parts[1]) else None
        if len(parts) > 2 or (maker is not None and not _NAME.fullmatch(maker)):
            fail(where, f"{show(value)} is not an accelerator", mend=_SHAPE)
        count = _count(parts[1], where) if len(parts) == 2 else 1
        memory = _MEMORY.fullmatch(parts[0])
        if memory:
            gigabytes = int(memory[1]) * _GB_PER_UNIT[memory[2].upper()]
            if not gigabytes:
                fail(where, "an accelerator's memory is above 0", mend=_SHAPE)
            return cls(None, count, maker and maker.lower(), gigabytes, bool(memory[3]))
        if not _NAME.fullmatch(parts[0]):
            fail(where, f"{show(parts[0])} is not the name of an accelerator", mend=_SHAPE)
        return cls(parts[0], count)

    def to_plain(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self.kind}:{spelt(self.count)}"


@dataclass(frozen=True, slots=True)
class Accelerators(SpecValue):
    """The alternatives of one resources item, in order of preference or not."""

    items: tuple[Accelerator, ...]
    ordered: bool = False

    @classmethod
    def parse(cls, value: Any, where: str) -> Accelerators:
        """`A100:8`, a list of those (first is best), or a map or set of them (any)."""
        if isinstance(value, Mapping):
            items = [_entry(kind, count, below(where, kind)) for kind, count in value.items()]
            return cls._of(items, where, ordered=False)
        if isinstance(value, (set, frozenset)):
            items = [Accelerator.parse(item, where) for item in sorted(value, key=str)]
            return cls._of(items, where, ordered=False)
        if isinstance(value, (list, tuple)):
            items = [Accelerator.parse(item, below(where, index)) for index, item in enumerate(value)]
            return cls._of(items, where, ordered=True)
        return cls((Accelerator.parse(value, where),), ordered=False)

    @classmethod
    def _of(cls, items: list[Accelerator], where: str, *, ordered: bool) -> Accelerators:
        if not items:
            fail(where, "no accelerator is named", mend="Leave the field out to ask for none")
        once = tuple(dict.fromkeys(items))
        return cls(once, ordered and len(once) > 1)

    def to_plain(self) -> str | list[str] | dict[str, float | None]:
        if len(self.items) == 1:
            return str(self.items[0])
        if self.ordered:
            return [str(item) for item in self.items]
        if len({item.kind for item in self.items}) < len(self.items):
            return {str(item): None for item in self.items}  # one kind with several counts
        return {item.kind: item.count for item in self.items}


class AcceleratorArgs(Record):
    """How a TPU is set up: `runtime_version`, `tpu_name`, `tpu_vm`, `gcp_queued_resource`."""

    runtime_version = Field(filled)
    tpu_name = Field(filled)
    tpu_vm = Field(boolean)
    gcp_queued_resource = Field(boolean)


def _entry(kind: Any, count: Any, where: str) -> Accelerator:
    accelerator = Accelerator.parse(kind, where)
    if count is None:
        return accelerator
    if str(kind).strip() == str(accelerator):
        fail(
            where, "the count is given twice", mend=f"Write `{accelerator.kind}: {spelt(accelerator.count)}`"
        )
    amount = _count(count, where) if isinstance(count, str) else number(above=0)(count, where)
    return Accelerator.parse(f"{accelerator.kind}:{spelt(amount)}", where)


def _count(spelling: str, where: str) -> float:
    value = parsed_number(spelling)
    if value is None or value <= 0:
        fail(where, f"{show(spelling)} is not a count", mend="Write a number above 0, as in `A100:8`")
    return value
