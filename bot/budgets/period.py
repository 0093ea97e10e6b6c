"""Periods of a budget: which stretch of time a moment belongs to, in the budget's zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from bot.phrases import day_name


class PeriodKind(StrEnum):
    """How often a budget starts afresh."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Weekday(StrEnum):
    """The days of a week in ISO 8601's order."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


@dataclass(frozen=True, slots=True)
class Period:
    """One stretch, aware UTC, `ends_at` exclusive. `key` names it for the store and in ids: `2026-11`; `period_name`
    says it for people.

    A week that begins on Monday has its ISO number, `2026-W47`; any other has its first day, `week-2026-11-15`, so that
    the two are never taken for each other.
    """

    key: str
    starts_at: datetime
    ends_at: datetime

    def left(self, now: datetime) -> timedelta:
        """What is left of the period at `now`: all of it before it has begun, zero once it is over."""
        return max(self.ends_at - max(now, self.starts_at), timedelta())

    def is_over(self, now: datetime) -> bool:
        """Whether the period has ended by `now`."""
        return self.ends_at <= now


def period_at(kind: PeriodKind, zone: ZoneInfo, now: datetime, week_starts: Weekday = Weekday.MONDAY) -> Period:
    """The period that contains `now` (aware). Boundaries are midnights of the zone's wall clock.

    Usage is counted in UTC hours, so in a zone that is half an hour off, the hour around midnight counts
    for the period in which it starts.
    """
    today = now.astimezone(zone).date()
    if kind is PeriodKind.DAY:
        first, following, key = today, today + timedelta(days=1), today.isoformat()
    elif kind is PeriodKind.WEEK:
        first = today - timedelta(days=(today.weekday() - list(Weekday).index(week_starts)) % 7)
        following, key = first + timedelta(days=7), _week_key(first)
    else:
        first = today.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
        key = f"{first:%Y-%m}"
    return Period(key, _midnight(first, zone), _midnight(following, zone))


def period_name(key: str, now: datetime) -> str:
    """`November`, `the week of 9 Nov`, `14 Nov` or `10 Nov to 15 Nov`; the year where it is not the one of `now`.

    A key of another form is its own name.
    """
    first, is_range, last = key.partition("..")
    try:
        if is_range:
            return f"{day_name(date.fromisoformat(first), now)} to {day_name(date.fromisoformat(last), now)}"
        if key.count("-") == 1 and "W" not in key:
            month = date.fromisoformat(f"{key}-01")
            return f"{month:%B}" if month.year == now.year else f"{month:%B %Y}"
        if _is_week(key):
            return f"the week of {day_name(date.fromisoformat(key.removeprefix('week-')), now)}"
        return day_name(date.fromisoformat(key), now)
    except ValueError:
        return key


def in_period(key: str, now: datetime) -> str:
    """`in November`, `in the week of 9 Nov`, `on 14 Nov`, `in the days 10 Nov to 15 Nov`."""
    name = period_name(key, now)
    if ".." in key:
        return f"in the days {name}"
    is_day = key.count("-") == 2 and not _is_week(key)
    return f"on {name}" if is_day else f"in {name}"


def _is_week(key: str) -> bool:
    return "W" in key or key.startswith("week-")


def period_before(kind: PeriodKind, zone: ZoneInfo, period: Period, week_starts: Weekday = Weekday.MONDAY) -> Period:
    """The period that ends where `period` begins."""
    return period_at(kind, zone, period.starts_at - timedelta.resolution, week_starts)


def periods_since(
    kind: PeriodKind, zone: ZoneInfo, since: datetime, now: datetime, week_starts: Weekday = Weekday.MONDAY
) -> list[Period]:
    """The periods that ended after `since`, and the one that contains `now`; the oldest first."""
    periods = [period_at(kind, zone, now, week_starts)]
    while periods[0].starts_at > since:
        periods.insert(0, period_before(kind, zone, periods[0], week_starts))
    return periods


def _week_key(first: date) -> str:
    year, week, day = first.isocalendar()
    return f"{year}-W{week:02d}" if day == 1 else f"week-{first.isoformat()}"


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
