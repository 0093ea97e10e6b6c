"""Logged usage in the shapes of stored usage, for snapshots, and the range of hours that the ledger knows.

All hours from the first event's to the present are known, since quiet ones count as zero. On PostgreSQL the row of the
state is always locked before those of the hours.

A row's workspace is its feature (empty without one), its key the text of its `Labels`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.clock import BEFORE_EVERYTHING, HOUR, floor_hour
from bot.db.retention import ledger_by_day_before
from bot.db.schema import ledger_days, ledger_hours, ledger_known_hours, ledger_minutes, state
from bot.db.state import LEDGER, locked, save_state
from bot.ledger.interning import Interning, tags_without_names
from bot.ledger.model import Dimensions, Labels
from bot.ledger.store_writes import MINUTES_KEPT
from bot.usage.model import BilledRow, DataState
from bot.usage.store_reads import ROWS_AT_ONCE, Head, HourRead, Names, Version


@dataclass(frozen=True, slots=True)
class LedgerState:
    """`version` rises with every change of the sums or of the known hours. `as_of`: age of the data.

    `first`, `last`: the known hours, both included. All None before the first event.
    """

    version: int = 0
    as_of: datetime | None = None
    first: datetime | None = None
    last: datetime | None = None


def state_of(value: Any) -> LedgerState:
    """Parse the state's JSON."""
    if not value:
        return LedgerState()
    version, *moments = value
    as_of, first, last = (datetime.fromisoformat(each).astimezone(UTC) for each in moments)
    return LedgerState(version, as_of, first, last)


def note_changes(connection: Connection, changed: Iterable[datetime], now: datetime) -> LedgerState:
    """Record the change of these hours, and that everything up to `now` is known, in the transaction of the change."""
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


Recent = Mapping[int, Mapping[datetime, frozenset[datetime]]]
"""Minutes of each hour changed by this process, by version of the ledger."""


class _Features(dict[str, str]):
    """A feature is its own name."""

    def get(self, feature: str, default: Any = None) -> Any:
        return feature or "no feature"


class _Callers(dict[str, str]):
    """Display names of texts of labels. `pseudonym`: hash shown instead of a user."""

    def __init__(self, pseudonym: Callable[[str], str] | None) -> None:
        super().__init__()
        self._pseudonym = pseudonym

    def get(self, text: str, default: Any = None) -> Any:
        labels = Labels.of(text)
        if self._pseudonym is not None:
            user = None if labels.user_id is None else self._pseudonym(labels.user_id)
            labels = labels._replace(user_id=user, tags=tags_without_names(labels.tags, self._pseudonym))
        return str(labels)


def names_of(pseudonym: Callable[[str], str] | None) -> Names:
    """Names of everything that is logged. `pseudonym`: of users; None if users are named."""
    return Names(_Features(), _Callers(pseudonym), {}, datetime.min.replace(tzinfo=UTC), logged=True)


class LedgerReader:
    """Reads within one transaction, so that everything is as of one moment. As `UsageReader`."""

    def __init__(self, connection: Connection, interning: Interning, recent: Recent, names: Names) -> None:
        self._connection = connection
        self._interning = interning
        self._recent = recent
        self._names = names
        self._head: Head | None = None

    def head(self) -> Head:
        if self._head is None:
            query = select(state.c.value).where(state.c.key == LEDGER)
            self._head = head_of(state_of(self._connection.execute(query).scalar_one_or_none()))
        return self._head

    def changed(self, since: int, until: int) -> list[HourRead]:
        query = select(ledger_known_hours.c.hour).where(ledger_known_hours.c.version > since)
        hours = self._connection.execute(query.order_by(ledger_known_hours.c.hour)).scalars().all()
        own = self._minutes(since, until)
        return [self._hour(hour, None if own is None else own.get(hour, frozenset())) for hour in hours]

    def hours(self, starts_at: datetime, ends_at: datetime) -> list[HourRead]:
        within = (ledger_known_hours.c.hour >= starts_at, ledger_known_hours.c.hour < ends_at)
        query = select(ledger_known_hours.c.hour).where(*within).order_by(ledger_known_hours.c.hour)
        by_day_before = ledger_by_day_before(self._connection) or BEFORE_EVERYTHING
        return [
            HourRead(hour, "1d", odd=False, buckets=None) if hour < by_day_before else self._hour(hour, None)
            for hour in self._connection.execute(query).scalars()
        ]

    def used_hours(self, starts_at: datetime, ends_at: datetime) -> frozenset[datetime]:
        hour = ledger_hours.c.hour
        query = select(hour).where(hour >= starts_at, hour < ends_at).distinct()
        return frozenset(self._connection.execute(query).scalars())

    def hour_rows(self, hour: datetime) -> Iterator[Sequence[Any]]:
        rows = self._rows(ledger_hours, ledger_hours.c.hour == hour)
        return _parts([*dimensions, *counts] for _, dimensions, counts in rows)

    def bucket_rows(self, hour: datetime, buckets: frozenset[datetime] | None) -> Iterator[Sequence[Any]]:
        minute = ledger_minutes.c.minute
        within = (minute >= hour) & (minute < hour + HOUR)
        if buckets is not None:
            within &= minute.in_(sorted(buckets))
        return _parts([at, *dimensions, *counts] for at, dimensions, counts in self._rows(ledger_minutes, within))

    def day_rows(self, first: date, last: date) -> dict[date, list[Any]]:
        found: dict[date, list[Any]] = {}
        day = ledger_days.c.day
        for at, dimensions, counts in self._rows(ledger_days, (day >= first) & (day <= last)):
            found.setdefault(at, []).append([*dimensions, *counts])
        return found

    def callers_before(self, day: date) -> list[tuple[str, str, str]]:
        query = select(ledger_days.c.dimensions_id).where(ledger_days.c.day < day).distinct()
        numbers = self._connection.execute(query).scalars().all()
        found = self._interning.dimensions(self._connection, numbers)
        return sorted({_row(dimensions)[:3] for dimensions in found.values()})

    def billed_rows(self, first: date) -> list[BilledRow]:
        """Always empty: bills do not know features."""
        return []

    def names(self) -> Names:
        return self._names

    def _minutes(self, since: int, until: int) -> dict[datetime, frozenset[datetime]] | None:
        """Minutes changed by this process; None if another process has changed something too."""
        found: dict[datetime, frozenset[datetime]] = {}
        for version in range(since + 1, until + 1):
            changed = self._recent.get(version)
            if changed is None:
                return None
            for hour, minutes in changed.items():
                found[hour] = found.get(hour, frozenset()) | minutes
        return found

    def _hour(self, hour: datetime, minutes: frozenset[datetime] | None) -> HourRead:
        as_of = self.head().data.as_of
        by_minute = as_of is not None and hour >= floor_hour(as_of) - MINUTES_KEPT
        return HourRead(hour, "1m" if by_minute else "1h", odd=False, buckets=minutes if by_minute else None)

    def _rows(self, table: Table, where: Any) -> Iterator[tuple[Any, tuple[Any, ...], Sequence[int]]]:
        start, number, *counts = list(table.columns)[:8]
        for part in self._connection.execute(select(start, number, *counts).where(where)).partitions(ROWS_AT_ONCE):
            found = self._interning.dimensions(self._connection, (row[1] for row in part))
            for at, number_of, *numbers in part:
                yield at, _row(found[number_of]), numbers


def head_of(known: LedgerState) -> Head:
    """The ledger's state in the shape of stored usage's."""
    read_at = None if known.as_of is None else "always"
    return Head(DataState(as_of=known.as_of), Version(usage=known.version), read_at)


def _row(dimensions: Dimensions) -> tuple[str, str, str, str | None, str | None, str | None, int | None]:
    labels = Labels(dimensions.user_id, dimensions.tags, dimensions.workspace, dimensions.key)
    return (dimensions.model, dimensions.feature or "", labels.text, *dimensions.terms, dimensions.prompt_tokens)


def _parts(rows: Iterator[list[Any]]) -> Iterator[list[Any]]:
    while part := list(islice(rows, ROWS_AT_ONCE)):
        yield part
