"""Periods: every moment belongs to exactly one, and they follow each other without a gap."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import (
    Period,
    PeriodKind,
    Weekday,
    in_period,
    period_at,
    period_before,
    period_name,
    periods_since,
)

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
        # the day on which Berlin's clocks go forward has 23 hours
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-29", "2026-03-28T23:00", 23),
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


@pytest.mark.parametrize(
    ("week_starts", "zone", "now", "key", "starts_at", "hours"),
    [
        ("sunday", "UTC", "2026-11-20T12:00", "week-2026-11-15", "2026-11-15T00:00", 7 * 24),
        ("sunday", "UTC", "2026-11-15T00:00", "week-2026-11-15", "2026-11-15T00:00", 7 * 24),
        ("sunday", "UTC", "2026-11-14T23:59", "week-2026-11-08", "2026-11-08T00:00", 7 * 24),
        # a Saturday's week holds the leap day, another one the end of the year
        ("saturday", "UTC", "2028-02-29T12:00", "week-2028-02-26", "2028-02-26T00:00", 7 * 24),
        ("wednesday", "UTC", "2027-01-01T12:00", "week-2026-12-30", "2026-12-30T00:00", 7 * 24),
        # the clocks change on a Sunday, the first or the last day of the week
        ("sunday", "Europe/Berlin", "2026-03-31T12:00", "week-2026-03-29", "2026-03-28T23:00", 7 * 24 - 1),
        ("monday", "Europe/Berlin", "2026-10-25T12:00", "2026-W43", "2026-10-18T22:00", 7 * 24 + 1),
        # in Tokyo the new week begins while it is still Saturday in London
        ("sunday", "Asia/Tokyo", "2026-11-14T15:00", "week-2026-11-15", "2026-11-14T15:00", 7 * 24),
    ],
)
def test_a_week_begins_on_the_day_that_the_budget_names(
    week_starts: str, zone: str, now: str, key: str, starts_at: str, hours: int
) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    period = period_at(PeriodKind.WEEK, ZoneInfo(zone), moment, Weekday(week_starts))
    assert period.key == key
    assert period.starts_at == datetime.fromisoformat(starts_at).replace(tzinfo=UTC)
    assert period.ends_at - period.starts_at == timedelta(hours=hours)


@given(moments, st.sampled_from(Weekday), st.sampled_from(ZONES))
def test_every_week_begins_at_a_midnight_of_its_first_day_and_follows_the_one_before(
    now: datetime, week_starts: Weekday, zone: str
) -> None:
    week = period_at(PeriodKind.WEEK, ZoneInfo(zone), now, week_starts)
    assert week.starts_at <= now < week.ends_at
    for boundary in (week.starts_at, week.ends_at):
        local = boundary.astimezone(ZoneInfo(zone))
        assert f"{local:%A}".lower() == week_starts
        assert (local.hour, local.minute) == (0, 0)
    before = period_before(PeriodKind.WEEK, ZoneInfo(zone), week, week_starts)
    assert before.ends_at == week.starts_at
    assert (week.ends_at - week.starts_at) // timedelta(hours=1) in (167, 168, 169)


@given(moments, st.sampled_from(ZONES), st.integers(0, 60))
def test_the_periods_since_a_moment_cover_it_up_to_now_without_a_gap(now: datetime, zone: str, days: int) -> None:
    since = now - timedelta(days=days)
    for week_starts in Weekday:
        weeks = periods_since(PeriodKind.WEEK, ZoneInfo(zone), since, now, week_starts)
        assert weeks[0].starts_at <= since
        assert weeks[-1].starts_at <= now < weeks[-1].ends_at
        assert [week.ends_at for week in weeks[:-1]] == [week.starts_at for week in weeks[1:]]


@given(st.dates(date(2024, 1, 1), date(2028, 12, 31)))
def test_no_two_different_weeks_have_the_same_key(day: date) -> None:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    weeks: dict[str, Period] = {}
    for week_starts in Weekday:
        for shift in range(-8, 9):
            week = period_at(PeriodKind.WEEK, ZoneInfo("UTC"), noon + timedelta(days=shift), week_starts)
            assert weeks.setdefault(week.key, week) == week


@pytest.mark.parametrize(
    ("key", "name", "within", "a_year_later"),
    [
        ("2026-11", "November", "in November", "in November 2026"),
        ("2026-11-14", "14 Nov", "on 14 Nov", "on 14 Nov 2026"),
        ("2026-W46", "the week of 9 Nov", "in the week of 9 Nov", "in the week of 9 Nov 2026"),
        ("week-2026-11-15", "the week of 15 Nov", "in the week of 15 Nov", "in the week of 15 Nov 2026"),
        ("2026-11-10..2026-11-15", "10 Nov to 15 Nov", "in the days 10 Nov to 15 Nov", None),
        ("the 6 days before", "the 6 days before", "in the 6 days before", None),
        ("2026-13", "2026-13", "in 2026-13", None),
    ],
)
def test_people_read_a_period_by_its_name(key: str, name: str, within: str, a_year_later: str | None) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert (period_name(key, now), in_period(key, now)) == (name, within)
    if a_year_later is not None:
        assert in_period(key, now.replace(year=2027)) == a_year_later


def test_a_week_that_begins_in_the_year_before_has_that_year() -> None:
    january = datetime(2027, 1, 2, tzinfo=UTC)
    period = period_at(PeriodKind.WEEK, ZoneInfo("UTC"), january)
    assert (period.key, period_name(period.key, january)) == ("2026-W53", "the week of 28 Dec 2026")


@given(moments, st.sampled_from(PeriodKind), st.sampled_from(Weekday))
def test_no_name_of_a_period_is_its_key(now: datetime, kind: PeriodKind, week_starts: Weekday) -> None:
    period = period_at(kind, ZoneInfo("UTC"), now, week_starts)
    assert "-" not in period_name(period.key, now)
