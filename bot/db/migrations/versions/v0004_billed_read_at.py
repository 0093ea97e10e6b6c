"""Separate the time of the last read of the cost report from that of the last attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

state = sa.table("state", sa.column("key", sa.String), sa.column("value", sa.JSON))
billed = sa.table("billed", sa.column("day", sa.Date))


def upgrade() -> None:
    connection = op.get_bind()
    data = connection.execute(sa.select(state.c.value).where(state.c.key == "data")).scalar_one_or_none()
    if data is None or "billed_read_at" in data:
        return
    read_at = data.get("billed_at")
    if data.get("billed_error") is not None:
        # The column held the time of the attempt; the reading was not before the newest day that was read.
        newest = connection.execute(sa.select(sa.func.max(billed.c.day))).scalar_one()
        read_at = None if newest is None else f"{newest.isoformat()}T00:00:00Z"
    value = {**data, "billed_read_at": read_at}
    connection.execute(sa.update(state).where(state.c.key == "data").values(value=value))
