"""Budgets: what may be spent, what is spent, what is promised; every reservation is checked as it is written.

An account is a run (`run:<cluster>`), a person (`user:<name>`) or everybody (`all`). What is settled counts
for the calendar month (UTC) in which it was settled, but for a run as long as it lives; what is reserved
counts until it is settled or released. Whoever reserves past a cap gets OverBudgetError, and nothing is
written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

import msgspec
from sqlalchemy import Connection, Dialect, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from skynb.control import schema
from skynb.control.records import SpendEntry

EVERYBODY = "all"
_TABLE = schema.budgets.c
_CAPS = select(_TABLE.account, _TABLE.cap_micro).order_by(_TABLE.account)
_SOME_CAPS = _CAPS.where(_TABLE.account.in_(bindparam("names", expanding=True)))


class OverBudgetError(Exception):
    """A reservation would pass a cap. account: whose."""

    def __init__(self, account: str) -> None:
        super().__init__(f"the budget of {account} is used up")
        self.account = account


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A cap and where it stands, in micro-dollars. free may be negative if more was used than promised."""

    account: str
    cap: int
    settled: int
    reserved: int

    @property
    def free(self) -> int:
        return self.cap - self.settled - self.reserved


def run_account(scope: str) -> str:
    """The account of one cluster."""
    return f"run:{scope}"


def user_account(user: str) -> str:
    """The account of one person."""
    return f"user:{user}"


def accounts(scope: str, owner: str, *, rehearsed: bool = False) -> tuple[str, ...]:
    """All that a cluster's spending counts for. Play money is nobody's but the run's."""
    run = run_account(scope)
    return (run,) if rehearsed else (run, user_account(owner), EVERYBODY)


def set_cap(db: Connection, account: str, micro: int | None, *, by: str, at: float) -> None:
    """Set a cap, or take it away with None. What is promised already stays promised."""
    table = schema.budgets
    if micro is None:
        db.execute(delete(table).where(table.c.account == account))
        return
    row = {"account": account, "cap_micro": micro, "set_by": by, "set_at": at}
    changed = {name: row[name] for name in ("cap_micro", "set_by", "set_at")}
    statement = upsert(db.dialect)(table).values(row)
    db.execute(statement.on_conflict_do_update(index_elements=["account"], set_=changed))


def standing(db: Connection, names: Sequence[str] | None, at: float) -> list[Budget]:
    """The budgets of these accounts, or all of them, where they are capped."""
    query = _CAPS if names is None else _SOME_CAPS
    if db.dialect.name == "postgresql" and not db.get_execution_options().get("skynb_read_only"):
        query = query.with_for_update()  # two servers must not both find the last dollar free
    found = db.execute(query, {} if names is None else {"names": list(names)}).all()
    return [_standing(db, account, int(cap), at) for account, cap in found]


def book(db: Connection, entry: SpendEntry, *, scope: str, owner: str, at: float) -> None:
    """Count an entry for its accounts."""
    for account in accounts(scope, owner, rehearsed=entry.rehearsed):
        if entry.entry == "reserve":
            _add(db, account, "", reserved=entry.micro_usd)
        elif entry.entry == "release":
            _add(db, account, "", reserved=-entry.micro_usd)
        else:
            _add(db, account, "", reserved=-entry.micro_usd)
            _add(db, account, month(at), settled=entry.micro_usd)


def check(db: Connection, *, scope: str, owner: str, at: float, rehearsed: bool) -> None:
    """OverBudgetError if more is settled and reserved than a cap allows."""
    for budget in standing(db, accounts(scope, owner, rehearsed=rehearsed), at):
        if budget.free < 0:
            raise OverBudgetError(budget.account)


def month(at: float) -> str:
    """The calendar month of a moment, as `2026-11`."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m")


def _standing(db: Connection, account: str, cap: int, at: float) -> Budget:
    table = schema.balances.c
    query = select(func.sum(table.settled), func.sum(table.reserved)).where(table.account == account)
    if not account.startswith("run:"):
        query = query.where(table.month.in_(["", month(at)]))
    settled, reserved = db.execute(query).one()
    return Budget(account=account, cap=cap, settled=int(settled or 0), reserved=int(reserved or 0))


def _add(db: Connection, account: str, period: str, *, settled: int = 0, reserved: int = 0) -> None:
    table = schema.balances
    row = {"account": account, "month": period, "settled": settled, "reserved": reserved}
    grown = {"settled": table.c.settled + settled, "reserved": table.c.reserved + reserved}
    statement = upsert(db.dialect)(table).values(row)
    db.execute(statement.on_conflict_do_update(index_elements=["account", "month"], set_=grown))


def upsert(dialect: Dialect) -> type[sqlite.Insert | postgresql.Insert]:
    """An insert that can say what becomes of a row that is there."""
    return postgresql.Insert if dialect.name == "postgresql" else sqlite.Insert
