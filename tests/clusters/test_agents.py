"""In touch with many agents: those that do not answer are nobody else's trouble."""

from __future__ import annotations

import asyncio
import threading

from skynb.errors import ProviderError
from skynb_clusters.agents import AgentHub


class Gone:
    """A transport to a host that says no."""

    def connect(self, target: str):
        raise ProviderError(f"no answer at {target}", retryable="unknown")


class Silent:
    """A transport to a host that lets one wait."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over

    def connect(self, target: str):
        assert self._over.wait(30), "nobody ended the wait"
        raise ProviderError(f"no answer at {target}", retryable="unknown")


def test_hosts_that_do_not_answer_hold_up_nothing_else():
    """While 40 connections are tried in vain, other work goes on, and who was just started is answered."""

    async def both() -> None:
        over = threading.Event()
        hub = AgentHub(lambda *_: None, lambda _: None)
        tried = [asyncio.create_task(hub.reach(f"node-{n}", "agent", Silent(over))) for n in range(40)]
        try:
            await asyncio.sleep(0)
            for _ in range(40):
                await asyncio.wait_for(asyncio.to_thread(lambda: None), 20)
            assert await asyncio.wait_for(hub.reach("new", "agent", Gone(), new=True), 20) is None
            assert not any(one.done() for one in tried)
        finally:
            over.set()
            assert await asyncio.gather(*tried) == [None] * 40
            hub.close()

    asyncio.run(both())
