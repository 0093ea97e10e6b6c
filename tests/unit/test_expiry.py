"""When a mode ends by itself, and when that is announced."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import ORGANIZATION, Budget, PeriodKind, Scope, ScopeKind
from bot.modes.changes import LONGEST_WARNING, Cause, Due, End, due, end_of, period_end

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONTH_END = datetime(2026, 12, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def budget(name: str, scope: Scope, period: PeriodKind, zone: str = "UTC") -> Budget:
    return Budget(name, scope, period, ZoneInfo(zone), Decimal(1), None, "a test")


def test_the_period_is_that_of_the_organizations_budget_wherever_it_stands() -> None:
    search = budget("search", Scope(ScopeKind.KEY, "k"), PeriodKind.DAY)
    assert period_end([search, budget("default", ORGANIZATION, PeriodKind.MONTH)], NOON) == MONTH_END
    assert period_end([search], NOON) == datetime(2026, 11, 21, tzinfo=UTC)
    assert period_end([], NOON) is None
    berlin = budget("default", ORGANIZATION, PeriodKind.DAY, "Europe/Berlin")
    assert period_end([berlin], NOON) == datetime(2026, 11, 20, 23, tzinfo=UTC)


def test_what_somebody_has_asked_for_goes_before_the_period() -> None:
    later = MONTH_END + timedelta(days=2)
    assert end_of("degraded", later, MONTH_END) == End(later, Cause.TIME)
    assert end_of("degraded", None, MONTH_END) == End(MONTH_END, Cause.PERIOD)
    assert end_of("degraded", None, None) is None
    assert end_of("normal", None, MONTH_END) is None


@pytest.mark.parametrize(
    ("lasts", "ahead"),
    [
        (timedelta(minutes=5), timedelta(seconds=30)),
        (timedelta(hours=1), timedelta(minutes=6)),
        (timedelta(hours=2, minutes=30), timedelta(minutes=15)),
        (timedelta(days=31), timedelta(minutes=15)),
    ],
)
def test_the_warning_comes_a_tenth_of_the_time_ahead_but_at_most_a_quarter_of_an_hour(
    lasts: timedelta, ahead: timedelta
) -> None:
    end = End(NOON + lasts, Cause.TIME)
    second = timedelta(seconds=1)
    assert due(end, NOON, end.at - ahead - second, warned=False) is None
    assert due(end, NOON, end.at - ahead, warned=False) is Due.WARN
    assert due(end, NOON, end.at - ahead, warned=True) is None
    assert due(end, NOON, end.at - second, warned=True) is None
    assert due(end, NOON, end.at, warned=True) is Due.RETURN


def test_a_mode_whose_end_was_slept_through_returns_without_a_warning() -> None:
    assert due(End(NOON, Cause.TIME), NOON - MINUTE, NOON + timedelta(days=3), warned=False) is Due.RETURN


@given(st.timedeltas(MINUTE * 5, timedelta(days=31)), st.timedeltas(-MINUTE, timedelta(days=32)), st.booleans())
def test_nothing_is_due_before_the_warning_and_only_the_return_at_the_end(
    lasts: timedelta, passed: timedelta, warned: bool
) -> None:
    found = due(End(NOON + lasts, Cause.TIME), NOON, NOON + passed, warned=warned)
    assert (found is Due.RETURN) == (passed >= lasts)
    if passed < lasts - LONGEST_WARNING:
        assert found is None
