"""Where a budget's period will end, as a range, and when each limit is crossed on the way.

Two views are taken of every hour that is left: what that kind of day usually costs, and the same as the last day
compares with what it usually would have cost. The expected sum is the mean of both. The range spans both views, each
widened by how much days differ from what is usual.

Days are cut in two at the present time of day. So the rest of today is compared with the rests of other days, and the
last 24 hours with the same hours of such days, whatever the hour and wherever clocks are put forward or back.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from math import ceil
from zoneinfo import ZoneInfo

from bot.budgets.budget import LIMITS, Budget, Level
from bot.budgets.outlook import LEAST_FOR_PACE
from bot.budgets.period import Period
from bot.clock import DAY, HOUR, floor_hour

DAYS_BACK = 28

LEAST_OF_A_WEEKDAY = 2
"""With fewer Mondays than this, a Monday is taken for any working day."""

LEAST_FOR_SPREAD = 4
ASSUMED_SPREAD = Fraction(1, 2)
"""Half up and half down, where fewer days than that are known to compare."""

SATURDAY = 5
NOTHING = Fraction(0)
MICROSECONDS = HOUR // timedelta.resolution
"""Of an hour."""


@dataclass(frozen=True, slots=True)
class DayPart:
    """A day of the wall clock up to the present time of day, or what follows. Aware UTC, `ends_at` exclusive.

    An hour of usage belongs to the part in which it begins.
    """

    day: date
    late: bool
    starts_at: datetime
    ends_at: datetime

    def hours(self) -> list[datetime]:
        """The UTC hours that begin in it."""
        first = _next_hour(self.starts_at)
        return [first + index * HOUR for index in range(self.length)]

    @property
    def length(self) -> int:
        """How many UTC hours begin in it."""
        return (_next_hour(self.ends_at) - _next_hour(self.starts_at)) // HOUR


@dataclass(frozen=True, slots=True)
class KnownPart:
    """A part of a past day of which every hour is known, and its dollars."""

    part: DayPart
    usd: Decimal


@dataclass(frozen=True, slots=True)
class History:
    """What is known of one scope's dollars up to `as_of`, computed from usage.

    `parts`: before the last day, at most 28 days of them. `recent_usd`: of the known hours since `recent_since(as_of)`,
    which are `recent_hours`. A gap is in neither: nothing is known of it, and that is not no usage.
    """

    zone: ZoneInfo
    as_of: datetime
    parts: Sequence[KnownPart]
    recent_usd: Decimal
    recent_hours: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Crossing:
    """When a limit is reached, to the hour: on the highest, the expected and the lowest path, None where it is not.

    `passed`: it is reached already, and then no time is told.
    """

    level: Level
    limit_usd: Decimal
    passed: bool
    earliest: datetime | None = None
    expected: datetime | None = None
    latest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Spend at the end of the period, USD; no sum is below what is spent already.

    `days`: of how many days the data is on which it is built, besides the last 24 hours. `spread`: by which share such
    days differ from what is usual, in the mean; None where too few are known and a half is assumed.
    """

    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal
    crossings: tuple[Crossing, ...]
    days: int
    spread: Decimal | None


def recent_since(as_of: datetime) -> datetime:
    """Where the last day begins: 24 hours before the hour that is running."""
    return floor_hour(as_of) - DAY


def past_parts(zone: ZoneInfo, as_of: datetime) -> list[DayPart]:
    """The parts of the 28 days before the last one, the oldest first."""
    until = recent_since(as_of)
    cut = _time_of_day(zone, as_of)
    first = (until - DAYS_BACK * DAY).astimezone(zone).date()
    last = until.astimezone(zone).date()
    days = [first + index * DAY for index in range((last - first).days + 1)]
    parts = [part for day in days for part in _parts(day, cut, zone)]
    return [part for part in parts if part.starts_at >= until - DAYS_BACK * DAY and part.ends_at <= until]


def forecast(budget: Budget, period: Period, spent_usd: Decimal, history: History) -> Forecast | None:
    """`spent_usd`: of `period` up to `history.as_of`. None with less than 6 known hours in the last day."""
    covered = sum((_until(hour, history.as_of) for hour in set(history.recent_hours)), timedelta())
    if covered < LEAST_FOR_PACE:
        return None
    usual = _Usual(history)
    recent = _Recent(Fraction(history.recent_usd) / _hours(covered), _usual_of_recent(history, usual))
    spread = usual.spread()
    share = ASSUMED_SPREAD if spread is None else min(spread, Fraction(1))
    low, mean, high = [], [], []
    for starts_at, ends_at in _left(period, history.as_of, usual):
        hours, rate = _hours(ends_at - starts_at), usual.rate(starts_at)
        now = recent.rate(rate)
        before = now if rate is None else rate
        low.append((starts_at, hours, min(before, now) * (1 - share)))
        mean.append((starts_at, hours, (before + now) / 2))
        high.append((starts_at, hours, max(before, now) * (1 + share)))
    paths = (high, mean, low)
    return Forecast(
        low_usd=_decimal(Fraction(spent_usd) + _total(low)),
        expected_usd=_decimal(Fraction(spent_usd) + _total(mean)),
        high_usd=_decimal(Fraction(spent_usd) + _total(high)),
        crossings=tuple(
            _crossing(level, limit, spent_usd, paths) for level in LIMITS if (limit := budget.limit(level)) is not None
        ),
        days=usual.days,
        spread=None if spread is None else _decimal(spread),
    )


_Path = Sequence[tuple[datetime, Fraction, Fraction]]
"""From when on, for how many hours, how many dollars an hour."""


@dataclass(slots=True)
class _Sum:
    usd: Fraction = NOTHING
    hours: Fraction = NOTHING
    parts: int = 0


class _Usual:
    """Dollars an hour by kind of day and part of day."""

    def __init__(self, history: History) -> None:
        self._zone = history.zone
        self._cut = _time_of_day(history.zone, history.as_of)
        self._cuts: dict[date, datetime] = {}
        self._parts = history.parts
        self._by_weekday: dict[tuple[int, bool], _Sum] = {}
        self._by_kind: dict[tuple[bool, bool], _Sum] = {}
        for known in history.parts:
            part = known.part
            weekday = self._by_weekday.setdefault((part.day.weekday(), part.late), _Sum())
            kind = self._by_kind.setdefault((_is_weekend(part.day), part.late), _Sum())
            for total in (weekday, kind):
                total.usd += Fraction(known.usd)
                total.hours += part.length
                total.parts += 1

    @property
    def days(self) -> int:
        """The known parts put together, as days of 24 hours."""
        hours = sum(known.part.length for known in self._parts)
        return max(round(hours / 24), 1) if hours else 0

    def rate(self, at: datetime) -> Fraction | None:
        """What this hour usually costs; None where no such day is known."""
        total = self._of(*self.part(at))
        return None if total is None else total.usd / total.hours

    def part(self, at: datetime) -> tuple[date, bool]:
        """The day of the wall clock, and whether it is past the present time of day."""
        day = at.astimezone(self._zone).date()
        if day not in self._cuts:
            self._cuts[day] = _utc(day, self._cut, self._zone)
        return day, at >= self._cuts[day]

    def spread(self) -> Fraction | None:
        """The mean share by which whole days differ from what such days usually cost."""
        by_day: dict[date, list[KnownPart]] = {}
        for known in self._parts:
            by_day.setdefault(known.part.day, []).append(known)
        shares = []
        for day, known_parts in by_day.items():
            if len(known_parts) < len(_parts(day, self._cut, self._zone)):
                continue
            usual = NOTHING
            for known in known_parts:
                total = self._of(day, known.part.late)
                if total is None or total.parts < LEAST_OF_A_WEEKDAY:
                    break
                usual += total.usd / total.hours * known.part.length
            else:
                if usual > 0:
                    shares.append(abs(sum(Fraction(known.usd) for known in known_parts) / usual - 1))
        return sum(shares, NOTHING) / len(shares) if len(shares) >= LEAST_FOR_SPREAD else None

    def _of(self, day: date, late: bool) -> _Sum | None:
        weekday = self._by_weekday.get((day.weekday(), late))
        if weekday is not None and weekday.parts >= LEAST_OF_A_WEEKDAY:
            return weekday
        return self._by_kind.get((_is_weekend(day), late))


@dataclass(frozen=True, slots=True)
class _Recent:
    """Dollars an hour in the last day, and what those hours usually cost; None where that is not known."""

    now: Fraction
    usual: Fraction | None

    def rate(self, usual: Fraction | None) -> Fraction:
        """What an hour that usually costs this much would cost, going by the last day.

        Less is carried over in proportion. More is so too, but adds no more dollars than it did in the last day: it may
        be one new job, which costs the same on a busy day.
        """
        if usual is None:
            return self.now
        if self.usual is None:
            return usual
        added = usual + (self.now - self.usual)
        if self.usual == 0:
            return added
        in_proportion = usual * self.now / self.usual
        return in_proportion if self.now <= self.usual else min(in_proportion, added)


def _usual_of_recent(history: History, usual: _Usual) -> Fraction | None:
    dollars, hours = NOTHING, NOTHING
    for hour in set(history.recent_hours):
        rate = usual.rate(hour)
        if rate is None:
            return None
        length = _hours(_until(hour, history.as_of))
        dollars += rate * length
        hours += length
    return dollars / hours


def _left(period: Period, as_of: datetime, usual: _Usual) -> Iterator[tuple[datetime, datetime]]:
    """What is left of the period, in stretches whose hours all belong to one part of a day."""
    starts_at = at = max(as_of, period.starts_at)
    while at < period.ends_at:
        following = min(floor_hour(at) + HOUR, period.ends_at)
        if following == period.ends_at or usual.part(following) != usual.part(starts_at):
            yield starts_at, following
            starts_at = following
        at = following


def _crossing(level: Level, limit_usd: Decimal, spent_usd: Decimal, paths: Iterable[_Path]) -> Crossing:
    if spent_usd >= limit_usd:
        return Crossing(level, limit_usd, passed=True)
    return Crossing(level, limit_usd, False, *(_reached(path, Fraction(limit_usd - spent_usd)) for path in paths))


def _reached(path: _Path, missing: Fraction) -> datetime | None:
    for starts_at, hours, rate in path:
        usd = hours * rate
        if usd >= missing:
            reached = starts_at + ceil(missing / rate * MICROSECONDS) * timedelta.resolution
            return max(floor_hour(reached - timedelta.resolution), starts_at)
        missing -= usd
    return None


def _total(path: _Path) -> Fraction:
    return sum((hours * rate for _, hours, rate in path), NOTHING)


def _parts(day: date, cut: time, zone: ZoneInfo) -> list[DayPart]:
    starts_at, ends_at = _utc(day, time(), zone), _utc(day + DAY, time(), zone)
    middle = _utc(day, cut, zone)
    parts = (DayPart(day, False, starts_at, middle), DayPart(day, True, middle, ends_at))
    return [part for part in parts if part.length > 0]


def _time_of_day(zone: ZoneInfo, as_of: datetime) -> time:
    return floor_hour(as_of).astimezone(zone).time()


def _utc(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


def _next_hour(at: datetime) -> datetime:
    """The first UTC hour that begins at this moment or after it."""
    return floor_hour(at + HOUR - timedelta.resolution)


def _is_weekend(day: date) -> bool:
    return day.weekday() >= SATURDAY


def _until(hour: datetime, as_of: datetime) -> timedelta:
    return max(min(hour + HOUR, as_of) - hour, timedelta())


def _hours(span: timedelta) -> Fraction:
    return Fraction(span // timedelta.resolution, MICROSECONDS)


def _decimal(amount: Fraction) -> Decimal:
    # Rounded down, so that a sum below a limit does not reach it by its last digit.
    return Context(rounding=ROUND_FLOOR).divide(Decimal(amount.numerator), Decimal(amount.denominator))
