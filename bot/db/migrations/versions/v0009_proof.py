"""Who dismissed the verification of a mode change, and when an incident was first opened."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import UTCDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("mode_changes") as table:
        table.add_column(sa.Column("proof_dismissed_by", sa.String(length=64), nullable=True))
    with op.batch_alter_table("alerts") as table:
        table.add_column(sa.Column("first_opened_at", UTCDateTime(), nullable=True))
    op.execute(
        "UPDATE alerts SET first_opened_at = (SELECT min(notices.created_at) FROM notices "
        "WHERE notices.alert_id = alerts.id AND notices.action = 'post')"
    )
