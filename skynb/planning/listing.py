"""`gpus()`: which accelerators there are, where, for how much."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import msgspec

from skynb.errors import NoOfferError, SkynbError, SpecError
from skynb.planning.asks import SKYPILOT_CLOUDS, cloud_name
from skynb.planning.shared import shared_catalog
from skynb_catalog import Catalog, CatalogError, Listing, UnknownAcceleratorError


class GpuTable(msgspec.Struct, frozen=True):
    """Rows in the order of accelerator, count and price; prices in micro-dollars per hour per machine.

    today: the ISO date from which the age of prices counts.
    """

    rows: tuple[Listing, ...]
    all_regions: bool
    snapshot: str
    snapshot_date: str
    today: str

    def to_dict(self) -> dict[str, Any]:
        """The table in plain JSON types."""
        return {**msgspec.to_builtins(self), "rows": [row._asdict() for row in self.rows]}

    def __str__(self) -> str:
        from skynb.planning.gpu_table import gpus_text

        return gpus_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from skynb.planning.gpu_table import gpus_html

        return {"text/plain": str(self), "text/html": gpus_html(self)}


def gpus(
    name: str | None = None,
    *,
    all_regions: bool = False,
    cloud: str | None = None,
    today: date | None = None,
    catalog: Catalog | None = None,
) -> GpuTable:
    """The machines with an accelerator of this name or memory (`H100`, `80GB+`), or with any.

    One row per machine type with its cheapest region, or per region with `all_regions`. Raises SpecError for
    an unknown name or cloud, NoOfferError if nothing is known of it, SkynbError if the catalog cannot be
    read.
    """
    try:
        source = catalog or shared_catalog()
        within = None if cloud is None else [_known(cloud_name(cloud), source)]
        rows = source.accelerators(name, all_regions=all_regions, clouds=within)
    except UnknownAcceleratorError as error:
        raise SpecError(error.what, mend=error.mend, where="accelerators") from error
    except CatalogError as error:
        raise SkynbError(error.what, why=error.why, mend=error.mend) from error
    if not rows:
        raise NoOfferError(f"the catalog has no {name or 'accelerator'}{f' on {cloud}' if cloud else ''}")
    day = (today or datetime.now(timezone.utc).date()).isoformat()
    return GpuTable(tuple(rows), all_regions, source.stamp.hash, source.stamp.collected, day)


def _known(cloud: str, catalog: Catalog) -> str:
    if cloud in catalog.clouds() or cloud in SKYPILOT_CLOUDS:
        return cloud
    raise SpecError(
        f"no cloud is called {cloud!r}", mend=f"Known: {', '.join(catalog.clouds())}", where="cloud"
    )
