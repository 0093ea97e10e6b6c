"""Digests set in chat, their changes, and digests in the outbox of alerts."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import UTCDateTime

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "digest_settings",
        sa.Column("rule", sa.String(length=1024), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("set_by", sa.String(length=64), nullable=False),
        sa.Column("set_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_digest_settings")),
    )
    op.create_table(
        "digest_changes",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("rule", sa.String(length=1024), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("undone_by", sa.String(length=64), nullable=True),
        sa.Column("undone_at", UTCDateTime(), nullable=True),
        sa.Column("channel", sa.String(length=64), nullable=True),
        sa.Column("ts", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_digest_changes")),
    )
    with op.batch_alter_table("notices") as table:
        table.add_column(sa.Column("digest_change_id", ID, nullable=True))
        table.create_foreign_key(op.f("fk_notices_digest_change_id"), "digest_changes", ["digest_change_id"], ["id"])
    # Each digest channel had its own outbox, named after it.
    op.execute(
        "UPDATE notices SET channel = substr(destination, 7), destination = 'Slack' "
        "WHERE destination LIKE 'Slack %' AND about LIKE 'digest/%' AND status IN ('pending', 'sending')"
    )
