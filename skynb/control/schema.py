"""The ledger's tables. `migrations/` creates them; a test holds the two together."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only on INTEGER PRIMARY KEY

records = Table(
    "records",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("parent", String(64), ForeignKey("records.id"), nullable=True),
    Column("owner", String(255), nullable=False),
    Column("status", String(32), nullable=False),
    Column("target", String(32), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("outcome", LargeBinary, nullable=True),
    Column("observed_at", Float, nullable=True),
    Column("wake_at", Float, nullable=True),
    Column("version", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("claim_owner", String(64), nullable=True),
    Column("claim_token", String(64), nullable=True),
    Column("claim_until", Float, nullable=True),
    Column("title", String(255), nullable=False, server_default=""),
    Column("nice", Integer, nullable=False, server_default="0"),
    Index("records_by_parent", "parent", "kind"),
    Index("records_by_name", "kind", "name"),
    Index(
        "records_one_live_cluster_a_name",
        "kind",
        "name",
        unique=True,
        sqlite_where=text("kind = 'cluster' AND NOT final"),
        postgresql_where=text("kind = 'cluster' AND NOT final"),
    ),
    Index(
        "records_one_child_a_name",
        "parent",
        "kind",
        "name",
        unique=True,
        sqlite_where=text("parent IS NOT NULL"),
        postgresql_where=text("parent IS NOT NULL"),
    ),
    Index("records_by_age", "kind", "created_at"),
    Index("records_by_status", "kind", "status", "created_at"),
    Index(
        "records_in_line",
        "kind",
        "target",
        "owner",
        "nice",
        "created_at",
        "id",
        sqlite_where=text("NOT final"),
        postgresql_where=text("NOT final"),
    ),
    Index(
        "records_due",
        "wake_at",
        sqlite_where=text("NOT final"),
        postgresql_where=text("NOT final"),
    ),
)

events = Table(
    "events",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("record", String(64), nullable=True),
    Column("scope", String(64), nullable=True),
    Column("name", String(64), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("events_by_record", "record", "seq"),
    Index("events_by_scope", "scope", "seq"),
    sqlite_autoincrement=True,
)

spend = Table(
    "spend",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("record", String(64), nullable=False),
    Column("scope", String(64), nullable=False),
    Column("entry", String(16), nullable=False),
    Column("micro_usd", BigInteger, nullable=False),
    Column("begin_at", Float, nullable=True),
    Column("end_at", Float, nullable=True),
    Column("price", LargeBinary, nullable=True),
    Index("spend_by_scope", "scope"),
    Index("spend_by_record", "record"),
    sqlite_autoincrement=True,
)

budgets = Table(
    "budgets",
    metadata,
    Column("account", String(320), primary_key=True),
    Column("cap_micro", BigInteger, nullable=False),
    Column("set_by", String(255), nullable=False),
    Column("set_at", Float, nullable=False),
)

balances = Table(
    "balances",
    metadata,
    Column("account", String(320), primary_key=True),
    Column("month", String(7), primary_key=True),
    Column("settled", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("owner", String(255), primary_key=True),
    Column("verb", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("at", Float, nullable=False),
)
