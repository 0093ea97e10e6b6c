"""Results that snapshots keep from one update to the next: nothing outdated, and nothing that is no longer needed."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from bot.budgets.budget import ORGANIZATION, PeriodKind, Scope, ScopeKind, period_at
from bot.budgets.snapshots import DAYS_HELD, SPEND_KEPT, Snapshots
from bot.budgets.usage_index import Numbers, UsageIndex
from bot.clock import DAY, HOUR, MINUTE, floor_hour
from bot.db.engine import connect
from bot.db.schema import state, usage_days
from bot.db.state import CHECK_SECONDS
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import DataState, OddUsage, Read, UsageReading, UsageRow, Width
from bot.usage.store import UsageStore
from bot.usage.store_reads import VERSION_KEY, head_of
from tests.databases import open_migrated

OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-4-5"
CARD = load_rate_card()
START = datetime(2026, 11, 20, 0, 30, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> UsageStore:
    return UsageStore(open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}"))


def reading(width: Width, starts_at: datetime, ends_at: datetime, *used: datetime) -> UsageReading:
    rows = tuple(UsageRow(at, OPUS, "default", "k", STANDARD, TokenCounts(output_tokens=1000)) for at in used)
    return UsageReading(Read(width, starts_at, ends_at), rows, None, OddUsage(), frozenset())


def poll(store: UsageStore, now: datetime, *further: UsageReading) -> None:
    """The running hour by the minute, and the hour before it as one."""
    hour = floor_hour(now)
    readings = (reading("1m", hour, hour + HOUR, hour + MINUTE), reading("1h", hour - HOUR, hour, hour - HOUR))
    store.save([*readings, *further], "admin", now, DataState(as_of=now, source="admin", polled_at=now), None)


def test_the_minutes_of_an_hour_are_kept_only_while_it_is_kept_by_the_minute(store: UsageStore) -> None:
    snapshots = Snapshots(store, CARD)
    for hours in range(6):
        now = START + hours * HOUR
        poll(store, now)
        snapshot = snapshots.current()
        assert snapshot.minutes([ORGANIZATION], floor_hour(now), now) is not None
    assert {key[1] for key in _tuples(snapshot.memo) if key[0] == "minutes"} == {floor_hour(now)}


def test_the_spend_of_a_period_is_forgotten_some_days_after_its_end(store: UsageStore) -> None:
    snapshots = Snapshots(store, CARD)
    asked = set()
    for days in range(8):
        now = START + days * DAY + 12 * HOUR
        poll(store, now)
        snapshot = snapshots.current()
        period = period_at(PeriodKind.DAY, ZoneInfo("UTC"), now)
        asked.add(period)
        assert snapshot.spend(ORGANIZATION, period).total_usd > 0
    kept = {key[2] for key in _tuples(snapshot.memo) if key[0] == "spend"}
    assert kept == {period for period in asked if period.ends_at > now - SPEND_KEPT}
    assert len(kept) < len(asked)


def test_a_rebuild_forgets_what_was_read_of_older_days(store: UsageStore) -> None:
    older = floor_hour(START) - (DAYS_HELD + 5) * DAY
    poll(store, START, reading("1h", older, older + HOUR, older))
    snapshots = Snapshots(store, CARD)
    right = snapshots.current().usd(ORGANIZATION, older, older + DAY)
    wrong_day = update(usage_days).where(usage_days.c.day == older.date())
    with store._engine.begin() as connection:
        connection.execute(wrong_day.values(output_tokens=5000))
    again = Snapshots(store, CARD)
    assert again.current().usd(ORGANIZATION, older, older + DAY) == 5 * right
    store.rebuild_rollups()
    assert again.current().usd(ORGANIZATION, older, older + DAY) == right


def test_an_older_day_that_changes_while_it_is_read_is_read_again(store: UsageStore) -> None:
    """A thread that has read it waits until an update has come, and then must not bring back what it was before."""
    older = floor_hour(START) - (DAYS_HELD + 5) * DAY
    poll(store, START, reading("1h", older, older + HOUR, older))

    class Interrupted(Snapshots):
        corrected = False

        def _keep_older(self, days: Any) -> None:
            if not self._lock.locked() and not self.corrected:
                self.corrected = True
                poll(store, START, reading("1h", older, older + HOUR, older, older))
                self.current()
            super()._keep_older(days)

    snapshots = Interrupted(store, CARD)
    before = snapshots.current().usd(ORGANIZATION, older, older + DAY)
    poll(store, START, reading("1h", older, older + HOUR, older, older))
    assert snapshots.current().usd(ORGANIZATION, older, older + DAY) == 2 * before


def test_a_scope_counts_a_model_that_another_thread_adds_while_it_is_looked_up() -> None:
    class Interrupted(UsageIndex):
        """Another thread adds a model of the family after the look through all models."""

        def _find(self, scope: Scope) -> Sequence[int]:
            found = super()._find(scope)
            self.groups_of([row_of("claude-opus-5")], START.date())
            return found

    def row_of(model: str) -> Sequence[Any]:
        return (model, "default", "k", *STANDARD, 1, 0, 0, 0, 0, 0)

    index = Interrupted(CARD)
    index.groups_of([row_of(OPUS)], START.date())
    family = Scope(ScopeKind.MODEL, "opus")
    first: Numbers = index.of(family)
    assert len(index.of(family)) == len(first) + 1


def _tuples(memo: dict[object, Any]) -> list[tuple[Any, ...]]:
    return [key for key in memo if isinstance(key, tuple)]


def test_a_database_restored_from_a_backup_is_noticed(tmp_path: Path, store: UsageStore) -> None:
    """Its version is lower than the one that the snapshot was made of."""
    poll(store, START)
    older = head_of(store.state())
    hour = floor_hour(START) - 5 * HOUR
    poll(store, START, reading("1h", hour, hour + HOUR, hour))
    snapshots = Snapshots(store, load_rate_card())
    assert snapshots.current().head.version.usage > older.version.usage
    restored = {"usage": older.version.usage, "billed": older.version.billed, "rebuilt": older.version.rebuilt}
    engine = connect(f"sqlite:///{next(tmp_path.glob('*.db'))}")
    with engine.begin() as connection:
        connection.execute(update(state).where(state.c.key == VERSION_KEY).values(value=restored))
    engine.dispose()
    time.sleep(CHECK_SECONDS + 0.1)
    assert snapshots.current().head.version == older.version
