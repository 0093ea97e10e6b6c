"""Logged usage in the shapes of stored usage, for a snapshot of it: `LedgerIndex` gives its rows their meaning.

A row's workspace is its feature (empty without one), its key the text of its `Labels`. All hours since the first event
are known, up to the present: that nothing was logged is known too.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, select

from bot.clock import HOUR, floor_hour
from bot.db.schema import ledger_days, ledger_hours, ledger_known_hours, ledger_minutes, state
from bot.db.state import LEDGER
from bot.ledger.interning import Interning
from bot.ledger.known_hours import LedgerState, state_of
from bot.ledger.model import Dimensions, Labels
from bot.ledger.store_writes import MINUTES_KEPT
from bot.usage.age import DataState
from bot.usage.model import BilledRow
from bot.usage.store_reads import ROWS_AT_ONCE, Head, HourRead, Names, Version

Recent = Mapping[int, Mapping[datetime, frozenset[datetime]]]
"""By version of the ledger, which minutes of which hours this process has changed."""


class _Features(dict[str, str]):
    """A feature's name is the feature."""

    def get(self, feature: str, default: Any = None) -> Any:
        return feature or "no feature"


class _Callers(dict[str, str]):
    """What people read for a text of labels."""

    def get(self, text: str, default: Any = None) -> Any:
        return str(Labels.of(text))


NAMES = Names(_Features(), _Callers(), {}, datetime.min.replace(tzinfo=UTC), logged=True)


class LedgerReader:
    """Reads within one transaction, so that everything is as of one moment. As `UsageReader`."""

    def __init__(self, connection: Connection, interning: Interning, recent: Recent) -> None:
        self._connection = connection
        self._interning = interning
        self._recent = recent
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
        return [self._hour(hour, None) for hour in self._connection.execute(query).scalars()]

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
        """None: a bill knows nothing of features."""
        return []

    def names(self) -> Names:
        return NAMES

    def _minutes(self, since: int, until: int) -> dict[datetime, frozenset[datetime]] | None:
        """What this process has changed itself; None where another one has changed something as well."""
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
    """The ledger's state in the shape of that of stored usage."""
    read_at = None if known.as_of is None else "always"
    return Head(DataState(as_of=known.as_of), Version(usage=known.version), read_at)


def _row(dimensions: Dimensions) -> tuple[str, str, str, str | None, str | None, str | None]:
    labels = Labels(dimensions.user_id, dimensions.tags, dimensions.workspace, dimensions.key)
    return (dimensions.model, dimensions.feature or "", labels.text, *dimensions.terms)


def _parts(rows: Iterator[list[Any]]) -> Iterator[list[Any]]:
    while part := list(islice(rows, ROWS_AT_ONCE)):
        yield part
