"""How many rows of an hour could not be read in full."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not as a batch: that would make the table anew on SQLite, and the usage that refers to it would be deleted.
    op.add_column("usage_hours", sa.Column("odd_rows", sa.Integer(), nullable=False, server_default="0"))
