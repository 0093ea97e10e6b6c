"""Which reports verified each change of the mode: the outbox remembers them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine, Select, func, select, update

from bot.alerts.notice_contents import enqueue
from bot.alerts.payloads import parsed
from bot.db.audit import keep
from bot.db.engine import lock_for_writers
from bot.db.schema import mode_changes, notices
from bot.modes.model import VerificationReport

Dismissal = Literal["done", "already", "over", "unknown"]
"""What became of a click. `over`: the change is not watched any more. `unknown`: no report is about such a change."""


class ProofStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def told(self, change_ids: Sequence[int]) -> list[VerificationReport]:
        """Every report about these changes, the oldest first."""
        with self._engine.connect() as connection:
            return _told(connection, change_ids)

    def is_dismissed(self, change_ids: Sequence[int]) -> bool:
        """Whether somebody wants to hear no more about one of these changes."""
        with self._engine.connect() as connection:
            return connection.execute(_dismissed(change_ids)).first() is not None

    def tell(self, facts: VerificationReport, told: int, change_ids: Sequence[int]) -> bool:
        """Put a report below the announcement of its change.

        False, and nothing is told, where that is not the newest change any more, where it was dismissed, or where
        somebody was quicker: there are not `told` reports about `change_ids` any more.
        """
        with self._engine.begin() as connection:
            lock_for_writers(connection, mode_changes)
            newest = connection.execute(select(func.max(mode_changes.c.id))).scalar_one()
            dismissed = connection.execute(_dismissed(change_ids)).first() is not None
            if newest != facts.change_id or dismissed or len(_told(connection, change_ids)) != told:
                return False
            enqueue(connection, "reply", facts, facts.decided_at, mode_change_id=facts.change_id)
            return True

    def dismiss(self, change_id: int, in_force: Sequence[int], by: str, now: datetime) -> Dismissal:
        """`by` wants to hear no more of it. With its audit entry. `in_force`: the changes that led to the mode."""
        with self._engine.begin() as connection:
            lock_for_writers(connection, mode_changes)
            if not _told(connection, [change_id]):
                return "unknown"
            told = _told(connection, in_force)
            if change_id not in in_force or told[-1].last:
                return "over"
            marked = connection.execute(
                update(mode_changes)
                .where(mode_changes.c.id == change_id, mode_changes.c.proof_dismissed_by.is_(None))
                .values(proof_dismissed_by=by)
            )
            if not marked.rowcount:
                return "already"
            keep(connection, now, by, "proof", "done", f"{told[-1].mode}: {told[-1].state}, dismissed")
            return "done"


def _told(connection: Connection, change_ids: Sequence[int]) -> list[VerificationReport]:
    query = (
        select(notices.c.facts)
        .where(
            notices.c.mode_change_id.in_(change_ids),
            notices.c.action == "reply",
            notices.c.facts["kind"].as_string() == "proof",
        )
        .order_by(notices.c.id)
    )
    stored = connection.execute(query).scalars()
    return [payload for value in stored if isinstance(payload := parsed(value), VerificationReport)]


def _dismissed(change_ids: Sequence[int]) -> Select[tuple[int]]:
    return select(mode_changes.c.id).where(
        mode_changes.c.id.in_(change_ids), mode_changes.c.proof_dismissed_by.is_not(None)
    )
