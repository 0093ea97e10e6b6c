"""Spikes: USD an hour in two windows, compared with what is usual at that hour of such a day.

Two windows as in multi-window burn-rate alerts (Google, The Site Reliability Workbook, "Alerting on SLOs"): the long
one shows that it matters, the short one that it is still going on. Pure, with `now` passed in.
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
"""History for what is usual: two of each weekday, and short enough to follow a team's growth."""

LEAST_HOURS_WITH_USAGE = 24
"""Fewest hours with usage in the whole organization: before that, everything would look like a spike."""

LEAST_OF_A_KIND = 3
"""Fewest hours for a median that one odd hour cannot move."""

DEVIATIONS = Decimal("1.4826")
"""Median absolute deviations in one standard deviation of a normal distribution."""

REOPENS_WITHIN = 6 * HOUR
"""A rise this soon after the last one is the same runaway."""

QUIET_AFTER_LIMIT = HOUR
"""No spike alert this soon after a limit alert, which names callers and causes too."""


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
    """What is usual, and the rate from which spend is far above it, USD an hour."""

    usual: Decimal
    bound: Decimal


class SpikeReason(StrEnum):
    BEGAN = "dollars an hour far above what is usual"
    AGAIN = "dollars an hour far above what is usual again"
    ENDED = "dollars an hour are no longer far above what is usual"


@dataclass(frozen=True, slots=True)
class Spike:
    """The newest spike of a budget. `bound`: rate from which it was one, USD an hour; `key`: when it was first seen."""

    key: str
    bound: Decimal
    status: Status
    opened_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class SpikeStep:
    """A step of the incident with this key. `bound`: rate from which it is a spike, USD an hour."""

    key: str
    bound: Decimal
    step: Step


def window_end(as_of: datetime) -> datetime:
    """End of both windows: the last minute of the data is incomplete and left out."""
    return as_of.astimezone(UTC).replace(second=0, microsecond=0)


def rates_of(minutes: Mapping[datetime, Decimal], until: datetime) -> Rates:
    """`minutes`: USD by minute, of the hour before `until`; a missing minute had none."""
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
    """What is usual around the long window that ends at `until`; None if too little is known.

    `hours`: USD of the scope in every known whole hour of the look-back, before the window. `with_usage`: how many of
    them had any usage in the whole organization. The most expensive counts of the hours that the window touches and one
    more on either side: jobs may start early, and jobs in UTC move when clocks change.
    """
    if with_usage < LEAST_HOURS_WITH_USAGE or not hours:
        return None
    found = [_usual(hours, hour, zone) for hour in around(until)]
    usual = max(middle for middle, _ in found)
    bound = rules.factor * max(middle + DEVIATIONS * deviation for middle, deviation in found)
    return Baseline(usual, max(rules.floor_usd_per_hour, bound).quantize(CENT, ROUND_HALF_UP))


def around(until: datetime) -> tuple[datetime, ...]:
    """The hours that define what is usual for the long window that ends at `until`."""
    return tuple(_hours(until - LONG - HOUR, until + HOUR))


def decide_spike(
    rates: Rates,
    usual: Baseline | None,
    newest: Spike | None,
    limit_posted_at: datetime | None,
    rules: SpikeRules,
    now: datetime,
) -> SpikeStep | None:
    """The step for a budget's spike, if any.

    `newest`: its last spike, open or not. `limit_posted_at`: when an alert about one of the budget's limits was last
    posted. Between the bound and the rate at which it ends nothing changes, so that it does not flap.
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
        # Usual was far more at the hour of that one: below it, this is another spike.
    if limit_posted_at is not None and not is_over(QUIET_AFTER_LIMIT, limit_posted_at, now):
        return None
    key = spike_key(now)
    if newest is not None and newest.key == key:
        # A second spike in the same hour.
        key = minute_key(now)
    return SpikeStep(key, usual.bound, Step(None, Status.OPEN, SpikeReason.BEGAN, post=True))


def spike_key(now: datetime) -> str:
    """Key of a spike: the UTC hour in which it was first seen, `2026-11-16T09:00Z`."""
    return f"{floor_hour(now):%Y-%m-%dT%H:%MZ}"


def _again(spike: Spike, status: Status, reason: SpikeReason) -> SpikeStep:
    return SpikeStep(spike.key, spike.bound, Step(None, status, reason))


def _end(bound: Decimal, rules: SpikeRules) -> Decimal:
    return bound * rules.clear_percent / 100


def _hours(starts_at: datetime, ends_at: datetime) -> Iterator[datetime]:
    """The hours that overlap this stretch."""
    hour = floor_hour(starts_at)
    while hour < ends_at:
        yield hour
        hour += HOUR


def _usual(hours: Mapping[datetime, Decimal], hour: datetime, zone: ZoneInfo) -> tuple[Decimal, Decimal]:
    """Median cost of such an hour, and the median absolute deviation, USD.

    Such an hour is the same hour of the clock on working days, or on weekends. What happened at the same time both a
    week and two weeks ago is usual as well: a weekly job.
    """
    kind = _kind(hour, zone)
    alike = [usd for known, usd in hours.items() if _kind(known, zone) == kind]
    weekly = [hours[before] for before in (hour - 7 * DAY, hour - 14 * DAY) if before in hours]
    least = min(weekly) if len(weekly) == 2 else ZERO
    if len(alike) >= LEAST_OF_A_KIND:
        middle, deviation = _middle(alike)
        return max(middle, least), deviation
    # Too few of them: use all hours, and take whatever was seen at this one as usual.
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
