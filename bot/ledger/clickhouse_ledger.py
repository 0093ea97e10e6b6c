"""The ledger with its responses in ClickHouse, for more than the bot's own database should hold.

The bot's database has all sums, and the responses of the latest hours: there one transaction counts a response and
stores its id, whichever copy of the bot received it. `roll_up` moves responses to ClickHouse and rebuilds the sums of
closed hours from there. A response in ClickHouse is put back before it is counted a second time.

Copies coordinate by one row of `state`: appending takes it shared; moving takes it exclusively and counts a turn. A
look-up in ClickHouse is only valid within the turn in which it began.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import sub
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, select

from bot.clock import DAY, HOUR, floor_hour
from bot.db.retention import ledger_by_day_before
from bot.db.schema import ledger_events, ledger_hours, ledger_minutes, state
from bot.db.state import locked, save_state
from bot.ledger.clickhouse import Cell, ClickHouseError, ClickHouseEvents, Kept, clickhouse_events
from bot.ledger.file_events import SINGLE, SUM, TOTAL
from bot.ledger.interning import numbers_of_rows, rows_of_numbers, rows_where
from bot.ledger.model import Appended, Event, LedgerRules, stored_id
from bot.ledger.store import Change, SqlLedger, Stored
from bot.ledger.store_writes import EVENT_COLUMNS, MINUTES_KEPT, NUMBERS, SUMS

log = logging.getLogger(__name__)

MOVES = "ledger_moves"
"""Key in the table `state`: how often responses were moved, and up to which hour sums are rebuilt."""

MOVED_AFTER = HOUR
"""Time from receipt until a response is moved. Senders repeat within minutes."""

LOOK_EVERY = timedelta(minutes=10)
"""How often all responses are checked, most of which may never move. In between only those that have become old enough
since the last check. A response that was put back waits this long to be moved again.
"""

MARKS = (SINGLE, SUM, TOTAL)

MOVED_AT_ONCE = 5_000
MOVING_SECONDS = 30
"""Seconds of moving in one call; the next one continues."""

RETRY_SECONDS = 30
"""Seconds from a failed look-up to the next one, during which senders do not wait for ClickHouse."""

EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Times that ClickHouse can store. Responses outside them are not moved."""


ByMinute = dict[tuple[datetime, int], tuple[int, ...]]
"""Sums by minute or hour and dimensions number, in the order of `SUMS`."""


class _Turn(NamedTuple):
    number: int
    rebuilt: datetime | None
    """Start of the first hour whose sums are not rebuilt; None before the first roll-up."""
    table: str | None = None
    """Identity of the table from which hours were last rebuilt."""

    @classmethod
    def of(cls, value: Any) -> "_Turn":
        number, rebuilt, *table = value
        return cls(number, None if rebuilt is None else datetime.fromisoformat(rebuilt), *table)

    def written(self) -> list[Any]:
        return [self.number, None if self.rebuilt is None else self.rebuilt.isoformat(), self.table]


class _Found(NamedTuple):
    """What ClickHouse had in one turn."""

    turn: int
    rows: Mapping[str, Kept]


class _MovedMeanwhileError(Exception):
    """Responses were moved after the look-up."""


class ClickHouseLedger(SqlLedger):
    """See `Ledger`.

    An append while ClickHouse is unreachable is still stored; a repeat that shows up when it is moved is then
    subtracted from the sums. `keep`: how long ClickHouse keeps a response.
    """

    def __init__(
        self,
        engine: Engine,
        events: ClickHouseEvents,
        keep: timedelta,
        *,
        hash_users: bool = False,
        hide_users: bool = False,
    ) -> None:
        super().__init__(engine, hash_users=hash_users, hide_users=hide_users)
        self._events = events
        self._keep = keep
        self._retry_at: float | None = None
        self._looked_at: datetime | None = None
        self._moved_until: datetime | None = None
        with engine.begin() as connection:
            locked(connection, MOVES, _Turn(0, None).written())

    def append(self, events: Iterable[Event], received_at: datetime) -> Appended:
        """See `Ledger`."""
        events = list(events)
        if not events:
            return Appended(0, 0)
        ids = {stored_id(event.id) for event in events}
        while True:
            found = self._looked_up(ids)

            def plan(connection: Connection, found: _Found | None = found) -> Change:
                turn = _shared_turn(connection)
                if found is None:
                    return Change(events)
                if turn.number != found.turn:
                    raise _MovedMeanwhileError
                return Change(events, counted=_rows(connection, found.rows.values()))

            try:
                return super().change(plan, received_at).appended
            except _MovedMeanwhileError:
                continue

    def change(
        self, plan: Callable[[Connection], Change], received_at: datetime, expected: Collection[str] = ()
    ) -> Stored:
        """As `SqlLedger.change`. Raises `ClickHouseError`.

        Looks up expected ids before the transaction, so that others can write meanwhile.
        """
        ids = {stored_id(event_id) for event_id in expected if _moves(event_id)}
        while True:
            turn = self._turn().number
            known = self._events.find(ids)

            def looking(connection: Connection, turn: int = turn, known: dict[str, Kept] = known) -> Change:
                if _shared_turn(connection).number != turn:
                    raise _MovedMeanwhileError
                change = plan(connection)
                events = list(change.events)
                others = {stored_id(event.id) for event in events if _moves(event.id)} - ids
                found = {**known, **self._events.find(others)}
                return change._replace(events=events, counted=_rows(connection, found.values()))

            try:
                return super().change(looking, received_at)
            except _MovedMeanwhileError:
                continue

    def sessions_with_calls(self, sessions: Iterable[str]) -> set[str]:
        """As `SqlLedger.sessions_with_calls`. Raises `ClickHouseError`."""
        wanted = list(sessions)
        # Check in this order: a moved response is in ClickHouse before it is deleted here.
        return super().sessions_with_calls(wanted) | self._events.sessions(wanted)

    def roll_up(self, now: datetime, *, at_once: int = MOVED_AT_ONCE, seconds: float = MOVING_SECONDS) -> None:
        """Move what was received `MOVED_AFTER` ago, and rebuild closed hours. Raises `ClickHouseError`.

        Several copies may do so at the same time. `at_once`: responses per transaction. One call takes at most
        `seconds` plus one rebuild.
        """
        until = time.monotonic() + seconds
        while self._move(now, at_once):
            if time.monotonic() >= until:
                return
        while self._rebuild_next(now):
            if time.monotonic() > until:
                return

    def _looked_up(self, ids: Collection[str]) -> _Found | None:
        """What ClickHouse has of these; None if it is unreachable."""
        if self._retry_at is not None and time.monotonic() < self._retry_at:
            return None
        turn = self._turn().number
        try:
            found = self._events.find(ids)
        except ClickHouseError as error:
            if self._retry_at is None:
                log.warning("responses are stored without a look for older repeats: %s", error)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return None
        if self._retry_at is not None:
            log.info("ClickHouse answers again")
            self._retry_at = None
        return _Found(turn, found)

    def _turn(self) -> _Turn:
        with self._engine.connect() as connection:
            return _Turn.of(connection.execute(select(state.c.value).where(state.c.key == MOVES)).scalar_one())

    def _move(self, now: datetime, at_once: int = MOVED_AT_ONCE) -> bool:
        """Move some. False: nothing is left to move."""
        before = now - MOVED_AFTER
        in_full = self._looked_at is None or not self._looked_at <= now < self._looked_at + LOOK_EVERY
        with self._engine.connect() as connection:
            held = _movable(connection, None if in_full else self._moved_until, before, at_once)
        if not held:
            self._moved_until = before
            if in_full:
                self._looked_at = now
            return False
        turn = self._turn().number
        found = self._events.find(one.id for one in held)
        late = [one for one in held if one.id in found and found[one.id].received_at != one.received_at]
        if late and not self._take_off(late, _Found(turn, found), now):
            return True
        moved = [one for one in held if one.id not in {each.id for each in late}]
        self._events.store([one for one in moved if one.id not in found or found[one.id].state != one.state])
        with self._engine.begin() as connection:
            at = _Turn.of(locked(connection, MOVES, None))
            # Responses that have grown meanwhile are moved next time.
            stored = {one.id: one.state for one in _held(connection, [one.id for one in moved])}
            gone = [one.id for one in moved if stored.get(one.id) == one.state]
            if gone:
                rows_where(connection, "DELETE FROM ledger_events WHERE id ", gone, "text")
            save_state(connection, MOVES, at._replace(number=at.number + 1).written())
        return len(held) == at_once or bool(late)

    def _take_off(self, late: Collection[Kept], found: _Found, now: datetime) -> bool:
        """Replace repeats that were counted as new by the response in ClickHouse.

        False: another copy has moved responses since the look-up.
        """
        ids = [one.id for one in late]

        def plan(connection: Connection) -> Change:
            turn = _Turn.of(locked(connection, MOVES, None))
            if turn.number != found.turn:
                raise _MovedMeanwhileError
            save_state(connection, MOVES, turn._replace(number=turn.number + 1).written())
            counted, sums = list[Kept](), ByMinute()
            for one in _held(connection, ids):
                first = found.rows[one.id]
                grown = first.grown_by(one)
                counted.append(grown)
                numbers = numbers_of_rows(connection, [first.dimensions, grown.dimensions])
                for sign, counted_as in ((-1, first), (1, grown)):
                    change = _expanded(tuple(sign * number for number in counted_as.numbers), first.outcome)
                    key = (_minute(first.at), numbers[counted_as.dimensions[0]])
                    sums[key] = tuple(map(sum, zip(sums.get(key, (0,) * len(SUMS)), change, strict=True)))
            return Change((), [one.id for one in counted], _rows(connection, counted), sums)

        try:
            super().change(plan, now)
        except _MovedMeanwhileError:
            return False
        log.warning("%d responses were counted a second time while ClickHouse was out of reach; corrected", len(late))
        return True

    def _rebuild_next(self, now: datetime) -> bool:
        """Rebuild the sums of the first closed hour that is not rebuilt. False: there is none."""
        turn, table = self._turn(), self._events.identity()
        closed = floor_hour(now - MOVED_AFTER)
        # A different table lacks what was moved before: sums of that time stay as they are.
        is_first = turn.rebuilt is None or turn.table != table
        hour = closed if is_first or turn.rebuilt is None else max(turn.rebuilt, floor_hour(now - self._keep + DAY))
        if not is_first and hour >= closed:
            return False
        if is_first and turn.rebuilt is not None:
            log.warning("the table in ClickHouse is another one than before; sums of older hours stay as they are")
        with self._engine.connect() as connection:
            by_day_before = ledger_by_day_before(connection)
            if by_day_before is not None and not is_first:
                # There are no sums by the hour any more with which responses could be compared.
                hour = max(hour, by_day_before)
            held = _held_of(connection, hour)
        # Skip the time before the first roll-up: not all of it is in ClickHouse.
        cells = list[Cell]()
        known = {} if is_first else self._events.find(one.id for one in held)
        if not is_first:
            cells = self._events.hour(hour)
            if self._events.find(one.id for one in held) != known:
                # Another copy has stored some of them before or after the sums were read.
                return False

        def plan(connection: Connection) -> Change:
            if _Turn.of(locked(connection, MOVES, None)) != turn or _held_of(connection, hour) != held:
                raise _MovedMeanwhileError
            rebuilt = hour if is_first else hour + HOUR
            save_state(connection, MOVES, _Turn(turn.number + 1, rebuilt, table).written())
            if is_first:
                return Change(())
            right = _right_sums(connection, hour, cells, held, known)
            by_minute = hour >= floor_hour(now) - MINUTES_KEPT
            return Change((), sums=_differences(connection, hour, right, by_minute=by_minute))

        try:
            changed = super().change(plan, now).by_hour
        except _MovedMeanwhileError:
            # Another copy moves or rebuilds, or a response came late: the next call continues.
            return False
        if changed:
            log.warning("the sums of %s UTC were not those of its responses; corrected", f"{hour:%Y-%m-%d %H:%M}")
        return True


def ledger_from(engine: Engine, url: str, rules: LedgerRules) -> SqlLedger:
    """The ledger of this database, with its responses in the ClickHouse at `url` if given.

    Raises `DatabaseError` if its library is missing; the server need not be reachable.
    """
    if not url:
        return SqlLedger(engine, hash_users=rules.hash_users, hide_users=rules.hide_users)
    events = clickhouse_events(url, rules.keep)
    return ClickHouseLedger(engine, events, rules.keep, hash_users=rules.hash_users, hide_users=rules.hide_users)


def _shared_turn(connection: Connection) -> _Turn:
    query = select(state.c.value).where(state.c.key == MOVES).with_for_update(read=True)
    return _Turn.of(connection.execute(query).scalar_one())


def _moves(event_id: str) -> bool:
    """Responses from files stay, since they may be withdrawn."""
    return not event_id.startswith(MARKS)


def _movable(connection: Connection, since: datetime | None, before: datetime, most: int) -> list[Kept]:
    """At most `most` responses received from `since` (or ever) until `before`, oldest first."""
    events = ledger_events.c
    query = (
        select(ledger_events)
        .where(events.received_at < before, events.at >= EARLIEST, events.at < LATEST)
        .where(*(events.id.not_like(f"{mark}%") for mark in MARKS))
        .where(*(() if since is None else (events.received_at >= since,)))
        .order_by(events.received_at)
        .limit(most)
    )
    return _read(connection, connection.execute(query).all())


def _held(connection: Connection, ids: Collection[str]) -> list[Kept]:
    rows = rows_where(connection, f"SELECT {', '.join(EVENT_COLUMNS)} FROM ledger_events WHERE id ", ids, "text")
    return _read(connection, rows)


def _held_of(connection: Connection, hour: datetime) -> list[Kept]:
    """Responses of an hour that are still in the bot's own database, ordered by id."""
    events = ledger_events.c
    query = select(ledger_events).where(events.at >= hour, events.at < hour + HOUR).order_by(events.id)
    return _read(connection, connection.execute(query).all())


def _read(connection: Connection, rows: Collection[Any]) -> list[Kept]:
    dimensions = rows_of_numbers(connection, {row[3] for row in rows})
    return [
        Kept(
            event_id,
            _utc(at),
            _utc(received_at),
            dimensions[number],
            tuple(rest[: len(NUMBERS)]),
            *rest[len(NUMBERS) :],
        )
        for event_id, at, received_at, number, *rest in rows
    ]


def _rows(connection: Connection, kept: Collection[Kept]) -> list[tuple[Any, ...]]:
    """Rows of `ledger_events`."""
    if not kept:
        return []
    numbers = numbers_of_rows(connection, {one.dimensions for one in kept})
    return [(*one[:3], numbers[one.dimensions[0]], *one.numbers, *one[5:]) for one in kept]


def _right_sums(
    connection: Connection, hour: datetime, cells: Collection[Cell], held: Collection[Kept], known: Mapping[str, Kept]
) -> ByMinute:
    """Sums of an hour by minute: what ClickHouse has, plus what is only in the bot's own database.

    A response in both counts as stored here. A repeat that was counted as new still counts twice, until it is moved.
    """
    right: dict[tuple[datetime, int], list[tuple[int, ...]]] = {}
    twice = [known[one.id] for one in held if one.id in known and known[one.id].received_at == one.received_at]
    rows = [*(cell.dimensions for cell in cells), *(one.dimensions for one in (*held, *twice))]
    numbers = numbers_of_rows(connection, rows)
    for cell in cells:
        right.setdefault((cell.minute, numbers[cell.dimensions[0]]), []).append(cell.sums)
    for sign, kept in ((1, held), (-1, twice)):
        for one in kept:
            sums = tuple(sign * number for number in _expanded(one.numbers, one.outcome))
            right.setdefault((_minute(one.at), numbers[one.dimensions[0]]), []).append(sums)
    return {key: tuple(map(sum, zip(*several, strict=True))) for key, several in right.items()}


def _differences(connection: Connection, hour: datetime, right: ByMinute, *, by_minute: bool) -> ByMinute:
    """Right sums minus the sums in the database."""
    table, start = (ledger_minutes, ledger_minutes.c.minute) if by_minute else (ledger_hours, ledger_hours.c.hour)
    nothing = (0,) * len(SUMS)
    if not by_minute:
        hours: ByMinute = {}
        for (_, number), sums in right.items():
            hours[hour, number] = tuple(map(sum, zip(hours.get((hour, number), nothing), sums, strict=True)))
        right = hours
    query = select(start, table.c.dimensions_id, *(table.c[name] for name in SUMS))
    found = connection.execute(query.where(start >= hour, start < hour + HOUR)).all()
    present: ByMinute = {(_utc(row[0]), row[1]): tuple(row[2:]) for row in found}
    off = {
        key: tuple(map(sub, right.get(key, nothing), present.get(key, nothing)))
        for key in right.keys() | present.keys()
    }
    return {key: sums for key, sums in off.items() if any(sums)}


def _expanded(numbers: tuple[int, ...], outcome: str) -> tuple[int, ...]:
    requests = numbers[-1]
    return (*numbers, requests if outcome == "error" else 0, requests if outcome == "rate_limited" else 0)


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _utc(moment: datetime | str) -> datetime:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
