"""Usage by the hour, the bill by the day, names, and what is known of the last poll."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from bot.budgets.budget import Scope, ScopeKind
from bot.clock import HOUR, floor_hour
from bot.pricing.tokens import UNKNOWN_TERM, Terms, TokenCounts
from bot.store.remembered import remember
from bot.store.schema import billed, names, state, usage, usage_days, usage_hours
from bot.store.usage_days import COUNTS as COUNT_NAMES
from bot.store.usage_days import DIMENSIONS, change_days, rebuild_days, wrong_days
from bot.store.usage_writes import Changes, mark_hours, replace_hours
from bot.usage.age import DataState
from bot.usage.plan import HourState
from bot.usage.source import DEFAULT_WORKSPACE, BilledRow, DayUsage, SourceName, UsageReading, UsageRow, Width

DATA_STATE_KEY = "data"
DATA_STATE = TypeAdapter(DataState)
VERSION_KEY = "usage_version"
NAMES_KEY = "names_read_at"

MOST_RECENT = 64
"""Transactions of which this process knows by heart what they changed."""

COUNTS = (
    usage.c.uncached_input_tokens,
    usage.c.cache_creation_5m_input_tokens,
    usage.c.cache_creation_1h_input_tokens,
    usage.c.cache_read_input_tokens,
    usage.c.output_tokens,
    usage.c.web_search_requests,
)
TERMS = (usage.c.service_tier, usage.c.inference_geo, usage.c.speed)

BUCKET_ROWS = select(usage.c.starts_at, *(usage.c[name] for name in (*DIMENSIONS, *COUNT_NAMES))).where(
    usage.c.hour == bindparam("hour")
)
HOUR_ROWS = select(*(usage.c[name] for name in (*DIMENSIONS, *COUNT_NAMES))).where(usage.c.hour == bindparam("hour"))
DAY_ROWS = select(
    usage_days.c.day,
    usage_days.c.model,
    usage_days.c.workspace_id,
    *(func.nullif(usage_days.c[name], "") for name in DIMENSIONS[2:]),
    *(usage_days.c[name] for name in COUNT_NAMES),
).where(usage_days.c.day >= bindparam("first"), usage_days.c.day <= bindparam("last"))

NameKind = Literal["workspace", "key"]


@dataclass(frozen=True, slots=True)
class Name:
    """What Anthropic calls a workspace or a key.

    `workspace_id`: a key's workspace; of the workspace `default`, the id that Anthropic's lists give it.
    """

    kind: NameKind
    id: str
    name: str
    workspace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """Names by id, and when they were read; None where they never were.

    The default workspace stands under `default`; `default_id` is the id that Anthropic's lists give it, where known.
    """

    workspaces: dict[str, str]
    keys: dict[str, str]
    workspace_of_key: dict[str, str]
    read_at: datetime | None
    default_id: str | None = None


NO_NAMES = Names({}, {}, {}, None)


@dataclass(frozen=True, slots=True)
class Bill:
    """The cost report of the UTC days `first` to `last`, both included.

    `odd_days` lack a row: they keep the bill that they have.
    """

    first: date
    last: date
    rows: Sequence[BilledRow]
    odd_days: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Version:
    """Rises with every change of what is stored. `usage`: of anything; `billed`: the one that changed the bill last.

    `rebuilt`: the one that last forgot an hour, or did something else that single hours do not show.
    """

    usage: int = 0
    billed: int = 0
    rebuilt: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """What tells whether anything has changed since: read with one statement."""

    data: DataState
    version: Version
    names_read_at: str | None


@dataclass(frozen=True, slots=True)
class HourRead:
    """An hour that has changed. `buckets`: the starts of those of its buckets that have, None where all may have."""

    hour: datetime
    width: Width
    odd: bool
    buckets: frozenset[datetime] | None


class UsageReader:
    """Reads within one transaction, so that everything is as of one moment."""

    def __init__(self, connection: Connection, recent: Mapping[int, Mapping[datetime, frozenset[datetime] | None]]):
        self._connection = connection
        self._recent = recent

    def head(self) -> Head:
        """The present state of the data."""
        query = select(state.c.key, state.c.value).where(state.c.key.in_((DATA_STATE_KEY, VERSION_KEY, NAMES_KEY)))
        found: dict[str, Any] = {row.key: row.value for row in self._connection.execute(query)}
        data = found.get(DATA_STATE_KEY)
        return Head(
            data=DataState() if data is None else DATA_STATE.validate_python(data),
            version=_version(found.get(VERSION_KEY)),
            names_read_at=found.get(NAMES_KEY),
        )

    def changed(self, since: int, until: int) -> list[HourRead]:
        """The hours that changed after the version `since`, up to `until`, the oldest first."""
        query = select(usage_hours.c.hour, usage_hours.c.width, usage_hours.c.odd_rows)
        rows = self._connection.execute(query.where(usage_hours.c.version > since).order_by(usage_hours.c.hour))
        buckets = self._buckets(since, until)
        return [
            HourRead(hour, width, odd_rows > 0, None if buckets is None else buckets.get(hour))
            for hour, width, odd_rows in rows
        ]

    def hours(self, starts_at: datetime, ends_at: datetime) -> list[HourRead]:
        """All known hours of [`starts_at`, `ends_at`)."""
        query = select(usage_hours.c.hour, usage_hours.c.width, usage_hours.c.odd_rows)
        within = (usage_hours.c.hour >= starts_at, usage_hours.c.hour < ends_at)
        rows = self._connection.execute(query.where(*within).order_by(usage_hours.c.hour))
        return [HourRead(hour, width, odd_rows > 0, None) for hour, width, odd_rows in rows]

    def hour_rows(self, hour: datetime) -> Sequence[Any]:
        """Dimensions and counts of every row of an hour."""
        return self._connection.execute(HOUR_ROWS, {"hour": hour}).all()

    def bucket_rows(self, hour: datetime, buckets: frozenset[datetime] | None) -> Sequence[Any]:
        """The start of the bucket, dimensions and counts of the rows of an hour; only of `buckets` where given."""
        query = BUCKET_ROWS
        if buckets is not None:
            query = query.where(usage.c.starts_at.in_(sorted(buckets)))
        return self._connection.execute(query, {"hour": hour}).all()

    def day_rows(self, first: date, last: date) -> dict[date, list[Any]]:
        """Dimensions and counts of the roll-ups of these UTC days, both included; what is empty there is not given."""
        found: dict[date, list[Any]] = {}
        for day, *row in self._connection.execute(DAY_ROWS, {"first": first, "last": last}):
            found.setdefault(day, []).append(row)
        return found

    def callers_before(self, day: date) -> list[tuple[str, str, str]]:
        """Model, workspace and key (empty for none) of all usage before this UTC day."""
        keys = (usage_days.c.model, usage_days.c.workspace_id, usage_days.c.api_key_id)
        query = select(*keys).where(usage_days.c.day < day).distinct()
        return [(model, workspace_id, key) for model, workspace_id, key in self._connection.execute(query)]

    def billed_rows(self, first: date) -> list[BilledRow]:
        """The cost report from this UTC day on."""
        query = select(billed).where(billed.c.day >= first).order_by(billed.c.day, billed.c.id)
        return [
            BilledRow(row.day, row.workspace_id, row.cost_type, row.usd, row.list_usd, row.model)
            for row in self._connection.execute(query)
        ]

    def names(self) -> Names:
        """The names as last read."""
        return _names(self._connection)

    def _buckets(self, since: int, until: int) -> dict[datetime, frozenset[datetime] | None] | None:
        """What this process has changed itself; None where another one has changed something as well."""
        found: dict[datetime, frozenset[datetime] | None] = {}
        for version in range(since + 1, until + 1):
            if version not in self._recent:
                return None
            for hour, buckets in self._recent[version].items():
                before = found.get(hour, frozenset())
                found[hour] = None if buckets is None or before is None else before | buckets
        return found


LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""When an hour was read that is to be read again."""


class UsageStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recent: dict[int, dict[datetime, frozenset[datetime] | None]] = {}
        self.changes = 0
        """How often this process has changed something."""

    @contextmanager
    def reading(self) -> Iterator[UsageReader]:
        """Reads as of one moment, whatever is written meanwhile."""
        with self._engine.connect() as connection:
            if self._postgres:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield UsageReader(connection, self._recent)

    def rebuild_rollups(self) -> None:
        """Make all roll-ups anew from the rows."""
        with self._engine.begin() as connection:
            rebuild_days(connection)
            _next_version(connection, billed=False, rebuilt=True)
        self.changes += 1

    def wrong_days(self) -> list[date]:
        """UTC days whose roll-ups differ from the rows."""
        with self._engine.connect() as connection:
            return wrong_days(connection)

    def hours(self, since: datetime) -> dict[datetime, HourState]:
        """Who owns each hour from `since` on."""
        query = select(usage_hours).where(usage_hours.c.hour >= since).order_by(usage_hours.c.hour)
        with self._engine.connect() as connection:
            return {row.hour: HourState(row.source, row.width, row.read_at) for row in connection.execute(query).all()}

    def read_again(self, starts_at: datetime, ends_at: datetime) -> None:
        """Make the hours between two full hours due at the next poll, whenever they were read last."""
        hours = (usage_hours.c.hour >= starts_at) & (usage_hours.c.hour < ends_at)
        with self._engine.begin() as connection:
            connection.execute(update(usage_hours).where(hours).values(read_at=LONG_AGO))
        self.changes += 1

    def save(
        self,
        readings: Iterable[UsageReading],
        source: SourceName,
        now: datetime,
        data: DataState | None,
        bill: Bill | None,
    ) -> None:
        """Everything that one poll has read, with its roll-ups, in one transaction.

        `data` is None for a part of a poll: what is known of the last complete one stays.
        """
        changes = Changes()
        with self._engine.begin() as connection:
            for reading in readings:
                replace_hours(connection, reading, source, now, changes)
            change_days(connection, changes.days)
            billed_anew = bill is not None and _replace_days(connection, bill)
            if changes.buckets or billed_anew:
                version = _next_version(connection, billed=billed_anew, rebuilt=changes.forgotten)
                mark_hours(connection, changes.buckets, version)
                self._recent[version] = changes.buckets
            if data is not None:
                remember(connection, DATA_STATE_KEY, DATA_STATE.dump_python(data, mode="json"))
        self.changes += 1
        while len(self._recent) > MOST_RECENT:
            self._recent.pop(next(iter(self._recent)))

    def odd_days(self, starts_at: datetime, ends_at: datetime) -> frozenset[date]:
        """UTC days with an hour in [`starts_at`, `ends_at`) of which a row could not be read in full."""
        within = (usage_hours.c.hour >= starts_at, usage_hours.c.hour < ends_at, usage_hours.c.odd_rows > 0)
        with self._engine.connect() as connection:
            return frozenset(
                hour.date() for hour in connection.execute(select(usage_hours.c.hour).where(*within)).scalars()
            )

    def save_state(self, data: DataState) -> None:
        """Only what is known of the last poll, where it failed."""
        with self._engine.begin() as connection:
            remember(connection, DATA_STATE_KEY, DATA_STATE.dump_python(data, mode="json"))
        self.changes += 1

    def data_state(self) -> DataState:
        """What is known of the data; all None before the first poll."""
        query = select(state.c.value).where(state.c.key == DATA_STATE_KEY)
        with self._engine.connect() as connection:
            value = connection.execute(query).scalar_one_or_none()
        return DataState() if value is None else DATA_STATE.validate_python(value)

    def usage_by_day(self, starts_at: datetime, ends_at: datetime) -> list[DayUsage]:
        """Usage of the buckets that begin in [`starts_at`, `ends_at`), summed up by UTC day and dimensions."""
        (found,) = self.usage_between([starts_at, ends_at])
        return found

    def usage_between(self, borders: Sequence[datetime]) -> list[list[DayUsage]]:
        """What `usage_by_day` tells of each stretch between two of these moments, which rise; all read at once."""
        if len(borders) < 2:
            return []
        starts_at, ends_at = borders[0], borders[-1]
        day = func.date(func.timezone("UTC", usage.c.hour)) if self._postgres else func.date(usage.c.hour)
        later = [(usage.c.starts_at < border, index) for index, border in enumerate(borders[1:-1])]
        stretch: ColumnElement[int] = case(*later, else_=len(later)) if later else literal(0)
        dimensions = (usage.c.model, usage.c.workspace_id, usage.c.api_key_id, *TERMS)
        rows = (
            select(stretch.label("stretch"), day.label("day"), *dimensions, *COUNTS)
            .where(usage.c.starts_at >= starts_at, usage.c.starts_at < ends_at)
            .where(usage.c.hour >= floor_hour(starts_at), usage.c.hour < ends_at)
            .subquery()
        )
        groups = (rows.c.stretch, rows.c.day, *(rows.c[column.name] for column in dimensions))
        sums = (func.sum(rows.c[column.name]).label(column.name) for column in COUNTS)
        found: list[list[DayUsage]] = [[] for _ in borders[1:]]
        with self._engine.connect() as connection:
            for row in connection.execute(select(*groups, *sums).group_by(*groups)):
                found[row.stretch].append(_day_usage(row._mapping, _date(row.day)))
        return found

    def usage_by_hour(self, starts_at: datetime, ends_at: datetime) -> dict[datetime, list[DayUsage]]:
        """Usage of every known hour of [`starts_at`, `ends_at`), whole hours, summed up by dimensions.

        A known hour without usage is there and empty; one that is not known is not there.
        """
        known = select(usage_hours.c.hour).where(usage_hours.c.hour >= starts_at, usage_hours.c.hour < ends_at)
        within = (usage.c.hour >= starts_at, usage.c.hour < ends_at)
        with self._engine.connect() as connection:
            hours = connection.execute(known.order_by(usage_hours.c.hour)).scalars()
            return _summed(connection, usage.c.hour, within, {hour: [] for hour in hours})

    def usage_by_minute(self, starts_at: datetime, ends_at: datetime) -> dict[datetime, list[DayUsage]] | None:
        """Usage of the minutes of [`starts_at`, `ends_at`) that have any; None where an hour is not kept by the minute.

        Both are full minutes.
        """
        first = floor_hour(starts_at)
        by_minute = (
            select(func.count())
            .select_from(usage_hours)
            .where(usage_hours.c.hour >= first, usage_hours.c.hour < ends_at, usage_hours.c.width == "1m")
        )
        within = (usage.c.hour >= first, usage.c.starts_at >= starts_at, usage.c.starts_at < ends_at)
        with self._engine.connect() as connection:
            if connection.execute(by_minute).scalar_one() < -((first - ends_at) // HOUR):
                return None
            return _summed(connection, usage.c.starts_at, within, {})

    def first_used_since(self, since: datetime, models: Collection[str]) -> frozenset[str]:
        """Those of these models of which there is no usage in any hour before `since`."""
        if not models:
            return frozenset()
        query = select(usage.c.model).distinct().where(usage.c.hour < since, usage.c.model.in_(models))
        with self._engine.connect() as connection:
            return frozenset(models) - frozenset(connection.execute(query).scalars())

    def unknown_terms(self, starts_at: datetime, ends_at: datetime) -> frozenset[str]:
        """The names of the terms of which the source could not be asked for some usage in [`starts_at`, `ends_at`)."""
        within = (usage.c.hour >= starts_at, usage.c.hour < ends_at)
        with self._engine.connect() as connection:
            return frozenset(
                column.name
                for column in TERMS
                if connection.execute(select(usage.c.id).where(*within, column == UNKNOWN_TERM).limit(1)).first()
            )

    def has_usage_of(self, scope: Scope) -> bool:
        """Whether any usage has exactly the id of this scope."""
        columns = {ScopeKind.WORKSPACE: usage.c.workspace_id, ScopeKind.KEY: usage.c.api_key_id}
        column = columns.get(scope.kind, usage.c.model)
        with self._engine.connect() as connection:
            return connection.execute(select(usage.c.id).where(column == scope.value).limit(1)).first() is not None

    def buckets(self, starts_at: datetime, ends_at: datetime) -> list[UsageRow]:
        """Usage of the buckets that begin in [`starts_at`, `ends_at`), as fine as it is kept, the oldest first.

        How wide the buckets of an hour are, and whether anything is known of it, `hours` says.
        """
        dimensions = (usage.c.starts_at, usage.c.model, usage.c.workspace_id, usage.c.api_key_id, *TERMS)
        query = (
            select(*dimensions, *(func.sum(column).label(column.name) for column in COUNTS))
            .where(usage.c.hour >= floor_hour(starts_at), usage.c.hour < ends_at)
            .where(usage.c.starts_at >= starts_at, usage.c.starts_at < ends_at)
            .group_by(*dimensions)
            .order_by(usage.c.starts_at)
        )
        with self._engine.connect() as connection:
            return [_usage_row(row._mapping) for row in connection.execute(query)]

    def billed_between(self, first: date, last: date) -> list[BilledRow]:
        """The cost report's rows of the UTC days `first` to `last`, both included."""
        query = select(billed).where(billed.c.day >= first, billed.c.day <= last).order_by(billed.c.day, billed.c.id)
        with self._engine.connect() as connection:
            return [
                BilledRow(row.day, row.workspace_id, row.cost_type, row.usd, row.list_usd, row.model)
                for row in connection.execute(query)
            ]

    def save_names(self, known: Iterable[Name], now: datetime) -> None:
        """Replace all names by these."""
        with self._engine.begin() as connection:
            connection.execute(delete(names))
            rows = [{**asdict(name), "seen_at": now} for name in known]
            if rows:
                connection.execute(insert(names), rows)
            remember(connection, NAMES_KEY, now.isoformat())
        self.changes += 1

    def names(self) -> Names:
        """The names as last read."""
        with self._engine.connect() as connection:
            return _names(connection)

    @property
    def _postgres(self) -> bool:
        return self._engine.dialect.name == "postgresql"


def _names(connection: Connection) -> Names:
    rows = connection.execute(select(names)).all()
    read_at = connection.execute(select(state.c.value).where(state.c.key == NAMES_KEY)).scalar()
    return Names(
        workspaces={row.id: row.name for row in rows if row.kind == "workspace"},
        keys={row.id: row.name for row in rows if row.kind == "key"},
        workspace_of_key={row.id: row.workspace_id for row in rows if row.kind == "key" and row.workspace_id},
        read_at=None if read_at is None else datetime.fromisoformat(read_at).astimezone(UTC),
        default_id=next(
            (row.workspace_id for row in rows if row.kind == "workspace" and row.id == DEFAULT_WORKSPACE), None
        ),
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _replace_days(connection: Connection, bill: Bill) -> bool:
    """Whether a day has changed: days that are billed as before are left alone."""
    within = (billed.c.day >= bill.first, billed.c.day <= bill.last)
    before = _by_day(
        BilledRow(row.day, row.workspace_id, row.cost_type, row.usd, row.list_usd, row.model)
        for row in connection.execute(select(billed).where(*within))
    )
    after = _by_day(row for row in bill.rows if bill.first <= row.day <= bill.last)
    changed = [day for day in sorted({*before, *after} - bill.odd_days) if before.get(day) != after.get(day)]
    for day in changed:
        connection.execute(delete(billed).where(billed.c.day == day))
    rows = [asdict(row) for day in changed for row in after.get(day, Counter()).elements()]
    if rows:
        connection.execute(insert(billed), rows)
    return bool(changed)


def _by_day(rows: Iterable[BilledRow]) -> dict[date, Counter[BilledRow]]:
    found: dict[date, Counter[BilledRow]] = {}
    for row in rows:
        found.setdefault(row.day, Counter())[row] += 1
    return found


def _next_version(connection: Connection, *, billed: bool, rebuilt: bool = False) -> int:
    before = _version(connection.execute(select(state.c.value).where(state.c.key == VERSION_KEY)).scalar_one_or_none())
    usage_version = before.usage + 1
    after = Version(
        usage_version,
        usage_version if billed else before.billed,
        usage_version if rebuilt else before.rebuilt,
    )
    remember(connection, VERSION_KEY, asdict(after))
    return usage_version


def _version(value: Any) -> Version:
    return Version() if value is None else Version(**value)


def _summed(
    connection: Connection,
    bucket: Column[datetime],
    within: Sequence[ColumnElement[bool]],
    found: dict[datetime, list[DayUsage]],
) -> dict[datetime, list[DayUsage]]:
    """`found` and in it the usage that is `within`, by bucket and dimensions."""
    dimensions = (usage.c.model, usage.c.workspace_id, usage.c.api_key_id, *TERMS)
    query = (
        select(bucket.label("bucket"), *dimensions, *(func.sum(column).label(column.name) for column in COUNTS))
        .where(*within)
        .group_by(bucket, *dimensions)
        .order_by(bucket)
    )
    for row in connection.execute(query):
        found.setdefault(row.bucket, []).append(_day_usage(row._mapping, row.bucket.date()))
    return found


def _date(day: date | str) -> date:
    return day if isinstance(day, date) else date.fromisoformat(day)


def _day_usage(row: Any, day: date) -> DayUsage:
    return DayUsage(
        day=day,
        model=row["model"],
        workspace_id=row["workspace_id"],
        api_key_id=row["api_key_id"],
        terms=Terms(*(row[column.name] for column in TERMS)),
        counts=TokenCounts(*(int(row[column.name]) for column in COUNTS)),
    )


def _usage_row(row: Any) -> UsageRow:
    return UsageRow(
        starts_at=row["starts_at"],
        model=row["model"],
        workspace_id=row["workspace_id"],
        api_key_id=row["api_key_id"],
        terms=Terms(*(row[column.name] for column in TERMS)),
        counts=TokenCounts(*(int(row[column.name]) for column in COUNTS)),
    )
