"""Writes of a poll: only the differences of what it reads again, and their roll-ups."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, update

from bot.clock import DAY, HOUR, MINUTE
from bot.db.schema import usage, usage_days
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import BilledRow, DataState, OddUsage, Read, SourceName, UsageReading, UsageRow, Width
from bot.usage.store import Bill, UsageStore
from bot.usage.store_reads import Head

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=12, minutes=30)
UNSETTLED = MIDNIGHT + 10 * HOUR
STATE = DataState(as_of=NOW, source="admin", polled_at=NOW)
ROWS = [
    UsageRow(
        UNSETTLED + minute * MINUTE, "claude-opus-5-5", "default", key, STANDARD, TokenCounts(output_tokens=minute)
    )
    for minute in range(1, 150)
    for key in ("apikey_1", "apikey_2")
]
WRITES = re.compile(r"(INSERT|UPDATE|DELETE)\s+(?:INTO |FROM )?(\w+)")


@pytest.fixture
def store(engine: Engine) -> UsageStore:
    return UsageStore(engine)


def minutes(*rows: UsageRow, unchanged: frozenset[datetime] = frozenset(), odd: int = 0) -> UsageReading:
    """The last two hours and the running one."""
    read = Read("1m", UNSETTLED, UNSETTLED + 3 * HOUR)
    return UsageReading(read, rows, None, OddUsage({UNSETTLED: odd} if odd else {}), unchanged)


def save(
    store: UsageStore,
    *readings: UsageReading,
    now: datetime = NOW,
    source: SourceName = "admin",
    bill: Bill | None = None,
) -> None:
    store.save(readings, source, now, STATE, bill)


def head(store: UsageStore) -> Head:
    with store.reading() as reader:
        return reader.head()


@contextmanager
def written(engine: Engine) -> Iterator[Counter[str]]:
    """Counts the rows that are inserted, updated and deleted, by verb and table."""
    counted: Counter[str] = Counter()

    def count(_connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool) -> None:
        found = WRITES.match(statement.lstrip())
        if found is not None:
            many = len(parameters) if executemany else cursor.rowcount
            counted[f"{found[1]} {found[2]}"] += many

    event.listen(engine, "after_cursor_execute", count)
    try:
        yield counted
    finally:
        event.remove(engine, "after_cursor_execute", count)


def in_usage(counted: Counter[str]) -> dict[str, int]:
    """Statements on rows of usage and on their sums."""
    return {what: rows for what, rows in counted.items() if what.split()[1] in ("usage", "usage_days") and rows}


def test_the_same_rows_read_again_write_none_and_raise_no_version(store: UsageStore, engine: Engine) -> None:
    save(store, minutes(*ROWS))
    before = head(store)
    with written(engine) as counted:
        save(store, minutes(*reversed(ROWS)), now=NOW + MINUTE)
    assert in_usage(counted) == {}
    assert head(store).version == before.version
    assert {state.read_at for state in store.hours(MIDNIGHT).values()} == {NOW + MINUTE}


def test_one_row_that_changed_is_one_row_written(store: UsageStore, engine: Engine) -> None:
    save(store, minutes(*ROWS))
    before = head(store)
    changed = replace(ROWS[7], counts=TokenCounts(output_tokens=1_000))
    with written(engine) as counted:
        save(store, minutes(*ROWS[:7], changed, *ROWS[8:]), now=NOW + MINUTE)
    assert in_usage(counted) == {"INSERT usage": 1, "DELETE usage": 1, "INSERT usage_days": 1}
    assert head(store).version.usage == before.version.usage + 1
    with store.reading() as reader:
        (hour,) = reader.changed(before.version.usage, before.version.usage + 1)
    assert (hour.hour, hour.buckets) == (UNSETTLED, frozenset({ROWS[7].starts_at}))
    assert store.wrong_days() == []


def test_a_row_that_is_new_is_one_row_written(store: UsageStore, engine: Engine) -> None:
    save(store, minutes(*ROWS))
    new = replace(ROWS[-1], api_key_id="apikey_3")
    with written(engine) as counted:
        save(store, minutes(*ROWS, new), now=NOW + MINUTE)
    assert in_usage(counted) == {"INSERT usage": 1, "INSERT usage_days": 1}


def test_what_a_source_calls_unchanged_is_neither_compared_nor_written(store: UsageStore, engine: Engine) -> None:
    save(store, minutes(*ROWS))
    new = replace(ROWS[-1], api_key_id="apikey_3")
    every = {UNSETTLED + index * MINUTE for index in range(180)}
    unchanged = frozenset(every - {new.starts_at})
    with written(engine) as counted:
        save(store, minutes(*ROWS[-2:], new, unchanged=unchanged), now=NOW + MINUTE)
    assert in_usage(counted) == {"INSERT usage": 1, "INSERT usage_days": 1}
    assert len(store.buckets(MIDNIGHT, NOW)) == len(ROWS) + 1


def test_minutes_that_become_an_hour_change_no_sum_of_their_day(store: UsageStore, engine: Engine) -> None:
    save(store, minutes(*ROWS))
    keys = ("apikey_1", "apikey_2")
    hour = [
        replace(ROWS[0], starts_at=UNSETTLED, api_key_id=key, counts=TokenCounts(output_tokens=1770)) for key in keys
    ]
    with written(engine) as counted:
        save(store, UsageReading(Read("1h", UNSETTLED, UNSETTLED + HOUR), tuple(hour), None), now=NOW + HOUR)
    assert in_usage(counted) == {"INSERT usage": 2, "DELETE usage": 118}
    assert store.wrong_days() == []


@pytest.mark.parametrize("width", ["1m", "1h"])
def test_another_source_with_the_same_rows_owns_the_hours_and_writes_no_row(
    store: UsageStore, engine: Engine, width: Width
) -> None:
    rows = tuple(replace(row, starts_at=UNSETTLED) for row in ROWS[:2])
    reading = UsageReading(Read(width, UNSETTLED, UNSETTLED + HOUR), rows, None)
    save(store, reading)
    before = head(store)
    with written(engine) as counted:
        save(store, reading, source="analytics")
    assert in_usage(counted) == {}
    assert head(store).version.usage == before.version.usage + 1
    assert {state.source for state in store.hours(MIDNIGHT).values()} == {"analytics"}


def test_a_row_that_cannot_be_read_in_full_is_a_change_and_so_is_one_that_can_again(store: UsageStore) -> None:
    versions = []
    for odd in (0, 2, 2, 0, 0):
        save(store, minutes(*ROWS, odd=odd))
        versions.append(head(store).version.usage)
    first = versions[0]
    assert versions == [first, first + 1, first + 1, first + 2, first + 2]


def test_a_bill_that_is_as_it_was_changes_nothing(store: UsageStore, engine: Engine) -> None:
    day = date(2026, 11, 18)
    rows = [
        BilledRow(day, "default", "tokens", Decimal("1.50"), None),
        BilledRow(day, "default", "tokens", Decimal(2), None),
    ]
    save(store, bill=Bill(day, day + DAY, rows))
    before = head(store)
    assert before.version.billed == before.version.usage
    with written(engine) as counted:
        save(store, bill=Bill(day, day + DAY, rows[::-1]))
    assert set(counted) <= {"INSERT state"}
    assert head(store).version == before.version
    save(store, bill=Bill(day, day + DAY, [*rows, rows[0]]))
    assert head(store).version.billed == before.version.billed + 1


def test_an_hour_that_is_forgotten_is_distinguished_from_one_that_changed(store: UsageStore) -> None:
    save(store, minutes(*ROWS))
    assert head(store).version.rebuilt == 0
    save(store, minutes(*ROWS[:40]), now=UNSETTLED + HOUR)
    assert head(store).version.rebuilt == head(store).version.usage
    assert list(store.hours(MIDNIGHT)) == [UNSETTLED, UNSETTLED + HOUR]
    assert store.wrong_days() == []


def test_rows_of_equal_dimensions_are_one_row(store: UsageStore) -> None:
    save(store, minutes(ROWS[0], ROWS[0], ROWS[1]))
    assert sorted(row.counts.output_tokens for row in store.buckets(MIDNIGHT, NOW)) == [1, 2]
    assert store.wrong_days() == []


@pytest.mark.parametrize("spoiled", ["a sum", "a row too many", "a row that is gone"])
def test_sums_that_differ_from_their_rows_are_found_and_made_anew(
    store: UsageStore, engine: Engine, spoiled: str
) -> None:
    save(store, minutes(*ROWS))
    with engine.begin() as connection:
        if spoiled == "a sum":
            connection.execute(update(usage_days).values(output_tokens=1))
        elif spoiled == "a row too many":
            connection.execute(delete(usage))
        else:
            connection.execute(delete(usage_days))
    assert store.wrong_days() == [MIDNIGHT.date()]
    before = head(store)
    store.rebuild_rollups()
    assert store.wrong_days() == []
    assert head(store).version.rebuilt == before.version.usage + 1


def test_of_what_another_copy_has_written_only_the_hour_is_known(store: UsageStore, engine: Engine) -> None:
    save(store, minutes(*ROWS))
    before = head(store).version.usage
    save(UsageStore(engine), minutes(*ROWS[:-1]))
    with store.reading() as reader:
        changed = reader.changed(before, before + 1)
    assert [(hour.hour, hour.buckets) for hour in changed] == [(UNSETTLED + 2 * HOUR, None)]
