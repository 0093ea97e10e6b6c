"""Charts over time: the line of a budget's period, and the stretches of a report's rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from bot.budgets.budget import Budget, Period, PeriodKind
from bot.budgets.day_parts import midnight, parts_of
from bot.budgets.forecast import PathPoint
from bot.budgets.live import LiveSpend
from bot.budgets.report import SCOPES, Report, added
from bot.budgets.snapshot import Snapshot
from bot.budgets.usage_table import Money
from bot.clock import DAY, HOUR, ceil_day, floor_hour

MOST_POINTS = 20
"""Most points of a chart (docs.slack.dev, data visualization block)."""

HOURS_APART = 2
"""Hours between the points of a day."""


@dataclass(frozen=True, slots=True)
class Line:
    """`points`: the last one is the end of the period; past ones have no range.

    `until`: spend is known up to here. `unknown`: moments left out because earlier usage is unknown.
    """

    points: tuple[PathPoint, ...]
    until: datetime
    unknown: tuple[datetime, ...]


def moments_of(budget: Budget, period: Period) -> list[datetime]:
    """Ends of days in the budget's zone, or hours of one day, at most `MOST_POINTS`; always the period's end."""
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
    """`until`: usage counts up to here. `path`: expected spend at future moments."""
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


MOST_STRETCHES = 20
"""Most stretches of a chart (docs.slack.dev, data visualization block)."""


class Step(StrEnum):
    """Length of a stretch. Steps of several days are whole UTC days counted from the start of the report."""

    HOURS = "2 hours"
    DAY = "day"
    TWO_DAYS = "2 days"
    WEEK = "week"
    MONTH = "month"


_DAYS = {Step.DAY: 1, Step.TWO_DAYS: 2, Step.WEEK: 7}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch, aware UTC, `ends_at` exclusive. `runs`: the data ends within it."""

    starts_at: datetime
    ends_at: datetime
    runs: bool = False


@dataclass(frozen=True, slots=True)
class Course:
    """`stretches`: consecutive, those with known usage. `usd`: computed, by id and workspace of a group, one amount per
    stretch.

    `unknown`: days, or hours of one day, without known usage.
    """

    step: Step
    stretches: tuple[Stretch, ...]
    usd: Mapping[tuple[str | None, str | None], tuple[Decimal, ...]]
    unknown: tuple[Stretch, ...]


def course_of(snapshot: Snapshot, report: Report) -> Course:
    """The groups of a report over time, up to the newest usage that its sums count."""
    counted = snapshot.counted_until or report.as_of
    until = min(max(counted, report.as_of), report.period.ends_at)
    step, stretches = stretches_of(report.period, until)
    known = [each for each in stretches if snapshot.known_hours(each.starts_at, min(each.ends_at, ceil_hour(until)))]
    scopes = snapshot.index.scopes
    # Read the count first: another thread may add some.
    keys = [(key, number) for key, number in snapshot.index.groups(SCOPES[report.by], report.tag) if number < scopes]
    units = [added(list(_units(snapshot, each, scopes)), scopes) for each in known]
    usd: dict[tuple[str | None, str | None], list[Decimal]] = {}
    for key, number in keys:
        amounts = [snapshot.prices.usd(each[number]) for each in units]
        if any(amounts):
            before = usd.get(key, [Decimal(0)] * len(amounts))
            usd[key] = [one + other for one, other in zip(before, amounts, strict=True)]
    unknown = _unknown(snapshot, report.period.starts_at, until, HOUR if step is Step.HOURS else DAY)
    return Course(step, tuple(known), {key: tuple(each) for key, each in usd.items()}, tuple(unknown))


def ceil_hour(moment: datetime) -> datetime:
    """The first whole UTC hour that is not before `moment`."""
    hour = floor_hour(moment)
    return hour if hour == moment else hour + HOUR


def stretches_of(period: Period, until: datetime) -> tuple[Step, list[Stretch]]:
    """The stretches of a period of whole UTC days that have begun by `until`; at most `MOST_STRETCHES`."""
    first = period.starts_at
    if period.ends_at - first <= DAY:
        return Step.HOURS, _cut(first, until, [first + 2 * HOUR * index for index in range(13)])
    days = (ceil_day(until) - first) // DAY
    for step, length in _DAYS.items():
        if days <= MOST_STRETCHES * length:
            return step, _cut(first, until, [first + index * DAY for index in range(0, days + length, length)])
    return Step.MONTH, _cut(first, until, list(_months(first, until)))


def _cut(first: datetime, until: datetime, borders: Sequence[datetime]) -> list[Stretch]:
    return [
        Stretch(begin, end, runs=until < end) for begin, end in pairwise(borders) if begin < until or begin == first
    ]


def _months(first: datetime, until: datetime) -> Iterator[datetime]:
    yield first
    begin = first
    while begin < until:
        begin = (begin.replace(day=1) + timedelta(days=32)).replace(day=1)
        yield begin


def _units(snapshot: Snapshot, stretch: Stretch, scopes: int) -> Iterator[Money]:
    for part in parts_of(stretch.starts_at, stretch.ends_at):
        day = snapshot.day(part.day, by_hour=not part.whole)
        if part.whole:
            yield day.units[:scopes]
        elif day.hours is not None:
            yield day.hours[:scopes, part.first : part.last].sum(axis=1)


def _unknown(snapshot: Snapshot, since: datetime, until: datetime, length: timedelta) -> list[Stretch]:
    """Unknown stretches in order; adjacent ones are merged."""
    found: list[Stretch] = []
    begin = since
    while begin < until:
        end = begin + length
        if not snapshot.known_hours(begin, min(end, ceil_hour(until))):
            if found and found[-1].ends_at == begin:
                begin_of_all = found.pop().starts_at
                found.append(Stretch(begin_of_all, end))
            else:
                found.append(Stretch(begin, end))
        begin = end
    return found


def last_day(stretch: Stretch) -> date:
    """The last UTC day that lies in it."""
    return (stretch.ends_at - midnight(stretch.ends_at.date()).resolution).date()
