"""Objects described by a table of fields.

A class body is the table: each `Field` says how one key is parsed and what its absence means. `Record`
reads, checks, prints, compares and copies by it, so that an object's rules stand in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast, overload

from skynb.spec.checks import Parser, anything, below, fail, listed, mapping, nearest, show
from skynb.spec.plain import Sealed, SpecValue, plain

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
D = TypeVar("D")
R = TypeVar("R", bound="Record")


class Field(Generic[T, D]):
    """One row: the parser, the value when absent, other names for the key, and whether it must be there."""

    @overload
    def __init__(
        self: Field[T, None], parse: Parser[T], *, key: str = "", alias: str = "", required: bool = False
    ) -> None: ...
    @overload
    def __init__(
        self, parse: Parser[T], default: D, *, key: str = "", alias: str = "", required: bool = False
    ) -> None: ...
    def __init__(
        self, parse: Parser[T], default: Any = None, *, key: str = "", alias: str = "", required: bool = False
    ) -> None:
        self.parse = parse
        self.default: D = default
        self.key = key
        self.alias = alias
        self.required = required

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = self.key or name

    @overload
    def __get__(self, record: None, owner: type) -> Field[T, D]: ...
    @overload
    def __get__(self, record: Record, owner: type) -> T | D: ...
    def __get__(self, record: Record | None, owner: type) -> Field[T, D] | T | D:
        return self if record is None else cast("T | D", record.given.get(self.key, self.default))

    def __set__(self, record: Record, value: Any) -> None:
        record._assign(self.key, value)  # noqa: SLF001 - the other half of the descriptor


class _Signature:
    """What a notebook shows for `Resources(` + shift-tab: the fields as keywords."""

    def __get__(self, record: Record | None, owner: type[Record]) -> Any:
        from inspect import Parameter, Signature

        names = [key for key in owner.FIELDS if not key.startswith("_")]
        return Signature([Parameter(key, Parameter.KEYWORD_ONLY, default=None) for key in names])


class Record(SpecValue):
    """A closed object (open where OPEN says so) that cannot be changed, made of fields.

    `given` holds the parsed values of the fields that were written, by key.
    Keywords are the YAML's keys and take what YAML takes, or values already parsed. SpecError names the
    field. Two records are equal when they would print the same.
    """

    __slots__ = ("_extras", "given")
    FIELDS: ClassVar[Mapping[str, Field[Any, Any]]] = {}
    ROOT: ClassVar[str] = ""  # the path of a record that a Python caller makes
    OPEN: ClassVar[bool] = False  # keep unknown keys, for systems that know more than we do
    HINTS: ClassVar[Mapping[str, str]] = {}  # the mend for keys that people put here and belong elsewhere

    __signature__ = _Signature()

    given: dict[str, Any]
    _extras: dict[str, Any]

    def __init_subclass__(cls) -> None:
        own = {row.key: row for row in vars(cls).values() if isinstance(row, Field)}
        cls.FIELDS = MappingProxyType({**cls.FIELDS, **own})

    def __init__(self, **config: Any) -> None:
        given = {key: value for key, value in config.items() if value is not None}
        self._fill(plain(given, self.ROOT), self.ROOT)

    @classmethod
    def parse(cls, value: Any, where: str) -> Self:
        """The record that a plain value spells."""
        record = cls.__new__(cls)
        cls._fill(record, cls._longhand(value, where), where)
        return record

    @classmethod
    def from_yaml_config(cls, config: Any) -> Self:
        """The record that a mapping, as YAML gives it, spells."""
        return cls.parse(plain(config, cls.ROOT), cls.ROOT)

    def to_yaml_config(self) -> dict[str, Any]:
        """The fields that were given, in their canonical spelling; secrets as `<redacted>`."""
        return cast("dict[str, Any]", dump(self.to_plain(), redact=True))

    def to_plain(self) -> dict[str, Any]:
        known = {key: dump(self.given[key]) for key in self.FIELDS if key in self.given}
        return {**known, **{key: dump(value) for key, value in self._extras.items()}}

    def copy(self, **changes: Any) -> Self:
        """The same record with some fields replaced; None leaves a field out."""
        config = {**self.to_plain(), **plain(changes, self.ROOT)}
        return type(self).parse({key: value for key, value in config.items() if value is not None}, self.ROOT)

    def is_given(self, key: str) -> bool:
        """Whether the field was written, even if with its default value."""
        return key in self.given

    @property
    def extras(self) -> Mapping[str, Any]:
        """The keys of an open object that the table does not know."""
        return MappingProxyType(self._extras)

    @classmethod
    def _longhand(cls, value: Any, where: str) -> Any:  # noqa: ARG003 - for those who override it
        return value

    def _check(self, where: str) -> None:
        """Rules between fields; the fields alone are parsed."""

    def _fill(self, value: Any, where: str) -> None:
        values: dict[str, Any] = {}
        extras: dict[str, Any] = {}
        for key, item in mapping(value, where).items():
            row = self._row(key, where)
            if item is None and row is not None:
                continue
            if row is None:
                extras[str(key)] = anything(item, below(where, key))
            elif row.key in values:
                fail(where, f"`{row.key}` is given twice, also as `{row.alias}`", mend=f"Keep `{row.key}`")
            else:
                values[row.key] = row.parse(item, below(where, key))
        self._settle(values, extras)
        missing = [key for key, row in self.FIELDS.items() if row.required and key not in values]
        if missing:
            fail(where, f"{listed(missing, 'and')} must be given")
        self._check(where)

    def _settle(self, values: dict[str, Any], extras: dict[str, Any]) -> None:
        object.__setattr__(self, "given", values)
        object.__setattr__(self, "_extras", extras)

    def _assign(self, key: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make another with .copy({key}=...)")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.FIELDS and not isinstance(getattr(type(self), name, None), property):
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")
        super().__setattr__(name, value)

    @classmethod
    def _row(cls, key: object, where: str) -> Field[Any, Any] | None:
        if not isinstance(key, str):
            fail(where, f"field names are text, not {show(key)}", mend="Quote the key")
        row = cls.FIELDS.get(key)
        if row is not None:
            return row
        aliased = next((row for row in cls.FIELDS.values() if row.alias == key), None)
        if aliased is None and not cls.OPEN:
            names = [name for name in cls.FIELDS if not name.startswith("_")]
            mend = cls.HINTS.get(key) or nearest(key, names, "field")
            fail(below(where, key), f"{show(key)} is not a field here", mend=mend)
        return aliased

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_plain() == other.to_plain()

    def __hash__(self) -> int:
        return hash(_hashable(self.to_yaml_config()))

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value!r}" for key, value in self.to_yaml_config().items())
        return f"{type(self).__name__}({inside})"

    def __copy__(self) -> Self:
        return self  # it cannot change

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.to_plain())


def dump(value: Any, *, redact: bool = False) -> Any:
    """A parsed value in the plain types of YAML and JSON."""
    if isinstance(value, SpecValue):
        value = value.to_plain()
    if isinstance(value, Mapping):
        return {"*" if key is None else key: dump(item, redact=redact) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [dump(item, redact=redact) for item in value]
    if redact and isinstance(value, Sealed):
        return value.to_yaml()
    return value


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value


def _unpickled(cls: type[R], config: dict[str, Any]) -> R:
    return cls.parse(config, cls.ROOT)
