"""Usage by the hour is deleted after a time, and what was shown of it is shown as before, or not at all."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, func, select

from bot.budgets.budget import ORGANIZATION, Period, PeriodKind, period_at, period_before
from bot.budgets.report import GroupBy, Report, report_of
from bot.budgets.snapshot import Snapshot
from bot.budgets.snapshots import Snapshots
from bot.budgets.usage_index import LedgerIndex
from bot.clock import DAY, HOUR
from bot.db.retention import Retention, prune, prune_hours
from bot.db.schema import ledger_hours, usage
from bot.ledger.model import Dimensions, Event
from bot.ledger.store import SqlLedger
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import DataState, Read, UsageReading, UsageRow
from bot.usage.store import UsageStore
from tests.databases import open_migrated

CARD = load_rate_card()
UTC_ZONE = ZoneInfo("UTC")
FIRST, NOW = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
KEPT = Retention(usage=100 * DAY, ledger=100 * DAY)
GONE_BEFORE = datetime(2026, 8, 12, tzinfo=UTC)
COUNTS = TokenCounts(uncached_input_tokens=1_000_000, output_tokens=10_000)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path}/claude-cost.db")
    yield engine
    engine.dispose()


def fill_usage(engine: Engine) -> UsageStore:
    """One row in every twelfth hour, of a key that changes with the month."""
    store = UsageStore(engine)
    read = Read("1h", FIRST, datetime(2026, 11, 20, 13, tzinfo=UTC))
    rows = [
        UsageRow(at, "claude-opus-5-5", "default", f"apikey_{at.month}", STANDARD, COUNTS)
        for at in (FIRST + index * 12 * HOUR for index in range((read.ends_at - FIRST) // (12 * HOUR)))
    ]
    store.save(
        [UsageReading(read, rows, None)], "admin", NOW, DataState(as_of=NOW, source="admin", polled_at=NOW), None
    )
    return store


def fill_ledger(engine: Engine) -> SqlLedger:
    ledger = SqlLedger(engine)
    dimensions = [
        Dimensions("claude-opus-5-5", f"feature-{month}", None, (), None, None, STANDARD, 0) for month in range(13)
    ]
    moments = [FIRST + index * 12 * HOUR for index in range((NOW - FIRST) // (12 * HOUR))]
    ledger.append([Event(f"msg_{at:%m%d%H}", at, dimensions[at.month], COUNTS) for at in moments], NOW)
    return ledger


def rows_of(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [
            connection.execute(select(func.count()).select_from(each)).scalar_one() for each in (usage, ledger_hours)
        ]


def months() -> list[Period]:
    return [period_at(PeriodKind.MONTH, UTC_ZONE, datetime(2026, month, 15, tzinfo=UTC)) for month in range(7, 10)]


def reports(snapshot: Snapshot, by: GroupBy) -> list[Report | None]:
    """Of the months around the border, and of stretches that begin and end on any day."""
    found = [report_of(snapshot, each, period_before(PeriodKind.MONTH, UTC_ZONE, each), by) for each in months()]
    for first, days in ((FIRST + 39 * DAY, 9), (GONE_BEFORE - 5 * DAY, 11)):
        asked = Period("asked", first, first + days * DAY)
        found.append(report_of(snapshot, asked, Period("before", first - days * DAY, first), by))
    return found


def comparable(found: list[Report | None]) -> list[object]:
    return [None if each is None else (each.known, each.spend, each.groups, each.before) for each in found]


@pytest.mark.parametrize(
    ("fill", "make", "by"),
    [
        (fill_usage, lambda store: Snapshots(store, CARD), GroupBy.KEY),
        (fill_ledger, lambda store: Snapshots(store, CARD, LedgerIndex), GroupBy.FEATURE),
    ],
    ids=["usage", "ledger"],
)
def test_every_report_says_the_same_after_its_hours_are_gone(
    sqlite: Engine, fill: Callable[[Engine], UsageStore | SqlLedger], make: Callable[..., Snapshots], by: GroupBy
) -> None:
    store = fill(sqlite)
    before = comparable(reports(make(store).current(), by))
    had = sum(rows_of(sqlite))
    assert None not in before
    gone = prune(sqlite, NOW, KEPT, at_once=200)
    assert gone == (GONE_BEFORE - FIRST) // (12 * HOUR)
    assert sum(rows_of(sqlite)) == had - gone
    assert prune(sqlite, NOW, KEPT) == 0
    assert comparable(reports(make(store).current(), by)) == before


@pytest.mark.parametrize(
    ("fill", "make", "by"),
    [
        (fill_usage, lambda store: Snapshots(store, CARD), GroupBy.KEY),
        (fill_ledger, lambda store: Snapshots(store, CARD, LedgerIndex), GroupBy.FEATURE),
    ],
    ids=["usage", "ledger"],
)
def test_what_needs_hours_that_are_gone_is_unknown_and_not_zero(
    sqlite: Engine, fill: Callable[[Engine], UsageStore | SqlLedger], make: Callable[..., Snapshots], by: GroupBy
) -> None:
    """What a running period is compared with ends within a day."""
    store = fill(sqlite)
    running = Period("running", datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    earlier = Period("earlier", FIRST + 4 * DAY, FIRST + 46 * DAY)
    report = report_of(make(store).current(), running, earlier, by)
    assert report is not None
    assert report.before is not None
    prune(sqlite, NOW, KEPT)
    snapshot = make(store).current()
    again = report_of(snapshot, running, earlier, by)
    assert again is not None
    assert (again.before, again.spend) == (None, report.spend)
    assert all(group.before_usd is None for group in again.groups)
    inside = (GONE_BEFORE - 20 * HOUR, GONE_BEFORE - 10 * HOUR)
    assert snapshot.known_hours(*inside) == 0
    assert not snapshot.known(*inside).any()
    assert not snapshot.knows(inside[0])
    assert snapshot.knows(GONE_BEFORE)
    assert snapshot.known_hours(GONE_BEFORE - DAY, GONE_BEFORE + DAY) == 48


def test_sums_of_days_whose_hours_are_gone_are_neither_wrong_nor_rebuilt_nor_counted_twice(engine: Engine) -> None:
    store = fill_usage(engine)
    of_july = (datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC))
    before = store.totals(*of_july), store.totals(FIRST, NOW)
    prune(engine, NOW, KEPT)
    assert store.wrong_days() == []
    store.rebuild_rollups()
    read = Read("1h", of_july[0], of_july[0] + DAY)
    again = UsageRow(read.starts_at, "claude-opus-5-5", "default", "apikey_7", STANDARD, COUNTS)
    store.save([UsageReading(read, [again], None)], "admin", NOW, None, None)
    assert (store.totals(*of_july), store.totals(FIRST, NOW)) == before
    assert store.wrong_days() == []
    assert store.has_usage_of("api_key_id", "apikey_7")
    assert not store.has_usage_of("api_key_id", "apikey_6")


def test_a_response_that_comes_late_counts_in_its_day(sqlite: Engine) -> None:
    ledger = fill_ledger(sqlite)
    prune(sqlite, NOW, KEPT)
    old = Dimensions("claude-opus-5-5", "late", None, (), None, None, STANDARD, 0)
    ledger.append([Event("msg_late", FIRST + HOUR, old, COUNTS)], NOW)
    assert prune(sqlite, NOW, KEPT) == 1
    assert ledger.totals(FIRST, FIRST + DAY)[old].requests == 1
    snapshot = Snapshots(ledger, CARD, LedgerIndex).current()
    day = Period("day", FIRST, FIRST + DAY)
    report = report_of(snapshot, day, Period("before", FIRST - DAY, FIRST), GroupBy.FEATURE)
    assert report is not None
    assert {group.id for group in report.groups} == {"late", "feature-7"}
    assert report.spend == snapshot.spend(ORGANIZATION, day)


def test_without_a_setting_and_with_a_clock_that_is_ahead_hours_stay(engine: Engine) -> None:
    fill_usage(engine)
    fill_ledger(engine)
    had = rows_of(engine)
    assert prune_hours(engine, NOW, Retention()) == 0
    long = Retention(usage=150 * DAY, ledger=150 * DAY)
    assert prune_hours(engine, NOW + timedelta(days=3000), long) == 0
    assert rows_of(engine) == had
    assert prune_hours(engine, NOW, KEPT, most=70, at_once=50) == 70
