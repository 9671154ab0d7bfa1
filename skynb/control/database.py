"""The database behind the ledger: SQLite in WAL mode, or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event


def open_database(url: str) -> Engine:
    """The engine for a database; only `begun` may use it, for SQLite's transactions begin there."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, pool_reset_on_return=None)
    event.listen(engine, "connect", _prepare)
    return engine


@contextmanager
def begun(engine: Engine, *, reading: bool = False) -> Iterator[Connection]:
    """One transaction. SQLAlchemy's events would do the same, for a third of the time of a short look."""
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            # Taking the write lock at once spares two writers the deadlock of both upgrading a read lock.
            driver: Any = connection.connection.dbapi_connection
            driver.execute("BEGIN" if reading else "BEGIN IMMEDIATE")
        elif reading:
            connection.execution_options(skynb_read_only=True)
        yield connection


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions by itself; see `begun`
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")
