"""The ledger keeps what it was told, once, and lets nobody overwrite what he has not read."""

from __future__ import annotations

import threading

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from skynb.control import schema
from skynb.control.database import begun, open_database
from skynb.control.ledger import Claim, Ledger, StaleWriteError
from skynb.control.migrate import HEAD, migrate, upgrade
from skynb.control.records import Decision, Event, Move, Outcome, Record, SpendEntry
from skynb.errors import ConflictError

HERE = Claim(owner="here", token="t1", ttl=30)
THERE = Claim(owner="there", token="t2", ttl=30)


class State(msgspec.Struct):
    count: int = 0


def record(name: str = "c", **fields: object) -> Record:
    values = {"kind": "cluster", "parent": None, "owner": "ann", "status": "INIT", "target": "UP"} | fields
    return Record(id=f"cluster-{name}", name=name, **values)  # type: ignore[arg-type]


def insert(ledger: Ledger, new: Record) -> Record:
    with ledger.transaction() as tx:
        return tx.insert(new)


@pytest.mark.parametrize("step_by_step", [True, False])
def test_every_way_to_a_database_makes_the_schema_the_code_uses(database_url, step_by_step):
    """Migrated from nothing, or made at once: Alembic finds nothing to change, and no step left to take."""
    engine = open_database(database_url)
    try:
        if step_by_step:
            with begun(engine) as connection:
                upgrade(connection)
        migrate(engine)
        with begun(engine, reading=True) as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, schema.metadata) == []
            assert context.get_current_revision() == HEAD
    finally:
        engine.dispose()


def test_both_ways_give_sqlite_the_same_indices(tmp_path):
    """What Alembic does not compare: where an index is partial, and what is unique."""
    made = []
    for name in ("steps", "at once"):
        engine = open_database(f"sqlite:///{tmp_path / name}")
        if name == "steps":
            with begun(engine) as connection:
                upgrade(connection)
        migrate(engine)
        with begun(engine, reading=True) as connection:
            rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE type = 'index'")).scalars()
            made.append(sorted(" ".join(sql.split()) for sql in rows if sql))
        engine.dispose()
    assert made[0] == made[1]


def test_opening_again_keeps_everything(database_url, clock):
    """A second opening of the same database sees the records of the first."""
    first = Ledger(database_url, clock)
    insert(first, record())
    first.close()
    second = Ledger(database_url, clock)
    with second.read() as tx:
        assert tx.get("cluster-c").name == "c"
    second.close()


def test_one_live_cluster_a_name(ledger):
    """A name is taken while its cluster lives, and free once it is final."""
    first = insert(ledger, record())
    with pytest.raises(ConflictError, match="already exists"):
        insert(ledger, record())
    with ledger.transaction() as tx:
        tx.claim(first.id, HERE)
        tx.commit(first, Decision(status="TERMINATED", final=True), HERE)
    with ledger.transaction() as tx:
        tx.insert(msgspec.structs.replace(record(), id="cluster-d"))
        assert tx.find("cluster", "c").id == "cluster-d"
        assert [found.id for found in tx.find_all("cluster", live=False)] == ["cluster-c", "cluster-d"]


def test_a_decision_is_written_whole_or_not_at_all(ledger):
    """Status, events, money and moves of one decision appear together; a stale one leaves no trace."""
    insert(ledger, record("other"))
    mine = insert(ledger, record())
    decision = Decision(
        status="UP",
        state=State(3),
        events=(Event("up", {"why": "test"}),),
        moves=(Move("cluster-other", "TERMINATED"),),
        spend=(SpendEntry(entry="reserve", micro_usd=5),),
        wake_in=7,
    )
    with ledger.transaction() as tx:
        assert tx.claim(mine.id, HERE)
        written = tx.commit(mine, decision, HERE)
    assert written.status == "UP"
    assert written.state_as(State).count == 3
    with pytest.raises(StaleWriteError), ledger.transaction() as tx:
        tx.commit(mine, decision, HERE)  # the version it was read at is gone
    with ledger.read() as tx:
        assert [event.name for event in tx.events()] == ["up"]
        assert tx.get("cluster-other").target == "TERMINATED"
        assert tx.money(scope=mine.id).reserved == 5
        assert tx.get(mine.id).wake_at == ledger.clock.now() + 7


def test_a_moved_target_beats_a_decision_made_before_it(ledger):
    """A request that arrives between reading and deciding is never overwritten (a cancel is never lost)."""
    mine = insert(ledger, record())
    with ledger.transaction() as tx:
        tx.claim(mine.id, HERE)
        assert tx.move(Move(mine.id, "TERMINATED"))
    with pytest.raises(StaleWriteError), ledger.transaction() as tx:
        tx.commit(mine, Decision(status="UP"), HERE)


def test_a_move_leaves_the_target_that_it_is_told_to_leave(ledger):
    """What a person asked for stands against a move that was decided before it was known."""
    insert(ledger, record())
    with ledger.transaction() as tx:
        assert tx.move(Move("cluster-c", "STOPPED", unless="TERMINATED"))
        assert tx.move(Move("cluster-c", "TERMINATED"))
        assert not tx.move(Move("cluster-c", "STOPPED", unless="TERMINATED"))
        assert tx.get("cluster-c").target == "TERMINATED"


def test_final_is_final(ledger):
    """No move reopens a record that has ended."""
    mine = insert(ledger, record())
    with ledger.transaction() as tx:
        tx.claim(mine.id, HERE)
        tx.commit(mine, Decision(status="TERMINATED", final=True), HERE)
        assert not tx.move(Move(mine.id, "UP"))
        assert tx.get(mine.id).target == "UP"  # as it was; status did not move
        assert tx.live() == []


def test_a_claim_keeps_another_server_out_until_it_expires(ledger, clock):
    """Only the holder's token may write; an expired claim may be taken over, and the old holder is out."""
    mine = insert(ledger, record())
    with ledger.transaction() as tx:
        assert tx.claim(mine.id, HERE)
        assert not tx.claim(mine.id, THERE)
        assert tx.due(clock.now(), THERE) == []
    clock.time += 31
    with ledger.transaction() as tx:
        assert tx.due(clock.now(), THERE) == [mine.id]
        assert tx.claim(mine.id, THERE)
    with pytest.raises(StaleWriteError), ledger.transaction() as tx:
        tx.commit(mine, Decision(status="UP"), HERE)


def test_a_restarted_server_takes_its_own_claims_back_at_once(ledger):
    """Same owner, new token: no waiting for the old claim to expire, and the old process cannot write."""
    mine = insert(ledger, record())
    reborn = Claim(owner="here", token="t9", ttl=30)
    with ledger.transaction() as tx:
        assert tx.claim(mine.id, HERE)
        assert tx.claim(mine.id, reborn)
    with pytest.raises(StaleWriteError), ledger.transaction() as tx:
        tx.commit(mine, Decision(status="UP"), HERE)


def test_an_outcome_survives_a_moved_target(ledger):
    """What an effect came to is kept although a request moved the record meanwhile."""
    mine = insert(ledger, record())
    with ledger.transaction() as tx:
        tx.claim(mine.id, HERE)
        tx.move(Move(mine.id, "TERMINATED"))
        tx.note(mine, Outcome(effect="Create", at=1.0, error={"code": "capacity"}), HERE)
        found = tx.get(mine.id)
    assert found.outcome.error == {"code": "capacity"}
    assert found.target == "TERMINATED"


def test_an_idempotency_key_answers_the_same_and_refuses_another_request(ledger):
    """The stored answer comes back byte for byte; the key does not serve two different requests."""
    with ledger.transaction() as tx:
        assert tx.answered("k", "ann", "launch", "d1") is None
        tx.remember("k", "ann", "launch", "d1", b"answer")
        assert tx.answered("k", "ann", "launch", "d1") == b"answer"
        assert tx.answered("k", "bob", "launch", "d1") is None
        with pytest.raises(ConflictError, match="idempotency key"):
            tx.answered("k", "ann", "launch", "d2")


def test_concurrent_inserts_of_one_name_make_one(ledger):
    """Eight threads that launch the same name: one wins, the others get a ConflictError."""
    results: list[str] = []

    def attempt(number: int) -> None:
        try:
            insert(ledger, msgspec.structs.replace(record(), id=f"cluster-{number}"))
            results.append("made")
        except ConflictError:
            results.append("conflict")
        except IntegrityError:  # on PostgreSQL the unique index may be what refuses
            results.append("conflict")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["conflict"] * 7 + ["made"]


@given(st.lists(st.tuples(st.sampled_from(["reserve", "settle", "release"]), st.integers(0, 10**12))))
def test_money_is_the_sum_of_its_entries(entries):
    """Settled is what was settled; reserved is what was reserved and neither settled nor released."""
    ledger = Ledger("sqlite://")
    sums = {"reserve": 0, "settle": 0, "release": 0}
    for kind, amount in entries:
        sums[kind] += amount
    with ledger.transaction() as tx:
        mine = tx.insert(record())
        tx.claim(mine.id, HERE)
        spend = tuple(SpendEntry(entry=kind, micro_usd=amount) for kind, amount in entries)
        tx.commit(mine, Decision(spend=spend), HERE)
        money = tx.money(scope=mine.id)
    assert money.settled == sums["settle"]
    assert money.reserved == sums["reserve"] - sums["settle"] - sums["release"]
    ledger.close()
