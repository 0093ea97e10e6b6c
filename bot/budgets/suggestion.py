"""Suggest limits from past cost of a scope: from its last complete periods, or else from its pace. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from zoneinfo import ZoneInfo

from bot.amounts import CENT
from bot.budgets.budget import Period, PeriodKind, Scope, period_at, period_before
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO
from bot.clock import DAY, HOUR, ceil_hour

MOST_PERIODS = {PeriodKind.DAY: 30, PeriodKind.WEEK: 4, PeriodKind.MONTH: 2}
LEAST_PERIODS = {PeriodKind.DAY: 7, PeriodKind.WEEK: 3, PeriodKind.MONTH: 2}
"""Fewest complete periods that say more than the pace."""

DAYS_OF = {PeriodKind.DAY: 1, PeriodKind.WEEK: 7, PeriodKind.MONTH: 30}

PACE_DAYS = 30

SHARE = Decimal("0.9")
"""Share of the complete periods that stay below the soft limit."""

ABOVE = Decimal("1.25")
"""The hard limit as a multiple of the most expensive period."""

STEPS = tuple(map(Decimal, ("1", "1.2", "1.5", "2", "2.5", "3", "4", "5", "6", "8", "10")))
"""First digits of limits that people choose."""


@dataclass(frozen=True, slots=True)
class Pace:
    """USD a day over the last `days` days, from known hours."""

    usd_a_day: Decimal
    days: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Suggested limits, and why. `usual_usd`: usual cost of a period. `periods`: number of complete ones it is based
    on, 0 for the pace. `dearest_usd`: the most expensive one, None for the pace.
    """

    period: PeriodKind
    soft_usd: Decimal
    hard_usd: Decimal
    usual_usd: Decimal
    periods: int
    dearest_usd: Decimal | None
    pace: Pace


def suggested(
    snapshot: Snapshot, scope: Scope, kind: PeriodKind, zone: ZoneInfo, pace: Pace, now: datetime
) -> Suggestion | None:
    """Suggest limits; None if nothing was spent."""
    sums = [spent for _, spent in complete_periods(snapshot, scope, kind, zone, now)]
    return limits_from(kind, sums, pace)


def limits_from(kind: PeriodKind, sums: Sequence[Decimal], pace: Pace) -> Suggestion | None:
    """`sums`: USD of complete periods. None if neither they nor the pace have spend."""
    enough = len(sums) >= LEAST_PERIODS[kind] and any(sums)
    if enough:
        usual, dearest = nearest_rank(sums, SHARE), max(sums)
    else:
        usual = dearest = (pace.usd_a_day * DAYS_OF[kind]).quantize(CENT, ROUND_HALF_UP)
    if dearest < CENT:
        return None
    soft = sensible(max(usual, CENT))
    hard = sensible(max(dearest * ABOVE, soft * ABOVE))
    return Suggestion(kind, soft, hard, usual, len(sums) if enough else 0, dearest if enough else None, pace)


def complete_periods(
    snapshot: Snapshot, scope: Scope, kind: PeriodKind, zone: ZoneInfo, now: datetime
) -> Iterator[tuple[Period, Decimal]]:
    """The last periods that are over and fully known, with their sums; newest first."""
    if snapshot.as_of is None:
        return
    period = period_at(kind, zone, min(now, snapshot.as_of))
    for _ in range(MOST_PERIODS[kind]):
        period = period_before(kind, zone, period)
        first, end = ceil_hour(period.starts_at), ceil_hour(period.ends_at)
        if snapshot.known_hours(first, end) < (end - first) // HOUR:
            return
        yield period, snapshot.spend(scope, period).total_usd


def pace_of(snapshot: Snapshot, scope: Scope) -> Pace | None:
    """Pace of the last whole known days, 30 at most; None with less than one."""
    if snapshot.as_of is None:
        return None
    end = ceil_hour(snapshot.as_of) - HOUR
    days = 0
    while days < PACE_DAYS and snapshot.known_hours(end - (days + 1) * DAY, end - days * DAY) == DAY // HOUR:
        days += 1
    if not days:
        return None
    return Pace(snapshot.usd(scope, end - days * DAY, end) / days, days)


def nearest_rank(sums: Sequence[Decimal], share: Decimal) -> Decimal:
    """The smallest of the sums that at least this share of them does not exceed. At least one is given."""
    rank = ceil(share * len(sums))
    return sorted(sums)[max(rank, 1) - 1]


def sensible(usd: Decimal) -> Decimal:
    """Round up (above zero) to an amount that people would choose: 1, 1.2, 1.5 … times a power of ten."""
    if usd <= ZERO:
        raise ValueError("an amount above zero is wanted")
    scale = Decimal(1).scaleb(usd.adjusted())
    found = next(step for step in STEPS if step * scale >= usd) * scale
    return max(found, CENT).normalize()
