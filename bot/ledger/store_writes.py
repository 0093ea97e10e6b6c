"""Write events and their sums: few statements per batch, however many events it has.

On PostgreSQL several copies of the bot append at once. Each takes its locks in one order: dimensions by digest, new
events by id, known events by id, minutes, hours, days, the version.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import sub
from typing import Any

from sqlalchemy import Connection, Table

from bot.clock import DAY, floor_hour
from bot.db.schema import UTCDateTime, ledger_days, ledger_events, ledger_hours, ledger_minutes
from bot.ledger.interning import numbers_of_rows, row_at_prompt, rows_of_numbers, rows_where
from bot.ledger.model import Event, Outcome, clean_or_none, largest, prompts_above
from bot.pricing.tokens import TokenCounts

ByHour = Mapping[tuple[datetime, int], Sequence[int]]
"""Sums by UTC hour and dimensions number, in the order of `SUMS`."""

Numbers = tuple[int, ...]
"""The six counts and the requests of an event; in sums, errors and rate-limited ones too."""

EVENT_COLUMNS = tuple(column.name for column in ledger_events.columns)
NUMBERS = EVENT_COLUMNS[4:11]
SUMS = tuple(column.name for column in ledger_hours.columns)[2:]
_TYPES = {
    "at": "timestamptz",
    "received_at": "timestamptz",
    "hour": "timestamptz",
    "minute": "timestamptz",
    "day": "date",
}
_TEXTS = frozenset({"id", "outcome", "request_id", "session"})

_COUNTED = (*NUMBERS, ledger_events.c.unsplit_cache_writes.name)
_KNOWN = f"SELECT id, at, dimensions_id, {', '.join(_COUNTED)}, outcome FROM ledger_events WHERE id "
_RAISED = (*_COUNTED, ledger_events.c.dimensions_id.name)
_RAISE = f"UPDATE ledger_events SET {', '.join(f'{name} = ?' for name in _RAISED)} WHERE id = ?"
_RAISE_POSTGRES = (
    f"UPDATE ledger_events AS kept SET {', '.join(f'{name} = grown.{name}' for name in _RAISED)} "
    f"FROM unnest({', '.join(['%s::bigint[]'] * len(_RAISED))}, %s::text[]) AS grown ({', '.join(_RAISED)}, id) "
    "WHERE kept.id = grown.id"
)


MINUTES_KEPT = 3 * DAY
"""How long sums are kept by the minute: longer than a snapshot holds the rows of its hours."""


class Changes:
    """Changes of sums in one transaction; by minute only since `minutes_from`."""

    def __init__(self, minutes_from: datetime) -> None:
        self._minutes_from = minutes_from
        self._changes: dict[tuple[datetime, int], list[Numbers]] = {}
        self.by_hour: ByHour = {}

    def count(self, at: datetime, dimensions_id: int, numbers: Numbers, outcome: str) -> None:
        """Count an event or its growth; negative numbers subtract."""
        key = (at.replace(second=0, microsecond=0), dimensions_id)
        if outcome == Outcome.OK:
            numbers = (*numbers, 0, 0)
        else:
            requests = numbers[-1]
            limited = outcome == Outcome.RATE_LIMITED
            numbers = (*numbers, 0, requests) if limited else (*numbers, requests, 0)
        found = self._changes.get(key)
        if found is None:
            self._changes[key] = [numbers]
        else:
            found.append(numbers)

    def add(self, minute: datetime, dimensions_id: int, sums: Numbers) -> None:
        """Add these to the sums of a minute, in the order of `SUMS`."""
        self._changes.setdefault((minute, dimensions_id), []).append(sums)

    def store(self, connection: Connection) -> None:
        """Write the collected changes of the sums."""
        minutes = {key: _summed(changes) for key, changes in self._changes.items()}
        hours: dict[tuple[Any, int], list[Numbers]] = {}
        days: dict[tuple[Any, int], list[Numbers]] = {}
        for (minute, number), numbers in minutes.items():
            hours.setdefault((floor_hour(minute), number), []).append(numbers)
            days.setdefault((minute.date(), number), []).append(numbers)
        recent = {key: [numbers] for key, numbers in minutes.items() if key[0] >= self._minutes_from}
        for table, changes in ((ledger_minutes, recent), (ledger_hours, hours), (ledger_days, days)):
            bound = _bound(next(iter(table.columns)), connection)
            rows = [(bound(start), number, *_summed(changes[start, number])) for start, number in sorted(changes)]
            if rows:
                _add(connection, table, rows)
        self.by_hour = {key: _summed(changes) for key, changes in hours.items()}

    @property
    def minutes(self) -> dict[datetime, frozenset[datetime]]:
        """The changed minutes of each hour."""
        found: dict[datetime, set[datetime]] = {}
        for minute, _ in self._changes:
            found.setdefault(floor_hour(minute), set()).add(minute)
        return {hour: frozenset(minutes) for hour, minutes in found.items()}


def _summed(changes: Sequence[Numbers]) -> Numbers:
    return tuple(map(sum, zip(*changes, strict=True))) if len(changes) > 1 else changes[0]


def append_events(
    connection: Connection,
    events: Mapping[str, Event],
    dimensions: Mapping[int, int],
    received_at: datetime,
    changes: Changes,
) -> frozenset[str]:
    """Store events by id, and count them. `dimensions`: numbers by the identity of the object.

    Returns the new ids.
    """
    rows = _rows(connection, events, dimensions, received_at)
    if connection.dialect.name == "postgresql":
        insert = f"INSERT INTO ledger_events ({', '.join(EVENT_COLUMNS)}) SELECT * FROM {_unnest(EVENT_COLUMNS)} "
        added = connection.exec_driver_sql(f"{insert} ON CONFLICT (id) DO NOTHING RETURNING id", _columns(rows))
        new = {row[0] for row in added}
        known = _grown(events, _known(connection, events.keys() - new))
        if known:
            # Another copy may raise the same events at this moment.
            known = _grown(events, _known(connection, known, "ORDER BY id FOR UPDATE"))
    else:
        stored = _known(connection, events.keys())
        new = events.keys() - {row[0] for row in stored}
        known = _grown(events, stored)
        if new:
            insert = f"INSERT INTO ledger_events ({', '.join(EVENT_COLUMNS)}) VALUES ({_places(EVENT_COLUMNS)})"
            connection.exec_driver_sql(insert, [row for row in rows if row[0] in new] if known or stored else rows)
    for event_id, event in events.items():
        if event_id not in new:
            continue
        changes.count(_utc(event.at), dimensions[id(event.dimensions)], (*event.counts, event.requests), event.outcome)
    _raise(connection, known, changes)
    return frozenset(new)


def withdraw_events(connection: Connection, ids: Iterable[str], changes: Changes) -> None:
    """Delete events and subtract them from the sums. Unknown ids are ignored."""
    rest = "ORDER BY id FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    found = _known(connection, ids, rest)
    if found:
        rows_where(connection, "DELETE FROM ledger_events WHERE id ", [row[0] for row in found], "text")
    for _, at, dimensions_id, *numbers, _, outcome in found:
        moment = _utc(at if isinstance(at, datetime) else datetime.fromisoformat(at))
        changes.count(moment, dimensions_id, tuple(-number for number in numbers), outcome)


def put_back_events(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Store events that count already, in the order of `EVENT_COLUMNS`. Existing ones are unchanged."""
    time = _bound(ledger_events.c.at, connection)
    bound = [(event_id, time(at), time(received), *rest) for event_id, at, received, *rest in sorted(rows)]
    if not bound:
        return
    into = f"INSERT INTO ledger_events ({', '.join(EVENT_COLUMNS)})"
    if connection.dialect.name == "postgresql":
        select = f"SELECT * FROM {_unnest(EVENT_COLUMNS)} ON CONFLICT (id) DO NOTHING"
        connection.exec_driver_sql(f"{into} {select}", _columns(bound))
    else:
        values = f"VALUES ({_places(EVENT_COLUMNS)}) ON CONFLICT (id) DO NOTHING"
        connection.exec_driver_sql(f"{into} {values}", bound)


def _rows(
    connection: Connection, events: Mapping[str, Event], dimensions: Mapping[int, int], received_at: datetime
) -> list[tuple[Any, ...]]:
    time = _bound(ledger_events.c.at, connection)
    received = time(received_at)
    return [
        (
            event_id,
            time(event.at),
            received,
            dimensions[id(event.dimensions)],
            *event.counts,
            event.requests,
            "ok" if event.outcome is Outcome.OK else event.outcome.value,
            event.request_id and clean_or_none(event.request_id),
            event.session and clean_or_none(event.session),
            event.unsplit,
        )
        for event_id, event in sorted(events.items())
    ]


def _known(connection: Connection, ids: Iterable[str], rest: str = "") -> list[Any]:
    wanted = list(ids)
    return rows_where(connection, _KNOWN, wanted, "text", rest) if wanted else []


Grown = dict[str, tuple[Any, int, Numbers, Numbers, str]]
"""By id: time, dimensions, numbers before and after, each with the unsplit writes at the end, outcome."""


def _grown(events: Mapping[str, Event], stored: Iterable[Any]) -> Grown:
    grown: Grown = {}
    for event_id, at, dimensions_id, *numbers, outcome in stored:
        event, before = events[event_id], tuple(numbers)
        *counted, requests, unsplit = before
        counts, unsplit = largest(TokenCounts(*counted), unsplit, event.counts, event.unsplit)
        after = (*counts, max(requests, event.requests), unsplit)
        if after != before:
            grown[event_id] = (at, dimensions_id, before, after, outcome)
    return grown


def _raise(connection: Connection, grown: Grown, changes: Changes) -> None:
    if not grown:
        return
    numbers = _numbers_at_prompt(connection, grown)
    rows = [(*after, numbers[event_id], event_id) for event_id, (_, _, _, after, _) in sorted(grown.items())]
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_RAISE_POSTGRES, _columns(rows))
    else:
        connection.exec_driver_sql(_RAISE, rows)
    for event_id, (at, dimensions_id, before, after, outcome) in grown.items():
        moment = _utc(at if isinstance(at, datetime) else datetime.fromisoformat(at))
        if numbers[event_id] != dimensions_id:
            changes.count(moment, dimensions_id, tuple(-number for number in before[:-1]), outcome)
            changes.count(moment, numbers[event_id], after[:-1], outcome)
        elif after[:-1] != before[:-1]:
            changes.count(moment, dimensions_id, tuple(map(sub, after[:-1], before[:-1])), outcome)


def _numbers_at_prompt(connection: Connection, grown: Grown) -> dict[str, int]:
    """Dimensions of each raised event by id; changed if its prompt has passed a price edge."""
    numbers = {event_id: dimensions_id for event_id, (_, dimensions_id, *_) in grown.items()}
    prompts = {
        event_id: TokenCounts(*after[:6]).prompt_tokens
        for event_id, (_, _, before, after, _) in grown.items()
        if prompts_above(TokenCounts(*before[:6]).prompt_tokens) != prompts_above(TokenCounts(*after[:6]).prompt_tokens)
    }
    if prompts:
        rows = rows_of_numbers(connection, {numbers[event_id] for event_id in prompts})
        moved = {event_id: row_at_prompt(rows[numbers[event_id]], prompt) for event_id, prompt in prompts.items()}
        known = numbers_of_rows(connection, moved.values())
        numbers |= {event_id: known[row[0]] for event_id, row in moved.items()}
    return numbers


def _add(connection: Connection, table: Table, rows: list[tuple[Any, ...]]) -> None:
    columns = tuple(column.name for column in table.columns)
    start = columns[0]
    raised = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in SUMS)
    into = f"INSERT INTO {table.name} ({', '.join(columns)})"
    raising = f"ON CONFLICT ({start}, dimensions_id) DO UPDATE SET {raised}"
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"{into} SELECT * FROM {_unnest(columns)} {raising}", _columns(rows))
    else:
        connection.exec_driver_sql(f"{into} VALUES ({_places(columns)}) {raising}", rows)


def _unnest(columns: Sequence[str]) -> str:
    kinds = ("text" if name in _TEXTS else _TYPES.get(name, "bigint") for name in columns)
    return f"unnest({', '.join(f'%s::{kind}[]' for kind in kinds)})"


def _columns(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(map(list, zip(*rows, strict=True)))


def _places(columns: Sequence[str]) -> str:
    return ", ".join("?" * len(columns))


def _bound(column: Any, connection: Connection) -> Callable[[Any], Any]:
    """Converter of times to the driver's form."""
    dialect = connection.dialect
    if dialect.name == "sqlite" and isinstance(column.type, UTCDateTime):
        return _sqlite_time
    bind: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).bind_processor(dialect)
    return bind or (lambda value: value)


def _sqlite_time(moment: datetime) -> str:
    """As SQLAlchemy formats it, ten times as fast."""
    return (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat(" ", "microseconds")[:26]


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
