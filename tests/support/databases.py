"""A PostgreSQL database of a test's own, where SKYNB_TEST_DATABASE_URL names a server that may make one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text

POSTGRES = os.environ.get("SKYNB_TEST_DATABASE_URL")


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database; it is dropped on leaving."""
    assert POSTGRES
    name = f"skynb_{uuid.uuid4().hex[:12]}"
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield admin.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()
