"""The fallback mode and the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, insert, select, update

from bot.alerts.facts import ModeFacts
from bot.fallback.modes import NORMAL
from bot.store.audit import keep
from bot.store.engine import lock_for_writers
from bot.store.notices import enqueue
from bot.store.schema import mode_changes


@dataclass(frozen=True, slots=True)
class ModeChange:
    """One change. `written_at`: when the target held it; `write_error`: why it does not, as one sentence."""

    id: int
    mode: str
    variables: Mapping[str, str]
    changed_at: datetime
    changed_by: str
    reason: str
    written_at: datetime | None
    write_error: str | None


class ModeStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def current(self) -> ModeChange | None:
        """The newest change, which is the mode that is wanted; None before the first."""
        query = select(mode_changes).order_by(mode_changes.c.id.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return ModeChange(
            id=row.id,
            mode=row.mode,
            variables=row.variables,
            changed_at=row.changed_at,
            changed_by=row.changed_by,
            reason=row.reason,
            written_at=row.written_at,
            write_error=row.write_error,
        )

    def change(self, variables: Mapping[str, str], facts: ModeFacts) -> int | None:
        """Record the change, its audit entry and its announcement in one transaction; returns the change's id.

        None, and nothing recorded, where somebody else was quicker: the mode in force is not `facts.previous` any more.
        """
        with self._engine.begin() as connection:
            if _mode_in_force(connection) != facts.previous:
                return None
            change_id = int(
                connection.execute(
                    insert(mode_changes)
                    .values(
                        mode=facts.mode,
                        variables=dict(variables),
                        changed_at=facts.changed_at,
                        changed_by=facts.by,
                        reason=facts.reason,
                    )
                    .returning(mode_changes.c.id)
                ).scalar_one()
            )
            detail = f"{facts.previous} -> {facts.mode}: {facts.reason}"
            keep(connection, facts.changed_at, facts.by, "mode", "done", detail)
            enqueue(connection, "post", facts, facts.changed_at, mode_change_id=change_id)
        return change_id

    def written(self, change_id: int, now: datetime, late: ModeFacts | None = None) -> None:
        """The target holds the mode. `late`: what to announce, where the failure was announced before."""
        with self._engine.begin() as connection:
            marked = connection.execute(
                update(mode_changes)
                .where(mode_changes.c.id == change_id, mode_changes.c.written_at.is_(None))
                .values(written_at=now, write_error=None)
            )
            if late is not None and marked.rowcount:
                enqueue(connection, "post", late, now, mode_change_id=change_id)

    def not_written(self, change_id: int, error: str) -> None:
        """The target does not hold the mode, for this reason."""
        with self._engine.begin() as connection:
            connection.execute(
                update(mode_changes).where(mode_changes.c.id == change_id).values(written_at=None, write_error=error)
            )

    def refused(self, now: datetime, actor: str, action: str, detail: str) -> None:
        """Keep that somebody was refused."""
        with self._engine.begin() as connection:
            keep(connection, now, actor, action, "refused", detail)


def _mode_in_force(connection: Connection) -> str:
    lock_for_writers(connection, mode_changes)
    newest = select(mode_changes.c.mode).order_by(mode_changes.c.id.desc()).limit(1)
    return connection.execute(newest).scalar_one_or_none() or NORMAL
