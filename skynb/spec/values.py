"""Sizes, durations, quantities and ports: how they are written, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from skynb.spec.checks import MAX_INT, Substituted, fail, integer, list_of, parsed_number, show
from skynb.spec.plain import SpecValue

# Powers of 2 in gigabytes; people write kb and ki for the same thing.
_GB_PER_UNIT = {"k": 2**-20, "m": 2**-10, "g": 1, "t": 2**10, "p": 2**20}
_SIZE = re.compile(r"([0-9]{1,18})\s*(?:([kmgtp])[bi])?", re.IGNORECASE)
_SIZED_NUMBER = re.compile(r"(.*?)\s*(?:([kmgtp])[bi])?(\+?)", re.IGNORECASE | re.DOTALL)
_DURATION = re.compile(r"([0-9]{1,12})\s*([smhdw]?)", re.IGNORECASE)
_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Quantity(SpecValue):
    """An amount of vCPUs or GB: exactly `value`, or `at_least` it; `per_cpu` makes it GB per vCPU."""

    value: float
    at_least: bool = False
    per_cpu: bool = False

    def to_plain(self) -> float | str:
        return self.value if not self.at_least and not self.per_cpu else str(self)

    def __str__(self) -> str:
        return f"{spelt(self.value)}{'x' if self.per_cpu else ''}{'+' if self.at_least else ''}"


def spelt(value: float) -> str:
    """A number without a needless `.0`."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def cpus(value: Any, where: str) -> Quantity:
    """`8` or `8+`: vCPUs, above 0, fractions allowed."""
    amount, at_least = _plus(value)
    if amount is None or not 0 < amount <= MAX_INT:
        fail(where, f"{show(value)} is not a number of vCPUs", mend="Write `8`, or `8+` for at least 8")
    return Quantity(amount, at_least)


def memory(value: Any, where: str) -> Quantity:
    """`16`, `16+`, `16gb+` (GB), or `4x` (GB per vCPU); 0 is for Slurm, which the caller checks."""
    text = str(value).strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.lower().endswith("x"):
        amount = parsed_number(text[:-1])
        if amount is not None and amount > 0:
            return Quantity(amount, per_cpu=True)
    if isinstance(text, str):
        spelling, unit, plus = _fullmatch(_SIZED_NUMBER, text)
        amount, at_least = parsed_number(spelling), bool(plus)
        if amount is not None and unit:
            amount *= _GB_PER_UNIT[unit.lower()]
    else:
        amount, at_least = _plus(value)
    if amount is None or not 0 <= amount <= MAX_INT:
        mend = "Write GB as `16`, or `16+` for at least 16; other units as `512MB`, `1TB+`"
        fail(where, f"{show(value)} is not an amount of memory", mend=mend)
    return Quantity(int(amount) if float(amount).is_integer() else amount, at_least)


def size_gb(value: Any, where: str) -> int:
    """`256`, `256GB`, `1TB`, `2048MB`: whole GB, above 0."""
    match = _SIZE.fullmatch(str(value).strip()) if isinstance(value, (str, int)) else None
    if match is None or isinstance(value, bool):
        mend = "Write GB as `256`, or another unit as `512MB`, `1TB`"
        fail(where, f"{show(value)} is not a size", mend=mend)
    amount = int(match[1]) * (_GB_PER_UNIT[match[2].lower()] if match[2] else 1)
    if amount <= 0:
        fail(where, "a size is above 0", mend="Write GB as `256`")
    if amount > MAX_INT:
        fail(where, f"{show(value)} is more than any disk has", mend="Write GB as `256`")
    if amount != int(amount):
        fail(where, f"{show(value)} is not a whole number of GB", mend=f"Write `{max(1, round(amount))}GB`")
    return int(amount)


def minutes(value: Any, where: str) -> int:
    """`10`, `10m`, `2h`, `1d`, `1w`: minutes; without a unit they are minutes."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match and match[2].lower() != "s":
            return int(match[1]) * _SECONDS_PER_UNIT[match[2].lower() or "m"] // 60
    elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return fail(
        where, f"{show(value)} is not a duration", mend="Write minutes as `30`, or `90m`, `2h`, `1d`, `1w`"
    )


def seconds(value: Any, where: str) -> int:
    """`30`, `30s`, `10m`, `2h`, `1d`, `1w`: seconds; without a unit they are seconds."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match:
            return int(match[1]) * _SECONDS_PER_UNIT[match[2].lower() or "s"]
    elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return fail(
        where,
        f"{show(value)} is not a duration",
        mend="Write seconds as `30`, or `90s`, `10m`, `2h`, `1d`, `1w`",
    )


port_number = integer(1, 65535)


def ports(value: Any, where: str) -> tuple[str, ...]:
    """`8080`, `10000-10010` or a list of both; each once, in the order given."""
    if isinstance(value, (list, tuple)):
        return tuple(dict.fromkeys(list_of(port_range)(value, where)))
    return (port_range(value, where),)


def port_range(value: Any, where: str) -> str:
    """`8080` or `10000-10010`, within 1..65535."""
    match = (
        re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", value) if isinstance(value, str) else None
    )
    if isinstance(value, str) and match is None:
        fail(where, f"{show(value)} is not a port", mend="Write `8080` or `10000-10010`")
    if match is None:
        return str(port_number(value, where))
    first, last = (port_number(Substituted(part), where) for part in (match[1], match[2] or match[1]))
    if first > last:
        fail(where, f"{show(value)} ends before it begins", mend=f"Write `{last}-{first}`")
    return str(first) if first == last else f"{first}-{last}"


def _plus(value: Any) -> tuple[float | None, bool]:
    if isinstance(value, str):
        text = value.strip()
        return parsed_number(text.removesuffix("+")), text.endswith("+")
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (value if known else None), False


def _fullmatch(pattern: re.Pattern[str], text: str) -> tuple[str, str | None, str]:
    match = pattern.fullmatch(text)
    assert match is not None  # noqa: S101 - the pattern's first group takes anything
    return match[1], match[2], match[3]
