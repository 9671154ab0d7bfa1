"""What a queue of records needs of the ledger: numbers, pages, counts, lines; on both databases."""

from __future__ import annotations

import pytest

from skynb.control.ledger import Claim, Filter
from skynb.control.records import Decision, Move, Record

CLAIM = Claim(owner="server", token="life")


def record(number: int, **changes) -> Record:
    given = {"kind": "managed", "parent": None, "owner": "ann", "status": "PENDING", "target": "QUEUED"}
    return Record(id=f"managed-{number:03}", name=str(number), **(given | changes))


def put(ledger, clock, *records: Record) -> None:
    """One a second, in this order."""
    for one in records:
        clock.time += 1.0
        with ledger.transaction() as tx:
            tx.insert(one)


def names(ledger, wanted: Filter, limit: int = 100) -> list[str]:
    with ledger.read() as tx:
        return [one.name for one in tx.page("managed", wanted, limit)]


def test_numbers_never_come_twice(ledger):
    """Each counter for itself, also where a transaction is given up."""
    with ledger.transaction() as tx:
        assert [tx.next_number("a"), tx.next_number("a"), tx.next_number("b")] == [1, 2, 1]

    def give_up():
        with ledger.transaction() as tx:
            tx.next_number("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    with ledger.transaction() as tx:
        tx.lock("a")
        assert tx.next_number("a") == 3


def test_a_page_is_the_newest_that_fit(ledger, clock):
    """By status, number, title with `*`, owner, life and time; SQL's own wildcards mean themselves."""
    put(
        ledger,
        clock,
        record(1, title="fit_a", status="RUNNING"),
        record(2, title="fit%a", owner="bob"),
        record(3, title="fitxa", final=True, status="SUCCEEDED"),
        record(4, title="other!"),
    )
    assert names(ledger, Filter()) == ["4", "3", "2", "1"]
    assert names(ledger, Filter(), limit=2) == ["4", "3"]
    assert names(ledger, Filter(statuses=("RUNNING", "SUCCEEDED"))) == ["3", "1"]
    assert names(ledger, Filter(numbers=(2, 4, 9))) == ["4", "2"]
    assert names(ledger, Filter(titles=("fit*",))) == ["3", "2", "1"]
    assert names(ledger, Filter(titles=("fit_a", "other!"))) == ["4", "1"]
    assert names(ledger, Filter(titles=("fit%*",))) == ["2"]
    assert names(ledger, Filter(owner="bob")) == ["2"]
    assert names(ledger, Filter(live=True)) == ["4", "2", "1"]
    begun = clock.time - 4
    assert names(ledger, Filter(since=begun + 2, before=begun + 4)) == ["3", "2"]


def test_counts_and_lines(ledger, clock):
    """By status, by target and owner; a line goes by niceness, then by age."""
    put(
        ledger,
        clock,
        record(1, nice=1),
        record(2, nice=-1),
        record(3, nice=1),
        record(4, owner="bob", target="DONE", status="RUNNING"),
        record(5, final=True, status="SUCCEEDED", target="DONE"),
    )
    with ledger.read() as tx:
        assert tx.tally("managed") == {"PENDING": 3, "RUNNING": 1, "SUCCEEDED": 1}
        assert tx.tally("managed", "bob") == {"RUNNING": 1}
        assert tx.lengths("managed") == {"QUEUED": {"ann": 3}, "DONE": {"bob": 1}}
        line = tx.line("managed", "QUEUED", "ann", 2)
    assert [(one.id, one.nice) for one in line] == [("managed-002", -1), ("managed-001", 1)]


def test_a_decision_writes_new_records_with_itself(ledger, clock):
    """All or nothing, and one that is there already stays as it is."""
    put(ledger, clock, record(1))
    child = Record(
        id="task-1", kind="task", name="0", parent="managed-001", owner="ann", status="PENDING", target="DONE"
    )
    for reason in ("first", "again"):
        with ledger.transaction() as tx:
            assert tx.claim("managed-001", CLAIM)
            tx.commit(tx.get("managed-001"), Decision(reason=reason, inserts=(child,)), CLAIM)
        with ledger.transaction() as tx:
            (found,) = tx.children("managed-001")
            assert found.status == "PENDING" if reason == "first" else found.target == "CANCELLED"
            tx.move(Move("task-1", "CANCELLED"))


def test_what_was_seen_is_dated(ledger, clock):
    """`saw` says that the world is as these records say, and changes nothing else."""
    put(ledger, clock, record(1), record(2, final=True))
    clock.time += 50
    with ledger.transaction() as tx:
        before = tx.get("managed-001")
        tx.saw(["managed-001", "managed-002"])
        after = tx.get("managed-001")
        assert (after.observed_at, after.version) == (clock.time, before.version)
        assert tx.get("managed-002").observed_at is None
