"""The line of managed jobs: looks who waits and who runs, and moves on those whose turn has come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skynb.control.ledger import Transaction
from skynb.control.records import Move
from skynb_jobs.deciders.line import Limits, admit, room
from skynb_jobs.records import CANCELLED, DONE, QUEUED

if TYPE_CHECKING:
    from skynb_clusters.core import Core

log = logging.getLogger("skynb.jobs")

LOOK_S = 30.0  # what no cause wakes is looked at this often
GATHER_S = 0.05  # many causes in a row are one look
MOST_AT_ONCE = 64  # a look that moves thousands would hold the ledger for long


class Line:
    """One for a server; two servers may each have one, as a turn is one transaction."""

    def __init__(self, core: Core, limits: Limits) -> None:
        self._core = core
        self._limits = limits

    async def run(self) -> None:
        """Look whenever the ledger has changed, until cancelled."""
        while True:
            changed = self._core.reconciler.changed
            try:
                more = await self.turn()
            except Exception:
                log.exception("the line of managed jobs could not be looked at")
                more = False
            timer = asyncio.get_running_loop().call_later(0.0 if more else LOOK_S, changed.set)
            try:  # Python 3.11's `wait_for` may swallow a cancel
                await changed.wait()
            finally:
                timer.cancel()
            await asyncio.sleep(GATHER_S)

    async def turn(self) -> bool:
        """Move on those whose turn it is; True if there may be more."""
        admitted = await self._core.reconciler.in_ledger(self._admit)
        for record in admitted:
            self._core.wake(record)
        if admitted:
            self._core.reconciler.notify()
        return len(admitted) == MOST_AT_ONCE

    def _admit(self) -> Sequence[str]:
        with self._core.ledger.read() as tx:
            if not self._next(tx):
                return ()
        with self._core.ledger.transaction() as tx:
            tx.lock("managed-line")
            return [record for record in self._next(tx) if tx.move(Move(record, DONE, unless=CANCELLED))]

    def _next(self, tx: Transaction) -> Sequence[str]:
        lengths = tx.lengths("managed")
        waiting = lengths.get(QUEUED, {})
        running: dict[str, int] = {}
        for target, owners in lengths.items():
            for owner, count in owners.items() if target != QUEUED else ():
                running[owner] = running.get(owner, 0) + count
        free = min(room(self._limits, running), MOST_AT_ONCE)
        if not waiting or not free:
            return ()
        lines = {owner: tx.line("managed", QUEUED, owner, free) for owner in waiting}
        return [one.id for one in admit(lines, running, self._limits)][:free]
