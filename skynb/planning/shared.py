"""The process's one open catalog."""

from __future__ import annotations

from functools import cache

from skynb_catalog import Catalog


@cache
def shared_catalog() -> Catalog:
    """The shipped catalog, opened at first use and kept. Raises CatalogError."""
    return Catalog.open()
