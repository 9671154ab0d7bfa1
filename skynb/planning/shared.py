"""The process's one open catalog, as long as its edition is in force."""

from __future__ import annotations

from skynb_catalog import Catalog, CatalogError, editions


class _Shared:
    """What is open, and the mark of the edition that was in force when it was opened."""

    def __init__(self) -> None:
        self._catalog: Catalog | None = None
        self._mark: editions.Mark | None = None

    def get(self) -> Catalog:
        mark = editions.mark()
        if self._catalog is None or mark != self._mark:
            self._catalog = self._in_force(self._catalog)
            self._mark = mark  # of before the opening: what came meanwhile is noticed the next time
        return self._catalog

    @staticmethod
    def _in_force(held: Catalog | None) -> Catalog:
        try:
            same = held is not None and editions.in_force() == held.stamp
            return held if held is not None and same else Catalog.open()
        except CatalogError:
            if held is None:
                raise
            return held  # a stale catalog beats none


_SHARED = _Shared()


def shared_catalog() -> Catalog:
    """The catalog in force: opened at first use, and anew when a refresh in any process has changed it.

    Asked before every plan, and costs a look at one file's stamp. Who holds the one before may go on with it.
    Raises CatalogError if none was ever open.
    """
    return _SHARED.get()
