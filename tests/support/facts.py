"""Rows of catalogs for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from skynb_catalog import Catalog, cache
from skynb_catalog.offers import Fact
from skynb_catalog.snapshots import pack, stamp


def fact(**changes) -> Fact:
    """A row of a catalog; what is not said is a plain machine."""
    plain = {
        "cloud": "aws",
        "region": "us-east-1",
        "zone": None,
        "instance_type": "m.large",
        "vcpus": 8.0,
        "memory_gib": 32.0,
        "accelerator": None,
        "accelerator_count": None,
        "accelerator_memory_gib": None,
        "arch": "x86_64",
        "hourly_micro": 400_000,
        "spot_hourly_micro": None,
        "as_of": "2026-01-01",
        "spot_as_of": None,
        "source": "a test",
        "confidence": "high",
    }
    return Fact(**(plain | changes))


@contextmanager
def catalog_in(folder: str | Path, facts: Sequence[Fact]) -> Iterator[Catalog]:
    """A catalog of these rows, whose file lies in the folder."""
    packed = pack(facts, preset=0)
    mark = stamp(packed, "2026-01-01", len(facts))
    path = Path(folder) / f"{mark.hash[:12]}.sqlite"
    cache.build(path, mark, packed)
    catalog = Catalog(cache._open(path, mark), mark)
    try:
        yield catalog
    finally:
        catalog.close()
