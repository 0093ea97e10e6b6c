"""Reads of stored usage as of one moment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, func, select

from bot.db.schema import billed, names, state, usage, usage_days, usage_hours
from bot.usage.model import DEFAULT_WORKSPACE, BilledRow, DataState, Width
from bot.usage.store_writes import COUNTS, DIMENSIONS

DATA_STATE_KEY = "data"
DATA_STATE = TypeAdapter(DataState)
VERSION_KEY = "usage_version"
NAMES_KEY = "names_read_at"

BUCKET_ROWS = select(usage.c.starts_at, *(usage.c[name] for name in (*DIMENSIONS, *COUNTS))).where(
    usage.c.hour == bindparam("hour")
)
HOUR_ROWS = select(*(usage.c[name] for name in (*DIMENSIONS, *COUNTS))).where(usage.c.hour == bindparam("hour"))
DAY_ROWS = select(
    usage_days.c.day,
    usage_days.c.model,
    usage_days.c.workspace_id,
    *(func.nullif(usage_days.c[name], "") for name in DIMENSIONS[2:]),
    *(usage_days.c[name] for name in COUNTS),
).where(usage_days.c.day >= bindparam("first"), usage_days.c.day <= bindparam("last"))

NameKind = Literal["workspace", "key"]


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a workspace or a key at Anthropic.

    `workspace_id`: a key's workspace; of the workspace `default`, the id that Anthropic's lists give it.
    """

    kind: NameKind
    id: str
    name: str
    workspace_id: str | None = None


@dataclass(frozen=True, slots=True)
class AttributedNames:
    """Ids to which Anthropic attributes spend, each with its name, or with itself if it has none.

    `known`: whether they have been read. `error`: why the last attempt failed, in sentences with the remedy.
    """

    names: Mapping[str, str]
    known: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """Names by id, and when they were read; None if never.

    The default workspace has the id `default`; `default_id` is its id in Anthropic's lists, if known. `logged`: of the
    ledger, whose workspaces are features and whose keys are labels. `attributed`: by product, group, agent or actor.
    """

    workspaces: Mapping[str, str]
    keys: Mapping[str, str]
    workspace_of_key: Mapping[str, str]
    read_at: datetime | None
    default_id: str | None = None
    logged: bool = False
    attributed: Mapping[str, AttributedNames] = field(default_factory=dict)


NO_NAMES = Names({}, {}, {}, None)


@dataclass(frozen=True, slots=True)
class Version:
    """Rises with every change of the store. `usage`: last change of anything; `billed`: last change of the bill.

    `rebuilt`: last time that an hour was forgotten, or something else changed that single hours do not show.
    """

    usage: int = 0
    billed: int = 0
    rebuilt: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """The version of the stored data, read with one statement."""

    data: DataState
    version: Version
    names_read_at: str | None

    def has_rows_of(self, other: "Head") -> bool:
        """Whether only the state of the last poll differs."""
        return (self.version, self.names_read_at) == (other.version, other.names_read_at)


def head_of(values: Mapping[str, Any]) -> Head:
    """`values`: rows of the table `state`, by key."""
    data = values.get(DATA_STATE_KEY)
    return Head(
        data=DataState() if data is None else DATA_STATE.validate_python(data),
        version=version_of(values.get(VERSION_KEY)),
        names_read_at=values.get(NAMES_KEY),
    )


@dataclass(frozen=True, slots=True)
class HourRead:
    """An hour that has changed. `width` 1d: it is known only as a part of its day.

    `buckets`: the starts of those of its buckets that have changed, None where all may have.
    """

    hour: datetime
    width: Width | Literal["1d"]
    odd: bool
    buckets: frozenset[datetime] | None


ROWS_AT_ONCE = 5_000
"""Rows read at once, so that the rows of an hour are never all in memory as objects."""


class UsageReader:
    """Reads within one transaction, so that everything is as of one moment."""

    def __init__(self, connection: Connection, recent: Mapping[int, Mapping[datetime, frozenset[datetime] | None]]):
        self._connection = connection
        self._recent = recent

    def head(self) -> Head:
        """Current state of the data."""
        query = select(state.c.key, state.c.value).where(state.c.key.in_((DATA_STATE_KEY, VERSION_KEY, NAMES_KEY)))
        return head_of({row.key: row.value for row in self._connection.execute(query)})

    def changed(self, since: int, until: int) -> list[HourRead]:
        """Hours changed after the version `since`, up to `until`, oldest first."""
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

    def used_hours(self, starts_at: datetime, ends_at: datetime) -> frozenset[datetime]:
        """Those hours of [`starts_at`, `ends_at`) that have rows."""
        query = select(usage.c.hour).where(usage.c.hour >= starts_at, usage.c.hour < ends_at).distinct()
        return frozenset(self._connection.execute(query).scalars())

    def hour_rows(self, hour: datetime) -> Iterator[Sequence[Any]]:
        """Dimensions and counts of every row of an hour, some at a time."""
        return self._connection.execute(HOUR_ROWS, {"hour": hour}).partitions(ROWS_AT_ONCE)

    def bucket_rows(self, hour: datetime, buckets: frozenset[datetime] | None) -> Iterator[Sequence[Any]]:
        """Start of the bucket, dimensions and counts of the rows of an hour; only of `buckets` if given."""
        query = BUCKET_ROWS
        if buckets is not None:
            query = query.where(usage.c.starts_at.in_(sorted(buckets)))
        return self._connection.execute(query, {"hour": hour}).partitions(ROWS_AT_ONCE)

    def day_rows(self, first: date, last: date) -> dict[date, list[Any]]:
        """Dimensions and counts of the roll-ups of these UTC days, both included; empty days are left out."""
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
        return names_in(self._connection)

    def _buckets(self, since: int, until: int) -> dict[datetime, frozenset[datetime] | None] | None:
        """Buckets changed by this process; None if another process has changed something too."""
        found: dict[datetime, frozenset[datetime] | None] = {}
        for version in range(since + 1, until + 1):
            changed = self._recent.get(version)
            if changed is None:
                return None
            for hour, buckets in changed.items():
                before = found.get(hour, frozenset())
                found[hour] = None if buckets is None or before is None else before | buckets
        return found


def names_in(connection: Connection) -> Names:
    """The names as last read."""
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


def version_of(value: Any) -> Version:
    """The version stored as this value."""
    return Version() if value is None else Version(**value)
