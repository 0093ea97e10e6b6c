"""Usage by the hour, the bill by the day, names, and what is known of the last poll."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import Column, ColumnElement, Connection, Engine, case, delete, func, insert, literal, select

from bot.budgets.budget import Scope, ScopeKind
from bot.clock import HOUR, floor_hour
from bot.pricing.tokens import UNKNOWN_TERM, Terms, TokenCounts
from bot.store.remembered import remember
from bot.store.schema import billed, names, state, usage, usage_hours
from bot.usage.age import DataState
from bot.usage.plan import HourState
from bot.usage.source import DEFAULT_WORKSPACE, BilledRow, DayUsage, SourceName, UsageReading, UsageRow

DATA_STATE_KEY = "data"
DATA_STATE = TypeAdapter(DataState)

COUNTS = (
    usage.c.uncached_input_tokens,
    usage.c.cache_creation_5m_input_tokens,
    usage.c.cache_creation_1h_input_tokens,
    usage.c.cache_read_input_tokens,
    usage.c.output_tokens,
    usage.c.web_search_requests,
)
TERMS = (usage.c.service_tier, usage.c.inference_geo, usage.c.speed)

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


class UsageStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hours(self, since: datetime) -> dict[datetime, HourState]:
        """Who owns each hour from `since` on."""
        query = select(usage_hours).where(usage_hours.c.hour >= since).order_by(usage_hours.c.hour)
        with self._engine.connect() as connection:
            return {row.hour: HourState(row.source, row.width, row.read_at) for row in connection.execute(query).all()}

    def save(
        self, readings: Iterable[UsageReading], source: SourceName, now: datetime, data: DataState, bill: Bill | None
    ) -> None:
        """Everything that one poll has read, in one transaction: each hour is emptied, then filled by its new owner."""
        with self._engine.begin() as connection:
            for reading in readings:
                _replace_hours(connection, reading, source, now)
            if bill is not None:
                _replace_days(connection, bill)
            remember(connection, DATA_STATE_KEY, DATA_STATE.dump_python(data, mode="json"))

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
            remember(connection, "names_read_at", now.isoformat())

    def names(self) -> Names:
        """The names as last read."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(names)).all()
            read_at = connection.execute(select(state.c.value).where(state.c.key == "names_read_at")).scalar()
        return Names(
            workspaces={row.id: row.name for row in rows if row.kind == "workspace"},
            keys={row.id: row.name for row in rows if row.kind == "key"},
            workspace_of_key={row.id: row.workspace_id for row in rows if row.kind == "key" and row.workspace_id},
            read_at=None if read_at is None else datetime.fromisoformat(read_at).astimezone(UTC),
            default_id=next(
                (row.workspace_id for row in rows if row.kind == "workspace" and row.id == DEFAULT_WORKSPACE), None
            ),
        )

    @property
    def _postgres(self) -> bool:
        return self._engine.dialect.name == "postgresql"


def _replace_hours(connection: Connection, reading: UsageReading, source: SourceName, now: datetime) -> None:
    read = reading.read
    last = min(read.ends_at, floor_hour(now) + HOUR)
    connection.execute(delete(usage).where(usage.c.hour >= read.starts_at, usage.c.hour < read.ends_at))
    connection.execute(
        delete(usage_hours).where(usage_hours.c.hour >= read.starts_at, usage_hours.c.hour < read.ends_at)
    )
    count = (last - read.starts_at) // HOUR
    hours = [read.starts_at + index * HOUR for index in range(count)]
    if hours:
        connection.execute(
            insert(usage_hours),
            [
                {
                    "hour": hour,
                    "source": source,
                    "width": read.width,
                    "read_at": now,
                    "odd_rows": reading.odd.rows_by_hour.get(hour, 0),
                }
                for hour in hours
            ],
        )
    rows = [
        {
            "hour": floor_hour(row.starts_at),
            "starts_at": row.starts_at,
            "model": row.model,
            "workspace_id": row.workspace_id,
            "api_key_id": row.api_key_id,
            **asdict(row.terms),
            **asdict(row.counts),
        }
        for row in reading.rows
        if read.starts_at <= row.starts_at < last
    ]
    if rows:
        connection.execute(insert(usage), rows)


def _replace_days(connection: Connection, bill: Bill) -> None:
    connection.execute(
        delete(billed).where(
            billed.c.day >= bill.first, billed.c.day <= bill.last, billed.c.day.not_in(sorted(bill.odd_days))
        )
    )
    rows = [asdict(row) for row in bill.rows if bill.first <= row.day <= bill.last and row.day not in bill.odd_days]
    if rows:
        connection.execute(insert(billed), rows)


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
