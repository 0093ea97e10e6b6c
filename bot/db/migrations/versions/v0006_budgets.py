"""Budgets set from chat."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import Usd, UTCDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("scope", sa.String(length=200), nullable=False),
        sa.Column("period", sa.String(length=8), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("week_starts", sa.String(length=16), nullable=False),
        sa.Column("soft_usd", Usd(), nullable=True),
        sa.Column("hard_usd", Usd(), nullable=True),
        sa.Column("thresholds", sa.JSON(), nullable=False),
        sa.Column("set_by", sa.String(length=64), nullable=False),
        sa.Column("set_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_budgets")),
    )
