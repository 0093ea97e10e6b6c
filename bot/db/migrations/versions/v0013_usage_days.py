"""Roll-ups of usage by UTC day, and the version of all usage at which an hour last changed."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

DIMENSIONS = ("model", "workspace_id", "api_key_id", "service_tier", "inference_geo", "speed")
COUNTS = (
    "uncached_input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "web_search_requests",
)


def upgrade() -> None:
    # Not as a batch: that would recreate the table on SQLite and delete the usage that refers to it.
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
    # Spelled out, since the program's code may have changed since this migration.
    postgresql = op.get_bind().dialect.name == "postgresql"
    day = "CAST(timezone('UTC', hour) AS DATE)" if postgresql else "date(hour)"
    dimensions = ", ".join(f"coalesce({name}, '')" for name in DIMENSIONS)
    sums = ", ".join(f"sum({name})" for name in COUNTS)
    some = " OR ".join(f"sum({name}) <> 0" for name in COUNTS)
    op.execute(
        f"INSERT INTO usage_days (day, {', '.join(DIMENSIONS + COUNTS)}) SELECT {day}, {dimensions}, {sums} "
        f"FROM usage GROUP BY {day}, {dimensions} HAVING {some}"
    )
