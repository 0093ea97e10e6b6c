"""The audit trail: who did or tried what, recorded in the transaction of the change."""

from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert

from bot.db.schema import audit

Outcome = Literal["done", "refused", "failed"]


def keep(connection: Connection, at: datetime, actor: str, action: str, outcome: Outcome, detail: str) -> None:
    """Add an entry. `actor`: a Slack user id."""
    entry = {"at": at, "actor": actor, "action": action, "outcome": outcome, "detail": detail}
    connection.execute(insert(audit).values(entry))
