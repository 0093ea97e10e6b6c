"""Acknowledgements and snoozes of alerts, addresses of mode announcements, test alerts for every destination."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import UTCDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("alerts") as table:
        table.alter_column("level", existing_type=sa.String(length=8), type_=sa.String(length=16), nullable=False)
        table.add_column(sa.Column("acknowledged_by", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("acknowledged_at", UTCDateTime(), nullable=True))
        table.add_column(sa.Column("snoozed_by", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("snoozed_until", UTCDateTime(), nullable=True))
        table.add_column(sa.Column("escalated_at", UTCDateTime(), nullable=True))
    with op.batch_alter_table("mode_changes") as table:
        table.add_column(sa.Column("channel", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("ts", sa.String(length=64), nullable=True))
    with op.batch_alter_table("outside_notices") as table:
        table.alter_column("alert_id", existing_type=ID, nullable=True)
    op.create_index(op.f("ix_notices_alert_id_action"), "notices", ["alert_id", "action"], unique=False)
