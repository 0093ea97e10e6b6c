"""Tables of the fallback mode: its changes, their verification, and the state of each target."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from itertools import takewhile
from typing import Literal

from sqlalchemy import Connection, Engine, Select, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.alerts.notice_contents import enqueue, parsed
from bot.amounts import day_name
from bot.db.engine import lock_for_writers
from bot.db.schema import audit, mode_changes, notices, state, target_states
from bot.db.state import audited, keep, keep_refusal, save_state
from bot.fallback.targets.base import TargetState
from bot.language import ENGLISH, in_language, spoken
from bot.mode import NORMAL
from bot.modes.changes import AUTO_KEY, AUTO_SWITCH, LOOK_BACK, NO_CHANGE, AuditEntry, AutoSwitch, ModeChange
from bot.modes.model import ModeAnnouncement, ModeEnding, VerificationReport

Dismissal = Literal["done", "already", "over", "unknown"]
"""Result of a click. `over`: the change is no longer watched. `unknown`: no report is about such a change."""


class VerificationStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def reports(self, change_ids: Sequence[int]) -> list[VerificationReport]:
        """Every report about these changes, oldest first."""
        with self._engine.connect() as connection:
            return _reports(connection, change_ids)

    def is_dismissed(self, change_ids: Sequence[int]) -> bool:
        """Whether somebody has dismissed the reports about one of these changes."""
        with self._engine.connect() as connection:
            return connection.execute(_dismissed(change_ids)).first() is not None

    def report(self, facts: VerificationReport, known: int, change_ids: Sequence[int]) -> bool:
        """Post a report in the thread of its change.

        Returns False and stores nothing if a newer change exists, the reports were dismissed, or another process was
        faster: the number of reports about `change_ids` is no longer `known`.
        """
        with self._engine.begin() as connection:
            lock_for_writers(connection, mode_changes)
            newest = connection.execute(select(func.max(mode_changes.c.id))).scalar_one()
            dismissed = connection.execute(_dismissed(change_ids)).first() is not None
            if newest != facts.change_id or dismissed or len(_reports(connection, change_ids)) != known:
                return False
            enqueue(connection, "reply", facts, facts.decided_at, mode_change_id=facts.change_id)
            return True

    def dismiss(self, change_id: int, in_force: Sequence[int], by: str, now: datetime) -> Dismissal:
        """Dismiss the reports about a change, with an audit entry. `in_force`: the changes that led to the mode."""
        with audited(self._engine) as connection:
            lock_for_writers(connection, mode_changes)
            if not _reports(connection, [change_id]):
                return "unknown"
            reports = _reports(connection, in_force)
            if change_id not in in_force or reports[-1].last:
                return "over"
            marked = connection.execute(
                update(mode_changes)
                .where(mode_changes.c.id == change_id, mode_changes.c.proof_dismissed_by.is_(None))
                .values(proof_dismissed_by=by)
            )
            if not marked.rowcount:
                return "already"
            keep(connection, now, by, "proof", "done", f"{reports[-1].mode}: {reports[-1].state}, dismissed")
            return "done"


def _reports(connection: Connection, change_ids: Sequence[int]) -> list[VerificationReport]:
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


HISTORY = ("mode", "proposal", "auto", "proof")
"""Actions in the audit trail that are about the fallback mode."""


class ModeStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.verifications = VerificationStore(engine)

    def current(self) -> ModeChange | None:
        """The newest change, which sets the wanted mode; None before the first."""
        with self._engine.connect() as connection:
            return newest_change(connection)

    def changes(self, most: int) -> list[ModeChange]:
        """The newest changes, at most `most`, oldest first."""
        query = _CHANGES.order_by(mode_changes.c.id.desc()).limit(most)
        with self._engine.connect() as connection:
            return [ModeChange(**row._mapping) for row in reversed(connection.execute(query).all())]

    def in_force(self) -> list[ModeChange]:
        """The newest change, and those before it that only have another end; newest first."""
        changes = reversed(self.changes(LOOK_BACK))
        newest = next(changes, None)
        if newest is None:
            return []
        return [newest, *takewhile(lambda change: change.mode == newest.mode, changes)]

    def change(self, variables: Mapping[str, str], facts: ModeAnnouncement, after: int | None = None) -> int | None:
        """Record the change, its audit entry and its announcement in one transaction; returns the change's id.

        Returns None and records nothing if somebody else was faster: the mode in force is no longer `facts.previous`,
        or the newest change is not `after` (`NO_CHANGE`: the first).
        """
        with audited(self._engine) as connection:
            lock_for_writers(connection, mode_changes)
            newest = newest_change(connection)
            if facts.previous != (NORMAL if newest is None else newest.mode):
                return None
            if after is not None and after != (NO_CHANGE if newest is None else newest.id):
                return None
            return record_change(connection, variables, facts)

    def warn(self, change_id: int, facts: ModeEnding, now: datetime) -> None:
        """Announce the end of a mode in its announcement's thread, once, in one transaction with the record of it."""
        with self._engine.begin() as connection:
            noted = connection.execute(
                update(mode_changes)
                .where(mode_changes.c.id == change_id, mode_changes.c.warned_at.is_(None))
                .values(warned_at=now)
            )
            if noted.rowcount:
                enqueue(connection, "broadcast", facts, now, mode_change_id=change_id)

    def written(self, change_id: int, now: datetime, late: ModeAnnouncement | None = None) -> None:
        """Every target has the mode. `late`: what to announce, if the failure was announced before."""
        with self._engine.begin() as connection:
            marked = connection.execute(
                update(mode_changes)
                .where(mode_changes.c.id == change_id, mode_changes.c.written_at.is_(None))
                .values(written_at=now, write_error=None)
            )
            if late is not None and marked.rowcount:
                enqueue(connection, "post", late, now, mode_change_id=change_id)

    def not_written(self, change_id: int, error: str) -> None:
        """A target does not have the mode, for this reason."""
        with self._engine.begin() as connection:
            connection.execute(
                update(mode_changes).where(mode_changes.c.id == change_id).values(written_at=None, write_error=error)
            )

    def refused(self, now: datetime, actor: str, action: str, detail: str) -> None:
        """Record a refusal."""
        with self._engine.begin() as connection:
            keep_refusal(connection, now, actor, action, detail)

    def auto(self) -> AutoSwitch | None:
        """What was set in chat about automatic steps; None if nothing was."""
        with self._engine.connect() as connection:
            value = connection.execute(select(state.c.value).where(state.c.key == AUTO_KEY)).scalar_one_or_none()
        return None if value is None else AUTO_SWITCH.validate_python(value)

    def set_auto(self, said: AutoSwitch) -> None:
        """Store it, with its audit entry."""
        value = AUTO_SWITCH.dump_python(said, mode="json")
        with audited(self._engine) as connection:
            save_state(connection, AUTO_KEY, value)
            keep(connection, said.at, said.by, "auto", "done", "on" if said.on else "off")

    def history(self, most: int) -> list[AuditEntry]:
        """The newest changes and refusals, newest first."""
        query = select(audit).where(audit.c.action.in_(HISTORY)).order_by(audit.c.id.desc()).limit(most)
        with self._engine.connect() as connection:
            return [
                AuditEntry(row.at, row.actor, row.action, row.outcome, row.detail) for row in connection.execute(query)
            ]


_CHANGES = select(*(mode_changes.c[field.name] for field in fields(ModeChange)))


def newest_change(connection: Connection) -> ModeChange | None:
    """The change in force; None before the first."""
    row = connection.execute(_CHANGES.order_by(mode_changes.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else ModeChange(**row._mapping)


def record_change(connection: Connection, variables: Mapping[str, str], facts: ModeAnnouncement) -> int:
    """Record a change, its audit entry and its announcement, in a transaction that has checked the mode in force."""
    change_id = int(
        connection.execute(
            insert(mode_changes)
            .values(
                mode=facts.mode,
                variables=dict(variables),
                changed_at=facts.changed_at,
                changed_by=facts.by,
                reason=facts.reason,
                until=facts.until,
            )
            .returning(mode_changes.c.id)
        ).scalar_one()
    )
    ends = ""
    if facts.until is not None:
        with in_language(ENGLISH):
            ends = f" until {day_name(facts.until.date(), facts.changed_at)} {facts.until:%H:%M} UTC"
    detail = f"{facts.previous} -> {facts.mode}{ends}: {spoken(facts.reason)}"
    keep(connection, facts.changed_at, facts.by, "mode", "done", detail, mode=facts.mode)
    enqueue(connection, "post", facts, facts.changed_at, mode_change_id=change_id)
    return change_id


class TargetStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> dict[str, TargetState]:
        """States by target name, including targets that are no longer configured."""
        with self._engine.connect() as connection:
            return {row.target: TargetState(**row._mapping) for row in connection.execute(select(target_states))}

    def save(self, state: TargetState) -> None:
        """Replace the state of this target."""
        values = asdict(state)
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(target_states).values(values)
        with self._engine.begin() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["target"], set_=values))
