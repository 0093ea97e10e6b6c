"""When a digest is due: by the wall clock of its zone, for UTC days that are over, once for each period."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import PeriodKind, Weekday
from bot.clock import DAY, HOUR
from bot.digests.schedule import TOO_OLD, WAITS, DigestRule, is_ready, newest_due, period_until, stretch_before

ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rule(every: PeriodKind, hour: str = "09:00", zone: str = "UTC", on: Weekday = Weekday.MONDAY) -> DigestRule:
    return DigestRule(every, at=time.fromisoformat(hour), zone=ZoneInfo(zone), on=on)


@pytest.mark.parametrize(
    ("one", "now", "key", "due"),
    [
        (rule(PeriodKind.DAY), "2026-11-20T09:00", "2026-11-19", "2026-11-20T09:00"),
        (rule(PeriodKind.DAY), "2026-11-20T08:59", "2026-11-18", "2026-11-19T09:00"),
        (rule(PeriodKind.WEEK), "2026-11-16T09:30", "2026-W46", "2026-11-16T09:00"),
        (rule(PeriodKind.WEEK, on=Weekday.FRIDAY), "2026-11-20T20:00", "week-2026-11-13", "2026-11-20T09:00"),
        (rule(PeriodKind.MONTH), "2026-12-01T10:00", "2026-11", "2026-12-01T09:00"),
        # 09:00 in Tokyo is the midnight at which the UTC days end.
        (rule(PeriodKind.WEEK, zone="Asia/Tokyo"), "2026-11-16T00:10", "2026-W46", "2026-11-16T00:00"),
        # Earlier there they still run: it waits for their end, and is about the same days.
        (rule(PeriodKind.MONTH, "07:00", "Asia/Tokyo"), "2026-12-01T00:05", "2026-11", "2026-12-01T00:00"),
        # New York: 09:00 is 13:00 UTC in summer and 14:00 UTC in winter.
        (rule(PeriodKind.DAY, zone="America/New_York"), "2026-10-31T13:30", "2026-10-30", "2026-10-31T13:00"),
        (rule(PeriodKind.DAY, zone="America/New_York"), "2026-11-01T14:30", "2026-10-31", "2026-11-01T14:00"),
        # The hour that Berlin's clocks skip, and the one that they repeat.
        (rule(PeriodKind.DAY, "02:30", "Europe/Berlin"), "2026-03-29T01:45", "2026-03-28", "2026-03-29T01:30"),
        (rule(PeriodKind.DAY, "02:30", "Europe/Berlin"), "2026-10-25T02:00", "2026-10-24", "2026-10-25T00:30"),
    ],
)
def test_a_digest_is_due_at_its_hour_and_about_the_days_before(one: DigestRule, now: str, key: str, due: str) -> None:
    found = newest_due(one, at(now))
    assert found is not None
    assert (found.period.key, found.at) == (key, at(due))


def test_one_that_is_older_than_a_day_is_left_out() -> None:
    weekly = rule(PeriodKind.WEEK)
    assert newest_due(weekly, at("2026-11-17T09:00")) is not None
    assert newest_due(weekly, at("2026-11-17T09:01")) is None


@given(
    st.sampled_from(PeriodKind),
    st.times(),
    st.sampled_from(ZONES),
    st.sampled_from(Weekday),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001  # the strategy adds the zone
)
def test_days_are_over_when_it_is_due_and_each_period_comes_once(
    every: PeriodKind, hour: time, zone: str, on: Weekday, now: datetime
) -> None:
    one = DigestRule(every, at=hour.replace(second=0, microsecond=0), zone=ZoneInfo(zone), on=on)
    keys: list[str] = []
    for step in range(0, 60 * 24, 7):
        found = newest_due(one, now + step * HOUR)
        if found is None:
            continue
        assert found.period.ends_at <= found.at <= now + step * HOUR <= found.at + TOO_OLD
        if not keys or keys[-1] != found.period.key:
            keys.append(found.period.key)
    assert len(keys) == len(set(keys))
    assert len(keys) >= {PeriodKind.DAY: 59, PeriodKind.WEEK: 7, PeriodKind.MONTH: 1}[every]


@given(st.sampled_from(PeriodKind), st.dates(date(2026, 1, 1), date(2027, 12, 31)))
def test_the_stretch_before_ends_where_the_days_begin(every: PeriodKind, day: date) -> None:
    if every is PeriodKind.MONTH:
        day = day.replace(day=1)
    period = period_until(every, day)
    assert period.ends_at.date() == day
    before = stretch_before(every, period)
    assert before.ends_at == period.starts_at
    if every is not PeriodKind.MONTH:
        assert (
            before.ends_at - before.starts_at
            == period.ends_at - period.starts_at
            == (DAY if every is PeriodKind.DAY else 7 * DAY)
        )


def test_it_waits_for_the_data_of_its_last_hour_but_not_for_ever() -> None:
    due = newest_due(rule(PeriodKind.DAY, "00:00"), at("2026-11-20T00:01"))
    assert due is not None
    assert not is_ready(due, at("2026-11-19T23:55"), due.at + timedelta(minutes=1))
    assert is_ready(due, at("2026-11-20T00:00"), due.at + timedelta(minutes=5))
    assert is_ready(due, at("2026-11-19T23:55"), due.at + WAITS)
    assert not is_ready(due, None, due.at + WAITS)
