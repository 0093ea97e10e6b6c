"""Writes usage: bulk inserts of rows through the driver, and sums by UTC day beside them.

Tokens are rolled up, not USD, so that a corrected price also corrects history. Settled hours already have one row per
hour and combination of dimensions: the table `usage` itself is the roll-up by hour.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from operator import add, sub
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    Select,
    and_,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from bot.clock import BEFORE_EVERYTHING, DAY, HOUR, MINUTE, floor_day, floor_hour
from bot.db.retention import BY_DAY
from bot.db.schema import TOKENS, usage, usage_days, usage_hours
from bot.usage.model import Read, SourceName, UsageReading, UsageRow

DIMENSIONS = ("model", "workspace_id", "api_key_id", "service_tier", "inference_geo", "speed")
COUNTS = TOKENS

Dimensions = tuple[str | None, ...]
"""Model, workspace, key, service tier, region and speed of a row."""

Counts = tuple[int, ...]
"""The counts of a row, in the order of `TokenCounts`."""

NONE_AT_ALL: Counts = (0, 0, 0, 0, 0, 0)

DayChanges = Mapping[tuple[date, Dimensions], Counts]
"""Changes of the sums by UTC day and dimensions."""


def change_days(connection: Connection, changes: DayChanges) -> None:
    """Add the changes to the sums, in the transaction that changes the rows. Zero sums are deleted."""
    changed = sorted((day, _texts(dimensions), counts) for (day, dimensions), counts in changes.items() if any(counts))
    if not changed:
        return
    columns = ("day", *DIMENSIONS, *COUNTS)
    rows = [dict(zip(columns, (day, *texts, *counts), strict=True)) for day, texts, counts in changed]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    added = dialect.insert(usage_days)
    sums = {name: usage_days.c[name] + added.excluded[name] for name in COUNTS}
    keys = [usage_days.c.day, *(usage_days.c[name] for name in DIMENSIONS)]
    connection.execute(added.on_conflict_do_update(index_elements=keys, set_=sums), rows)
    fallen = sorted({day for day, _, counts in changed if min(counts) < 0})
    if fallen:
        nothing = (usage_days.c[name] == 0 for name in COUNTS)
        connection.execute(delete(usage_days).where(usage_days.c.day.in_(fallen), *nothing))


def rebuild_days(connection: Connection) -> None:
    """Rebuild all sums from the rows, where there are rows."""
    since = _first_by_hour(connection)
    connection.execute(delete(usage_days).where(usage_days.c.day >= since.date()))
    columns = ["day", *DIMENSIONS, *COUNTS]
    connection.execute(insert(usage_days).from_select(columns, _sums(connection, since)))


def wrong_days(connection: Connection) -> list[date]:
    """UTC days on which a sum differs from its rows, oldest first; none on an intact database."""
    since = _first_by_hour(connection)
    rows = _sums(connection, since).subquery("summed")
    kept = select(usage_days).where(usage_days.c.day >= since.date()).subquery("kept")
    same = and_(rows.c.day == kept.c.day, *(rows.c[name] == kept.c[name] for name in DIMENSIONS))
    differ = or_(kept.c.day.is_(None), *(rows.c[name] != kept.c[name] for name in COUNTS))
    missing = select(rows.c.day).select_from(rows.outerjoin(kept, same)).where(differ)
    no_rows = select(kept.c.day).select_from(kept.outerjoin(rows, same)).where(rows.c.day.is_(None))
    found = connection.execute(missing.union(no_rows)).scalars()
    return sorted({_date(day) for day in found})


def day_of_hour(connection: Connection, hour: ColumnElement[object]) -> ColumnElement[object]:
    """The UTC day of a column of hours."""
    if connection.dialect.name == "postgresql":
        return cast(func.timezone("UTC", hour), Date)
    return func.date(hour)


def _first_by_hour(connection: Connection) -> datetime:
    """The midnight from which on usage is kept by the hour, not by the day alone."""
    query = select(func.max(usage_hours.c.hour)).where(usage_hours.c.width == BY_DAY)
    last = connection.execute(query).scalar_one()
    return BEFORE_EVERYTHING if last is None else floor_day(last) + DAY


def _sums(connection: Connection, since: datetime) -> Select[*tuple[Any, ...]]:
    day = day_of_hour(connection, usage.c.hour).label("day")
    dimensions = [func.coalesce(usage.c[name], literal("")).label(name) for name in DIMENSIONS]
    counts = [func.sum(usage.c[name]).label(name) for name in COUNTS]
    grouped = select(day, *dimensions, *counts).where(usage.c.hour >= since).group_by(day, *dimensions)
    return grouped.having(or_(*(func.sum(usage.c[name]) != 0 for name in COUNTS)))


def _texts(dimensions: Iterable[str | None]) -> tuple[str, ...]:
    # A primary key cannot hold NULL: a missing value is empty.
    return tuple(value or "" for value in dimensions)


def _date(day: object) -> date:
    return day if isinstance(day, date) else date.fromisoformat(str(day))


ROWS_AT_ONCE = 2_000
"""Few enough that nothing else waits while they are converted for the driver."""

COLUMNS = ("hour", "starts_at", *DIMENSIONS, *COUNTS)

Row = tuple[datetime, Dimensions, Counts]
"""The start of a bucket, dimensions and counts."""


def insert_usage(connection: Connection, rows: Iterable[Row]) -> None:
    """Add these rows; their hours are in `usage_hours` already."""
    place = "%s" if connection.dialect.name == "postgresql" else "?"
    statement = f"INSERT INTO usage ({', '.join(COLUMNS)}) VALUES ({', '.join([place] * len(COLUMNS))})"
    values = _values(connection, rows)
    while some := list(islice(values, ROWS_AT_ONCE)):
        connection.exec_driver_sql(statement, some)


def _values(connection: Connection, rows: Iterable[Row]) -> Iterator[tuple[Any, ...]]:
    dialect = connection.dialect
    bound: Callable[[datetime], Any] | None = usage.c.starts_at.type.dialect_impl(dialect).bind_processor(dialect)
    if bound is None:
        raise TypeError("times are stored as they are given")
    times: dict[datetime, tuple[Any, Any]] = {}
    for starts_at, dimensions, counts in rows:
        found = times.get(starts_at)
        if found is None:
            found = times[starts_at] = (bound(floor_hour(starts_at)), bound(starts_at))
        yield (*found, *dimensions, *counts)


RowKey = tuple[datetime, Dimensions]
"""The start of a bucket, and the dimensions."""

MOST_IN_LIST = 500
"""Most values in one IN list: databases limit them."""


@dataclass(slots=True)
class Changes:
    """Changes of one transaction. `buckets`: starts of the changed buckets by hour, None for the whole hour.

    `forgotten`: whether any hour is no longer known.
    """

    buckets: dict[datetime, frozenset[datetime] | None] = field(default_factory=dict)
    days: dict[tuple[date, Dimensions], Counts] = field(default_factory=dict)
    forgotten: bool = False

    def count(self, key: RowKey, before: Counts, after: Counts) -> None:
        """Record a change of the sum of this bucket and these dimensions."""
        starts_at, dimensions = key
        day = (starts_at.date(), dimensions)
        self.days[day] = tuple(map(add, self.days.get(day, NONE_AT_ALL), map(sub, after, before)))


@dataclass(slots=True)
class _Stored:
    """The rows of one bucket and dimensions, which are one as a rule."""

    ids: list[int] = field(default_factory=list)
    counts: Counts = NONE_AT_ALL


Stored = dict[RowKey, _Stored]


class Owned(NamedTuple):
    """Owner of an hour, its bucket width, and its number of unreadable rows."""

    source: str
    width: str
    odd_rows: int


def replace_hours(
    connection: Connection, reading: UsageReading, source: SourceName, now: datetime, changes: Changes
) -> None:
    """Give the hours of a reading to its source, with exactly the rows that it has read.

    Hours that have not begun are unknown. Buckets that the reading calls unchanged stay.
    """
    read = reading.read
    last = min(read.ends_at, floor_hour(now) + HOUR)
    within: tuple[ColumnElement[bool], ...] = (usage_hours.c.hour >= read.starts_at, usage_hours.c.hour < read.ends_at)
    columns = (usage_hours.c.hour, usage_hours.c.source, usage_hours.c.width, usage_hours.c.odd_rows)
    known = {hour: Owned(*rest) for hour, *rest in connection.execute(select(*columns).where(*within))}
    # Of these only the sums by day are kept, which would count twice what is stored again.
    by_day = {hour for hour in known if known[hour].width == BY_DAY}
    known = {hour: owned for hour, owned in known.items() if hour not in by_day}
    within = (*within, usage_hours.c.width != BY_DAY)
    span = [read.starts_at + index * HOUR for index in range(max(0, (last - read.starts_at) // HOUR))]
    hours = [hour for hour in span if hour not in by_day]
    kept = {hour for hour in hours if hour in known and known[hour][:2] == (source, read.width)}
    unchanged = {starts_at for starts_at in reading.unchanged if floor_hour(starts_at) in kept}
    rows = (row for row in reading.rows if read.starts_at <= row.starts_at < last and row.starts_at not in unchanged)
    if by_day:
        rows = (row for row in rows if floor_hour(row.starts_at) not in by_day)
    odd = {hour: reading.odd.rows_by_hour.get(hour, 0) for hour in hours}
    owned = {"source": source, "width": read.width, "read_at": now}
    added = [{"hour": hour, **owned, "odd_rows": odd[hour]} for hour in hours if hour not in known]
    if added:
        connection.execute(insert(usage_hours), added)
    again = [hour for hour in hours if hour in known]
    if again:
        connection.execute(update(usage_hours).where(*within, usage_hours.c.hour < last).values(owned))
    for hour in again:
        if known[hour].odd_rows != odd[hour]:
            one = update(usage_hours).where(usage_hours.c.hour == hour)
            connection.execute(one.values(odd_rows=odd[hour]))
            changes.buckets[hour] = None
    _replace_rows(connection, _stored(connection, read, known, unchanged), rows, changes)
    if any(hour >= last for hour in known):
        connection.execute(delete(usage_hours).where(*within, usage_hours.c.hour >= last))
        changes.forgotten = True
    changes.buckets |= dict.fromkeys({*known, *hours} - kept)


def mark_hours(connection: Connection, hours: Iterable[datetime], version: int) -> None:
    """Record the version of usage that changed these hours."""
    for some in _parts(sorted(hours)):
        connection.execute(update(usage_hours).where(usage_hours.c.hour.in_(some)).values(version=version))


def _stored(connection: Connection, read: Read, known: Mapping[datetime, Owned], unchanged: set[datetime]) -> Stored:
    """The rows of these hours, without unchanged buckets."""
    found: Stored = {}
    if not known:
        return found
    columns = (usage.c.id, usage.c.starts_at, *(usage.c[name] for name in (*DIMENSIONS, *COUNTS)))
    within: list[ColumnElement[bool]] = [usage.c.hour >= min(known), usage.c.hour <= max(known)]
    if unchanged and all(owned.width == read.width for owned in known.values()):
        width = MINUTE if read.width == "1m" else HOUR
        starts = (hour + index * width for hour in known for index in range(HOUR // width))
        changed = [starts_at for starts_at in starts if starts_at not in unchanged]
        if not changed:
            return found
        if len(changed) <= MOST_IN_LIST:
            within.append(usage.c.starts_at.in_(changed))
    for id_, starts_at, *rest in connection.execute(select(*columns).where(*within)):
        if starts_at not in unchanged:
            stored = found.setdefault((starts_at, tuple(rest[: len(DIMENSIONS)])), _Stored())
            stored.ids.append(id_)
            stored.counts = tuple(map(add, stored.counts, rest[len(DIMENSIONS) :]))
    return found


def _replace_rows(connection: Connection, stored: Stored, rows: Iterable[UsageRow], changes: Changes) -> None:
    wanted: dict[RowKey, Counts] = {}
    for row in rows:
        terms, its = row.terms, row.counts
        key: RowKey = (
            row.starts_at,
            (row.model, row.workspace_id, row.api_key_id, terms.service_tier, terms.inference_geo, terms.speed),
        )
        counts: Counts = (
            its.uncached_input_tokens,
            its.cache_creation_5m_input_tokens,
            its.cache_creation_1h_input_tokens,
            its.cache_read_input_tokens,
            its.output_tokens,
            its.web_search_requests,
        )
        wanted[key] = tuple(map(add, wanted[key], counts)) if key in wanted else counts
    gone: list[int] = []
    added: list[Row] = []
    touched: dict[datetime, set[datetime]] = {}
    for key, one in stored.items():
        if wanted.get(key) == one.counts:
            continue
        gone += one.ids
        changes.count(key, one.counts, NONE_AT_ALL)
        touched.setdefault(floor_hour(key[0]), set()).add(key[0])
    for key, counts in wanted.items():
        if key in stored and stored[key].counts == counts:
            continue
        starts_at, dimensions = key
        changes.count(key, NONE_AT_ALL, counts)
        hour = floor_hour(starts_at)
        touched.setdefault(hour, set()).add(starts_at)
        added.append((starts_at, dimensions, counts))
    for some in _parts(gone):
        connection.execute(delete(usage).where(usage.c.id.in_(some)))
    insert_usage(connection, added)
    for hour, starts in touched.items():
        before = changes.buckets.get(hour, frozenset())
        changes.buckets[hour] = None if before is None else before | starts


Value = TypeVar("Value")


def _parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    return (values[first : first + MOST_IN_LIST] for first in range(0, len(values), MOST_IN_LIST))
