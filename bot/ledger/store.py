"""The ledger in the bot's own database: SQLite, or PostgreSQL if several copies append at once."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
)

from bot.clock import DAY, HOUR, ceil_day, floor_day, floor_hour
from bot.db.schema import ledger_days, ledger_dimensions, ledger_events, ledger_hours, ledger_minutes
from bot.db.state import LEDGER, versions_of
from bot.ledger.files_store import sessions_with_calls
from bot.ledger.interning import Interning, user_hash, user_key, without_names
from bot.ledger.model import Appended, Dimensions, Event, Row, Sums, stored_id
from bot.ledger.store_writes import MINUTES_KEPT, SUMS, ByHour, Changes, append_events, put_back_events, withdraw_events
from bot.ledger.usage import LedgerReader, head_of, names_of, note_changes, state_of
from bot.pricing.tokens import TokenCounts
from bot.usage.store_reads import Head

PRUNED_AT_ONCE = 5_000
"""Events deleted in one transaction, which bounds how long appends wait."""

MOST_RECENT = 64
"""Appends for which the changed minutes are kept."""

MOST_PRUNED = 50_000
"""Events deleted in one call, which then lasts seconds at most."""


class Change(NamedTuple):
    """Events to append, and ids of events to withdraw.

    `counted`: events that are in the sums already, as rows. `sums`: corrections of sums, by minute and dimensions
    number.
    """

    events: Iterable[Event]
    withdrawn: Collection[str] = ()
    counted: Collection[tuple[Any, ...]] = ()
    sums: Mapping[tuple[datetime, int], tuple[int, ...]] = MappingProxyType({})


class Stored(NamedTuple):
    """Result of a change. `by_hour`: changes of the sums, by UTC hour and dimensions number."""

    appended: Appended
    by_hour: ByHour


class SqlLedger:
    """See `Ledger`. `append` updates the sums, so `roll_up` has nothing to do.

    `hash_users`: users are hashed before they are stored, however an event came. `hide_users`: users are stored, and
    the names shown to others are hashed.
    """

    def __init__(self, engine: Engine, *, hash_users: bool = False, hide_users: bool = False) -> None:
        self._engine = engine
        self._hash = user_hash(user_key(engine)) if hash_users else None
        self.pseudonym = user_hash(user_key(engine)) if hide_users and not hash_users else None
        """Maps a user to the shown hash; None if the stored id is shown."""
        self._names = names_of(self.pseudonym)
        self._interning = Interning(partial(without_names, hashed=self._hash) if self._hash else lambda same: same)
        self._versions = versions_of(engine)
        self._recent: dict[int, Mapping[datetime, frozenset[datetime]]] = {}
        self._head: tuple[object, Head] | None = None

    def user(self, user_id: str) -> str:
        """The stored form of this user."""
        return user_id if self._hash is None else self._hash(user_id)

    def append(self, events: Iterable[Event], received_at: datetime) -> Appended:
        """See `Ledger`. A repeat keeps the time, dimensions and outcome that were stored first."""
        events = list(events)
        return self.change(lambda _: Change(events), received_at).appended if events else Appended(0, 0)

    def change(
        self, plan: Callable[[Connection], Change], received_at: datetime, expected: Collection[str] = ()
    ) -> Stored:
        """Append and withdraw what `plan` returns, in one transaction with everything it reads and writes itself.

        `expected`: ids of its events, as far as known in advance.
        """
        with self._engine.begin() as connection:
            events, withdrawn, counted, sums = plan(connection)
            merged, responses = _merged(events)
            # Key by identity: most events of a batch share few objects, and hashing one costs more than everything else
            # here.
            objects = {id(event.dimensions): event.dimensions for event in merged.values()}
            numbers = self._interning.numbers(connection, set(objects.values())) if objects else {}
            by_identity = {identity: numbers[dimensions] for identity, dimensions in objects.items()}
            changes = Changes(floor_hour(received_at) - MINUTES_KEPT)
            if withdrawn:
                withdraw_events(connection, withdrawn, changes)
            if counted:
                put_back_events(connection, counted)
            for (minute, number), numbers_off in sums.items():
                changes.add(minute, number, numbers_off)
            new = append_events(connection, merged, by_identity, received_at, changes) if merged else frozenset()
            changes.store(connection)
            minutes = changes.minutes
            state = note_changes(connection, minutes, received_at) if minutes else None
        self._interning.keep(numbers)
        if state is not None:
            self._recent[state.version] = minutes
            while len(self._recent) > MOST_RECENT:
                self._recent.pop(next(iter(self._recent)))
            self._versions.changed()
        accepted = sum(1 for event_id in new if merged[event_id].requests)
        return Stored(Appended(accepted, responses - accepted), changes.by_hour)

    def dimensions(self, numbers: Collection[int]) -> Mapping[int, Dimensions]:
        """Dimensions of these numbers of `Stored.by_hour`."""
        with self._engine.connect() as connection:
            return self._interning.dimensions(connection, numbers)

    def sessions_with_calls(self, sessions: Iterable[str]) -> set[str]:
        """The sessions among these with calls in the ledger, apart from session sums."""
        with self._engine.connect() as connection:
            return sessions_with_calls(connection, sessions)

    def touch(self, now: datetime) -> None:
        """Record that nothing more was logged up to `now`. Writes nothing before the first event."""
        if self.head().data.as_of is None:
            return
        with self._engine.begin() as connection:
            note_changes(connection, (), now)
        self._versions.changed()

    def head(self) -> Head:
        """A value that changes whenever the store changes."""
        values, known = self._versions.current(self._engine), self._head
        if known is None or known[0] is not values:
            known = self._head = values, head_of(state_of(values.get(LEDGER)))
        return known[1]

    @contextmanager
    def reading(self) -> Iterator[LedgerReader]:
        """A reader that sees one moment, whatever is written meanwhile."""
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield LedgerReader(connection, self._interning, self._recent, self._names)

    def roll_up(self, now: datetime) -> None:
        """See `Ledger`."""

    def prune(self, before: datetime, at_once: int = PRUNED_AT_ONCE, most: int = MOST_PRUNED) -> int:
        """See `Ledger`. Deletes at most `most` events, `at_once` per transaction; the next call continues.

        Also deletes sums by the minute that are too old to be read, at most about `most`.
        """
        self._prune_minutes(most)
        pruned = 0
        while pruned < most:
            with self._engine.begin() as connection:
                oldest = (
                    select(ledger_events.c.id)
                    .where(ledger_events.c.received_at < before)
                    .order_by(ledger_events.c.received_at)
                    .limit(at_once)
                    # Events that another copy raises at this moment are deleted next time.
                    .with_for_update(skip_locked=True)
                )
                gone = connection.execute(delete(ledger_events).where(ledger_events.c.id.in_(oldest))).rowcount
            pruned += gone
            if gone < at_once:
                break
        return pruned

    def _prune_minutes(self, most: int) -> None:
        """Delete one hour per transaction. Kept for a further day, so that none is still changed or read."""
        as_of, minute = self.head().data.as_of, ledger_minutes.c.minute
        if as_of is None:
            return
        until = floor_hour(as_of) - MINUTES_KEPT - DAY
        while most > 0:
            with self._engine.begin() as connection:
                oldest = connection.execute(select(func.min(minute))).scalar_one_or_none()
                if oldest is None or oldest >= until:
                    return
                gone = delete(ledger_minutes).where(minute < min(floor_hour(oldest) + HOUR, until))
                most -= connection.execute(gone).rowcount

    def read(self, since: datetime, until: datetime) -> list[Row]:
        """See `Ledger`. An hour belongs to the stretch in which it begins."""
        return self._rows([_sums_of(table, start).where(within) for table, start, within in _divided(since, until)])

    def totals(self, since: datetime, until: datetime) -> dict[Dimensions, Sums]:
        """What `read` returns, summed by dimensions. Cost depends on the number of sums, not events."""
        found: dict[Dimensions, Sums] = {}
        for table, _, within in _divided(since, until):
            number = table.c.dimensions_id
            # PostgreSQL sums integers to a decimal.
            sums = [cast(func.sum(table.c[name]), BigInteger) for name in SUMS]
            query = select(literal(since.isoformat()), number, *sums).where(within).group_by(number)
            for row in self._rows([query]):
                before = found.get(row.dimensions)
                found[row.dimensions] = row.sums if before is None else before.plus(row.sums)
        return found

    def minutes_of_models(self, since: datetime) -> list[tuple[datetime, str, Sums]]:
        """Sums by minute and model since a time of the last three days, without batches."""
        minute, by = ledger_minutes.c.minute, ledger_dimensions.c.model
        joined = ledger_minutes.join(ledger_dimensions, ledger_dimensions.c.id == ledger_minutes.c.dimensions_id)
        sums = [func.sum(ledger_minutes.c[name]) for name in SUMS]
        tier = func.coalesce(ledger_dimensions.c.service_tier, "")
        query = select(minute, by, *sums).select_from(joined).where(minute >= since, tier != "batch")
        with self._engine.connect() as connection:
            return [
                (at, model, Sums(TokenCounts(*map(int, found[:6])), *map(int, found[6:])))
                for at, model, *found in connection.execute(query.group_by(minute, by))
            ]

    def version(self) -> int:
        """Rises with every change of the sums, by any copy."""
        return state_of(self._versions.current(self._engine).get(LEDGER)).version

    def _rows(self, queries: list[Select[Any]]) -> list[Row]:
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            found = [row for query in queries for row in connection.execute(query)]
            dimensions = self._interning.dimensions(connection, (row[1] for row in found))
        moments: dict[Any, datetime] = {}
        rows = []
        for start, number, *sums in found:
            starts_at = moments.get(start) or moments.setdefault(start, _moment(start))
            rows.append(Row(starts_at, dimensions[number], Sums(TokenCounts(*sums[:6]), *sums[6:])))
        return rows


def _merged(events: Iterable[Event]) -> tuple[dict[str, Event], int]:
    """Events by stored id, merged over several states (first state, largest counts); and how many of all were
    responses, not parts.
    """
    merged: dict[str, Event] = {}
    responses = 0
    for event in events:
        if event.requests:
            responses += 1
        event_id = stored_id(event.id)
        first = merged.get(event_id)
        if first is None:
            merged[event_id] = event
        else:
            merged[event_id] = first.with_state(event)
    return merged, responses


def _divided(since: datetime, until: datetime) -> list[tuple[Table, ColumnElement[Any], ColumnElement[bool]]]:
    """The tables that make up a stretch, each with its start and condition: whole UTC days, and hours."""
    first_day, last_day = ceil_day(since), floor_day(until)
    hour, day = ledger_hours.c.hour, ledger_days.c.day
    if first_day >= last_day:
        return [(ledger_hours, hour, (hour >= since) & (hour < until))]
    edges = or_((hour >= since) & (hour < first_day), (hour >= last_day) & (hour < until))
    days = (day >= first_day.date()) & (day < last_day.date())
    return [(ledger_hours, hour, edges), (ledger_days, day, days)]


def _sums_of(table: Any, start: ColumnElement[Any]) -> Select[Any]:
    return select(start, table.c.dimensions_id, *(table.c[name] for name in SUMS))


def _moment(start: Any) -> datetime:
    """Start of an hour, a day or a minute from its database value."""
    if isinstance(start, str):
        return datetime.fromisoformat(start).replace(tzinfo=UTC)
    if isinstance(start, datetime):
        return start.astimezone(UTC)
    return datetime(start.year, start.month, start.day, tzinfo=UTC)
