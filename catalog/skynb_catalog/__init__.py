"""What can be rented, where, for how much.

Start at `Catalog` (`store.py`); names of accelerators are in `accelerators.py`, what may never be chosen in
`sanity.py`, and the path from the shipped snapshot to the user's cache is `snapshots.py` -> `schema.py` ->
`cache.py`.
"""

from __future__ import annotations

from skynb_catalog.accelerators import Accelerator, by_driver_name, by_memory, resolve
from skynb_catalog.errors import CatalogError, UnknownAcceleratorError
from skynb_catalog.offers import USUAL_ARCH, Amount, Listing, Offer, Query, Scope
from skynb_catalog.store import Catalog

__all__ = [
    "USUAL_ARCH",
    "Accelerator",
    "Amount",
    "Catalog",
    "CatalogError",
    "Listing",
    "Offer",
    "Query",
    "Scope",
    "UnknownAcceleratorError",
    "by_driver_name",
    "by_memory",
    "resolve",
]
