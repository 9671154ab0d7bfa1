"""What a queue of records needs: names that people give, priorities, numbers.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LIVE = sa.text("NOT final")


def upgrade() -> None:
    op.add_column("records", sa.Column("title", sa.String(255), nullable=False, server_default=""))
    op.add_column("records", sa.Column("nice", sa.Integer, nullable=False, server_default="0"))
    op.create_index("records_by_age", "records", ["kind", "created_at"])
    op.create_index("records_by_status", "records", ["kind", "status", "created_at"])
    op.create_index(
        "records_in_line",
        "records",
        ["kind", "target", "owner", "nice", "created_at", "id"],
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("counters")
    op.drop_index("records_in_line", "records")
    op.drop_index("records_by_status", "records")
    op.drop_index("records_by_age", "records")
    op.drop_column("records", "nice")
    op.drop_column("records", "title")
