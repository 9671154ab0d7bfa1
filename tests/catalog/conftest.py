from __future__ import annotations

import pytest

from tests.support.catalogs import cache_folder, catalog_of, shipped  # noqa: F401 - fixtures
from tests.support.facts import fact as plain_fact


@pytest.fixture
def fact():
    """Make a row: `fact(cloud="gcp", hourly_micro=5)`; what is not said is a plain machine."""
    return plain_fact
