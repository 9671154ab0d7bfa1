"""Time and identity, injected so that deciders and tests own them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable


class Clock:
    """`now()` is wall time in seconds, for records and display; `monotonic()` is for durations."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def new_id(prefix: str, random: Callable[[int], str] = secrets.token_hex) -> str:
    """A fresh record id, `prefix-` and 12 hex digits."""
    return f"{prefix}-{random(6)}"
