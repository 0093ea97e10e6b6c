"""Number of unreadable rows of an hour."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not as a batch: that would recreate the table on SQLite and delete the usage that refers to it.
    op.add_column("usage_hours", sa.Column("odd_rows", sa.Integer(), nullable=False, server_default="0"))
