"""Roll-ups of usage by UTC day, and by which version of all usage an hour was changed last."""

import sqlalchemy as sa
from alembic import op

from bot.store.usage_days import rebuild_days

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not as a batch: that would make the table anew on SQLite, and the usage that refers to it would be deleted.
    op.add_column("usage_hours", sa.Column("version", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(op.f("ix_usage_hours_version"), "usage_hours", ["version"], unique=False)
    op.create_index(op.f("ix_usage_hour_starts_at"), "usage", ["hour", "starts_at"], unique=False)
    op.drop_index(op.f("ix_usage_hour"), table_name="usage")
    op.create_table(
        "usage_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("workspace_id", sa.String(length=128), nullable=False),
        sa.Column("api_key_id", sa.String(length=128), nullable=False),
        sa.Column("service_tier", sa.String(length=64), nullable=False),
        sa.Column("inference_geo", sa.String(length=64), nullable=False),
        sa.Column("speed", sa.String(length=64), nullable=False),
        sa.Column("uncached_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_creation_5m_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_creation_1h_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_read_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("web_search_requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "day",
            "model",
            "workspace_id",
            "api_key_id",
            "service_tier",
            "inference_geo",
            "speed",
            name=op.f("pk_usage_days"),
        ),
        sqlite_with_rowid=False,
    )
    rebuild_days(op.get_bind())
