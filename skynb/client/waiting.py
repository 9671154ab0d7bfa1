"""Waiting for what the server brings about: short looks, ever further apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0


def pauses() -> Iterator[float]:
    """Seconds between looks."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, pause * 1.3)


def until(look: Callable[[], T | None], timeout: float | None, what: str) -> T:
    """What `look` gives as soon as it is not None; TimeoutError after so many seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    for pause in pauses():
        if (found := look()) is not None:
            return found
        left = pause if deadline is None else min(pause, deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError(f"{what} takes longer than {timeout:g} s")
        time.sleep(left)
    raise AssertionError
