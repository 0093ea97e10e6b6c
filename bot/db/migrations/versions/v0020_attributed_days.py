"""What Anthropic itself attributes to products, groups, agents and actors, by UTC day."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import Usd, UTCDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attributed_days",
        sa.Column("dimension", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("usd", Usd(), nullable=False),
        sa.Column("refreshed_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("dimension", "value", "day", name=op.f("pk_attributed_days")),
    )
    op.create_index(op.f("ix_attributed_days_dimension_day"), "attributed_days", ["dimension", "day"])
    op.create_table(
        "attributed_names",
        sa.Column("dimension", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dimension", "value", name=op.f("pk_attributed_names")),
    )
