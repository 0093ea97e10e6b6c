"""Where a budget's period will end, as a range, and when each limit is crossed on the way. Pure.

Dollars are floats within the estimate and decimals at its border. `bot.budgets.forecast_model` says what an hour to
come costs; here hours are put by the wall clock of the budget's zone, and sums are held against limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from bot.budgets.budget import LIMITS, Budget, LimitKind, Period
from bot.budgets.forecast_model import COLUMNS, HOURS_IN_DAY, WEEK, Floats, expected_hours
from bot.budgets.trend import LEAST_KNOWN
from bot.clock import HOUR, floor_hour

HOURS_BACK = COLUMNS + WEEK
"""Before the running hour: four weeks, and what a change of the clock may cost."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
THURSDAY = 3
"""The weekday of the epoch."""

MICRO_USD = Decimal("0.000001")
WALLS = 128
"""Stretches of hours whose wall clock is cached: some for each zone and period."""

BURST_FADES_HOURS = 8.0
BURST_COMES_AGAIN = 1 / 3
"""Of what an hour that still runs has cost beyond any other of the last day. Whether a retry loop was stopped in the
minute in which it was noticed is not known: too little to carry on its rate, too much to forget it."""

ROUNDING = 1e-12
"""The share by which sums of floats are off."""


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """Dollars by hour of one scope, computed from usage: the first begins at `starts_at` (a whole UTC hour).

    One for each hour up to the running one, of which it has what is spent so far; NaN where the hour is not known.
    """

    starts_at: datetime
    usd: Floats


@dataclass(frozen=True, slots=True)
class ModeShift:
    """A change of fallback mode: from `at` on the scope costs `factor` times what it would have cost before."""

    at: datetime
    factor: float


@dataclass(frozen=True, slots=True)
class PlannedSpend:
    """Dollars that will be spent, or were, between two moments, evenly, beside everything else."""

    starts_at: datetime
    ends_at: datetime
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Request:
    """One forecast to make. `spent_usd`: of `period` up to `counted_until`, or up to `as_of`, the age of the data."""

    budget: Budget
    period: Period
    spent_usd: Decimal
    hours: Hours
    as_of: datetime
    shifts: Sequence[ModeShift] = ()
    planned: Sequence[PlannedSpend] = ()
    counted_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """When a limit is reached, to the hour: on the highest, the expected and the lowest path, None where it is not.

    `passed`: it is reached already, and then it has no time to come.
    """

    kind: LimitKind
    limit_usd: Decimal
    passed: bool
    earliest: datetime | None = None
    expected: datetime | None = None
    latest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Spend at the end of the period, USD; no sum is below what is spent already. The range holds in 4 of 5 cases.

    `left_usd`: what is still expected to be spent. `known_hours`: of the last 28 days, on which it is built. `shifts`:
    the changes of the fallback mode that it reckons with.
    """

    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal
    left_usd: Decimal
    crossings: tuple[Crossing, ...]
    known_hours: int
    shifts: tuple[ModeShift, ...] = ()

    @property
    def days(self) -> int:
        """The known hours put together, as days of 24 hours."""
        return self.known_hours // HOURS_IN_DAY


@dataclass(frozen=True, slots=True)
class PathPoint:
    """What the period comes to by a moment, USD: the range, and what is expected."""

    at: datetime
    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal


def path(request: Request, moments: Sequence[datetime]) -> list[PathPoint]:
    """How a forecast gets to its end: by each of these moments to come, hours at least."""
    until = request.counted_until or request.as_of
    group = _Group(request.budget.zone, request.as_of, until, request.period.starts_at, request.period.ends_at)
    return group.path(request, moments)


def forecast(
    budget: Budget,
    period: Period,
    spent_usd: Decimal,
    hours: Hours,
    as_of: datetime,
    shifts: Sequence[ModeShift] = (),
    planned: Sequence[PlannedSpend] = (),
) -> Forecast | None:
    """`spent_usd`: of `period` up to `as_of`. None with less than 6 known hours in the last day."""
    return forecasts([Request(budget, period, spent_usd, hours, as_of, shifts, planned)])[0]


def forecasts(requests: Sequence[Request]) -> list[Forecast | None]:
    """As `forecast`, of many at once: those of one zone and period share the work."""
    groups: dict[tuple[ZoneInfo, datetime, datetime, datetime, datetime], list[int]] = {}
    for index, request in enumerate(requests):
        until = request.counted_until or request.as_of
        key = (request.budget.zone, request.as_of, until, request.period.starts_at, request.period.ends_at)
        groups.setdefault(key, []).append(index)
    found: list[Forecast | None] = [None] * len(requests)
    for key, indices in groups.items():
        group = _Group(*key)
        for index, made in zip(indices, group.forecasts([requests[index] for index in indices]), strict=True):
            found[index] = made
    return found


@dataclass(frozen=True, slots=True)
class _Ways:
    """By series: dollars of each hour to come on the lowest, the expected and the highest path."""

    low: Floats
    expected: Floats
    high: Floats

    @property
    def sums(self) -> list[Floats]:
        return [np.cumsum(way, axis=1) for way in (self.low, self.expected, self.high)]


class _Group:
    """Forecasts of one zone, moment and period. `counted_until`: the hours to come begin there."""

    def __init__(
        self, zone: ZoneInfo, as_of: datetime, counted_until: datetime, starts_at: datetime, ends_at: datetime
    ) -> None:
        self._as_of = as_of
        self._until = max(as_of, counted_until)
        self._running = floor_hour(as_of)
        self._first = self._running - HOURS_BACK * HOUR
        self._zone = zone
        self._starts_at, self._ends_at = starts_at, ends_at
        # Distances from the running hour by the wall clock, which is not the same where clocks were changed between.
        count = -((self._first - self._running) // HOUR)
        self._past = self._wall(self._first, count) - self._wall(self._running, 1)[0]
        first = max(self._running, floor_hour(starts_at))
        hours = max(-((first - ends_at) // HOUR), 0)
        self._future = [first + index * HOUR for index in range(hours)]
        self._steps = self._wall(first, hours) - self._wall(self._running, 1)[0]
        since = max(self._until, starts_at)
        self._lengths = np.array([_share(hour, since, ends_at) for hour in self._future], dtype=np.float64)

    def forecasts(self, requests: Sequence[Request]) -> list[Forecast | None]:
        rows = self._rows(requests)
        known = self._by_wall(rows[:, :-1])
        covered = (~np.isnan(rows[:, -1 - HOURS_IN_DAY : -1])).sum(axis=1) + np.where(
            np.isnan(rows[:, -1]), 0.0, (self._as_of - self._running) / HOUR
        )
        number = (~np.isnan(known)).sum(axis=1)
        sums = self._ways(requests, rows).sums
        return [
            self._one(request, [way[row] for way in sums], int(number[row]))
            if covered[row] * HOUR >= LEAST_KNOWN
            else None
            for row, request in enumerate(requests)
        ]

    def path(self, request: Request, moments: Sequence[datetime]) -> list[PathPoint]:
        sums = self._ways([request], self._rows([request])).sums
        spent, found = request.spent_usd, []
        for at in moments:
            hours = sum(hour < at for hour in self._future)
            low, left, high = (_usd(float(way[0][hours - 1])) if hours else Decimal(0) for way in sums)
            found.append(PathPoint(at, spent + min(low, left), spent + left, spent + max(high, left)))
        return found

    def _ways(self, requests: Sequence[Request], rows: Floats) -> _Ways:
        seen = expected_hours(self._by_wall(rows[:, :-1]), self._week_hours(), self._steps, self._lengths)
        path = seen.rates * self._lengths
        left = path.sum(axis=1)
        low, high = np.maximum(left - seen.below, 0.0), left + seen.above
        ways = [_scaled(path, left, low, self._lengths), path, _scaled(path, left, high, self._lengths)]
        planned = self._planned(requests)
        if planned is not None:
            ways = [way + planned for way in ways]
        found = _Ways(*ways)
        if self._future[:1] == [self._running] and len(self._future) > 1:
            self._with_bursts(found, requests, rows, seen.rates[:, 0])
        return found

    def _with_bursts(self, ways: _Ways, requests: Sequence[Request], rows: Floats, whole: Floats) -> None:
        """A running hour that has already cost more than a whole one counts as one: the hours after it are expected
        as they will be when it is over. `whole`: what the running hour is expected to cost from end to end.

        What is beyond the most expensive hour of the last day may come again in the next hours, at most once on the
        highest path.
        """
        highest = np.where(np.isnan(rows), 0.0, rows)[:, -1 - HOURS_IN_DAY : -1].max(axis=1)
        beyond = rows[:, -1] - np.maximum(whole, highest)
        bursts = np.flatnonzero(beyond > 0).tolist()
        if not bursts:
            return
        fades = np.exp(-np.arange(len(self._future)) / BURST_FADES_HOURS) * self._lengths
        again = beyond[bursts, None] * fades / max(BURST_FADES_HOURS, float(fades.sum()))
        after = _Group(self._zone, self._running + HOUR, self._until, self._starts_at, self._ends_at)
        mine = [requests[row] for row in bursts]
        later = after._ways(mine, after._rows(mine))
        for way, other in zip(
            (ways.low, ways.expected, ways.high), (later.low, later.expected, later.high), strict=True
        ):
            # The rest of the running hour is expected as it was.
            way[bursts, 0] = ways.expected[bursts, 0]
            way[bursts, 1:] = other
        ways.expected[bursts] += again * BURST_COMES_AGAIN
        ways.high[bursts] += again

    def _one(self, request: Request, sums: Sequence[Floats], known_hours: int) -> Forecast:
        spent = request.spent_usd
        low, left, high = (_usd(float(way[-1])) if len(way) else Decimal(0) for way in sums)
        low, high = min(low, left), max(high, left)
        crossings = []
        for kind in LIMITS:
            limit = request.budget.limit(kind)
            if limit is None:
                continue
            missing = limit - spent
            if missing <= 0:
                crossings.append(Crossing(kind, limit, passed=True))
                continue
            reached = [
                self._reached(way, float(missing)) if total >= missing else None
                for way, total in zip(reversed(sums), (high, left, low), strict=True)
            ]
            crossings.append(Crossing(kind, limit, False, *reached))
        return Forecast(
            spent + low, spent + left, spent + high, left, tuple(crossings), known_hours, tuple(request.shifts)
        )

    def _reached(self, way: Floats, missing: float) -> datetime:
        at = int(np.searchsorted(way, missing * (1 - ROUNDING)))
        return max(self._future[min(at, len(way) - 1)], self._until, self._starts_at)

    def _rows(self, requests: Sequence[Request]) -> Floats:
        """By series: dollars of past hours and, last, of the running one so far. Without what was planned, and as if
        the present mode had always been in force."""
        count = len(self._past)
        rows = np.full((len(requests), count + 1), np.nan)
        for row, request in zip(rows, requests, strict=True):
            hours = request.hours
            skipped = (hours.starts_at - self._first) // HOUR
            values = hours.usd[max(-skipped, 0) :][: count + 1 - max(skipped, 0)]
            at = max(skipped, 0)
            row[at : at + len(values)] = values
        for row, request in zip(rows, requests, strict=True):
            for planned in request.planned:
                np.subtract(row, self._spread(planned, self._first, count + 1), out=row)
                np.maximum(row, 0.0, out=row)
            for shift in request.shifts:
                before = np.clip([(shift.at - self._first) / HOUR - index for index in range(count + 1)], 0.0, 1.0)
                row *= 1 + (shift.factor - 1) * before
        return rows

    def _by_wall(self, rows: Floats) -> Floats:
        if np.array_equal(self._past, np.arange(-len(self._past), 0)):
            return rows[:, -COLUMNS:]
        known = np.full((len(rows), COLUMNS), np.nan)
        for column, distance in enumerate(self._past):
            at = COLUMNS + int(distance)
            if not 0 <= at < COLUMNS:
                continue
            twice = column > 0 and self._past[column - 1] == distance
            known[:, at] = (known[:, at] + rows[:, column]) / 2 if twice else rows[:, column]
        return known

    def _week_hours(self) -> NDArray[np.int64]:
        wall = self._wall(self._running, 1)[0] + np.arange(WEEK * HOURS_IN_DAY)
        found: NDArray[np.int64] = (wall + THURSDAY * HOURS_IN_DAY) % (WEEK * HOURS_IN_DAY)
        return found

    def _wall(self, first: datetime, count: int) -> NDArray[np.int64]:
        return _wall(self._zone, first, count)

    def _planned(self, requests: Sequence[Request]) -> Floats | None:
        if not any(request.planned for request in requests) or not self._future:
            return None
        found = np.zeros((len(requests), len(self._future)))
        for row, request in zip(found, requests, strict=True):
            for planned in request.planned:
                row += self._spread(planned, self._future[0], len(row)) * self._lengths
        return found

    def _spread(self, planned: PlannedSpend, first: datetime, count: int) -> Floats:
        """Dollars of the plan in each of these hours."""
        span = planned.ends_at - planned.starts_at
        found = np.zeros(count)
        if span <= timedelta():
            return found
        rate = float(planned.usd) / (span / HOUR)
        start = max((floor_hour(planned.starts_at) - first) // HOUR, 0)
        for index in range(start, min(-((first - planned.ends_at) // HOUR), count)):
            found[index] = rate * _share(first + index * HOUR, planned.starts_at, planned.ends_at)
        return found


@lru_cache(maxsize=WALLS)
def _wall(zone: ZoneInfo, first: datetime, count: int) -> NDArray[np.int64]:
    """Hours of the wall clock since 1970, of `count` UTC hours. They are the same for all budgets of a zone."""
    numbers = []
    offset, until = timedelta(), 0
    for index in range(count):
        hour = first + index * HOUR
        if index >= until:
            offset = hour.astimezone(zone).utcoffset() or timedelta()
            day = (hour + HOURS_IN_DAY * HOUR).astimezone(zone).utcoffset()
            until = index + (HOURS_IN_DAY if day == offset else 1)
        numbers.append((hour + offset - EPOCH) // HOUR)
    found = np.array(numbers, dtype=np.int64)
    found.flags.writeable = False
    return found


def _scaled(path: Floats, left: Floats, to: Floats, lengths: Floats) -> Floats:
    """The path that ends at `to` instead of `left`; evenly where it says nothing."""
    total = max(float(lengths.sum()), ROUNDING)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(left > 0, to / left, 0.0)
    return path * factor[:, None] + np.where(left > 0, 0.0, to)[:, None] * (lengths / total)


def _share(hour: datetime, since: datetime, until: datetime) -> float:
    return max(min(hour + HOUR, until) - max(hour, since), timedelta()) / HOUR


def _usd(amount: float) -> Decimal:
    # Rounded down, so that a sum below a limit does not reach it by its last digit.
    return Decimal(amount * (1 + ROUNDING)).quantize(MICRO_USD, rounding=ROUND_FLOOR)
