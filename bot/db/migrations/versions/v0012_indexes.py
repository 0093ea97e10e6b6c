"""Indexes for the queries of every cycle, which otherwise scan every alert and notice ever stored."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, column in (
        ("alerts", "period"),
        ("alerts", "status"),
        ("notices", "mode_change_id"),
        ("outside_notices", "sent_at"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)
