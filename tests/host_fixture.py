"""A lab of hosts for one module: `lab` skips, with the reason, where this machine cannot have one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hosts import Lab, lab_missing, sweep


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Empty at first; at the end nothing of it is left, and nothing of labs whose owners died."""
    if missing := lab_missing():
        pytest.skip(missing)
    sweep()
    with Lab() as made:
        yield made
    sweep()
