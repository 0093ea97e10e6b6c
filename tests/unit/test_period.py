"""Periods: every moment belongs to exactly one, and they follow each other without a gap."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.period import PeriodKind, period_at

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Australia/Lord_Howe"]
moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  # the strategy adds the zone


@given(moments, st.sampled_from(PeriodKind), st.sampled_from(ZONES))
def test_a_moment_lies_in_its_period_and_the_next_period_begins_where_it_ends(
    now: datetime, kind: PeriodKind, zone: str
) -> None:
    period = period_at(kind, ZoneInfo(zone), now)
    assert period.starts_at <= now < period.ends_at
    following = period_at(kind, ZoneInfo(zone), period.ends_at)
    assert following.starts_at == period.ends_at
    assert following.key != period.key


@given(moments, st.sampled_from(PeriodKind), st.sampled_from(ZONES))
def test_what_is_left_and_what_has_passed_are_the_whole_period(now: datetime, kind: PeriodKind, zone: str) -> None:
    period = period_at(kind, ZoneInfo(zone), now)
    assert (now - period.starts_at) + period.left(now) == period.ends_at - period.starts_at


@pytest.mark.parametrize(
    ("kind", "zone", "now", "key", "starts_at", "hours"),
    [
        # a leap February
        ("month", "UTC", "2028-02-29T12:00", "2028-02", "2028-02-01T00:00", 29 * 24),
        # the month in which Berlin's clocks go forward is an hour short
        ("month", "Europe/Berlin", "2026-03-31T21:59", "2026-03", "2026-02-28T23:00", 31 * 24 - 1),
        # the day on which they go back has 25 hours
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-25", "2026-10-24T22:00", 25),
        # late on New Year's Eve in Tokyo it is already the next year there
        ("month", "Asia/Tokyo", "2026-12-31T15:00", "2027-01", "2026-12-31T15:00", 31 * 24),
        # weeks begin on Monday and belong to the ISO year
        ("week", "UTC", "2027-01-03T23:59", "2026-W53", "2026-12-28T00:00", 7 * 24),
    ],
)
def test_boundaries_follow_the_wall_clock_of_the_zone(
    kind: str, zone: str, now: str, key: str, starts_at: str, hours: int
) -> None:
    period = period_at(PeriodKind(kind), ZoneInfo(zone), datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert period.key == key
    assert period.starts_at == datetime.fromisoformat(starts_at).replace(tzinfo=UTC)
    assert period.ends_at - period.starts_at == timedelta(hours=hours)


def test_nothing_is_left_of_a_period_that_is_over() -> None:
    period = period_at(PeriodKind.DAY, ZoneInfo("UTC"), datetime(2026, 11, 23, tzinfo=UTC))
    assert period.left(datetime(2026, 11, 25, tzinfo=UTC)) == timedelta()
