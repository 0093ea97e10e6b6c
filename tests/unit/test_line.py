"""The points of a budget's line: the ends of its days, in its own zone, few enough for a chart."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import ORGANIZATION, Budget, PeriodKind
from bot.budgets.course import MOST_POINTS, moments_of
from bot.budgets.forecast import HOURS_BACK, Hours, Request, forecasts, path
from bot.clock import HOUR, floor_hour

ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")


def budget_of(kind: PeriodKind, zone: str) -> Budget:
    return Budget("b", ORGANIZATION, kind, ZoneInfo(zone), Decimal(100), Decimal(200), "test")


moments = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.sampled_from(PeriodKind), st.sampled_from(ZONES), moments)
def test_points_rise_to_the_end_of_the_period(kind: PeriodKind, zone: str, now: datetime) -> None:
    budget = budget_of(kind, zone)
    period = budget.period_at(now)
    found = moments_of(budget, period)
    assert 1 < len(found) <= MOST_POINTS
    assert found[-1] == period.ends_at
    assert all(one < other for one, other in pairwise(found))
    assert found[0] > period.starts_at
    if kind is not PeriodKind.DAY:
        assert all(at.astimezone(budget.zone).hour == 0 for at in found)


@given(st.sampled_from(ZONES), moments, st.lists(st.floats(0, 1000), min_size=7, max_size=7))
def test_the_way_ends_where_the_forecast_does_and_never_goes_down(zone: str, now: datetime, rates: list[float]) -> None:
    budget = budget_of(PeriodKind.MONTH, zone)
    period = budget.period_at(now)
    usd = np.array([rates[index // 24 % 7] for index in range(HOURS_BACK + 1)])
    hours = Hours(floor_hour(now) - HOURS_BACK * HOUR, usd)
    request = Request(budget, period, Decimal("123.45"), hours, now)
    [found] = forecasts([request])
    assert found is not None
    points = path(request, [at for at in moments_of(budget, period) if at > now])
    assert (points[-1].low_usd, points[-1].expected_usd, points[-1].high_usd) == (
        found.low_usd,
        found.expected_usd,
        found.high_usd,
    )
    for one, other in pairwise(points):
        assert one.expected_usd <= other.expected_usd
    assert all(Decimal("123.45") <= each.low_usd <= each.expected_usd <= each.high_usd for each in points)
