"""Scopes in the catalog's own numbers, as conditions of SQL: what `within` admits and `without` leaves out.

A scope that names words nobody has is nothing: within it no offer lies, without it none is left out.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb_catalog.shapes import Clause, marks

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from skynb_catalog.offers import Query, Scope
    from skynb_catalog.shapes import Shape

_ALWAYS, _NEVER = "1", "0"
_OF_CLOUD = " AND cloud IN (SELECT id FROM cloud WHERE name = ?)"
_SPECIAL = re.compile(r"[*?\[]")


class Part(NamedTuple):
    """A scope by ids; None leaves a word open. types: the shape of each type that the pattern matches."""

    clouds: frozenset[int] | None
    accelerators: frozenset[int] | None
    regions: frozenset[int] | None
    zones: frozenset[int] | None
    types: dict[int, int] | None

    @property
    def fine(self) -> bool:
        """Whether it tells offers of one shape and region apart."""
        return self.zones is not None or self.types is not None

    def meets(self, shape: Shape) -> bool:
        """Whether offers of this shape may belong to it, as far as cloud and accelerator say."""
        return (self.clouds is None or shape.cloud_id in self.clouds) and (
            self.accelerators is None or shape.accelerator_id in self.accelerators
        )

    def holds(self, shape: Shape, region: int, zone: int, kind: int) -> bool:
        """Whether an offer belongs to it."""
        return (
            self.meets(shape)
            and (self.regions is None or region in self.regions)
            and (self.zones is None or zone in self.zones)
            and (self.types is None or kind in self.types)
        )


class Parts:
    """Several scopes, and quick to say which of them meet a shape: most name a type, and so a few shapes."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.all = tuple(parts)
        self._open = [part for part in self.all if part.types is None]
        self._typed: dict[int, list[Part]] = {}
        for part in self.all:
            for shape in set((part.types or {}).values()):
                self._typed.setdefault(shape, []).append(part)

    @property
    def shapes(self) -> list[int] | None:
        """The only shapes that they can meet, None for any."""
        return None if self._open else list(self._typed)

    def meeting(self, shape: Shape) -> list[Part]:
        """Those that offers of this shape may belong to."""
        return [part for part in (*self._open, *self._typed.get(shape.id, ())) if part.meets(shape)]


class Bounds(NamedTuple):
    """A query's scopes. within None: anywhere; else the part that is asked, none if there is no such part."""

    within: Parts | None
    without: Parts

    @property
    def regions(self) -> frozenset[int] | None:
        """The only regions that offers can be in, None for any."""
        named = [part.regions for part in self.within.all] if self.within else []
        return named[0] if named else None

    def admits(self, shape: Shape, region: int, zone: int, kind: int) -> bool:
        """Whether an offer is within and without as asked."""
        return (
            self.within is None or any(part.holds(shape, region, zone, kind) for part in self.within.all)
        ) and not any(part.holds(shape, region, zone, kind) for part in self.without.meeting(shape))

    def of(self, shape: Shape) -> list[Clause] | None:
        """What the offers o of this shape must meet; None: none of them can."""
        clauses = []
        if self.within is not None:
            inside = self.within.meeting(shape)
            if not inside:
                return None
            clauses.append(belongs(inside, shape))
        outside = self.without.meeting(shape)
        if outside:
            clause = belongs(outside, shape)
            if clause.sql == _ALWAYS:
                return None
            clauses.append(Clause(f"NOT ({clause.sql})", clause.values))
        return [clause for clause in clauses if clause.sql != _ALWAYS]


def bounds(db: sqlite3.Connection, query: Query) -> Bounds | None:
    """The scopes of a query, None if it has none."""
    if query.within is None and not query.without:
        return None
    within = None if query.within is None else _parts(db, [query.within], spot=query.spot)
    return Bounds(within, _parts(db, query.without, spot=query.spot))


def belongs(parts: Iterable[Part], shape: Shape) -> Clause:
    """That an offer o of a shape belongs to one of these, which meet it."""
    rows: dict[tuple[str, ...], set[tuple[int, ...]]] = {}
    for part in parts:
        words = _words(part, shape)
        if not words:
            return Clause(_ALWAYS)
        rows.setdefault(tuple(words), set()).update(product(*words.values()))
    clauses = [_among(columns, sorted(found)) for columns, found in rows.items()]
    return Clause(
        " OR ".join(clause.sql for clause in clauses) or _NEVER,
        tuple(value for clause in clauses for value in clause.values),
    )


def _words(part: Part, shape: Shape) -> dict[str, Iterable[int]]:
    """The columns that a part names, with their ids. A plus keeps SQLite in the order of price."""
    words: dict[str, Iterable[int] | None] = {
        "+o.region": part.regions,
        "+o.zone": part.zones,
        "+o.type": None
        if part.types is None
        else [kind for kind, its in part.types.items() if its == shape.id],
    }
    return {column: ids for column, ids in words.items() if ids is not None}


def _among(columns: tuple[str, ...], rows: Sequence[tuple[int, ...]]) -> Clause:
    values = tuple(value for row in rows for value in row)
    if len(columns) == 1:
        return Clause(f"{columns[0]} IN ({marks(rows)})", values)
    listed = ", ".join([f"({marks(columns)})"] * len(rows))
    return Clause(f"({', '.join(columns)}) IN (VALUES {listed})" if rows else _NEVER, values)


def _parts(db: sqlite3.Connection, scopes: Iterable[Scope], *, spot: bool) -> Parts:
    asked = [scope for scope in dict.fromkeys(scopes) if scope.spot in {None, spot}]
    found = (_part(db, scope) for scope in asked)
    return Parts(part for part in found if all(ids is None or ids for ids in part))


def _part(db: sqlite3.Connection, scope: Scope) -> Part:
    return Part(
        _ids(db, "cloud", scope.cloud),
        _ids(db, "accelerator", scope.accelerator),
        _ids(db, "region", scope.region, scope.cloud),
        _ids(db, "zone", scope.zone),
        _types(db, scope.instance_type, scope.cloud),
    )


def _ids(
    db: sqlite3.Connection, table: str, name: str | None, cloud: str | None = None
) -> frozenset[int] | None:
    """The ids of a name; of the empty one, which stands for unknown, none."""
    if name is None:
        return None
    sql, values = f"SELECT id FROM {table} WHERE name = ? AND name <> ''", [name]  # noqa: S608 - our own names
    if cloud is not None:
        sql, values = sql + _OF_CLOUD, [name, cloud]
    return frozenset(number for (number,) in db.execute(sql, values))


def _types(db: sqlite3.Connection, pattern: str | None, cloud: str | None) -> dict[int, int] | None:
    if pattern is None or pattern == "*":
        return None
    special = _SPECIAL.search(pattern)
    sql, values = "SELECT name, id, shape FROM type WHERE name = ?", [pattern]
    if special:
        start = pattern[: special.start()]
        sql = "SELECT name, id, shape FROM type WHERE name >= ? AND name < ? || char(1114111)"
        values = [start, start]
    if cloud is not None:
        sql, values = sql + _OF_CLOUD, [*values, cloud]
    rows: Iterable[Any] = db.execute(sql, values)
    return {kind: shape for name, kind, shape in rows if not special or fnmatchcase(name, pattern)}
