"""The reconciler: observe, decide, commit, act, until every record is where it should be.

One asyncio process. It knows no kind of record; kinds are given to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import msgspec

from skynb.control.budgets import OverBudgetError
from skynb.control.ledger import Claim, Ledger, StaleWriteError
from skynb.control.records import Decision, Effect, Event, Outcome, Record
from skynb.control.workqueue import WorkQueue
from skynb.errors import SkynbError

log = logging.getLogger("skynb.control")

T = TypeVar("T")

SCAN_SECONDS = 5.0
RESYNC_SECONDS = 60.0  # what no cause wakes is looked at this often: a lost wake-up costs a minute, no more
BACKOFF_SECONDS = (0.2, 1.0, 5.0, 15.0, 60.0)


class Kind(Protocol):
    """One kind of record: how to look at it, what to decide, how to do a deed.

    The reconciler calls `observe` and `act` outside any transaction; both may fail, and a failed `observe`
    means nothing is known. `decide` is pure.
    """

    name: str

    async def observe(self, record: Record) -> Any:
        """Look at the world for this record; what cannot be seen is reported as unknown, not as absent."""

    def decide(self, record: Record, observation: Any, now: float) -> Decision:
        """What follows from the record and the observation. Pure."""

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        """Do one deed that was committed before. It may have been done already. Raises SkynbError."""


class Reconciler:
    """Drives records of the given kinds in `ledger` to their targets while `run()` runs, or by `step`.

    threads=False: every call is made where it stands, for a caller that steps by itself in a time of its own.
    """

    def __init__(
        self,
        ledger: Ledger,
        kinds: Sequence[Kind],
        claim: Claim,
        *,
        workers: int = 64,
        threads: bool = True,
    ) -> None:
        self.ledger = ledger
        self.queue = WorkQueue(ledger.clock.monotonic)
        self._kinds = {kind.name: kind for kind in kinds}
        self._claim = claim
        self._workers = workers
        self._claimed: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._rest: dict[str, tuple[tuple[Effect, ...], float]] = {}
        self._database = ThreadPoolExecutor(4, thread_name_prefix="skynb-ledger") if threads else None
        self._cloud = ThreadPoolExecutor(16, thread_name_prefix="skynb-cloud") if threads else None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled. Nothing is lost by cancelling, or killing, it at any point."""
        tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        tasks.append(asyncio.create_task(self._scan()))
        try:
            await asyncio.gather(*tasks)
        finally:
            await _end(tasks)
            if self._database and self._cloud:
                self._database.shutdown(wait=True)
                self._cloud.shutdown(wait=False, cancel_futures=True)

    async def step(self, key: str) -> None:
        """Observe, decide, commit and act for one record, once. Whatever fails, it is queued again."""
        try:
            await self._reconcile(key)
            self._failures.pop(key, None)
        except StaleWriteError:  # somebody was faster: look again, decide again
            self.queue.add(key)
        except Exception as error:  # noqa: BLE001 - the outermost catch: report and re-queue
            await self._failed(key, error)

    async def in_ledger(self, call: Callable[..., T], *args: Any) -> T:
        """Run a short ledger call off the event loop."""
        return await _run(self._database, call, *args)

    async def in_cloud(self, call: Callable[..., T], *args: Any) -> T:
        """Run a provider's blocking call off the event loop, at most 16 at a time."""
        return await _run(self._cloud, call, *args)

    def become(self, owner: str) -> None:
        """Hold records in this name from now on, so that a later life of it finds them its own."""
        self._claim = msgspec.structs.replace(self._claim, owner=owner)

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next commit. Take it before reading the ledger, then wait on it: nothing slips by."""
        return self._changed

    def notify(self) -> None:
        """Tell whoever waits on `changed` that the ledger, or a log, has grown."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _scan(self) -> None:
        """Find what is due: at first everything not final, later what slept or another server left."""
        horizon = float("inf")
        while True:
            for key in await self.in_ledger(self._due, horizon):
                self.queue.add(key)
            horizon = 0.0
            await asyncio.sleep(SCAN_SECONDS)

    def _due(self, horizon: float) -> list[str]:
        now = self.ledger.clock.now()
        with self.ledger.transaction() as tx:
            if horizon:
                return tx.live()
            return tx.due(now, self._claim)

    async def _work(self) -> None:
        while True:
            key = await self.queue.take()
            try:
                await self.step(key)
            finally:
                self.queue.done(key)

    async def _failed(self, key: str, error: Exception) -> None:
        """Report, and try again later; no record is ever dropped.

        Another record may have taken the money that a decision counted on: then the next look sees less, and
        its decider says so. That it does not must not make the server try for ever.
        """
        count = self._failures[key] = self._failures.get(key, 0) + 1
        delay = BACKOFF_SECONDS[min(count, len(BACKOFF_SECONDS)) - 1]
        known = isinstance(error, (SkynbError, OverBudgetError))
        log.warning("%s: %s; next try in %g s", key, error, delay, exc_info=None if known else error)
        self.queue.add(key, delay)

    async def _reconcile(self, key: str) -> None:
        record = await self.in_ledger(self._hold, key)
        if record is None or record.final:
            self._claimed.pop(key, None)
            self._rest.pop(key, None)
            return
        kind = self._kinds[record.kind]
        observation = await kind.observe(record)
        decision = kind.decide(record, observation, self.ledger.clock.now())
        if decision.wake_in is None:
            decision = msgspec.structs.replace(decision, wake_in=RESYNC_SECONDS)
        if (rest := self._rest_s(key, decision)) > 0:
            self.queue.add(key, rest)
            return
        if not _idle(record, decision):
            record = await self._write(record, decision)
        for other in decision.wakes:
            self.queue.add(other)
        if decision.effects:
            self._rest[key] = (decision.effects, self.ledger.clock.monotonic() + (decision.wake_in or 0.0))
        for effect in decision.effects:
            if not await self._act(kind, record, effect):
                break
        if not record.final:
            self.queue.add(key, decision.wake_in or 0.0)

    async def _write(self, before: Record, decision: Decision) -> Record:
        """Commit, and wake whoever may have waited for that."""
        record = await self.in_ledger(self._commit, before, decision)
        self.notify()
        moved = (record.status, record.final) != (before.status, before.final)
        if moved and record.parent:
            self.queue.add(record.parent)
        for other in (*(move.record for move in decision.moves), *(new.id for new in decision.inserts)):
            self.queue.add(other)
        return record

    def _rest_s(self, key: str, decision: Decision) -> float:
        """Seconds until the deeds just done may be done again: what a cloud refuses is not hammered."""
        effects, until = self._rest.get(key, ((), 0.0))
        again = bool(decision.effects) and decision.effects == effects
        return until - self.ledger.clock.monotonic() if again else 0.0

    async def _act(self, kind: Kind, record: Record, effect: Effect) -> bool:
        """Do the deed and keep what it came to; True if it went well."""
        name = type(effect).__name__
        error = value = None
        try:
            value = await kind.act(record, effect)
        except SkynbError as failure:
            error = failure.to_dict()
        outcome = Outcome(effect=name, at=self.ledger.clock.now(), error=error, value=value)
        await self.in_ledger(self._note, record, outcome)
        self.queue.add(record.id)
        return error is None

    def _hold(self, key: str) -> Record | None:
        """The record, held by this server; None where it is gone or another server holds it."""
        monotonic = self.ledger.clock.monotonic()
        if self._claimed.get(key, 0.0) > monotonic:
            with self.ledger.read() as tx:
                return tx.get(key)
        with self.ledger.transaction() as tx:
            if not tx.claim(key, self._claim):
                return None
            self._claimed[key] = monotonic + self._claim.ttl / 2
            return tx.get(key)

    def _commit(self, record: Record, decision: Decision) -> Record:
        with self.ledger.transaction() as tx:
            return tx.commit(record, decision, self._claim)

    def _note(self, record: Record, outcome: Outcome) -> None:
        with self.ledger.transaction() as tx:
            if outcome.error:
                event = Event("effect.failed", {"effect": outcome.effect, "error": outcome.error})
                tx.append(event, record=record.id, scope=record.parent or record.id)
            tx.note(record, outcome, self._claim)


async def _run(pool: ThreadPoolExecutor | None, call: Callable[..., T], *args: Any) -> T:
    if pool is None:
        return call(*args)
    return await asyncio.get_running_loop().run_in_executor(pool, call, *args)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: deep in a call, `wait_for` of Python 3.11 may swallow a cancel."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1.0)


def _idle(record: Record, decision: Decision) -> bool:
    """Nothing worth a write: the decision leaves the record as it is."""
    return (
        record.outcome is None
        and not decision.events
        and not decision.spend
        and not decision.moves
        and not decision.inserts
        and not decision.effects
        and decision.status in {None, record.status}
        and decision.target in {None, record.target}
        and decision.generation in {None, record.generation}
        and decision.final in {None, record.final}
        and decision.reason in {None, record.reason}
        and decision.state is None
        and not decision.seen
    )
