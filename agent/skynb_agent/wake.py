"""Waiting without polling: one bell that any number of coroutines may wait for."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from typing import Any, Coroutine, Set


class Bell:
    """`ring` wakes everybody who waits now. Check your condition, then wait, with no await between."""

    def __init__(self) -> None:
        self._waiting: Set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake all waiters."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return at the next ring, or after `timeout_s`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait({future}, timeout=timeout_s)
        finally:
            self._waiting.discard(future)


class Tasks:
    """Background tasks that are kept alive, logged when they fail, and cancelled together."""

    def __init__(self) -> None:
        self._running: Set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def cancel_all(self) -> None:
        """Ask every task to end."""
        for task in list(self._running):
            task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            note("a task failed:", *traceback.format_exception(type(error), error, error.__traceback__))


def note(*words: Any) -> None:
    """One line in R/agent.log. Never pass anything that may hold a secret."""
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), *words, file=sys.stderr, flush=True)
