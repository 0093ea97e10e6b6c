"""Tables of usage by the hour, the bill by the day, names, and the state of the last poll."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, or_, select, update

from bot.clock import ceil_day, floor_day, floor_hour
from bot.db.schema import billed, names, usage, usage_days, usage_hours
from bot.db.state import locked, save_state, versions_of
from bot.pricing.tokens import UNKNOWN_TERM, Terms, TokenCounts
from bot.usage.model import BilledRow, DataState, SourceName, UsageReading, UsageRow
from bot.usage.plan import HourState
from bot.usage.store_reads import (
    DATA_STATE,
    DATA_STATE_KEY,
    NAMES_KEY,
    VERSION_KEY,
    Head,
    Name,
    Names,
    UsageReader,
    Version,
    head_of,
    names_in,
    version_of,
)
from bot.usage.store_writes import Changes, change_days, mark_hours, rebuild_days, replace_hours, wrong_days

MOST_RECENT = 64
"""Transactions whose changes this process keeps in memory."""

COUNTS = (
    usage.c.uncached_input_tokens,
    usage.c.cache_creation_5m_input_tokens,
    usage.c.cache_creation_1h_input_tokens,
    usage.c.cache_read_input_tokens,
    usage.c.output_tokens,
    usage.c.web_search_requests,
)
Dimension = Literal["workspace_id", "api_key_id", "model"]

TERMS = (usage.c.service_tier, usage.c.inference_geo, usage.c.speed)


@dataclass(frozen=True, slots=True)
class Bill:
    """The cost report of the UTC days `first` to `last`, both included.

    `odd_days` lack a row: they keep their stored bill.
    """

    first: date
    last: date
    rows: Sequence[BilledRow]
    odd_days: frozenset[date] = frozenset()


LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""The read time that makes an hour due again."""


class UsageStore:
    """Reads and writes usage; see `UsageReader` for reads as of one moment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recent: dict[int, dict[datetime, frozenset[datetime] | None]] = {}
        self._versions = versions_of(engine)
        self._head: tuple[Mapping[str, Any], Head] | None = None

    @contextmanager
    def reading(self) -> Iterator[UsageReader]:
        """A reader that sees one moment, despite concurrent writes."""
        with self._engine.connect() as connection:
            if self._postgres:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield UsageReader(connection, self._recent)

    def rebuild_rollups(self) -> None:
        """Rebuild all roll-ups from the rows."""
        with self._engine.begin() as connection:
            rebuild_days(connection)
            next_version(connection, billed=False, rebuilt=True)
        self._versions.changed()

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
        """Make the hours between two full hours due at the next poll."""
        hours = (usage_hours.c.hour >= starts_at) & (usage_hours.c.hour < ends_at)
        with self._engine.begin() as connection:
            connection.execute(update(usage_hours).where(hours).values(read_at=LONG_AGO))
        self._versions.changed()

    def save(
        self,
        readings: Iterable[UsageReading],
        source: SourceName,
        now: datetime,
        data: DataState | None,
        bill: Bill | None,
    ) -> None:
        """Save everything that one poll has read, with its roll-ups, in one transaction.

        `data` is None for a part of a poll: the state of the last complete one stays.
        """
        changes, version = Changes(), None
        with self._engine.begin() as connection:
            for reading in readings:
                replace_hours(connection, reading, source, now, changes)
            change_days(connection, changes.days)
            billed_anew = bill is not None and _replace_days(connection, bill)
            if changes.buckets or billed_anew:
                version = next_version(connection, billed=billed_anew, rebuilt=changes.forgotten)
                mark_hours(connection, changes.buckets, version)
            if data is not None:
                save_state(connection, DATA_STATE_KEY, DATA_STATE.dump_python(data, mode="json"))
        if version is not None:
            self._recent[version] = changes.buckets
        self._versions.changed()
        while len(self._recent) > MOST_RECENT:
            self._recent.pop(next(iter(self._recent)))

    def odd_days(self, starts_at: datetime, ends_at: datetime) -> frozenset[date]:
        """UTC days with an hour in [`starts_at`, `ends_at`) that has an unreadable row."""
        within = (usage_hours.c.hour >= starts_at, usage_hours.c.hour < ends_at, usage_hours.c.odd_rows > 0)
        with self._engine.connect() as connection:
            return frozenset(
                hour.date() for hour in connection.execute(select(usage_hours.c.hour).where(*within)).scalars()
            )

    def save_state(self, data: DataState) -> None:
        """Save only the state of the last poll, after it failed."""
        with self._engine.begin() as connection:
            save_state(connection, DATA_STATE_KEY, DATA_STATE.dump_python(data, mode="json"))
        self._versions.changed()

    def data_state(self) -> DataState:
        """The state of the data; all None before the first poll."""
        value = self.state().get(DATA_STATE_KEY)
        return DataState() if value is None else DATA_STATE.validate_python(value)

    def state(self) -> Mapping[str, Any]:
        """The version of the stored data; equal while nothing has changed."""
        return self._versions.current(self._engine)

    def head(self) -> Head:
        """`state`, parsed; the same object while nothing has changed."""
        values, known = self.state(), self._head
        if known is None or known[0] is not values:
            known = self._head = values, head_of(values)
        return known[1]

    def unknown_terms(self, starts_at: datetime, ends_at: datetime) -> frozenset[str]:
        """Terms that the source could not report for some usage in [`starts_at`, `ends_at`)."""
        within = (usage.c.hour >= starts_at, usage.c.hour < ends_at)
        with self._engine.connect() as connection:
            return frozenset(
                column.name
                for column in TERMS
                if connection.execute(select(usage.c.id).where(*within, column == UNKNOWN_TERM).limit(1)).first()
            )

    def has_usage_of(self, dimension: Dimension, value: str) -> bool:
        """Whether any usage has exactly this id."""
        with self._engine.connect() as connection:
            # Sums by day outlive the rows.
            return any(
                connection.execute(select(table.c.model).where(table.c[dimension] == value).limit(1)).first()
                is not None
                for table in (usage, usage_days)
            )

    def buckets(self, starts_at: datetime, ends_at: datetime) -> list[UsageRow]:
        """Usage of the buckets that begin in [`starts_at`, `ends_at`), as fine as it is kept, oldest first.

        See `hours` for bucket widths and which hours are known.
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

    def totals(self, since: datetime, until: datetime) -> dict[tuple[str | None, str], TokenCounts]:
        """Tokens by key and model of the hours from `since` to `until`, using the sums of whole UTC days in between."""
        found: dict[tuple[str | None, str], TokenCounts] = {}
        for (key, model), counts in self._totals(("api_key_id", "model"), None, since, until):
            at = (key or None, str(model))
            found[at] = found.get(at, TokenCounts()) + counts
        return found

    def tokens_of(
        self, caller: tuple[Dimension, str] | None, since: datetime, until: datetime
    ) -> dict[tuple[str, Terms], TokenCounts]:
        """As `totals`, by model and terms. `caller`: only usage with this id; None for the organization."""
        found: dict[tuple[str, Terms], TokenCounts] = {}
        by = ("model", *(column.name for column in TERMS))
        for (model, *terms), counts in self._totals(by, caller, since, until):
            at = (str(model), Terms(*(term or None for term in terms)))
            found[at] = found.get(at, TokenCounts()) + counts
        return found

    def _totals(
        self, by: Sequence[str], caller: tuple[Dimension, str] | None, since: datetime, until: datetime
    ) -> Iterator[tuple[Sequence[str | None], TokenCounts]]:
        first_day, last_day = ceil_day(since), floor_day(until)
        hour, day = usage.c.hour, usage_days.c.day
        edges: ColumnElement[bool] = (hour >= since) & (hour < until)
        if first_day < last_day:
            edges = or_((hour >= since) & (hour < first_day), (hour >= last_day) & (hour < until))
        days = (day >= first_day.date()) & (day < last_day.date())
        with self._engine.connect() as connection:
            if self._postgres:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            for table, within in ((usage, edges), (usage_days, days)):
                dimensions = [table.c[name] for name in by]
                sums = (func.sum(table.c[column.name]) for column in COUNTS)
                query = select(*dimensions, *sums).where(within).group_by(*dimensions)
                if caller is not None:
                    query = query.where(table.c[caller[0]] == caller[1])
                for row in connection.execute(query):
                    yield row[: len(by)], TokenCounts(*map(int, row[len(by) :]))

    def save_names(self, known: Iterable[Name], now: datetime) -> None:
        """Replace all names."""
        with self._engine.begin() as connection:
            connection.execute(delete(names))
            rows = [{**asdict(name), "seen_at": now} for name in known]
            if rows:
                connection.execute(insert(names), rows)
            save_state(connection, NAMES_KEY, now.isoformat())
        self._versions.changed()

    def names(self) -> Names:
        """The names as last read."""
        with self._engine.connect() as connection:
            return names_in(connection)

    @property
    def _postgres(self) -> bool:
        return self._engine.dialect.name == "postgresql"


def _replace_days(connection: Connection, bill: Bill) -> bool:
    """Replace changed days; returns whether any has changed."""
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


def next_version(connection: Connection, *, billed: bool, rebuilt: bool = False) -> int:
    """Count a change in the caller's transaction. Returns the new version of the usage."""
    before = version_of(locked(connection, VERSION_KEY, asdict(Version())))
    usage_version = before.usage + 1
    after = Version(
        usage_version,
        usage_version if billed else before.billed,
        usage_version if rebuilt else before.rebuilt,
    )
    save_state(connection, VERSION_KEY, asdict(after))
    return usage_version


def _usage_row(row: Any) -> UsageRow:
    return UsageRow(
        starts_at=row["starts_at"],
        model=row["model"],
        workspace_id=row["workspace_id"],
        api_key_id=row["api_key_id"],
        terms=Terms(*(row[column.name] for column in TERMS)),
        counts=TokenCounts(*(int(row[column.name]) for column in COUNTS)),
    )
