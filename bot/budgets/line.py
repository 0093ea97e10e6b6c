"""The line of a budget's period: what was spent by each moment, and from there on the range of what is expected."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.budgets.budget import Budget, Period, PeriodKind
from bot.budgets.forecast import PathPoint
from bot.budgets.live import LiveSpend
from bot.clock import HOUR, floor_hour

MOST_POINTS = 20
"""Of one chart (docs.slack.dev, data visualization block)."""

HOURS_APART = 2
"""The points of a day."""


@dataclass(frozen=True, slots=True)
class Line:
    """`points`: the last one is the end of the period; those of the past have no range.

    `until`: what is spent is known up to here. `unknown`: moments that are left out, since nothing is known of what was
    used before them.
    """

    points: tuple[PathPoint, ...]
    until: datetime
    unknown: tuple[datetime, ...]


def moments_of(budget: Budget, period: Period) -> list[datetime]:
    """The ends of days in the budget's zone, or hours of one day, at most `MOST_POINTS`; always the period's end."""
    ends: list[datetime] = []
    if budget.period is PeriodKind.DAY:
        at = period.starts_at
        while at < period.ends_at:
            at = min(at + HOURS_APART * HOUR, period.ends_at)
            ends.append(at)
    else:
        day = period.starts_at.astimezone(budget.zone).date()
        while not ends or ends[-1] < period.ends_at:
            day += timedelta(days=1)
            midnight = datetime(day.year, day.month, day.day, tzinfo=budget.zone).astimezone(period.ends_at.tzinfo)
            ends.append(min(midnight, period.ends_at))
    apart = -(-len(ends) // MOST_POINTS)
    return ends[::-1][::apart][::-1]


def line_of(
    live: LiveSpend,
    budget: Budget,
    period: Period,
    until: datetime,
    path: Callable[[Sequence[datetime]], Sequence[PathPoint]],
) -> Line:
    """`until`: up to when usage is counted. `path`: what is expected by moments to come."""
    past, to_come, unknown = [], [], []
    begin = period.starts_at
    for at in moments_of(budget, period):
        if at > until:
            to_come.append(at)
            continue
        if _is_known(live, budget, begin, at):
            spent = live.spend(budget.scope, Period(period.key, period.starts_at, at)).total_usd
            past.append(PathPoint(at, spent, spent, spent))
        else:
            unknown.append(at)
        begin = at
    return Line((*past, *path(to_come)), until, tuple(unknown))


def _is_known(live: LiveSpend, budget: Budget, begin: datetime, end: datetime) -> bool:
    snapshot = live.usage
    if snapshot.known_hours(floor_hour(begin), end):
        return True
    return bool(snapshot.settled_days(budget.scope, begin, end))
