"""Claims of notices: which copy of the bot is sending one, and since when by the database's clock."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import UTCDateTime

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("notices", sa.Column("claim", sa.String(length=128), nullable=True))
    op.add_column("notices", sa.Column("claimed_at", UTCDateTime(), nullable=True))
