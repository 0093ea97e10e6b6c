"""When a period is opened with a post, and how much of the last one is not billed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.decide import decide
from bot.alerts.incident import AlertKind, Incident, Status
from bot.alerts.new_period import REPORT_WITHIN, NewPeriodReason, may_open, opening, unbilled_days
from bot.budgets.budget import Budget, LimitKind, PeriodKind, parse_scope, period_at
from tests.databases import limit_incident

MONTH = datetime(2026, 12, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WATCHED = limit_incident(LimitKind.SOFT, Decimal(100), Status.WATCHED)
REPORTED = Incident(AlertKind.NEW_PERIOD, None, Status.CLOSED)


def budget(period: str = "month", zone: str = "UTC", scope: str = "organization") -> Budget:
    return Budget("default", parse_scope(scope), PeriodKind(period), ZoneInfo(zone), Decimal(100), None, "test")


def test_a_period_is_opened_once_where_the_one_before_was_watched() -> None:
    step = opening([WATCHED], [])
    assert step is not None
    assert (step.limit, step.reason) == (None, NewPeriodReason.BEGUN)
    assert step.status is Status.CLOSED
    assert step.post
    assert opening([WATCHED], [WATCHED, REPORTED]) is None
    assert opening([], []) is None
    assert opening([REPORTED], []) is None


@pytest.mark.parametrize(
    ("now", "as_of", "may"),
    [
        (MONTH + 3 * MINUTE, MONTH - 2 * MINUTE, False),
        (MONTH + 5 * MINUTE, MONTH, True),
        (MONTH + REPORT_WITHIN - MINUTE, MONTH + MINUTE, True),
        (MONTH + REPORT_WITHIN, MONTH + MINUTE, False),
    ],
    ids=["data of the old month", "data of the new one", "late", "too late"],
)
def test_it_waits_for_data_of_the_new_period_and_lets_be_what_is_long_past(
    now: datetime, as_of: datetime, may: bool
) -> None:
    month = budget()
    assert may_open(month, period_at(month.period, month.zone, now), now, as_of) is may


def test_days_are_not_opened() -> None:
    now = MONTH + 10 * MINUTE
    for kind, may in (("day", False), ("week", True), ("month", True)):
        each = budget(kind)
        period = period_at(each.period, each.zone, now)
        assert may_open(each, period, period.starts_at + MINUTE, period.starts_at) is may


def test_the_post_is_no_limit_that_could_be_withdrawn() -> None:
    assert decide(budget(), Decimal(5), [WATCHED, REPORTED]) == ()


def test_the_days_that_the_bill_has_not_settled_are_counted() -> None:
    november = period_at(PeriodKind.MONTH, ZoneInfo("UTC"), MONTH - MINUTE)
    assert unbilled_days(budget(), november, None) == 30
    assert unbilled_days(budget(), november, MONTH + MINUTE) == 1
    assert unbilled_days(budget(), november, MONTH - MINUTE) == 2
    assert unbilled_days(budget(), november, MONTH + timedelta(days=1)) == 0
    assert unbilled_days(budget(scope="key:k"), november, None) == 0


@given(
    st.integers(0, 17_520).map(lambda hour: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    st.sampled_from(["week", "month"]),
    st.integers(-90, 90),
)
def test_of_a_period_no_more_days_wait_the_newer_the_bill_is(now: datetime, zone: str, kind: str, days: int) -> None:
    each = budget(kind, zone)
    period = period_at(each.period, each.zone, now)
    whole = unbilled_days(each, period, None)
    assert whole in ((7,) if kind == "week" else (28, 29, 30, 31))
    read_at = now + timedelta(days=days)
    waiting = unbilled_days(each, period, read_at)
    assert 0 <= unbilled_days(each, period, read_at + timedelta(days=1)) <= waiting <= whole
    assert unbilled_days(each, period, period.ends_at + timedelta(days=2)) == 0
