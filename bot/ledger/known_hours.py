"""From when on the ledger knows what was logged, up to when, and by which version of it an hour was changed last.

All hours from the first event's to the present are known, quiet ones too. On PostgreSQL the row of the state is locked
before those of the hours, by everybody.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from bot.clock import HOUR, floor_hour
from bot.db.schema import ledger_known_hours
from bot.db.state import LEDGER, locked, save_state


@dataclass(frozen=True, slots=True)
class LedgerState:
    """`version` rises with every change of the sums or of what is known. `as_of`: the age of what is known.

    `first`, `last`: the known hours, both included. All None before the first event.
    """

    version: int = 0
    as_of: datetime | None = None
    first: datetime | None = None
    last: datetime | None = None


def state_of(value: Any) -> LedgerState:
    """Read from the state's JSON."""
    if not value:
        return LedgerState()
    version, *moments = value
    as_of, first, last = (datetime.fromisoformat(each).astimezone(UTC) for each in moments)
    return LedgerState(version, as_of, first, last)


def note_changes(connection: Connection, changed: Iterable[datetime], now: datetime) -> LedgerState:
    """Count the change of these hours, and know everything up to `now`, in the transaction of the change."""
    before = state_of(locked(connection, LEDGER, None))
    hours = set(changed)
    if before.first is None and not hours:
        return before
    as_of = now if before.as_of is None else max(now, before.as_of)
    first = min([*hours, *([before.first] if before.first else [])])
    last = max([*hours, floor_hour(as_of), *([before.last] if before.last else [])])
    quiet = [*_hours(first, before.first or last + HOUR), *_hours((before.last or last) + HOUR, last + HOUR)]
    version = before.version + bool(hours or quiet)
    if hours or quiet:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        kept = dialect.insert(ledger_known_hours)
        connection.execute(
            kept.on_conflict_do_update(index_elements=["hour"], set_={"version": kept.excluded.version}),
            [{"hour": hour, "version": version} for hour in sorted(hours.union(quiet))],
        )
    after = LedgerState(version, as_of, first, last)
    if after != before:
        save_state(connection, LEDGER, [version, as_of.isoformat(), first.isoformat(), last.isoformat()])
    return after


def _hours(starts_at: datetime, ends_at: datetime) -> Iterable[datetime]:
    while starts_at < ends_at:
        yield starts_at
        starts_at += HOUR
