"""Records, events, spend, requests."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("parent", sa.String(64), sa.ForeignKey("records.id"), nullable=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("target", sa.String(32), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("spec", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("outcome", sa.LargeBinary, nullable=True),
        sa.Column("observed_at", sa.Float, nullable=True),
        sa.Column("wake_at", sa.Float, nullable=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.Column("claim_owner", sa.String(64), nullable=True),
        sa.Column("claim_token", sa.String(64), nullable=True),
        sa.Column("claim_until", sa.Float, nullable=True),
    )
    op.create_index("records_by_parent", "records", ["parent", "kind"])
    op.create_index("records_by_name", "records", ["kind", "name"])
    _partial(
        "records_one_live_cluster_a_name", ["kind", "name"], "kind = 'cluster' AND NOT final", unique=True
    )
    _partial("records_one_child_a_name", ["parent", "kind", "name"], "parent IS NOT NULL", unique=True)
    _partial("records_due", ["wake_at"], "NOT final")
    op.create_table(
        "events",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("record", sa.String(64), nullable=True),
        sa.Column("scope", sa.String(64), nullable=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_record", "events", ["record", "seq"])
    op.create_index("events_by_scope", "events", ["scope", "seq"])
    op.create_table(
        "spend",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("record", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("entry", sa.String(16), nullable=False),
        sa.Column("micro_usd", sa.BigInteger, nullable=False),
        sa.Column("begin_at", sa.Float, nullable=True),
        sa.Column("end_at", sa.Float, nullable=True),
        sa.Column("price", sa.LargeBinary, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("spend_by_scope", "spend", ["scope"])
    op.create_index("spend_by_record", "spend", ["record"])
    op.create_table(
        "requests",
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("owner", sa.String(255), primary_key=True),
        sa.Column("verb", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )


def _partial(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    clause = sa.text(where)
    op.create_index(name, "records", columns, unique=unique, sqlite_where=clause, postgresql_where=clause)


def downgrade() -> None:
    for table in ("requests", "spend", "events", "records"):
        op.drop_table(table)
