"""What comes in from outside, made plain: dict, list, set, str, int, float, bool, None and secrets.

Everything behind this door may rely on finite numbers, small integers, encodable text, a bounded
depth and no cycles, whether a YAML file or a Python caller made the value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from skynb.spec.checks import MAX_DEPTH, MAX_INT, MAX_NODES, below, fail, show


class SpecValue:
    """A parsed value that knows how YAML spells it."""

    __slots__ = ()

    def to_plain(self) -> Any:
        """The value as YAML holds it, secrets still wrapped; parsing it gives an equal value."""
        raise NotImplementedError


class Sealed:
    """The one kind of object that passes through `plain` as it is: a secret."""

    __slots__ = ()

    def to_yaml(self) -> str | None:
        """What may be written where the value stood."""
        raise NotImplementedError


def plain(value: Any, where: str = "") -> Any:
    """A deep copy of `value` in plain types; SpecError for anything that YAML and JSON cannot carry."""
    return _plain(value, where, MAX_DEPTH, iter(range(MAX_NODES)))


def _plain(value: Any, where: str, depth: int, budget: Iterator[int]) -> Any:
    if depth == 0:
        fail(where[:60], "it is nested too deeply", mend="Check for a value that contains itself")
    if next(budget, None) is None:
        fail(where, "it is too large", mend="Check for aliases that repeat each other")
    if isinstance(value, SpecValue):
        value = value.to_plain()
    if value is None or isinstance(value, (bool, Sealed)):
        return value
    if isinstance(value, Mapping):
        return _plain_mapping(value, where, depth, budget)
    if isinstance(value, (list, tuple)):
        return [_plain(item, below(where, index), depth - 1, budget) for index, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return frozenset(_scalar(_unwrapped(item), where) for item in value)
    return _scalar(value, where)


def _plain_mapping(value: Mapping[Any, Any], where: str, depth: int, budget: Iterator[int]) -> dict[Any, Any]:
    result = {}
    for key, item in value.items():
        if isinstance(key, (tuple, frozenset)):
            fail(where, f"a key is text or a number, not {show(key)}")
        name = None if key is None else _scalar(_unwrapped(key), where)
        result[name] = _plain(item, below(where, name), depth - 1, budget)
    return result


def _unwrapped(value: Any) -> Any:
    return value.to_plain() if isinstance(value, SpecValue) else value


def _scalar(value: Any, where: str) -> str | int | float | bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            fail(where, "the number is too large", mend="Quote it if it is meant as text")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            fail(where, "the number is not finite", mend="Quote it if it is meant as text")
        return float(value)
    return fail(
        where,
        f"a spec cannot hold {show(value)}",
        mend="Use text, numbers, true or false, lists and mappings",
    )


def _text(value: str, where: str) -> str:
    copy = "".join(value)  # a subclass becomes plain text
    if "\0" in copy or not _encodable(copy):
        fail(
            where, "the text has characters that no file or shell can carry", why="a NUL or half a character"
        )
    return copy


def _encodable(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
