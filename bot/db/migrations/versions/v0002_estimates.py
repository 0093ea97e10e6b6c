"""Saved estimates, and each person's last estimate."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import Usd, UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "estimates",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("monthly_usd", Usd(), nullable=False),
        sa.Column("rates_checked", sa.Date(), nullable=False),
        sa.Column("kept_by", sa.String(length=64), nullable=False),
        sa.Column("kept_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_estimates")),
    )
    op.create_table(
        "last_estimates",
        sa.Column("slack_user", sa.String(length=64), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("slack_user", name=op.f("pk_last_estimates")),
    )
