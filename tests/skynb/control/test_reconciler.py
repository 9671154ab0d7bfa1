"""The reconciler brings records to their targets, whatever fails, and never works on one twice at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import msgspec
import pytest

from skynb.control.ledger import Claim, Ledger
from skynb.control.reconciler import Reconciler
from skynb.control.records import Decision, Effect, Event, Move, Record
from skynb.errors import ProviderError


class Turn(Effect, frozen=True):
    to: str


class Lamp:
    """A kind whose world is one word a record: deeds set it, observations read it."""

    name = "lamp"

    def __init__(self) -> None:
        self.world: dict[str, str] = {}
        self.deeds: Counter[str] = Counter()
        self.failures = 0
        self.blind = 0
        self.working: set[str] = set()

    async def observe(self, record: Record) -> str:
        assert record.id not in self.working, "two workers on one record"
        self.working.add(record.id)
        await asyncio.sleep(0.001)
        self.working.discard(record.id)
        if self.blind:
            self.blind -= 1
            raise RuntimeError("cannot see")
        return self.world.get(record.id, "off")

    def decide(self, record: Record, observation: str, now: float) -> Decision:
        wanted = record.target.lower()
        if observation == wanted:
            done = Event("lamp.turned", {"to": wanted})
            return Decision(status=record.target, final=wanted == "gone", events=(done,), wake_in=60)
        return Decision(status="TURNING", effects=(Turn(wanted),), wake_in=0.05)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        assert isinstance(effect, Turn)
        self.deeds[record.id] += 1
        if self.failures:
            self.failures -= 1
            raise ProviderError("the switch is stuck", retryable="yes")
        self.world[record.id] = effect.to
        return {"to": effect.to}


def lamp(number: int, target: str = "ON") -> Record:
    return Record(
        id=f"lamp-{number}",
        kind="lamp",
        name=str(number),
        parent=None,
        owner="ann",
        status="OFF",
        target=target,
    )


def statuses(ledger: Ledger) -> dict[str, str]:
    with ledger.read() as tx:
        return {record.id: record.status for record in tx.find_all("lamp", live=False)}


async def until(condition, seconds: float = 8.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never came to be"
        await asyncio.sleep(0.01)


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def running(database: str, kind: Lamp, work, token: str = "t", owner: str = "here") -> Any:
    """Run `work(ledger, reconciler)` beside a reconciler, then end it."""

    async def both() -> Any:
        ledger = Ledger(database)
        reconciler = Reconciler(ledger, [kind], Claim(owner=owner, token=token, ttl=5))
        task = asyncio.create_task(reconciler.run())
        try:
            return await work(ledger, reconciler)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            ledger.close()

    return asyncio.run(both())


def put(ledger: Ledger, *records: Record) -> None:
    with ledger.transaction() as tx:
        for record in records:
            tx.insert(record)


def test_every_record_reaches_its_target(database):
    """Fifty lamps, one deed each."""
    kind = Lamp()

    async def work(ledger, reconciler):
        put(ledger, *(lamp(number) for number in range(50)))
        for number in range(50):
            reconciler.queue.add(f"lamp-{number}")
        await until(lambda: set(statuses(ledger).values()) == {"ON"})
        assert set(kind.deeds.values()) == {1}

    running(database, kind, work)


def test_failed_deeds_and_failed_looks_are_tried_again(database):
    """A typed error is kept as the outcome and in the history; a crash in observe backs off and goes on."""
    kind = Lamp()
    kind.failures, kind.blind = 2, 1

    async def work(ledger, reconciler):
        put(ledger, lamp(1))
        reconciler.queue.add("lamp-1")
        await until(lambda: statuses(ledger) == {"lamp-1": "ON"})
        with ledger.read() as tx:
            failed = [event for event in tx.events(record="lamp-1") if event.name == "effect.failed"]
        assert [event.data["error"]["what"] for event in failed] == ["the switch is stuck"] * 2

    running(database, kind, work)


def test_what_a_killed_server_left_is_found_by_the_next(database):
    """Nobody adds the record to a queue: the first scan of a fresh server picks it up, claim and all."""
    ledger = Ledger(database)
    put(ledger, lamp(1))
    with ledger.transaction() as tx:
        tx.claim("lamp-1", Claim(owner="here", token="of the dead", ttl=3600))
    ledger.close()

    async def work(ledger, reconciler):
        await until(lambda: statuses(ledger) == {"lamp-1": "ON"})

    running(database, Lamp(), work)


def test_another_servers_claim_is_respected(database):
    """While another server holds a record, this one does nothing to it."""
    ledger = Ledger(database)
    put(ledger, lamp(1))
    with ledger.transaction() as tx:
        tx.claim("lamp-1", Claim(owner="elsewhere", token="x", ttl=3600))
    ledger.close()
    kind = Lamp()

    async def work(ledger, reconciler):
        reconciler.queue.add("lamp-1")
        await asyncio.sleep(0.2)

    running(database, kind, work)
    assert kind.deeds == {}


def test_a_request_during_the_work_is_not_lost(database):
    """The target moves while a slow deed runs: the newer target wins in the end."""
    kind = Lamp()
    slow = asyncio.Event()
    plain_act = kind.act

    async def act(record, effect):
        result = await plain_act(record, effect)
        if effect.to == "on":
            await slow.wait()
        return result

    kind.act = act  # type: ignore[method-assign]

    async def work(ledger, reconciler):
        put(ledger, lamp(1))
        reconciler.queue.add("lamp-1")
        await until(lambda: kind.world.get("lamp-1") == "on")
        with ledger.transaction() as tx:
            tx.move(Move("lamp-1", "GONE"))
        reconciler.queue.add("lamp-1")
        slow.set()
        await until(lambda: statuses(ledger) == {"lamp-1": "GONE"})
        with ledger.read() as tx:
            assert tx.get("lamp-1").final

    running(database, kind, work)


def test_readers_are_told_of_each_commit(database):
    """`changed`, taken before a look, is set by whatever is committed after it."""

    async def work(ledger, reconciler):
        changed = reconciler.changed
        put(ledger, lamp(1))
        reconciler.queue.add("lamp-1")
        await asyncio.wait_for(changed.wait(), 5)

    running(database, Lamp(), work)


def test_a_quiet_record_costs_no_writes(database):
    """A decision that changes nothing is not committed: the version stands still."""

    class Quiet(Lamp):
        def decide(self, record, observation, now):
            return Decision(wake_in=0.01)

    async def work(ledger, reconciler):
        put(ledger, lamp(1))
        reconciler.queue.add("lamp-1")
        await asyncio.sleep(0.3)
        with ledger.read() as tx:
            assert tx.get("lamp-1").version == 1

    running(database, Quiet(), work)


def test_a_decision_keeps_unknown_kinds_of_state_readable():
    """State written by a newer server, with a field this one does not know, still reads."""

    class Old(msgspec.Struct):
        count: int = 0

    record = msgspec.structs.replace(lamp(1), state=b'{"count": 2, "later": [1]}')
    assert record.state_as(Old).count == 2


def test_one_step_at_a_time_without_threads(ledger, clock):
    """Without threads `step` does all its work where it stands, in the caller's own time."""
    kind = Lamp()
    stepped = Reconciler(ledger, [kind], Claim(owner="s", token="t"), threads=False)
    with ledger.transaction() as tx:
        tx.insert(lamp(1))
    before = threading.active_count()
    asyncio.run(stepped.step("lamp-1"))
    assert kind.world == {"lamp-1": "on"}
    assert stepped.queue.take_now() == "lamp-1"
    asyncio.run(stepped.step("lamp-1"))
    assert statuses(ledger) == {"lamp-1": "ON"}
    assert threading.active_count() == before


def test_a_deed_that_failed_rests_before_it_is_done_again(ledger, clock):
    """However often the record is woken, the same deed waits for its decision's own time."""
    kind = Lamp()
    kind.failures = 100
    stepped = Reconciler(ledger, [kind], Claim(owner="s", token="t"), threads=False)
    with ledger.transaction() as tx:
        tx.insert(lamp(1))
    for _ in range(10):
        asyncio.run(stepped.step("lamp-1"))
    assert kind.deeds["lamp-1"] == 1
    clock.time += 0.06
    asyncio.run(stepped.step("lamp-1"))
    assert kind.deeds["lamp-1"] == 2


def test_a_look_that_changes_nothing_still_wakes_others(database):
    """Whoever is waited for is told, also where there is nothing to write."""

    class Waiting(Lamp):
        def decide(self, record: Record, observation: str, now: float) -> Decision:
            if record.id == "lamp-1":
                return Decision(wakes=("lamp-2",), wake_in=60)
            return super().decide(record, observation, now)

    kind = Waiting()

    async def work(ledger, reconciler):
        await asyncio.sleep(0.1)  # its first scan is over: nothing else finds what comes now
        put(ledger, lamp(1), lamp(2))
        reconciler.queue.add("lamp-1")
        await until(lambda: statuses(ledger)["lamp-2"] == "ON", 3.0)

    running(database, kind, work)


def test_a_server_with_a_new_name_holds_what_it_held(database):
    """What it holds already it keeps, and its next life, which has the new name from the start, has all."""

    async def work(ledger, reconciler):
        put(ledger, lamp(1))
        reconciler.queue.add("lamp-1")
        await until(lambda: statuses(ledger)["lamp-1"] == "ON")
        reconciler.become("new")
        put(ledger, lamp(2))
        reconciler.queue.add("lamp-2")
        await until(lambda: statuses(ledger)["lamp-2"] == "ON")
        with ledger.transaction() as tx:
            assert tx.claim("lamp-1", Claim(owner="new", token="t"))

    running(database, Lamp(), work)
    ledger = Ledger(database)
    with ledger.transaction() as tx:
        reborn = Claim(owner="new", token="of a later life")
        assert [tx.claim(f"lamp-{number}", reborn) for number in (1, 2)] == [True, True]
    ledger.close()
