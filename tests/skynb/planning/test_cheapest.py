"""What a person picks from: one row for each accelerator and count, the cheapest there is."""

from __future__ import annotations

import pytest

from skynb.errors import SpecError
from skynb.planning.cheapest import cheapest
from skynb.planning.listing import gpus


def test_each_kind_once_at_its_lowest_price():
    """No kind twice, none dearer than any machine of the kind, sorted by name and count."""
    found = cheapest()
    kinds = [(one.name.lower(), one.count) for one in found]
    assert kinds == sorted(set(kinds))
    table = gpus("A100")
    for one in found:
        if one.name == "A100":
            same = [row for row in table.rows if row.accelerator_count == one.count and row.launchable]
            prices = [row.hourly_micro for row in same if row.hourly_micro is not None]
            assert one.hourly_micro == (min(prices) if prices else None)
            assert one.clouds == tuple(sorted({row.cloud for row in same}))


def test_of_one_cloud():
    """Only what is to be had there; a cloud that nobody knows is refused."""
    assert {one.cloud for one in cheapest("aws")} == {"aws"}
    with pytest.raises(SpecError, match="nimbus"):
        cheapest("nimbus")
