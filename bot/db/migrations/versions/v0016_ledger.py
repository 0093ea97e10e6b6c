"""The ledger: what applications log for each response, and sums by UTC hour and day."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from bot.db.schema import UTCDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TOKENS = (
    "uncached_input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "web_search_requests",
)


def upgrade() -> None:
    _events()
    _sums()
    _files()


def _events() -> None:
    op.create_table(
        "ledger_dimensions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("service_tier", sa.Text(), nullable=True),
        sa.Column("inference_geo", sa.Text(), nullable=True),
        sa.Column("speed", sa.Text(), nullable=True),
        sa.Column("prompts_above", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_dimensions")),
        sa.UniqueConstraint("digest", name=op.f("uq_ledger_dimensions_digest")),
    )
    op.create_table(
        "ledger_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("received_at", UTCDateTime(), nullable=False),
        sa.Column("dimensions_id", sa.BigInteger(), nullable=False),
        *_counts((*TOKENS, "requests")),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("session", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_events")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_ledger_events_at"), "ledger_events", ["at"], unique=False)
    op.create_index(op.f("ix_ledger_events_received_at"), "ledger_events", ["received_at"], unique=False)


def _sums() -> None:
    for table, start in (
        ("ledger_minutes", sa.Column("minute", UTCDateTime(), nullable=False)),
        ("ledger_hours", sa.Column("hour", UTCDateTime(), nullable=False)),
        ("ledger_days", sa.Column("day", sa.Date(), nullable=False)),
    ):
        op.create_table(
            table,
            start,
            sa.Column("dimensions_id", sa.BigInteger(), nullable=False),
            *_counts((*TOKENS, "requests", "errors", "rate_limited")),
            sa.PrimaryKeyConstraint(start.name, "dimensions_id", name=op.f(f"pk_{table}")),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "ledger_known_hours",
        sa.Column("hour", UTCDateTime(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", name=op.f("pk_ledger_known_hours")),
    )
    op.create_index(op.f("ix_ledger_known_hours_version"), "ledger_known_hours", ["version"], unique=False)


def _files() -> None:
    op.create_table(
        "ledger_files",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.String(length=64), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("totals", sa.Boolean(), nullable=False),
        sa.Column("read_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_ledger_files")),
    )
    op.create_index(op.f("ix_ledger_files_head"), "ledger_files", ["head"], unique=False)
    op.create_table(
        "ledger_file_sessions",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_ledger_file_sessions")),
    )


def _counts(names: tuple[str, ...]) -> Iterator[sa.Column[int]]:
    return (sa.Column(name, sa.BigInteger(), nullable=False) for name in names)
