"""One look for all who ask, and what may be had without a new one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from skynb_clusters.contract import Listing
from skynb_clusters.sightings import Sightings


@pytest.mark.parametrize("rationed", [True, False])
def test_a_look_of_late_is_kept_only_where_looks_are_rationed(rationed):
    """Where a look costs nothing, a new one is had; nothing is known before the first."""
    provider = SimpleNamespace(
        name="x", capabilities=SimpleNamespace(list_every_s=3600.0 if rationed else 0.0)
    )

    async def look(*_):
        return Listing(())

    async def both() -> None:
        sightings = Sightings(look)
        assert sightings.recent(provider, "r") is None
        seen = await sightings.of(provider, "r")
        assert sightings.recent(provider, "r") is (seen if rationed else None)
        assert sightings.recent(provider, "elsewhere") is None

    asyncio.run(both())
