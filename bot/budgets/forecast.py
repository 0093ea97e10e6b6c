"""Where a budget's period will end, as a range, and when each limit is crossed on the way. Pure.

USD are floats inside the estimate and decimals at its border. `bot.budgets.forecast_model` predicts the cost of future
hours; this module maps hours to the wall clock of the budget's zone and compares sums with limits.
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
"""Hours of history before the running one: four weeks, and some spare ones for clock changes."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
THURSDAY = 3
"""Weekday of the epoch."""

MICRO_USD = Decimal("0.000001")
WALLS = 128
"""Cached wall-clock stretches: some for each zone and period."""

BURST_FADES_HOURS = 8.0
BURST_COMES_AGAIN = 1 / 3
"""Share carried on of what the running hour costs beyond any other of the last day. Whether a retry loop was stopped at
once is unknown, so carry on neither the whole rate nor nothing.
"""

ROUNDING = 1e-12
"""Relative rounding error of float sums."""


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """USD by hour of one scope, computed from usage, beginning at `starts_at` (a whole UTC hour).

    The last value is the running hour so far; NaN for unknown hours.
    """

    starts_at: datetime
    usd: Floats


@dataclass(frozen=True, slots=True)
class ModeShift:
    """A change of the fallback mode: from `at` on the scope costs `factor` times as much as before."""

    at: datetime
    factor: float


@dataclass(frozen=True, slots=True)
class PlannedSpend:
    """USD planned between two moments, spread evenly, on top of everything else."""

    starts_at: datetime
    ends_at: datetime
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Request:
    """Input of one forecast. `spent_usd`: of `period` up to `counted_until`, or up to `as_of`, the age of the data."""

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
    """When a limit is reached, to the hour, on the highest, expected and lowest path; None if it is not.

    `passed`: already reached, without times.
    """

    kind: LimitKind
    limit_usd: Decimal
    passed: bool
    earliest: datetime | None = None
    expected: datetime | None = None
    latest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Spend at the end of the period, USD; no sum is below current spend. The range holds in 4 of 5 cases.

    `left_usd`: still expected. `known_hours`: of the last 28 days, on which it is based. `shifts`: mode changes that it
    takes into account.
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
        """Known hours in days of 24 hours."""
        return self.known_hours // HOURS_IN_DAY


@dataclass(frozen=True, slots=True)
class PathPoint:
    """Spend of the period by a moment, USD: range and expectation."""

    at: datetime
    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal


def path(request: Request, moments: Sequence[datetime]) -> list[PathPoint]:
    """Expected spend at each of these future moments, at least an hour apart."""
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
    """Like `forecast`, for many at once: those of one zone and period share the work."""
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
    """USD of each future hour on the lowest, expected and highest path, one row per series."""

    low: Floats
    expected: Floats
    high: Floats

    @property
    def sums(self) -> list[Floats]:
        return [np.cumsum(way, axis=1) for way in (self.low, self.expected, self.high)]


class _Group:
    """Forecasts of one zone, moment and period. Future hours begin at `counted_until`."""

    def __init__(
        self, zone: ZoneInfo, as_of: datetime, counted_until: datetime, starts_at: datetime, ends_at: datetime
    ) -> None:
        self._as_of = as_of
        self._until = max(as_of, counted_until)
        self._running = floor_hour(as_of)
        self._first = self._running - HOURS_BACK * HOUR
        self._zone = zone
        self._starts_at, self._ends_at = starts_at, ends_at
        # Distances from the running hour by the wall clock, which differ if clocks changed in between.
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
        """A running hour that already costs more than a whole one counts as one: later hours are expected as they will
        be after it. `whole`: expected cost of the whole running hour.

        The excess over the most expensive hour of the last day may repeat in the next hours, at most once on the
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
            # The rest of the running hour is expected as before.
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
        """USD of past hours and, last, the running one so far, one row per series; without planned spend, and as if the
        present mode had always been in force.
        """
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
        """USD of the plan in each of these hours."""
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
    """Wall-clock hours since 1970 of `count` UTC hours, shared by all budgets of a zone."""
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
    """The path scaled to end at `to` instead of `left`; spread evenly if it is all zero."""
    total = max(float(lengths.sum()), ROUNDING)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(left > 0, to / left, 0.0)
    return path * factor[:, None] + np.where(left > 0, 0.0, to)[:, None] * (lengths / total)


def _share(hour: datetime, since: datetime, until: datetime) -> float:
    return max(min(hour + HOUR, until) - max(hour, since), timedelta()) / HOUR


def _usd(amount: float) -> Decimal:
    # Round down, so that a sum below a limit does not reach it by its last digit.
    return Decimal(amount * (1 + ROUNDING)).quantize(MICRO_USD, rounding=ROUND_FLOOR)
