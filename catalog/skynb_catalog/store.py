"""The catalog that others hold: opens the database, answers queries, mends a corrupt file."""

from __future__ import annotations

import sqlite3
from _thread import RLock  # that of threading, which costs a first plan a millisecond
from typing import TYPE_CHECKING, TypeVar

from skynb_catalog import cache, editions, search
from skynb_catalog.errors import CatalogError
from skynb_catalog.offers import day

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skynb_catalog.offers import Listing, Offer, Query, Stamp
    from skynb_catalog.refusals import Refusal

T = TypeVar("T")

# What damaged rows make of a question where SQLite itself notices nothing.
_NONSENSE = (TypeError, ValueError, LookupError, ArithmeticError)


class Catalog:
    """A snapshot of offers. Read-only; one object may serve several threads."""

    def __init__(self, db: sqlite3.Connection, stamp: Stamp, *, shipped: bool = False) -> None:
        """Hold an open database; `open()` is for everybody but tests and the refresh."""
        self._db = db
        self._lock = RLock()
        self._shipped = shipped
        self.stamp = stamp

    @classmethod
    def open(cls) -> Catalog:
        """The catalog in force, unpacked into the user's cache at first use. Raises CatalogError."""
        return cls(*editions.connect(), shipped=True)

    def offers(self, query: Query) -> list[Offer]:
        """What fits, cheapest first; equal prices by cloud, region, zone, instance type (none first).

        Rows without price, list prices and refused prices are never among them. Raises CatalogError.
        """
        return self._ask(lambda db: search.offers(db, query))

    def count(self, query: Query) -> dict[str, int]:
        """How many offers fit, per cloud that has any, whatever the query's limit. Raises CatalogError."""
        return self._ask(lambda db: search.count(db, query))

    def by_place(self, query: Query, ceiling_micro: int | None = None) -> list[Offer]:
        """The cheapest offer that fits of each (cloud, region, accelerator), cheapest first.

        None is dearer than the ceiling: micro-dollars per hour of the price that ranks. Raises CatalogError.
        """
        from skynb_catalog import places  # a first plan has no use for it

        return self._ask(lambda db: places.by_place(db, query, ceiling_micro))

    def why_not(self, query: Query) -> list[Refusal]:
        """For every row of the catalog that is no candidate the first reason, counted by cloud and reason.

        With the candidates these are all rows, those set aside included. Raises CatalogError.
        """
        from skynb_catalog import refusals  # as above

        return self._ask(lambda db: refusals.why_not(db, query))

    def accelerators(
        self,
        name: str | None = None,
        *,
        all_regions: bool = False,
        clouds: Sequence[str] | None = None,
    ) -> list[Listing]:
        """What can be had of an accelerator (any spelling or memory pattern), or of all.

        One row per (accelerator, count, cloud, instance type) with its cheapest region, or per region too.
        Raises UnknownAcceleratorError, CatalogError.
        """
        from skynb_catalog import listing  # a first plan lists nothing

        return self._ask(lambda db: listing.accelerators(db, name, all_regions=all_regions, clouds=clouds))

    def counts_of(self, accelerators: Sequence[str]) -> dict[str, list[float]]:
        """Per cloud, in which counts it rents these accelerators at a known price, ascending."""
        return self._ask(lambda db: search.counts_of(db, accelerators))

    def clouds(self) -> list[str]:
        """Every cloud the catalog knows, sorted, including those with list prices only."""
        return list(self.newest())

    def newest(self) -> dict[str, tuple[str | None, str | None]]:
        """By cloud, the ISO dates of its newest on-demand and spot prices; None without any date."""
        sql = "SELECT name, as_of, spot_as_of FROM cloud ORDER BY id"
        return self._ask(lambda db: {name: (day(price), day(spot)) for name, price, spot in db.execute(sql)})

    def regions(self, cloud: str) -> list[str]:
        """The regions of a cloud, sorted."""
        return self._ask(lambda db: search.regions(db, cloud))

    def instance_types(self, cloud: str | None = None) -> list[str]:
        """Names of the instance types that may be rented, of one cloud or of all, sorted."""
        return self._ask(lambda db: search.instance_types(db, cloud))

    def set_aside(self, reason: str | None = None) -> list[tuple[str, str | None, str, str]]:
        """(cloud, region, instance type, reason) of the rows that are never chosen."""
        from skynb_catalog import listing  # as above

        return self._ask(lambda db: listing.set_aside(db, reason))

    def __del__(self) -> None:
        self._db.close()  # who held it last may not know that it was opened for them

    def close(self) -> None:
        """Let go of the database file."""
        with self._lock:
            self._db.close()

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return question(self._db)
            except sqlite3.DatabaseError as error:
                if not self._shipped or isinstance(error, sqlite3.ProgrammingError):
                    raise CatalogError("the catalog cannot be read", why=str(error)) from error
            except _NONSENSE:
                if not self._shipped:
                    raise
            # Pages damaged behind the header show only now; the snapshot is at hand, so mend it once.
            self._db.close()
            cache.discard(self.stamp)
            self._db, self.stamp = editions.connect()
            try:
                return question(self._db)
            except sqlite3.DatabaseError as error:
                raise CatalogError("the catalog cannot be read", why=str(error)) from error
