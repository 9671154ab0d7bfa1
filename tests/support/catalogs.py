"""Catalogs for tests: made of given rows, and the shipped one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from skynb_catalog import Catalog, cache
from skynb_catalog.offers import Fact
from skynb_catalog.snapshots import pack, stamp


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


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
    """The cache of a session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def shipped(cache_folder):
    """The shipped catalog, unpacked into a cache of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKYNB_CACHE_DIR", str(cache_folder))
        catalog = Catalog.open()
    yield catalog
    catalog.close()


@pytest.fixture
def catalog_of(tmp_path):
    """A catalog made of the given rows."""
    with ExitStack() as opened:
        yield lambda facts: opened.enter_context(catalog_in(tmp_path, facts))
