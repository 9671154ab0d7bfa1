from __future__ import annotations

import pytest

from skynb_catalog import Catalog, cache
from skynb_catalog.offers import Fact
from skynb_catalog.snapshots import pack, stamp
from tests.support.facts import fact as plain_fact


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
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
def fact():
    """Make a row: `fact(cloud="gcp", hourly_micro=5)`; what is not said is a plain machine."""
    return plain_fact


@pytest.fixture
def catalog_of(tmp_path):
    """A catalog made of the given rows."""
    made = []

    def make(facts: list[Fact]) -> Catalog:
        packed = pack(facts)
        mark = stamp(packed, "2026-01-01", len(facts))
        path = tmp_path / f"{mark.hash[:12]}.sqlite"
        cache.build(path, mark, packed)
        db = cache._open(path, mark)
        assert db is not None
        made.append(Catalog(db, mark))
        return made[-1]

    yield make
    for catalog in made:
        catalog.close()
