"""State of senders of OTLP metrics."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import UTCDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_series",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("values", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_ledger_series")),
    )
    op.create_index(op.f("ix_ledger_series_seen_at"), "ledger_series", ["seen_at"])
    op.create_table(
        "ledger_senders",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("first_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_ns", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "kind", name=op.f("pk_ledger_senders")),
    )
    op.create_index(op.f("ix_ledger_senders_seen_at"), "ledger_senders", ["seen_at"])
