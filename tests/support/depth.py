"""How far property tests look."""

from __future__ import annotations

import os

EXPLORING = bool(os.environ.get("SKYNB_TEST_EXPLORE"))


def examples(whole: int) -> int:
    """A third of them in `make test`, the same each time; all in `make test-long`, others each time."""
    return whole if EXPLORING else max(1, whole // 3)
