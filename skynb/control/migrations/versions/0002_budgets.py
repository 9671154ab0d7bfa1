"""Budgets and the balances they are held against; the balances of what was spent before are counted up.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("account", sa.String(320), primary_key=True),
        sa.Column("cap_micro", sa.BigInteger, nullable=False),
        sa.Column("set_by", sa.String(255), nullable=False),
        sa.Column("set_at", sa.Float, nullable=False),
    )
    balances = op.create_table(
        "balances",
        sa.Column("account", sa.String(320), primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("settled", sa.BigInteger, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
    )
    if rows := _balances(op.get_bind()):
        op.bulk_insert(balances, rows)


def _balances(db: sa.Connection) -> list[dict[str, object]]:
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    query = (
        "SELECT s.at, s.scope, s.entry, s.micro_usd, r.owner FROM spend s JOIN records r ON r.id = s.scope"
    )
    for at, scope, entry, micro, owner in db.execute(sa.text(query)):
        period = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m")
        for account in (f"run:{scope}", f"user:{owner}", "all"):
            if entry == "settle":
                found[account, period][0] += micro
            found[account, ""][1] += micro if entry == "reserve" else -micro
    return [
        {"account": account, "month": period, "settled": sums[0], "reserved": sums[1]}
        for (account, period), sums in found.items()
    ]


def downgrade() -> None:
    op.drop_table("balances")
    op.drop_table("budgets")
