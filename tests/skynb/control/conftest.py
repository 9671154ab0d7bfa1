"""Ledgers on SQLite, and on PostgreSQL where SKYNB_TEST_DATABASE_URL names one."""

from __future__ import annotations

import os
import uuid

import pytest
from sqlalchemy import create_engine, text

from skynb.control.ledger import Ledger

POSTGRES = os.environ.get("SKYNB_TEST_DATABASE_URL")


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param(
            "postgresql",
            marks=pytest.mark.skipif(not POSTGRES, reason="SKYNB_TEST_DATABASE_URL names no PostgreSQL"),
        ),
    ]
)
def database_url(request, tmp_path):
    """A fresh, empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    name = f"skynb_{uuid.uuid4().hex[:12]}"
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield admin.url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def ledger(database_url, clock):
    made = Ledger(database_url, clock)
    yield made
    made.close()
