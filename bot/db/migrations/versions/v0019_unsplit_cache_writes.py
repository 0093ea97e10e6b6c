"""How many cache writes of an event were reported without a lifetime."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What was stored before counts as split: its sums stay as they are.
    op.add_column(
        "ledger_events", sa.Column("unsplit_cache_writes", sa.BigInteger(), nullable=False, server_default="0")
    )
