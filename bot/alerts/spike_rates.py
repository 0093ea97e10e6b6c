"""Spikes: dollars an hour in two windows, held against what is usual at that hour of such a day.

Two windows as in multi-window burn-rate alerts (Google, The Site Reliability Workbook, "Alerting on SLOs"): the long
one shows that it matters, the short one that it still goes on. Pure, with `now` passed in.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import lru_cache
from statistics import median
from zoneinfo import ZoneInfo

from bot.alerts.incident import Status, Step, minute_key
from bot.alerts.rules import SpikeRules
from bot.amounts import CENT
from bot.budgets.spend import ZERO
from bot.clock import DAY, HOUR, floor_hour, is_over

LONG = HOUR
SHORT = timedelta(minutes=10)

LOOK_BACK = 14 * DAY
"""Two of every day of the week: enough for what is usual, and short enough to follow how a team's use grows."""

LEAST_HOURS_WITH_USAGE = 24
"""In the whole organization: before that nobody can say what is usual, and everything would look like a spike."""

LEAST_OF_A_KIND = 3
"""Fewer hours have no middle that one odd hour among them could not move."""

DEVIATIONS = Decimal("1.4826")
"""So many times the median absolute deviation are one standard deviation, where values are spread normally."""

REOPENS_WITHIN = 6 * HOUR
"""What rises again so soon is the same runaway."""

QUIET_AFTER_LIMIT = HOUR
"""An alert about a limit names callers and causes too; a second message beside it would say the same."""


@dataclass(frozen=True, slots=True)
class Rates:
    """USD an hour in the windows that end at the age of the data; `steady` leaves out the most expensive minute.

    A single large request falls into one minute, so it is never a spike, whatever it costs.
    """

    long: Decimal
    short: Decimal
    steady_long: Decimal
    steady_short: Decimal

    def reach(self, bound: Decimal) -> bool:
        """Whether both windows are at or above a bound in USD an hour."""
        return self.steady_long >= bound and self.steady_short >= bound


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is usual, in USD an hour, and from what rate on spend is far above it."""

    usual: Decimal
    bound: Decimal


class SpikeReason(StrEnum):
    BEGAN = "dollars an hour far above what is usual"
    AGAIN = "dollars an hour far above what is usual again"
    ENDED = "dollars an hour are no longer far above what is usual"


@dataclass(frozen=True, slots=True)
class Spike:
    """The newest spike of a budget. `bound`: USD an hour from which on it was one; `key`: when it was first seen."""

    key: str
    bound: Decimal
    status: Status
    opened_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class SpikeStep:
    """A step of the incident with this key. `bound`: USD an hour from which on it is a spike."""

    key: str
    bound: Decimal
    step: Step


def window_end(as_of: datetime) -> datetime:
    """Where both windows end: the minute in which the data ends is not complete."""
    return as_of.astimezone(UTC).replace(second=0, microsecond=0)


def rates_of(minutes: Mapping[datetime, Decimal], until: datetime) -> Rates:
    """`minutes`: USD by minute, of the hour before `until`; a minute that is not there had none."""
    long = [usd for minute, usd in minutes.items() if until - LONG <= minute < until]
    short = [usd for minute, usd in minutes.items() if until - SHORT <= minute < until]
    by_the_hour = LONG // SHORT
    return Rates(
        long=sum(long, ZERO),
        short=sum(short, ZERO) * by_the_hour,
        steady_long=sum(long, ZERO) - max(long, default=ZERO),
        steady_short=(sum(short, ZERO) - max(short, default=ZERO)) * by_the_hour,
    )


def baseline(
    hours: Mapping[datetime, Decimal], with_usage: int, zone: ZoneInfo, until: datetime, rules: SpikeRules
) -> Baseline | None:
    """What is usual around the long window that ends at `until`; None where too little is known to say.

    `hours`: USD of the scope in every known hour of the look-back, whole hours before the window. `with_usage`: how
    many of them had any usage in the whole organization. The most expensive hour counts, of those that the window
    touches and of one more on either side: jobs start some minutes early, and jobs in UTC move when clocks change.
    """
    if with_usage < LEAST_HOURS_WITH_USAGE or not hours:
        return None
    found = [_usual(hours, hour, zone) for hour in around(until)]
    usual = max(middle for middle, _ in found)
    bound = rules.factor * max(middle + DEVIATIONS * deviation for middle, deviation in found)
    return Baseline(usual, max(rules.floor_usd_per_hour, bound).quantize(CENT, ROUND_HALF_UP))


def around(until: datetime) -> tuple[datetime, ...]:
    """The hours whose custom counts for the long window that ends at `until`."""
    return tuple(_hours(until - LONG - HOUR, until + HOUR))


def decide_spike(
    rates: Rates,
    usual: Baseline | None,
    newest: Spike | None,
    limit_posted_at: datetime | None,
    rules: SpikeRules,
    now: datetime,
) -> SpikeStep | None:
    """What should happen to a budget's spike, if anything.

    `newest`: its last one, whatever became of it. `limit_posted_at`: when an alert about one of the budget's limits was
    last posted. Between the bound and the rate at which it ends nothing changes, so that it does not flap.
    """
    if newest is not None and newest.status is Status.OPEN:
        if rates.long < _end(newest.bound, rules):
            return _again(newest, Status.RESOLVED, SpikeReason.ENDED)
        return None
    if usual is None or not rates.reach(usual.bound):
        return None
    resolved = newest is not None and newest.status is Status.RESOLVED
    if newest is not None and resolved and not is_over(REOPENS_WITHIN, newest.changed_at, now):
        if rates.reach(newest.bound):
            return _again(newest, Status.OPEN, SpikeReason.AGAIN)
        if rates.long >= _end(newest.bound, rules):
            return None
        # What was usual at the hour of that one was far more: below it, this is another.
    if limit_posted_at is not None and not is_over(QUIET_AFTER_LIMIT, limit_posted_at, now):
        return None
    key = spike_key(now)
    if newest is not None and newest.key == key:
        # Another one in the same hour.
        key = minute_key(now)
    return SpikeStep(key, usual.bound, Step(None, Status.OPEN, SpikeReason.BEGAN, post=True))


def spike_key(now: datetime) -> str:
    """`2026-11-16T09:00Z`, the UTC hour in which a spike is first seen."""
    return f"{floor_hour(now):%Y-%m-%dT%H:%MZ}"


def _again(spike: Spike, status: Status, reason: SpikeReason) -> SpikeStep:
    return SpikeStep(spike.key, spike.bound, Step(None, status, reason))


def _end(bound: Decimal, rules: SpikeRules) -> Decimal:
    return bound * rules.clear_percent / 100


def _hours(starts_at: datetime, ends_at: datetime) -> Iterator[datetime]:
    """The hours that lie in this stretch, at least in part."""
    hour = floor_hour(starts_at)
    while hour < ends_at:
        yield hour
        hour += HOUR


def _usual(hours: Mapping[datetime, Decimal], hour: datetime, zone: ZoneInfo) -> tuple[Decimal, Decimal]:
    """The middle of what such an hour costs, and the median absolute deviation from it.

    Such an hour is the same hour of the clock on a working day, or on a weekend. What was there at the same time both a
    week ago and two weeks ago is usual as well: a weekly job.
    """
    kind = _kind(hour, zone)
    alike = [usd for known, usd in hours.items() if _kind(known, zone) == kind]
    weekly = [hours[before] for before in (hour - 7 * DAY, hour - 14 * DAY) if before in hours]
    least = min(weekly) if len(weekly) == 2 else ZERO
    if len(alike) >= LEAST_OF_A_KIND:
        middle, deviation = _middle(alike)
        return max(middle, least), deviation
    # Too few: all hours stand in, and whatever was seen at this one may well be its custom.
    middle, deviation = _middle(hours.values())
    return max([middle, least, *alike]), deviation


@lru_cache(maxsize=32_768)
def _kind(hour: datetime, zone: ZoneInfo) -> tuple[int, bool]:
    local = hour.astimezone(zone)
    return local.hour, _is_weekend(local.date())


def _is_weekend(day: date) -> bool:
    return day.weekday() >= 5


def _middle(values: Iterable[Decimal]) -> tuple[Decimal, Decimal]:
    known = list(values)
    middle = median(known)
    return middle, median(abs(value - middle) for value in known)
