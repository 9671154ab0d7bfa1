"""Machines that bear skynb's tags and that no live record claims: found, shown, and ended.

The server looks for its own at its start and every hour, and ends what its ledger has let go of and it saw
twice, a consistency window apart. What the ledger never heard of is not ended unasked: a lost ledger is no
reason to lose the work. A person may look at all of them and end them by name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from skynb.control.records import Event, Record
from skynb.errors import ConflictError, NotFoundError, SkynbError
from skynb_clusters.contract import Listing, Machine, Provider
from skynb_clusters.deciders.reaping import GONE, Verdict, decide_reaping, judge
from skynb_clusters.naming import cluster_of

if TYPE_CHECKING:
    from skynb_clusters.core import Core

log = logging.getLogger("skynb.reaper")

EVERY_S = 3600.0
LEAST_WINDOW_S = 1.0


class Found(msgspec.Struct, frozen=True):
    """A machine, where it is, and whose it is."""

    infra: str
    machine: Machine
    verdict: Verdict

    @property
    def name(self) -> str:
        """As a person names it: `INFRA:ID`."""
        return f"{self.infra}:{self.machine.id}"


class Seen(msgspec.Struct, frozen=True):
    """What a look showed. blind: places, or whole infra, that could not be seen, with the reason."""

    found: tuple[Found, ...]
    blind: tuple[str, ...]
    disabled: tuple[str, ...] = ()


class Reaper:
    """Looks for forgotten machines through all providers of one core."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._unclaimed: dict[str, float] = {}

    async def run(self) -> None:
        """Look for this server's own, now and every hour, until cancelled."""
        while True:
            window = None
            try:
                window = await self.turn()
            except Exception:
                log.exception("the look for forgotten machines failed")
            await asyncio.sleep(EVERY_S if window is None else window)

    async def turn(self) -> float | None:
        """One look at our own machines, and the end of those seen unclaimed twice.

        Returns after how many seconds the next look can confirm a suspicion; None where there is none.
        """
        began = self._core.ledger.clock.now()
        seen = await self.look({"skynb-owner": self._core.owner})
        stray = {one.name: one for one in seen.found if one.verdict.claim == "unclaimed" and _lives(one)}
        windows = {name: self._window(one.infra) for name, one in stray.items()}
        reaping = decide_reaping(self._unclaimed, dict.fromkeys(stray, began), windows)
        self._unclaimed = reaping.waiting
        for one in seen.found:
            if one.verdict.claim == "unknown" and _lives(one):
                log.warning("%s: %s; `skynb reap` ends it", one.name, one.verdict.why)
        for name in reaping.end:
            try:
                await self.end([name], "the server")
            except SkynbError as error:
                log.warning("%s: %s", name, error)
        return max((windows[name] for name in reaping.waiting), default=None)

    async def look(self, tags: Mapping[str, str] | None = None, *, foreign: bool = False) -> Seen:
        """Every machine with skynb's tags, and with these, in every infra that may be used.

        foreign: those without skynb's tags instead, where the infra has accounts.
        """
        names = list(self._core.providers)
        listings = await asyncio.gather(
            *(self._list(self._core.providers[name], None if foreign else tags or {}) for name in names)
        )
        found: list[Found] = []
        blind: list[str] = []
        for name, listing in zip(names, listings, strict=True):
            if isinstance(listing, SkynbError):
                blind.append(f"{name}: {listing}")
            elif listing is not None:
                blind += [f"{name}/{place}" for place in listing.blind]
                found += await self._judged(name, listing.machines)
        off = tuple(name for name, listing in zip(names, listings, strict=True) if listing is None)
        return Seen(tuple(found), tuple(blind), off)

    async def end(self, names: Sequence[str], by: str, *, foreign: bool = False) -> Sequence[Found]:
        """End machines that nobody claims, by name, also `foreign` ones where that is said.

        Each is looked at again, and the ledger asked, before. Nothing is ended if one of them may not be:
        NotFoundError for one that is not there, ConflictError for one that is claimed or somebody else's.
        """
        for name in names:
            await self._unclaimed_now(name, foreign=foreign)
        ended = []
        for name in names:
            one = await self._unclaimed_now(name, foreign=foreign)
            if not _lives(one):
                continue
            await self._core.in_cloud(self._core.providers[one.infra].terminate, one.machine)
            await self._core.reconciler.in_ledger(self._note, one, by)
            log.warning("%s is ended: %s", name, one.verdict.why)
            ended.append(one)
        return ended

    async def _unclaimed_now(self, name: str, *, foreign: bool) -> Found:
        infra, _, machine_id = name.partition(":")
        provider = self._core.providers.get(infra)
        here: list[Machine] = []
        if provider is not None:
            listings = [await self._core.in_cloud(provider.list, {}, None)]
            listings += [await self._core.in_cloud(provider.strangers)] if foreign else []
            here = [one for listing in listings for one in listing.machines if one.id == machine_id]
        if not here:
            raise NotFoundError(f"there is no machine {name!r}", mend="`skynb reap` lists them as INFRA:ID")
        [one] = await self._judged(infra, here[:1])
        if one.verdict.claim in {"claimed", "others"}:
            raise ConflictError(
                f"machine {name} is not forgotten",
                why=one.verdict.why,
                mend="`skynb down CLUSTER` ends what a cluster uses",
            )
        return one

    async def _list(self, provider: Provider, tags: Mapping[str, str] | None) -> Listing | SkynbError | None:
        """None for infra that may not be used; an error is an answer: nothing is known there.

        tags: None for the machines without any of skynb's.
        """
        try:
            checks = await self._core.in_cloud(provider.check)
            if checks and not any(check.ok for check in checks):
                return None
            if tags is None:
                return await self._core.in_cloud(provider.strangers)
            return await self._core.in_cloud(provider.list, tags, None)
        except SkynbError as error:
            return error

    async def _judged(self, infra: str, machines: Sequence[Machine]) -> list[Found]:
        """The ledger is read after the look: it knows every claim on what the look showed."""
        records = await self._core.reconciler.in_ledger(self._records, machines)
        now, owner = self._core.ledger.clock.now(), self._core.owner
        return [
            Found(infra, machine, judge(machine, record, owner, now))
            for machine, record in zip(machines, records, strict=True)
        ]

    def _records(self, machines: Sequence[Machine]) -> list[Record | None]:
        with self._core.ledger.read() as tx:
            return [tx.get(machine.tags.get("skynb-record", "")) for machine in machines]

    def _note(self, one: Found, by: str) -> None:
        record = one.machine.tags.get("skynb-record", "")
        data = {"machine": one.machine.id, "infra": one.infra, "why": one.verdict.why, "by": by}
        with self._core.ledger.transaction() as tx:
            scope = cluster_of(record) if record.count("-") > 1 else None
            tx.append(Event("machine.reaped", data), record=record or None, scope=scope)

    def _window(self, infra: str) -> float:
        return max(LEAST_WINDOW_S, self._core.providers[infra].capabilities.consistency_s)


def _lives(one: Found) -> bool:
    return one.machine.state not in GONE
