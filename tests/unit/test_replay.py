"""A replay decides as the bot would have decided: the same alerts at the same sums, from what is stored."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.alerts.incident import AlertKind
from bot.alerts.replay import REPLAYED, History, Replay, replayed
from bot.alerts.rules import DetectorRules, ForecastRules, SpikeRules
from bot.budgets.budget import ORGANIZATION, Budget, LimitKind, PeriodKind, Scope, ScopeKind
from bot.budgets.snapshot import Snapshot
from bot.clock import DAY, HOUR, floor_hour
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import BilledRow, DataState, UsageRow
from tests.examples import one_in
from tests.snapshots import snapshot_of

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
OPUS = "claude-opus-4-8"
TOKENS_FOR_ONE_USD = 200_000
SEARCH = Scope(ScopeKind.WORKSPACE, "w1")
LIMITS_ALONE = DetectorRules((ForecastRules(enabled=False), SpikeRules(enabled=False)))


def history(
    usd: Callable[[datetime], int],
    days: int,
    bills: Sequence[BilledRow] = (),
    gap: range = range(0),
    now: datetime = NOW,
) -> Snapshot:
    """Days of hours with this cost; the hours in `gap`, counted from the first, are unknown."""
    hours = [floor_hour(now) - index * HOUR for index in range(days * 24, -1, -1)]
    known = [hour for index, hour in enumerate(hours) if index not in gap]
    rows = [
        UsageRow(hour, OPUS, "w1", "k1", STANDARD, TokenCounts(usd(hour) * TOKENS_FOR_ONE_USD))
        for hour in known
        if usd(hour)
    ]
    return snapshot_of(rows, DataState(as_of=now, billed_read_at=now), bills, known)


def budget(
    soft: int | None, hard: int | None, period: PeriodKind = PeriodKind.MONTH, zone: str = "UTC", scope: Scope = SEARCH
) -> Budget:
    soft_usd, hard_usd = (None if limit is None else Decimal(limit) for limit in (soft, hard))
    return Budget("search", scope, period, ZoneInfo(zone), soft_usd, hard_usd, "chat")


def notices_of(replay: Replay | None) -> list[tuple[str, str, Decimal]]:
    assert replay is not None
    return [(f"{alert.at:%d %b %H:%M}", alert.level.value, alert.spent_usd) for alert in replay.alerts]


def test_limits_are_crossed_in_the_hour_in_which_the_month_reached_them() -> None:
    found = replayed(history(lambda _: 1, 60), budget(100, 300), LIMITS_ALONE)
    # October had passed both before these 30 days began.
    assert notices_of(found) == [
        ("05 Nov 04:00", "soft", Decimal(100)),
        ("13 Nov 12:00", "hard", Decimal(300)),
    ]
    assert found is not None
    assert (found.is_whole, found.since, found.missing_hours) == (True, NOW - REPLAYED, 0)


def test_both_limits_crossed_in_one_hour_are_one_alert() -> None:
    jump = history(lambda hour: 500 if hour == datetime(2026, 11, 10, 9, tzinfo=UTC) else 0, 30)
    assert notices_of(replayed(jump, budget(100, 300), LIMITS_ALONE)) == [("10 Nov 10:00", "hard", Decimal(500))]


def test_each_day_of_a_zone_is_a_period_of_its_own() -> None:
    noon_in_tokyo = history(lambda hour: 12 if hour.hour == 3 else 0, 10)
    found = replayed(noon_in_tokyo, budget(None, 10, PeriodKind.DAY, "Asia/Tokyo"), LIMITS_ALONE)
    assert [at for at, *_ in notices_of(found)] == [f"{day} Nov 04:00" for day in range(11, 21)]
    assert found is not None
    assert [alert.period for alert in found.alerts][:2] == ["2026-11-11", "2026-11-12"]


def test_a_bill_counts_from_the_day_on_on_which_it_settled() -> None:
    first = datetime(2026, 11, 10, tzinfo=UTC)
    spent = history(
        lambda hour: 1 if hour.date() == first.date() else 0,
        20,
        [BilledRow(first.date(), "w1", "tokens", Decimal(50), None, None)],
    )
    assert notices_of(replayed(spent, budget(20, 40), LIMITS_ALONE)) == [
        ("10 Nov 20:00", "soft", Decimal(20)),
        ("12 Nov 00:00", "hard", Decimal(50)),
    ]


def test_a_forecast_fires_before_the_limit_and_once() -> None:
    found = replayed(history(lambda _: 1, 40), budget(None, 600), DetectorRules())
    assert found is not None
    assert [alert.level for alert in found.alerts] == [AlertKind.FORECAST]
    assert found.alerts[0].at < datetime(2026, 11, 2, tzinfo=UTC)
    assert found.alerts[0].expected_usd == pytest.approx(Decimal(720), rel=Decimal("0.05"))


def test_a_runaway_hour_is_a_spike_and_a_usual_one_is_none() -> None:
    runaway = datetime(2026, 11, 17, 14, tzinfo=UTC)
    found = replayed(history(lambda hour: 200 if hour == runaway else 2, 40), budget(None, 100_000), DetectorRules())
    assert [(at, level) for at, level, _ in notices_of(found)] == [("17 Nov 15:00", "spike")]


def test_with_little_data_it_replays_what_is_known_and_says_since_when() -> None:
    found = replayed(history(lambda _: 1, 9), budget(100, 300), LIMITS_ALONE)
    assert notices_of(found) == [("15 Nov 16:00", "soft", Decimal(100))]
    assert found is not None
    assert (found.is_whole, found.since) == (False, datetime(2026, 11, 11, 12, tzinfo=UTC))


def test_hours_that_are_not_known_are_counted() -> None:
    found = replayed(history(lambda _: 1, 9, gap=range(10, 15)), budget(100, 300), LIMITS_ALONE)
    assert found is not None
    assert found.missing_hours == 5


def test_without_any_data_there_is_nothing_to_replay() -> None:
    assert replayed(snapshot_of([], DataState()), budget(1, 2), LIMITS_ALONE) is None
    assert replayed(snapshot_of([], DataState(as_of=NOW)), budget(1, 2), LIMITS_ALONE) is None


@pytest.mark.parametrize("scope", [Scope(ScopeKind.WORKSPACE, "nobody"), Scope(ScopeKind.MODEL, "haiku")])
def test_a_scope_that_spent_nothing_reports_nothing(scope: Scope) -> None:
    assert notices_of(replayed(history(lambda _: 1, 20), budget(1, 2, scope=scope), DetectorRules())) == []


amounts = st.lists(st.integers(0, 9), min_size=1, max_size=40)
zones = st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin"])


@given(
    amounts,
    zones,
    st.sampled_from(PeriodKind),
    st.dictionaries(st.integers(0, 39), st.integers(0, 99), max_size=6),
    st.integers(0, 47),
)
def test_the_last_moment_of_a_replay_is_what_status_says(
    usd: list[int], zone: str, kind: PeriodKind, billed: dict[int, int], read_hours_ago: int
) -> None:
    bills = [
        BilledRow((NOW - back * DAY).date(), "w1", cost_type, Decimal(amount), None, None)
        for back, amount in billed.items()
        for cost_type in ("tokens", "code_execution")
    ]
    rows = [
        UsageRow(
            floor_hour(NOW) - index * 20 * HOUR, OPUS, "w1", "k1", STANDARD, TokenCounts(amount * TOKENS_FOR_ONE_USD)
        )
        for index, amount in enumerate(usd)
    ]
    data = DataState(as_of=NOW, billed_read_at=NOW - timedelta(hours=read_hours_ago))
    snapshot = snapshot_of(rows, data, bills)
    period = budget(1, 2, kind, zone).period_at(NOW)
    for scope in (ORGANIZATION, SEARCH, Scope(ScopeKind.KEY, "k1")):
        assert History(snapshot, scope, NOW).spent(period, NOW) == snapshot.spend(scope, period).total_usd


@settings(max_examples=one_in(5))
@given(amounts, st.sampled_from(PeriodKind), st.integers(1, 200), st.integers(1, 200))
def test_an_alert_about_a_limit_comes_at_a_sum_that_has_reached_it_and_once_in_a_period(
    usd: list[int], kind: PeriodKind, soft: int, more: int
) -> None:
    snapshot = history(lambda hour: usd[hour.toordinal() % len(usd)] if hour.hour % 6 == 0 else 0, 33)
    found = replayed(snapshot, budget(soft, soft + more, kind), LIMITS_ALONE)
    assert found is not None
    for alert in found.alerts:
        assert alert.limit is not None
        assert alert.limit.usd <= alert.spent_usd
        assert found.since < alert.at <= found.until
    keys = [(alert.period, alert.limit) for alert in found.alerts]
    assert len(keys) == len(set(keys))


def test_thirty_days_of_an_organization_take_about_a_second_at_most() -> None:
    busy = history(lambda hour: 1 + hour.hour % 5, 40)
    began = process_time()
    replay = replayed(busy, budget(60, 72, PeriodKind.DAY), DetectorRules())
    assert process_time() - began < 3  # usually 0.9 s; other work may share the processor
    assert replay is not None
    assert replay.count(LimitKind.HARD) == 0 or replay.alerts
