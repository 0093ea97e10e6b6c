"""Snapshots brought up to date: what a correction, a border within an hour or a rebuild must not hide."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from threading import Event, Timer
from time import monotonic
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from bot.budgets.budget import ORGANIZATION, Period, PeriodKind, parse_scope, period_at
from bot.budgets.recent import recent_spend
from bot.budgets.snapshot import Snapshot
from bot.budgets.snapshots import WAITS_SECONDS, Snapshots, what_is_there
from bot.clock import DAY, HOUR, MINUTE, floor_hour
from bot.pricing.card import load_rate_card
from bot.pricing.cost import Hidden
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import DataState, OddUsage, Read, UsageReading, UsageRow, Width
from bot.usage.store import UsageStore
from bot.usage.store_reads import UsageReader

CARD = load_rate_card()
NOW = datetime(2026, 11, 20, 18, 50, tzinfo=UTC)
OPUS, HAIKU = "claude-opus-4-8", "claude-haiku-5-5"
MILLION = 1_000_000


@pytest.fixture
def store(engine: Engine) -> UsageStore:
    return UsageStore(engine)


def row(at: datetime, model: str = OPUS, key: str = "apikey_1", output: int = MILLION) -> UsageRow:
    return UsageRow(at, model, "default", key, STANDARD, TokenCounts(output_tokens=output))


def save(
    store: UsageStore,
    width: Width,
    begin: datetime,
    hours: int,
    *rows: UsageRow,
    now: datetime = NOW,
    odd: bool = False,
) -> None:
    read = Read(width, begin, begin + hours * HOUR)
    reading = UsageReading(read, rows, None, OddUsage({begin: 1} if odd else {}))
    store.save([reading], "admin", now, DataState(as_of=now - 5 * MINUTE, source="admin", polled_at=now), None)


def today_in_kolkata(moment: datetime = NOW) -> Period:
    """A day that begins at 18:30 UTC."""
    return period_at(PeriodKind.DAY, ZoneInfo("Asia/Kolkata"), moment)


def test_minutes_on_both_sides_of_a_border_within_an_hour_keep_their_own_doubt(
    store: UsageStore,
) -> None:
    six = floor_hour(NOW)
    save(store, "1m", six, 1, row(six + 10 * MINUTE), row(six + 40 * MINUTE, HAIKU))
    snapshot = Snapshots(store, CARD).current()
    assert snapshot.spend(ORGANIZATION, today_in_kolkata()).hidden == {Hidden.PROMPT}
    assert snapshot.spend(ORGANIZATION, today_in_kolkata(NOW - DAY)).hidden == frozenset()


def test_an_odd_row_of_another_part_of_the_day_is_no_doubt_about_a_period(store: UsageStore) -> None:
    midnight = NOW.replace(hour=0, minute=0)
    save(store, "1h", midnight, 3, row(midnight), odd=True)
    snapshot = Snapshots(store, CARD).current()
    assert snapshot.spend(ORGANIZATION, today_in_kolkata()).hidden == frozenset()
    assert snapshot.spend(ORGANIZATION, today_in_kolkata(NOW - DAY)).hidden == {Hidden.ROWS}


def test_after_a_rebuild_whoever_knows_an_earlier_snapshot_looks_at_everything(store: UsageStore) -> None:
    snapshots, six = Snapshots(store, CARD), floor_hour(NOW)
    save(store, "1m", six - 2 * HOUR, 3, row(six))
    before = snapshots.current()
    save(store, "1m", six - 2 * HOUR, 3, now=NOW - HOUR)
    after = snapshots.current()
    assert after.head.version.rebuilt > before.head.version.rebuilt
    assert after.touched_since(before.serial) is None
    save(store, "1m", six - 2 * HOUR, 3, row(six), now=NOW)
    assert snapshots.current().touched_since(before.serial) is None
    scopes = ("organization", "workspace:default", "key:apikey_1", f"model:{OPUS}")
    touched = {number for text in scopes for number in after.index.of(parse_scope(text)).tolist()}
    assert snapshots.current().touched_since(after.serial) == frozenset(touched)


def test_a_caller_is_not_new_whose_earlier_usage_is_read_later(store: UsageStore) -> None:
    snapshots, six = Snapshots(store, CARD), floor_hour(NOW)
    save(store, "1h", six - 30 * HOUR, 30, row(six - 30 * HOUR), row(six - 2 * HOUR, HAIKU))
    assert recent_spend(snapshots.current(), NOW).new_models(six - DAY) == {HAIKU}
    for back in (40 * DAY, 5 * DAY):
        save(store, "1h", six - back, 1, row(six - back, HAIKU, "apikey_2"), row(six - back, HAIKU))
        assert recent_spend(snapshots.current(), NOW).new_models(six - DAY) == frozenset()


def test_a_key_with_usage_before_the_days_that_are_held_is_counted_at_once(store: UsageStore) -> None:
    snapshots, six = Snapshots(store, CARD), floor_hour(NOW)
    save(store, "1h", six - HOUR, 1, row(six - HOUR))
    assert snapshots.current().usd(parse_scope("key:apikey_9"), six - 50 * DAY, NOW) == 0
    save(store, "1h", six - 40 * DAY, 1, row(six - 40 * DAY, key="apikey_9"))
    assert snapshots.current().usd(parse_scope("key:apikey_9"), six - 50 * DAY, NOW) == 25


def test_a_day_that_64_bits_are_too_few_for_is_summed_exactly_however_old_it_is(store: UsageStore) -> None:
    snapshots, six = Snapshots(store, CARD), floor_hour(NOW)
    save(store, "1h", six - HOUR, 1, row(six - HOUR))
    save(store, "1h", six - 40 * DAY, 1, row(six - 40 * DAY, output=400_000 * MILLION + 1))
    dollars = Decimal("10000025.000025")
    assert snapshots.current().usd(ORGANIZATION, six - 50 * DAY, NOW) == dollars
    assert snapshots.current().usd(ORGANIZATION, six - 40 * DAY, NOW) == dollars


def test_data_that_became_older_has_the_rows_of_its_own_two_days(store: UsageStore) -> None:
    snapshots, six = Snapshots(store, CARD), floor_hour(NOW)
    first = six - 52 * HOUR
    save(store, "1h", first, 52, row(first + HOUR))
    snapshots.current()
    state = store.data_state()
    store.save_state(replace(state, as_of=NOW - 4 * HOUR))
    (mover,) = recent_spend(snapshots.current(), first + 2 * HOUR).movers(ORGANIZATION)
    assert mover.usd == 25


class SlowStore(UsageStore):
    """A store of which every reading takes until `free` is set."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.free = Event()
        self.fails = False

    @contextmanager
    def reading(self) -> Iterator[UsageReader]:
        assert self.free.wait(10)
        if self.fails:
            raise OSError("the disk")
        with super().reading() as reader:
            yield reader


@pytest.fixture
def slow(engine: Engine) -> Iterator[tuple[Snapshots, SlowStore]]:
    """A snapshot to which something was added that takes long to read."""
    store, six = SlowStore(engine), floor_hour(NOW)
    save(store, "1m", six, 1, row(six + MINUTE))
    store.free.set()
    with ThreadPoolExecutor(1) as others:
        snapshots = Snapshots(store, CARD, in_background=others.submit)
        snapshots.current()
        store.free.clear()
        save(store, "1m", six, 1, row(six + MINUTE), row(six + 2 * MINUTE))
        yield snapshots, store
        store.free.set()


def spent(snapshot: Snapshot) -> Decimal:
    return snapshot.usd(ORGANIZATION, NOW - DAY, NOW)


def test_an_answer_does_not_wait_until_everything_is_read(slow: tuple[Snapshots, SlowStore]) -> None:
    snapshots, store = slow
    begun_at = monotonic()
    with what_is_there():
        assert [spent(snapshots.current()) for _ in range(5)] == [25] * 5
    assert WAITS_SECONDS <= monotonic() - begun_at < 2 * WAITS_SECONDS + 2
    store.free.set()
    with what_is_there():
        assert spent(snapshots.current()) == 50


def test_a_decision_waits_until_everything_is_read(slow: tuple[Snapshots, SlowStore]) -> None:
    snapshots, store = slow
    Timer(0.1, store.free.set).start()
    assert spent(snapshots.current()) == 50


def test_a_reading_that_fails_is_raised_to_whoever_waits_for_it(slow: tuple[Snapshots, SlowStore]) -> None:
    snapshots, store = slow
    store.fails = True
    store.free.set()
    with what_is_there(), pytest.raises(OSError, match="disk"):
        snapshots.current()
    store.fails = False
    with what_is_there():
        assert spent(snapshots.current()) == 50
