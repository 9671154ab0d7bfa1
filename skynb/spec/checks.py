"""Checks that know the path of what they check, and parsers made from them.

A parser is a function `(value, where) -> parsed`. It raises SpecError, naming `where`, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

from skynb.errors import SpecError

T = TypeVar("T")
K = TypeVar("K")
Parser = Callable[[Any, str], T]

MAX_DEPTH = 64  # the deepest real specs (pod_config) reach about 15
MAX_NODES = 200_000  # what aliases may unfold to
MAX_INT = 2**63 - 1

_PLAIN_KEY = re.compile(r"[\w$./~:@+*{}-]{1,80}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


class Substituted(str):
    """Text that a variable was put into; number and boolean fields read it as well."""

    __slots__ = ()


def fail(where: str, what: str, *, why: str | None = None, mend: str | None = None) -> NoReturn:
    """Raise the SpecError of the field at `where`."""
    raise SpecError(what, why=why, mend=mend, where=where or None)


def below(where: str, key: object) -> str:
    """The path of `key` inside `where`: `a.b`, `a[1]`."""
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{where}[{key}]"
    if not isinstance(key, str) or not _PLAIN_KEY.fullmatch(key):
        return f"{where}[{show(key)}]"
    return f"{where}.{key}" if where else key


def show(value: object) -> str:
    """A value as a message may quote it: short, on one line, containers by their kind."""
    if isinstance(value, str):
        text = value if len(value) <= 60 else value[:57] + "..."
        return f"`{text}`" if text.isprintable() and text else repr(text)
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) <= MAX_INT else "a huge number"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, (set, frozenset)):
        return "a set"
    return f"a {type(value).__name__}"


def listed(words: Iterable[str], last: str = "or") -> str:
    """`a`, `b` or `c`."""
    quoted = [f"`{word}`" for word in words]
    return f" {last} ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))


def nearest(word: object, known: Iterable[str], kind: str) -> str:
    """The mend for an unknown word: the closest valid spelling, or all of them."""
    import difflib

    spellings = list(known)
    folded = {spelling.casefold(): spelling for spelling in spellings}
    close = difflib.get_close_matches(str(word).casefold()[:100], list(folded), n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{folded[close[0]]}`?"
    if not spellings:
        return f"No {kind} is valid here"
    return f"Valid {kind}s: {listed(spellings, 'and')}"


def text(value: Any, where: str) -> str:
    """Text, empty or not."""
    if not isinstance(value, str):
        mend = f"Quote it: '{value}'" if _is_number(value) or isinstance(value, bool) else None
        fail(where, f"text is expected, not {show(value)}", mend=mend)
    return str(value)


def filled(value: Any, where: str) -> str:
    """Text of at least one character that is not a blank."""
    if not text(value, where).strip():
        fail(where, "it is empty", mend="Write a value, or leave the field out")
    return str(value)


def boolean(value: Any, where: str) -> bool:
    """True or false."""
    if isinstance(value, Substituted) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        spelt = isinstance(value, str) and value.lower() in {"true", "false", "yes", "no", "on", "off"}
        mend = "Write it without quotes" if spelt else "Write `true` or `false`"
        fail(where, f"true or false is expected, not {show(value)}", mend=mend)
    return value


def integer(least: int | None = None, most: int | None = None) -> Parser[int]:
    """A whole number within bounds, both included."""
    expected = "a whole number" + _bounds(least, most)

    def parse(value: Any, where: str) -> int:
        if isinstance(value, Substituted) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            value = int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INT:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not _within(value, least, most):
            fail(where, f"{expected} is expected, not {show(value)}", mend=_unquote(value))
        return value

    return parse


def number(least: float | None = None, *, above: float | None = None) -> Parser[float]:
    """A finite number; `least` is allowed itself, `above` is not. Whole numbers stay whole."""
    expected = "a number" + (f" above {above:g}" if above is not None else _bounds(least, None))

    def parse(value: Any, where: str) -> float:
        if isinstance(value, Substituted):
            value = parsed_number(value) if parsed_number(value) is not None else value
        if not _is_number(value) or not _within(value, least, None) or (above is not None and value <= above):
            fail(where, f"{expected} is expected, not {show(value)}", mend=_unquote(value))
        return value  # type: ignore[no-any-return]

    return parse


def choice(*words: str) -> Parser[str]:
    """One of some words, in any case; the spelling given here is the one kept."""
    spelt = {word.casefold(): word for word in words}

    def parse(value: Any, where: str) -> str:
        word = spelt.get(value.strip().casefold()) if isinstance(value, str) else None
        if word is None:
            fail(where, f"{show(value)} is not one of {listed(words)}", mend=nearest(value, words, "value"))
        return word

    return parse


def matching(pattern: str, expected: str, *, mend: str | None = None) -> Parser[str]:
    """Text that fits a regular expression as a whole."""
    compiled = re.compile(pattern)

    def parse(value: Any, where: str) -> str:
        if not compiled.fullmatch(text(value, where)):
            fail(where, f"{show(value)} is not {expected}", mend=mend)
        return str(value)

    return parse


def list_of(parse_item: Parser[T], *, least: int = 0, most: int | None = None) -> Parser[tuple[T, ...]]:
    """A list whose items are parsed one by one."""

    def parse(value: Any, where: str) -> tuple[T, ...]:
        if not isinstance(value, (list, tuple)):
            fail(where, f"a list is expected, not {show(value)}", mend=f"Write one as: [{_word(value)}]")
        if not _within(len(value), least, most):
            fail(where, f"a list{_bounds(least, most)} items is expected, not of {len(value)}")
        return tuple(parse_item(item, below(where, index)) for index, item in enumerate(value))

    return parse


def map_of(parse_key: Parser[K], parse_value: Parser[T]) -> Parser[Mapping[K, T]]:
    """A mapping whose keys and values are parsed one by one; the result cannot be changed."""

    def parse(value: Any, where: str) -> Mapping[K, T]:
        entries = mapping(value, where)
        return MappingProxyType(
            {
                parse_key(key, below(where, key)): parse_value(item, below(where, key))
                for key, item in entries.items()
            }
        )

    return parse


def either(first: type | tuple[type, ...], then: Parser[T], otherwise: Parser[K]) -> Parser[T | K]:
    """`then` for values of the types `first`, `otherwise` for all others."""

    def parse(value: Any, where: str) -> T | K:
        return then(value, where) if isinstance(value, first) else otherwise(value, where)

    return parse


def mapping(value: Any, where: str) -> Mapping[Any, Any]:
    """A mapping with any keys."""
    if not isinstance(value, Mapping):
        fail(where, f"a mapping is expected, not {show(value)}", mend="Write it as `name: value` lines")
    return value


def anything(value: Any, where: str) -> Any:
    """Any value that JSON can carry, frozen: for the open parts that only another system understands."""
    if isinstance(value, Mapping):
        return map_of(_key, anything)(value, where)
    if isinstance(value, (list, tuple)):
        return list_of(anything)(value, where)
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, (int, float)):
        return value
    fail(
        where, f"{show(value)} cannot stand here", mend="Use text, numbers, true or false, lists and mappings"
    )


def open_mapping(value: Any, where: str) -> Mapping[str, Any]:
    """A mapping from text to any plain values, frozen."""
    return map_of(_key, anything)(value, where)


def parsed_number(spelling: str) -> float | None:
    """The finite number that a text spells, whole where it can be; None when it spells none."""
    spelling = spelling.strip()
    if len(spelling) > 40 or not _NUMBER.fullmatch(spelling):
        return None
    value = float(spelling)
    if abs(value) > MAX_INT:
        return None
    return int(value) if value.is_integer() else value


def _key(value: Any, where: str) -> str:
    if not isinstance(value, str):
        fail(where, f"a key is text, not {show(value)}", mend="Quote it")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _within(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _bounds(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least:g} to {most:g}"
    if least is not None:
        return f" of at least {least:g}"
    return "" if most is None else f" of at most {most:g}"


def _unquote(value: object) -> str | None:
    return "Write it without quotes" if isinstance(value, str) and parsed_number(value) is not None else None


def _word(value: object) -> str:
    return value if isinstance(value, str) and len(value) < 40 and value.isprintable() else "..."
