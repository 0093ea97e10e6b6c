"""One outbox for every destination: the notices of further destinations move to those of Slack."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

notices = sa.table(
    "notices",
    sa.column("id", sa.BigInteger),
    sa.column("action", sa.String),
    sa.column("about", sa.Text),
    sa.column("reposts", sa.Boolean),
    sa.column("facts", sa.JSON),
)

MOVE = """
INSERT INTO notices (
    destination, alert_id, step, action, about, reposts, facts, status, created_at, attempts, attempted_at,
    next_attempt_at, reached, sent_at, error
)
SELECT CASE WHEN destination = 'Slack' THEN 'Slack (further)' ELSE destination END,
    alert_id, step, 'post', '', FALSE, facts,
    CASE WHEN sent_at IS NOT NULL THEN 'sent' WHEN attempted_at IS NOT NULL THEN 'sending' ELSE 'pending' END,
    created_at, attempts, attempted_at, created_at, reached, sent_at, error
FROM outside_notices ORDER BY id
"""


def upgrade() -> None:
    with op.batch_alter_table("notices") as table:
        table.add_column(sa.Column("destination", sa.String(length=128), nullable=False, server_default="Slack"))
        table.add_column(sa.Column("step", sa.String(length=16), nullable=True))
        table.add_column(sa.Column("about", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("reposts", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("reached", sa.JSON(), nullable=False, server_default="[]"))
    op.execute(MOVE)
    op.drop_table("outside_notices")
    _fill(op.get_bind())
    with op.batch_alter_table("notices") as table:
        for name, kind in (
            ("destination", sa.String(length=128)),
            ("about", sa.Text()),
            ("reposts", sa.Boolean()),
            ("reached", sa.JSON()),
        ):
            table.alter_column(name, existing_type=kind, existing_nullable=False, server_default=None)
        table.create_unique_constraint(
            op.f("uq_notices_destination_alert_id_step"), ["destination", "alert_id", "step"]
        )
        table.drop_index(op.f("ix_notices_status_next_attempt_at"))
        table.create_index(op.f("ix_notices_status_destination"), ["status", "destination"])


def _fill(connection: sa.Connection) -> None:
    # A notice with other fields was unreadable before, stays so, and is not sent.
    changed = []
    for row in connection.execute(sa.select(notices.c.id, notices.c.action, notices.c.facts)):
        with suppress(KeyError, TypeError, ValueError, ArithmeticError):
            reposts = row.action == "update" and row.facts["kind"] in INCIDENTS and row.facts["status"] == "open"
            changed.append({"notice_id": row.id, "about": about(row.facts), "reposts": reposts})
    if changed:
        filled = notices.update().where(notices.c.id == sa.bindparam("notice_id"))
        connection.execute(filled.values(about=sa.bindparam("about"), reposts=sa.bindparam("reposts")), changed)


def about(facts: Mapping[str, Any]) -> str:
    """Visible id of what a notice reports, by which its message is recognised in Slack."""
    kind = facts["kind"]
    if kind == "life":
        return about(facts["about"])
    if kind == "test":
        return f"test/{_moment(facts['requested_at']):%Y-%m-%dT%H:%M:%SZ}"
    if kind not in INCIDENTS:
        return f"mode/{facts['mode']}"
    subject, period = INCIDENTS[kind](facts)
    return f"{subject}/{period}/{facts['level']}/{Decimal(facts['limit_usd']):f}"


def _minute(text: str) -> str:
    return f"{_moment(text).astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _of_budget(facts: Mapping[str, Any]) -> tuple[str, str]:
    return facts["spend"]["budget"], facts["spend"]["period"]


INCIDENTS: Mapping[str, Any] = {
    "alert": _of_budget,
    "forecast": _of_budget,
    "spike": lambda facts: (facts["spend"]["budget"], facts["key"]),
    "stale": lambda facts: ("data", _minute(facts["began_at"])),
    "drift": lambda facts: ("bill", facts["day"]),
    "period": lambda facts: (facts["budget"], facts["key"]),
    "delivery": lambda facts: (facts["destination"], _minute(facts["since"])),
}
"""Subject and period of an incident, by kind of payload."""
