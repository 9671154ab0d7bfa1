"""A queue of keys for the reconciler. Four promises, each with a test:

1. a key is never handed out twice at once;
2. a key added many times before it is taken is handed out once;
3. a key added while it is being worked on is handed out again afterwards;
4. a key added with a delay is handed out when that has passed, or earlier if it is added sooner.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable


class WorkQueue:
    """One consumer side (`take`, `done`), any number of producers, all on one event loop."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ready: dict[str, None] = {}
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._due: dict[str, float] = {}
        self._timers: list[tuple[float, str]] = []
        self._changed = asyncio.Event()

    def add(self, key: str, delay: float = 0.0) -> None:
        """Make the key ready, after `delay` seconds if that is positive."""
        if delay > 0:
            due = self._monotonic() + delay
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._timers, (due, key))
        else:
            self._due.pop(key, None)
            if key in self._busy:
                self._again.add(key)
            else:
                self._ready[key] = None
        self._changed.set()

    async def take(self) -> str:
        """The next ready key, oldest first; the caller must call `done` with it."""
        while True:
            wait = self.wait_s()
            if (key := self.take_now()) is not None:
                return key
            await self._change(wait)

    def take_now(self) -> str | None:
        """The next ready key, as `take`; None if none is ready."""
        self.wait_s()
        key = next(iter(self._ready), None)
        if key is not None:
            del self._ready[key]
            self._busy.add(key)
        return key

    def done(self, key: str) -> None:
        """The work on a key taken has ended."""
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def _change(self, seconds: float | None) -> None:
        """Wait for an addition, at most so long. Python 3.11's `wait_for` may swallow a cancel."""
        self._changed.clear()
        timer = None
        if seconds is not None:
            timer = asyncio.get_running_loop().call_later(seconds, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def wait_s(self) -> float | None:
        """Move what is due to ready; seconds until the next timer, None without one."""
        now = self._monotonic()
        while self._timers:
            due, key = self._timers[0]
            if self._due.get(key) != due:  # brought forward or already handed out
                heapq.heappop(self._timers)
            elif due <= now:
                heapq.heappop(self._timers)
                self.add(key)
            else:
                return due - now
        return None
