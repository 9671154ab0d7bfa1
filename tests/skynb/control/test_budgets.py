"""Budgets in the ledger: a reservation past a cap is never written, whoever else writes at the same time."""

from __future__ import annotations

import threading

import pytest

from skynb.control.budgets import EVERYBODY, OverBudgetError, run_account, user_account
from skynb.control.ledger import Claim, StaleWriteError
from skynb.control.records import Decision, Record, SpendEntry

HERE = Claim(owner="here", token="t1")


def cluster(ledger, name: str, owner: str = "ann") -> Record:
    record = Record(
        id=f"cluster-{name}", kind="cluster", name=name, parent=None, owner=owner, status="INIT", target="UP"
    )
    with ledger.transaction() as tx:
        made = tx.insert(record)
        tx.claim(made.id, HERE)
    return made


def book(ledger, record: Record, *entries: SpendEntry) -> Record:
    with ledger.transaction() as tx:
        return tx.commit(record, Decision(spend=entries), HERE)


def reserve(micro: int, **more: bool) -> SpendEntry:
    return SpendEntry(entry="reserve", micro_usd=micro, **more)


def settle(micro: int) -> SpendEntry:
    return SpendEntry(entry="settle", micro_usd=micro, begin=0.0, end=1.0)


def cap(ledger, account: str, micro: int | None) -> None:
    with ledger.transaction() as tx:
        tx.set_budget(account, micro, by="ann")


def free(ledger, record: Record) -> int | None:
    with ledger.read() as tx:
        return tx.free(record.id, record.owner)


@pytest.mark.parametrize("account", [EVERYBODY, user_account("ann"), run_account("cluster-a")])
def test_a_reservation_past_a_cap_is_refused_and_leaves_nothing(ledger, account):
    """The whole decision is undone: money, state and version."""
    record = cluster(ledger, "a")
    cap(ledger, account, 100)
    record = book(ledger, record, reserve(60))
    with pytest.raises(OverBudgetError):
        book(ledger, record, reserve(41))
    assert free(ledger, record) == 40
    assert book(ledger, record, reserve(40)).version == record.version + 1
    assert free(ledger, record) == 0


def test_the_tightest_cap_counts(ledger):
    """A person's cap below everybody's, a run's below both."""
    record = cluster(ledger, "a")
    assert free(ledger, record) is None
    cap(ledger, EVERYBODY, 100)
    cap(ledger, user_account("ann"), 50)
    assert free(ledger, record) == 50
    cap(ledger, run_account(record.id), 20)
    assert free(ledger, record) == 20
    assert free(ledger, cluster(ledger, "b", owner="bob")) == 100


def test_settling_uses_up_what_was_reserved_and_a_release_frees_the_rest(ledger):
    """Reserve 60, settle 25, release 35: 25 are gone for this month."""
    record = cluster(ledger, "a")
    cap(ledger, EVERYBODY, 100)
    record = book(ledger, record, reserve(60))
    record = book(ledger, record, settle(25))
    assert free(ledger, record) == 40
    record = book(ledger, record, SpendEntry(entry="release", micro_usd=35))
    assert free(ledger, record) == 75


def test_a_new_month_begins_with_what_is_still_promised(ledger, clock):
    """What was settled last month does not count; what is reserved does; a run counts as a whole."""
    record = cluster(ledger, "a")
    cap(ledger, EVERYBODY, 100)
    cap(ledger, run_account(record.id), 1000)
    record = book(ledger, record, reserve(60), settle(25))
    clock.time += 40 * 86_400
    with ledger.read() as tx:
        by_account = {one.account: one for one in tx.budgets()}
    assert (by_account[EVERYBODY].settled, by_account[EVERYBODY].reserved) == (0, 35)
    assert by_account[run_account(record.id)].settled == 25


def test_what_is_spent_already_is_always_written(ledger):
    """A fact cannot be refused: it is booked, and the budget is overdrawn visibly."""
    record = cluster(ledger, "a")
    cap(ledger, EVERYBODY, 10)
    record = book(ledger, record, reserve(30, owed=True), settle(30))
    assert free(ledger, record) == -20


def test_rehearsed_money_counts_for_nobody(ledger):
    """A rehearsal reserves and settles its own bill and no real one."""
    record = cluster(ledger, "a")
    cap(ledger, EVERYBODY, 10)
    record = book(ledger, record, reserve(500, rehearsed=True))
    assert free(ledger, record) == 10


def test_of_many_who_reach_for_the_last_dollar_one_gets_it(ledger):
    """Eight threads reserve at the same time what is there once."""
    cap(ledger, EVERYBODY, 100)
    records = [cluster(ledger, f"c{number}") for number in range(8)]
    won: list[str] = []

    def reach(record: Record) -> None:
        try:
            book(ledger, record, reserve(60))
        except (OverBudgetError, StaleWriteError):
            return
        won.append(record.id)

    threads = [threading.Thread(target=reach, args=(record,)) for record in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert free(ledger, records[0]) == 40
