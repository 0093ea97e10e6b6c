"""Number of cache writes of an event without a stated lifetime."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Earlier events count as split: their sums stay.
    op.add_column(
        "ledger_events", sa.Column("unsplit_cache_writes", sa.BigInteger(), nullable=False, server_default="0")
    )
