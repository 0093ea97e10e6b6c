"""What the rows of a report cost over its time: the stretches of a chart, and each row's dollars in each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from bot.budgets.budget import Period
from bot.budgets.day_parts import midnight, parts_of
from bot.budgets.report import SCOPES, Report, added
from bot.budgets.snapshot import Snapshot
from bot.budgets.usage_table import Money
from bot.clock import DAY, HOUR, ceil_day, floor_hour

MOST_STRETCHES = 20
"""Of one chart (docs.slack.dev, data visualization block)."""


class Step(StrEnum):
    """How long a stretch is. The days of a step of several are whole UTC days from the start of the report on."""

    HOURS = "2 hours"
    DAY = "day"
    TWO_DAYS = "2 days"
    WEEK = "week"
    MONTH = "month"


_DAYS = {Step.DAY: 1, Step.TWO_DAYS: 2, Step.WEEK: 7}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Aware UTC, `ends_at` exclusive. `runs`: the data ends within it."""

    starts_at: datetime
    ends_at: datetime
    runs: bool = False


@dataclass(frozen=True, slots=True)
class Course:
    """`stretches`: those of which anything is known, one after the other. `usd`: computed, by the id and the workspace
    of a group, one amount for each stretch.

    `unknown`: days, or hours of one day, of which no usage is known.
    """

    step: Step
    stretches: tuple[Stretch, ...]
    usd: Mapping[tuple[str | None, str | None], tuple[Decimal, ...]]
    unknown: tuple[Stretch, ...]


def course_of(snapshot: Snapshot, report: Report) -> Course:
    """Of the groups of a report, up to the newest usage that its sums count."""
    counted = snapshot.counted_until or report.as_of
    until = min(max(counted, report.as_of), report.period.ends_at)
    step, stretches = stretches_of(report.period, until)
    known = [each for each in stretches if snapshot.known_hours(each.starts_at, min(each.ends_at, ceil_hour(until)))]
    scopes = snapshot.index.scopes
    # How many there are is asked for first: another thread may add some.
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
    """The stretches of a period of whole UTC days that have begun by `until`: at most `MOST_STRETCHES`."""
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
    """One after the other, those that touch each other as one."""
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
