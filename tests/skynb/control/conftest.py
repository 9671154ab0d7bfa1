"""Ledgers on SQLite, and on PostgreSQL where SKYNB_TEST_DATABASE_URL names one."""

from __future__ import annotations

import pytest

from skynb.control.ledger import Ledger
from tests.support.databases import POSTGRES, postgres


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
    with postgres() as url:
        yield url


@pytest.fixture
def ledger(database_url, clock):
    made = Ledger(database_url, clock)
    yield made
    made.close()
