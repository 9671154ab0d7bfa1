"""Looking at an infra once for everybody who wants to know.

A thousand slots ask what the infra lists; it is asked once for all who wait. Whoever asks gets a look that
began after the question, so that nobody decides on what was true before the own deed; `recent` is for those
who did none, and are in a hurry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from skynb_clusters.contract import Listing, Machine, Provider

Look = Callable[[Provider, str | None], Awaitable[Listing]]

RECENT = 5.0  # in pauses between looks


class Sighting(msgspec.Struct, frozen=True):
    """A look, by record. blind: places that could not be seen."""

    by_record: Mapping[str, Sequence[Machine]]
    blind: tuple[str, ...]


class Sightings:
    """The looks of one server at its own machines. look: how to do one; it may raise."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._begun: dict[tuple[str, str | None], float] = {}
        self._seen: dict[tuple[str, str | None], tuple[float, Sighting]] = {}
        self._running: dict[tuple[str, str | None], asyncio.Task[Sighting]] = {}
        self._waiting: dict[tuple[str, str | None], asyncio.Task[Sighting]] = {}

    async def of(self, provider: Provider, region: str | None) -> Sighting:
        """What a look that begins now or later shows; its error is everybody's."""
        key = (provider.name, region)
        following = self._waiting.get(key)
        if following is None:
            following = self._waiting[key] = asyncio.create_task(self._next(provider, region))
        return await asyncio.shield(following)

    def recent(self, provider: Provider, region: str | None) -> Sighting | None:
        """The newest look that is over, if looks are rationed and it began a few pauses ago."""
        begun, seen = self._seen.get((provider.name, region), (0.0, None))
        return seen if time.monotonic() - begun < RECENT * provider.capabilities.list_every_s else None

    async def _next(self, provider: Provider, region: str | None) -> Sighting:
        key = (provider.name, region)
        if running := self._running.get(key):
            await asyncio.wait([running])
        pause = self._begun.get(key, 0.0) + provider.capabilities.list_every_s - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        self._running[key] = self._waiting.pop(key)
        begun = self._begun[key] = time.monotonic()
        seen = _sorted(await self._look(provider, region))
        self._seen[key] = begun, seen
        return seen


def _sorted(listing: Listing) -> Sighting:
    found: dict[str, list[Machine]] = {}
    for machine in listing.machines:
        found.setdefault(machine.tags.get("skynb-record", ""), []).append(machine)
    return Sighting(found, listing.blind)
