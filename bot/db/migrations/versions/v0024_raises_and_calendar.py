"""Limits raised for a while, what was changed of budgets, expected spikes, and the calendar of planned spend."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import Usd, UTCDateTime

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _raises()
    _budget_changes()
    _plans()
    with op.batch_alter_table("notices") as table:
        table.add_column(sa.Column("raise_id", ID, nullable=True))
        table.create_foreign_key(op.f("fk_notices_raise_id"), "raises", ["raise_id"], ["id"])
        table.add_column(sa.Column("budget_change_id", ID, nullable=True))
        table.create_foreign_key(op.f("fk_notices_budget_change_id"), "budget_changes", ["budget_change_id"], ["id"])


def _raises() -> None:
    op.create_table(
        "raises",
        sa.Column("id", ID, nullable=False),
        sa.Column("budget", sa.String(length=60), nullable=False),
        sa.Column("limit_kind", sa.String(length=16), nullable=False),
        sa.Column("base_usd", Usd(), nullable=False),
        sa.Column("usd", Usd(), nullable=False),
        sa.Column("starts_at", UTCDateTime(), nullable=True),
        sa.Column("until", UTCDateTime(), nullable=False),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("asked_by", sa.String(length=64), nullable=False),
        sa.Column("asked_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("approved_by", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=True),
        sa.Column("ts", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_raises")),
    )
    op.create_index(op.f("ix_raises_state"), "raises", ["state"])
    op.create_index(op.f("ix_raises_budget"), "raises", ["budget"])


def _budget_changes() -> None:
    op.create_table(
        "budget_changes",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("budget", sa.String(length=60), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("undone_by", sa.String(length=64), nullable=True),
        sa.Column("undone_at", UTCDateTime(), nullable=True),
        sa.Column("channel", sa.String(length=64), nullable=True),
        sa.Column("ts", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_changes")),
    )
    op.create_index(op.f("ix_budget_changes_budget"), "budget_changes", ["budget"])


def _plans() -> None:
    op.create_table(
        "expectations",
        sa.Column("id", ID, nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("alert_id", ID, nullable=True),
        sa.Column("starts_at", UTCDateTime(), nullable=False),
        sa.Column("until", UTCDateTime(), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("ended_by", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_expectations")),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_expectations_alert_id")),
    )
    op.create_index(op.f("ix_expectations_until"), "expectations", ["until"])
    op.create_index(op.f("ix_expectations_alert_id"), "expectations", ["alert_id"])
    op.create_table(
        "calendar",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("scope", sa.String(length=200), nullable=True),
        sa.Column("added_by", sa.String(length=64), nullable=False),
        sa.Column("added_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_calendar")),
    )
