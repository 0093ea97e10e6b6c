"""Channels and owners of budgets; notices in a channel of their own, and channels that cannot be reached."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import UTCDateTime

revision = "0023"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("budgets", sa.Column("team", sa.String(60), nullable=True))
    op.add_column("budgets", sa.Column("channel", sa.String(64), nullable=True))
    op.add_column("budgets", sa.Column("owners", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("budgets", sa.Column("mention", sa.JSON(), nullable=True))
    op.add_column("notices", sa.Column("channel", sa.String(64), nullable=True))
    op.add_column("notices", sa.Column("meant_for", sa.String(64), nullable=True))
    op.add_column("notices", sa.Column("mention", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("notices", sa.Column("ts", sa.String(64), nullable=True))
    op.create_table(
        "unreachable_channels",
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("since", UTCDateTime(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
    )
