"""Bringing logs home: from each node's agent into the log store, acknowledged only when they are safe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from skynb.errors import ProviderError
from skynb_agent.protocol import Methods
from skynb_clusters.agents import AgentHub
from skynb_clusters.links import Link
from skynb_clusters.logs import LogStore

log = logging.getLogger("skynb.logs")

RETRY_SECONDS = 0.5

Key = tuple[str, int, int]


class LogPumps:
    """One task a rank of a job that runs. grown() is called when there is more to read."""

    def __init__(self, hub: AgentHub, store: LogStore, grown: Callable[[], None]) -> None:
        self._hub = hub
        self._store = store
        self._grown = grown
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._drained: set[Key] = set()

    def ensure(self, scope: str, job: int, rank: int, node: str, on_end: Callable[[], None]) -> None:
        """Have the log of this rank brought home from `node`; on_end() when the last byte is here."""
        key = (scope, job, rank)
        if key not in self._tasks and key not in self._drained:
            self._tasks[key] = asyncio.create_task(self._pump(key, node, on_end))

    def drained(self, scope: str, job: int) -> tuple[int, ...]:
        """Ranks whose whole log is here."""
        return tuple(sorted(rank for (a, b, rank) in self._drained if (a, b) == (scope, job)))

    def forget(self, scope: str, job: int) -> None:
        """The job's record has ended."""
        for key in [key for key in self._tasks if key[:2] == (scope, job)]:
            self._tasks.pop(key).cancel()
        self._drained = {key for key in self._drained if key[:2] != (scope, job)}

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _pump(self, key: Key, node: str, on_end: Callable[[], None]) -> None:
        while key not in self._drained:
            link = self._hub.link(node)
            if link is not None:
                try:
                    await self._follow(key, link)
                except ProviderError as error:
                    log.info("log of %s: %s", key, error)
            if key not in self._drained:
                await asyncio.sleep(RETRY_SECONDS)
        self._tasks.pop(key, None)
        on_end()

    async def _follow(self, key: Key, link: Link) -> None:
        scope, job, rank = key
        offset = await asyncio.to_thread(self._store.size, scope, job, rank)
        where = {"job": job, "rank": rank}
        async for batch in link.stream(Methods.LOG_FOLLOW, {**where, "offset": offset}):
            data = b"".join(frame.data or b"" for frame in batch)
            if data:
                await asyncio.to_thread(self._store.append, scope, job, rank, data)
                offset += len(data)
                self._grown()
                await link.call(Methods.LOG_ACK, {**where, "offset": offset})
            if any(frame.body.get("eof") for frame in batch):
                self._drained.add(key)
                return
