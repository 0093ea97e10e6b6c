"""Replay of stored hours: what a budget would have reported on limits, forecasts and spikes. Pure.

A clock walks through the stored hours. Each day counts as computed until its bill has settled, as it did then.
Forecasts see only the stored hours, so the first ones know less than the bot did.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from bot.alerts.decide import decide, taken
from bot.alerts.forecast import ForecastStep, Since, expect
from bot.alerts.incident import AlertKind, Incident, Level, Status
from bot.alerts.rules import DetectorRules, ForecastRules, SpikeRules
from bot.alerts.spike_rates import LONG, LOOK_BACK, Baseline, Spike, baseline, decide_spike, rates_of
from bot.budgets.budget import ORGANIZATION, Budget, Limit, Period, Scope
from bot.budgets.day_parts import midnight
from bot.budgets.forecast import Hours, forecast
from bot.budgets.review import STILL_REVIEWED
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import SETTLED_AFTER, ZERO
from bot.clock import DAY, HOUR, MINUTE, ceil_hour, floor_hour

REPLAYED = 30 * DAY

WARM_UP = 3 * DAY
"""Time replayed before the window: anything that would have been reported in it is not news later."""

FORECAST_EVERY = 6
"""Hours between two forecasts. One is made in between if the second passes a limit that the first does not."""

MINUTES = HOUR // MINUTE


@dataclass(frozen=True, slots=True)
class ReplayedAlert:
    """An alert that would have been posted at `at`. `spent_usd`: spend by then in the period with key `period`.

    `expected_usd`: the expected end, for a forecast. `usd_per_hour`: the rate, for a spike.
    """

    at: datetime
    level: Level
    period: str
    spent_usd: Decimal
    limit: Limit | None = None
    expected_usd: Decimal | None = None
    usd_per_hour: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """`since`, `until`: what was replayed. `missing_hours`: hours of it that are unknown.

    `history_since`: start of the history that forecasts use.
    """

    alerts: tuple[ReplayedAlert, ...]
    since: datetime
    until: datetime
    missing_hours: int
    history_since: datetime

    @property
    def is_whole(self) -> bool:
        """Whether all days of the replay window are known."""
        return self.until - self.since >= REPLAYED

    def count(self, level: Level) -> int:
        """Number of alerts of this level."""
        return sum(1 for alert in self.alerts if alert.level is level)


class History:
    """Spend of one scope in every stored hour. `first`: the midnight at which that begins."""

    def __init__(self, snapshot: Snapshot, scope: Scope, as_of: datetime) -> None:
        self._snapshot = snapshot
        self._scope = scope
        self.as_of = as_of
        self.running = floor_hour(as_of)
        self.first = midnight((as_of - REPLAYED - WARM_UP).date())
        end = self.running + HOUR
        [units], [every] = (snapshot.hourly([each], self.first, end) for each in (scope, ORGANIZATION))
        self.known: npt.NDArray[np.bool_] = snapshot.known(self.first, end)
        self._sums: list[int] = [0, *accumulate(units.tolist())]
        self._used: list[int] = [0, *accumulate(map(int, every != 0))]
        self.usd: npt.NDArray[np.float64] = units.astype(np.float64) / 10.0**snapshot.prices.places
        self.usd[~self.known] = np.nan
        self._before: dict[Period, Decimal] = {}
        self._days = [self._day(day) for day in self._whole_days()]
        self._settled = [ZERO, *accumulate(settled for settled, _ in self._days)]
        self._reported = [ZERO, *accumulate(reported for _, reported in self._days)]

    @property
    def known_since(self) -> datetime | None:
        """The first known hour; None if there is none."""
        hours = np.flatnonzero(self.known)
        return self.first + int(hours[0]) * HOUR if len(hours) else None

    def moments(self) -> Iterator[datetime]:
        """The clock: the end of each hour from the first known one to the age of the data."""
        moment = self.known_since
        while moment is not None and (moment := moment + HOUR) < self.as_of:
            yield moment
        yield self.as_of

    def hour_usd(self, hour: datetime) -> Decimal:
        """Dollars of one hour."""
        return self._computed(hour, hour + HOUR)

    def used_hours(self, since: datetime, until: datetime) -> int:
        """Number of hours with usage."""
        return self._used[self._at(until)] - self._used[self._at(since)]

    def missing(self, since: datetime) -> int:
        """Number of unknown hours since then."""
        return len(self.known) - self._at(since) - int(np.count_nonzero(self.known[self._at(since) :]))

    def spent(self, period: Period, at: datetime) -> Decimal:
        """Spend of the period by then, USD. At the last moment it equals what `status` shows."""
        begin, end = max(ceil_hour(period.starts_at), self.first), min(ceil_hour(period.ends_at), self._end_of(at))
        if end <= begin:
            return self._spent_before(period)
        whole, settled, over = self._places(period, at)
        billed = self._settled[settled] - self._settled[whole] if settled > whole else ZERO
        only_reported = self._reported[over] - self._reported[max(whole, settled)] if over > whole else ZERO
        return self._spent_before(period) + self._computed(begin, end) + billed + only_reported

    def _places(self, period: Period, at: datetime) -> tuple[int, int, int]:
        """Indexes of days: first in the period, first not settled, first not over."""
        begin = max(period.starts_at, self.first)
        whole = -((self.first - begin) // DAY)
        last = (period.ends_at - self.first) // DAY
        until = at if at < self.as_of else ceil_hour(at) + DAY
        begun = -((self.first - period.ends_at) // DAY)
        settled = (at - SETTLED_AFTER - self.first) // DAY
        return (
            whole,
            max(whole, min(settled, last, len(self._days))),
            min((until - self.first) // DAY, begun, len(self._days)),
        )

    def _spent_before(self, period: Period) -> Decimal:
        """Spend of the part of the period before the stored hours, USD."""
        if period.starts_at >= self.first:
            return ZERO
        if period not in self._before:
            older = replace(period, ends_at=min(period.ends_at, self.first))
            self._before[period] = self._snapshot.spend(self._scope, older).total_usd
        return self._before[period]

    def _whole_days(self) -> Iterator[date]:
        day = self.first.date()
        while day <= self.as_of.date():
            yield day
            day += DAY

    def _day(self, day: date) -> tuple[Decimal, Decimal]:
        """A day's bill minus its tokens, and what only the cost report has, USD."""
        starts_at = midnight(day)
        spend = self._snapshot.spend(self._scope, Period(day.isoformat(), starts_at, starts_at + DAY))
        end = min(starts_at + DAY, self.running + HOUR)
        return spend.total_usd - self._computed(starts_at, end), spend.report_only_usd

    def _computed(self, begin: datetime, end: datetime) -> Decimal:
        return self._snapshot.prices.usd(self._sums[self._at(end)] - self._sums[self._at(begin)])

    def _at(self, hour: datetime) -> int:
        return min(max((hour - self.first) // HOUR, 0), len(self._sums) - 1)

    def _end_of(self, at: datetime) -> datetime:
        return self.running + HOUR if at >= self.as_of else at


def replayed(snapshot: Snapshot, budget: Budget, rules: DetectorRules) -> Replay | None:
    """Replay the last 30 days, or the known ones; None if none are known. `budget`: with the ids of its scope.

    Spikes are measured on whole hours, as older usage is stored.
    """
    if snapshot.as_of is None:
        return None
    history = History(snapshot, budget.scope, snapshot.as_of)
    known_since = history.known_since
    if known_since is None:
        return None
    since = max(known_since, history.as_of - REPLAYED)
    limits = list(_limits(history, budget))
    alerts = [*limits, *_forecasts(history, budget, rules.of(ForecastRules))]
    alerts += _spikes(history, budget, [alert.at for alert in limits], rules.of(SpikeRules))
    shown = sorted((alert for alert in alerts if alert.at > since), key=lambda alert: alert.at)
    return Replay(tuple(shown), since, history.as_of, history.missing(ceil_hour(since)), known_since)


def _limits(history: History, budget: Budget) -> Iterator[ReplayedAlert]:
    incidents: dict[str, list[Incident]] = {}
    posted: set[tuple[str, Limit]] = set()
    for at in history.moments():
        for period in budget.periods_since(at - STILL_REVIEWED, at):
            if period.starts_at >= at:
                continue
            spent = history.spent(period, at)
            steps = decide(budget, spent, incidents.get(period.key, ()))
            if not steps:
                continue
            incidents[period.key] = taken(steps, incidents.get(period.key, ()))
            for step in steps:
                if step.post and (period.key, step.limit) not in posted:
                    posted.add((period.key, step.limit))
                    yield ReplayedAlert(at, step.limit.kind, period.key, spent, step.limit)


def _forecasts(history: History, budget: Budget, rules: ForecastRules) -> Iterator[ReplayedAlert]:
    if not rules.enabled:
        return
    walk = _ForecastWalk(history, budget, rules)
    waiting: list[datetime] = []
    for at in history.moments():
        waiting.append(at)
        if len(waiting) < FORECAST_EVERY and at < history.as_of:
            continue
        *between, last = waiting
        if walk.may_differ(last):
            for moment in between:
                yield from walk.look(moment)
        yield from walk.look(last)
        waiting = []


class _ForecastWalk:
    def __init__(self, history: History, budget: Budget, rules: ForecastRules) -> None:
        self._history, self._budget, self._rules = history, budget, rules
        self._incidents: dict[str, dict[Limit, Incident]] = {}
        self._since: tuple[str, Since] = "", {}
        self._expected: dict[datetime, Decimal | None] = {}
        self._posted: set[tuple[str, Limit]] = set()
        self._passed: tuple[str, frozenset[Decimal]] = "", frozenset()

    def may_differ(self, at: datetime) -> bool:
        """Whether a limit is passed that was not at the last look, and was not reported in this period."""
        key, passing = self._passing(at)
        before = self._passed[1] if self._passed[0] == key else frozenset()
        reported = {limit.usd for period, limit in self._posted if period == key}
        return bool(passing - before - reported)

    def look(self, at: datetime) -> Iterator[ReplayedAlert]:
        """Alerts that would have been posted at `at`."""
        period = self._budget.period_at(at)
        self._passed = self._passing(at)
        expected = self._end(period, at)
        if expected is None:
            return
        known = self._incidents.setdefault(period.key, {})
        since = self._since[1] if self._since[0] == period.key else {}
        spent = self._history.spent(period, at)
        found = expect(self._budget, spent, expected, list(known.values()), since, self._rules, at)
        self._since = period.key, found.since
        for step in found.steps:
            known[step.limit] = Incident(AlertKind.FORECAST, step.limit, step.status)
            if self._is_news(period, step):
                self._posted.add((period.key, step.limit))
                yield ReplayedAlert(at, AlertKind.FORECAST, period.key, spent, step.limit, expected_usd=expected)

    def _is_news(self, period: Period, step: ForecastStep) -> bool:
        return step.post and (period.key, step.limit) not in self._posted

    def _passing(self, at: datetime) -> tuple[str, frozenset[Decimal]]:
        period = self._budget.period_at(at)
        expected, spent = self._end(period, at), self._history.spent(period, at)
        limits = (limit.usd for limit in self._budget.limits())
        passed = frozenset(usd for usd in limits if expected is not None and spent < usd <= expected)
        return period.key, passed

    def _end(self, period: Period, at: datetime) -> Decimal | None:
        """The expected end, USD; spend so far if no limit is left, which needs no forecast."""
        if at not in self._expected:
            spent = self._history.spent(period, at)
            left = any(spent < limit.usd for limit in self._budget.limits())
            self._expected[at] = self._forecast(period, spent, at) if left else spent
        return self._expected[at]

    def _forecast(self, period: Period, spent: Decimal, at: datetime) -> Decimal | None:
        history = self._history
        running = (floor_hour(at) - history.first) // HOUR
        usd = history.usd[: running + 1].copy()
        if at < history.as_of:
            usd = np.append(history.usd[:running], 0.0)
        made = forecast(self._budget, period, spent, Hours(history.first, usd), at)
        return None if made is None else made.expected_usd


def _spikes(
    history: History, budget: Budget, limits_posted: Sequence[datetime], rules: SpikeRules
) -> Iterator[ReplayedAlert]:
    if not rules.enabled:
        return
    newest: Spike | None = None
    for at in history.moments():
        hour = at - LONG
        usd = history.hour_usd(hour) if at == floor_hour(at) else ZERO
        is_open = newest is not None and newest.status is Status.OPEN
        if at != floor_hour(at) or (usd < rules.floor_usd_per_hour and not is_open):
            continue
        rates = rates_of({hour + index * MINUTE: usd / MINUTES for index in range(MINUTES)}, at)
        usual = None if is_open else _usual(history, budget, at, rules)
        posted = limits_posted[: bisect_right(limits_posted, at)]
        taken_ = decide_spike(rates, usual, newest, posted[-1] if posted else None, rules, at)
        if taken_ is None:
            continue
        again = newest is not None and newest.key == taken_.key
        opened_at = newest.opened_at if newest is not None and again else at
        newest = Spike(taken_.key, taken_.bound, taken_.step.status, opened_at, at)
        if taken_.step.post:
            period = budget.period_at(hour)
            yield ReplayedAlert(at, AlertKind.SPIKE, period.key, history.spent(period, at), usd_per_hour=rates.long)


def _usual(history: History, budget: Budget, at: datetime, rules: SpikeRules) -> Baseline | None:
    until = at - LONG
    since = max(until - LOOK_BACK, history.first)
    count = (until - since) // HOUR
    start = (since - history.first) // HOUR
    hours = {
        since + index * HOUR: history.hour_usd(since + index * HOUR)
        for index in range(count)
        if history.known[start + index]
    }
    return baseline(hours, history.used_hours(since, until), budget.zone, at, rules)
