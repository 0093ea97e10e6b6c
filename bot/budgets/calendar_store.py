"""The calendar and expectations in the database: stored with an audit entry, cached until they change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from bot.budgets.budget import parse_scope
from bot.budgets.calendar import MOST_ENTRIES, CalendarWordsError, Entry, Window, all_windows, entry_of
from bot.clock import DAY
from bot.db.engine import lock_for_writers
from bot.db.schema import calendar, expectations
from bot.db.state import BUDGETS, audited, bump, keep, versions_of
from bot.language import tr

ACTION = "calendar"
EXPECTED = "expected"
"""Their name in the audit trail."""

STILL_KNOWN = 35 * DAY
"""Longer than a forecast looks back."""


class FullError(Exception):
    """The calendar is full; the message is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """An entry, with the Slack user id of whoever added it."""

    entry: Entry
    added_by: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Expectation:
    """High spend of a budget is expected until `until`. `ended_by`: who withdrew or replaced it.

    A withdrawn one ends when it began.
    """

    id: int
    subject: str
    alert_id: int | None
    starts_at: datetime
    until: datetime
    by: str
    ended_at: datetime | None = None
    ended_by: str | None = None

    @property
    def ends_at(self) -> datetime:
        """When it ends or was withdrawn."""
        return self.until if self.ended_at is None else min(self.ended_at, self.until)

    def holds(self, now: datetime) -> bool:
        """Whether it is in force."""
        return self.starts_at <= now < self.ends_at


@dataclass(frozen=True, slots=True)
class Plans:
    """Everything planned or expected now or recently; the same object while nothing has changed."""

    kept: tuple[KeptEntry, ...] = ()
    expected: tuple[Expectation, ...] = ()

    def windows(self, since: datetime, until: datetime) -> list[Window]:
        """Occurrences of the calendar between these moments, oldest first."""
        return all_windows((one.entry for one in self.kept), since, until) if self.kept else []


NOTHING_PLANNED = Plans()


class CalendarStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._versions = versions_of(engine)
        self._known: tuple[int, Plans] | None = None

    def plans(self, now: datetime) -> Plans:
        """Known planned and expected spend."""
        version, known = self._versions.current(self._engine).get(BUDGETS, 0), self._known
        if known is None or known[0] != version:
            lately = select(expectations).where(expectations.c.until > now - STILL_KNOWN).order_by(expectations.c.id)
            with self._engine.connect() as connection:
                kept = [_kept(row) for row in connection.execute(select(calendar).order_by(calendar.c.name))]
                expected = tuple(map(_expectation, connection.execute(lately)))
            known = self._known = version, Plans(tuple(one for one in kept if one is not None), expected)
        return known[1]

    def add(self, entry: Entry, by: str, now: datetime) -> Entry | None:
        """Add an entry; returns the one with its name that it replaces. Raises `FullError`."""
        with audited(self._engine) as connection:
            lock_for_writers(connection, calendar)
            rows = connection.execute(select(calendar)).all()
            before = next((row for row in rows if row.name == entry.name), None)
            if before is None and len(rows) >= MOST_ENTRIES:
                raise FullError(tr("The calendar has {number} entries: remove one first.", number=MOST_ENTRIES))
            scope = None if entry.scope is None else str(entry.scope)
            connection.execute(delete(calendar).where(calendar.c.name == entry.name))
            values = {"name": entry.name, "words": entry.words(), "scope": scope, "added_by": by, "added_at": now}
            connection.execute(insert(calendar).values(**values))
            keep(connection, now, by, ACTION, "done", f"add {_detail(entry)}")
            bump(connection, BUDGETS)
        self._versions.changed()
        replaced = None if before is None else _kept(before)
        return None if replaced is None else replaced.entry

    def remove(self, name: str, by: str, now: datetime) -> bool:
        """Remove an entry. False if there is none with this name."""
        with audited(self._engine) as connection:
            gone = connection.execute(delete(calendar).where(calendar.c.name == name))
            if not gone.rowcount:
                return False
            keep(connection, now, by, ACTION, "done", f"remove {name}")
            bump(connection, BUDGETS)
        self._versions.changed()
        return True

    def changed(self) -> None:
        """Drop the cache after this copy has changed an expectation in its own transaction."""
        self._versions.changed()


def expect(
    connection: Connection, subject: str, alert_id: int | None, by: str, until: datetime, now: datetime
) -> Expectation:
    """Expect high spend of a budget, replacing an earlier expectation; in the caller's transaction."""
    lock_for_writers(connection, expectations)
    for present in _open(connection, expectations.c.subject == subject, now):
        _end(connection, present, by, now)
    values = {"subject": subject, "alert_id": alert_id, "starts_at": now, "until": until, "by": by}
    kept = connection.execute(insert(expectations).values(**values).returning(expectations.c.id)).scalar_one()
    keep(connection, now, by, EXPECTED, "done", f"{subject} until {until:%Y-%m-%d %H:%M} UTC")
    bump(connection, BUDGETS)
    return Expectation(id=int(kept), **values)  # type: ignore[arg-type]


def take_back(connection: Connection, expectation_id: int, by: str, now: datetime) -> Expectation | None:
    """Withdraw an expectation, in the caller's transaction. None if it is not in force or does not exist."""
    lock_for_writers(connection, expectations)
    found = _open(connection, expectations.c.id == expectation_id, now)
    if not found:
        return None
    # Spend in the meantime was not expected either.
    _end(connection, found[0], by, found[0].starts_at)
    keep(connection, now, by, EXPECTED, "done", f"{found[0].subject} taken back")
    bump(connection, BUDGETS)
    return found[0]


def expected_of(connection: Connection, alert_id: int) -> Expectation | None:
    """The last expectation set at this alert and not withdrawn."""
    query = (
        select(expectations)
        .where(expectations.c.alert_id == alert_id, expectations.c.ended_at.is_(None))
        .order_by(expectations.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _expectation(row)


def _open(connection: Connection, condition: Any, now: datetime) -> Sequence[Expectation]:
    query = select(expectations).where(condition, expectations.c.ended_at.is_(None), expectations.c.until > now)
    return list(map(_expectation, connection.execute(query).all()))


def _end(connection: Connection, present: Expectation, by: str, at: datetime) -> None:
    ended = update(expectations).where(expectations.c.id == present.id)
    connection.execute(ended.values(ended_at=max(at, present.starts_at), ended_by=by))


def _expectation(row: Row[Any]) -> Expectation:
    return Expectation(row.id, row.subject, row.alert_id, row.starts_at, row.until, row.by, row.ended_at, row.ended_by)


def _kept(row: Row[Any]) -> KeptEntry | None:
    try:
        entry = entry_of(row.name, row.words, None if row.scope is None else parse_scope(row.scope))
    except (CalendarWordsError, ValueError):
        # Written by another version.
        return None
    return KeptEntry(entry, row.added_by, row.added_at)


def _detail(entry: Entry) -> str:
    scope = "" if entry.scope is None else f" for={entry.scope}"
    return f"{entry.name}: {entry.words()}{scope}"
