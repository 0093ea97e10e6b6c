"""Tables of Anthropic's own attribution, by UTC day, read in the shapes of stored usage.

A snapshot of them has no tokens; days of a product, group, agent or actor are read on demand. The state of a dimension
is stored only as long as a budget needs it; days stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.clock import HOUR, floor_hour
from bot.db.schema import attributed_days, attributed_names, state
from bot.db.state import ATTRIBUTION, locked, save_state, versions_of
from bot.usage.attributed_days import PRODUCTS, AttributedReading, AttributedState, States, data_of
from bot.usage.model import AttributedBy, BilledRow
from bot.usage.store_reads import AttributedNames, Head, HourRead, Names, Version

STATES: TypeAdapter[dict[AttributedBy, AttributedState]] = TypeAdapter(dict[AttributedBy, AttributedState])

ROWS_AT_ONCE = 5_000


class AttributedStore:
    """Synchronous; asynchronous callers use a thread. Implements `StoredUsage`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._versions = versions_of(engine)
        self._known: tuple[Any, Head, States] | None = None

    def head(self) -> Head:
        """The same object while nothing has changed."""
        return self._present()[1]

    def states(self) -> States:
        """State of each dimension that budgets need, read with what shows any change."""
        return self._present()[2]

    @contextmanager
    def reading(self) -> Iterator["AttributedReader"]:
        """A reader that sees one moment, despite concurrent writes."""
        with self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield AttributedReader(connection)

    def names(self) -> Mapping[str, AttributedNames]:
        """Names by dimension, for dimensions that budgets need."""
        with self.reading() as reader:
            return reader.names().attributed

    def usd(self, by: AttributedBy, value: str) -> Mapping[date, Decimal]:
        """USD attributed to one value, by UTC day; days without spend are left out."""
        of = attributed_days.c
        query = select(of.day, of.usd).where(of.dimension == by.value, of.value == value)
        with self._engine.connect() as connection:
            return {row.day: row.usd for row in connection.execute(query)}

    def save(self, readings: Sequence[AttributedReading], states: States) -> None:
        """Save everything read in one look, and the new states, in one transaction.

        A day with an unreadable row keeps its stored rows.
        """
        with self._engine.begin() as connection:
            # Lock first, so that of two copies one waits for the other.
            version, _ = _stored(locked(connection, ATTRIBUTION, None))
            for reading in readings:
                _replace_days(connection, reading)
                _save_names(connection, reading)
            known = {by.value: _written(one) for by, one in states.items()}
            save_state(connection, ATTRIBUTION, {"version": version + 1, "states": known})
        self._versions.changed()

    def _present(self) -> tuple[Any, Head, States]:
        value = self._versions.current(self._engine).get(ATTRIBUTION)
        known = self._known
        if known is None or known[0] is not value:
            known = self._known = value, *_read(value)
        return known


class AttributedReader:
    """Reads within one transaction. Implements `Reader`: there are no rows of tokens."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._present: tuple[Head, States] | None = None

    def head(self) -> Head:
        return self._known()[0]

    def changed(self, since: int, until: int) -> list[HourRead]:
        """Always empty: every change makes the reader start anew."""
        return []

    def hours(self, starts_at: datetime, ends_at: datetime) -> list[HourRead]:
        """Every hour of the days that all dimensions know, up to the running one."""
        head, states = self._known()
        firsts = [one.since for one in states.values() if one.since is not None]
        if head.data.as_of is None or not firsts:
            return []
        odd = {day for one in states.values() for day in one.odd_days}
        hour = max(starts_at, datetime.combine(max(firsts), time(), UTC))
        last = min(ends_at - HOUR, floor_hour(head.data.as_of))
        found = []
        while hour <= last:
            found.append(HourRead(hour, "1h", odd=hour.date() in odd, buckets=None))
            hour += HOUR
        return found

    def used_hours(self, starts_at: datetime, ends_at: datetime) -> frozenset[datetime]:
        return frozenset()

    def hour_rows(self, hour: datetime) -> Iterator[Sequence[Any]]:
        return iter(())

    def bucket_rows(self, hour: datetime, buckets: frozenset[datetime] | None) -> Iterator[Sequence[Any]]:
        return iter(())

    def day_rows(self, first: date, last: date) -> dict[date, list[Any]]:
        return {}

    def callers_before(self, day: date) -> list[tuple[str, str, str]]:
        return []

    def billed_rows(self, first: date) -> list[BilledRow]:
        """Always empty: USD come from `AttributedStore.usd`."""
        return []

    def names(self) -> Names:
        return Names({}, {}, {}, None, attributed={by.value: self._names_of(by) for by in self._known()[1]})

    def _names_of(self, by: AttributedBy) -> AttributedNames:
        known = self._known()[1][by]
        names: dict[str, str] = {product: product for product in PRODUCTS} if by is AttributedBy.PRODUCT else {}
        called = select(attributed_names.c.value, attributed_names.c.name)
        rows = self._connection.execute(called.where(attributed_names.c.dimension == by.value))
        names |= {row.value: row.name for row in rows}
        return AttributedNames(names, known=known.since is not None, error=known.error)

    def _known(self) -> tuple[Head, States]:
        if self._present is None:
            query = select(state.c.value).where(state.c.key == ATTRIBUTION)
            self._present = _read(self._connection.execute(query).scalar_one_or_none())
        return self._present


def _stored(value: Any) -> tuple[int, Any]:
    return (0, {}) if value is None else (value["version"], value["states"])


def _read(value: Any) -> tuple[Head, States]:
    version, states = _stored(value)
    known = STATES.validate_python(states)
    number = Version(usage=0, billed=version, rebuilt=version)
    return Head(data_of(known.values()), number, str(version) if known else None), known


def _written(one: AttributedState) -> Any:
    return TypeAdapter(AttributedState).dump_python(one, mode="json")


def _replace_days(connection: Connection, reading: AttributedReading) -> None:
    of = attributed_days.c
    within = (of.dimension == reading.by.value, of.day >= reading.first, of.day <= reading.last)
    kept: frozenset[date] = frozenset()
    if reading.odd_days:
        days = select(of.day).where(*within).distinct()
        kept = reading.odd_days & set(connection.execute(days).scalars())
    connection.execute(delete(attributed_days).where(*within, of.day.not_in(sorted(kept))))
    rows = [
        {
            "dimension": reading.by.value,
            "day": row.day,
            "value": row.who.id,
            "usd": row.usd,
            "refreshed_at": reading.refreshed_at,
        }
        for row in reading.rows
        if row.who.id and row.day not in kept
    ]
    for at in range(0, len(rows), ROWS_AT_ONCE):
        connection.execute(insert(attributed_days), rows[at : at + ROWS_AT_ONCE])


def _save_names(connection: Connection, reading: AttributedReading) -> None:
    of = attributed_names.c
    known = select(of.value, of.name).where(of.dimension == reading.by.value)
    before = {row.value: row.name for row in connection.execute(known)}
    named = {row.who.id: row.who.id for row in reading.rows if row.who.id and row.who.id not in before}
    named |= {row.who.id: row.who.name for row in reading.rows if row.who.id and row.who.name}
    changed = [
        {"dimension": reading.by.value, "value": id_, "name": name}
        for id_, name in named.items()
        if before.get(id_) != name
    ]
    if changed:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        kept = dialect.insert(attributed_names)
        keys = ["dimension", "value"]
        connection.execute(kept.on_conflict_do_update(index_elements=keys, set_={"name": kept.excluded.name}), changed)
