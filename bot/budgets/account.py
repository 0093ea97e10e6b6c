"""Figures of a budget at one moment: sums, expected end, callers, causes, and what each mode would cost."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Flag, auto
from functools import cached_property, partial

import numpy as np

from bot.budgets.budget import ATTRIBUTED, ORGANIZATION, Budget, Period, Scope
from bot.budgets.budget_spend import BudgetSpend, ModeShare, NamedCause, NamedMover, named_cause, named_mover
from bot.budgets.calendar import Window
from bot.budgets.course import Line, line_of
from bot.budgets.day_parts import midnight
from bot.budgets.forecast import HOURS_BACK, Forecast, Hours, ModeShift, Request, forecasts, path
from bot.budgets.forecast_model import Floats
from bot.budgets.live import LiveSpend
from bot.budgets.planned_hours import planned_spend
from bot.budgets.recent import RecentSpend, recent_spend
from bot.budgets.savings import InForce, mode_shares, mode_shifts, reckoned_mode
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import Spend
from bot.budgets.trend import LEAST_SHARE, LEAST_USD, MOST_MOVERS, ROSE, Cause, Mover, usd_of, usd_under
from bot.clock import DAY, HOUR, floor_day, floor_hour
from bot.mode import Mode

Shifts = Sequence[ModeShift]

HOURS_COMPARED = 6
"""Hours compared before and after a change of the mode."""


def forecasts_of(
    live: LiveSpend, asked: Sequence[tuple[Budget, Period, Shifts]], windows: Sequence[Window] = ()
) -> list[Forecast | None]:
    """The forecast of each budget's period that the data has reached; provisional spend counts.

    `asked`: budget, period, and the mode changes with their factor for the scope. A change that usage does not show is
    ignored: services may not have followed it. `windows`: planned spend, past or to come.
    """
    snapshot = live.usage
    as_of = snapshot.as_of
    if as_of is None:
        return [None for _ in asked]
    spends = [live.spend(budget.scope, period) for budget, period, _ in asked]
    planned = [_planned_for(budget, windows) for budget, *_ in asked]
    keys = [
        ("forecast", budget, period, tuple(shifts), plans)
        for (budget, period, shifts), plans in zip(asked, planned, strict=True)
    ]
    memos = [live.forecasts if spend.provisional_usd else snapshot.memo for spend in spends]
    missing = {
        key: (*each, spend, plans)
        for key, each, spend, memo, plans in zip(keys, asked, spends, memos, planned, strict=True)
        if key not in memo
    }
    made = dict(zip(missing, forecasts(_requests(live, as_of, list(missing.values()))), strict=True))
    for key, memo in zip(keys, memos, strict=True):
        if key in made:
            memo[key] = made[key]
    return [memo[key] for key, memo in zip(keys, memos, strict=True)]


def _requests(
    live: LiveSpend, as_of: datetime, asked: Sequence[tuple[Budget, Period, Shifts, Spend, tuple[Window, ...]]]
) -> list[Request]:
    hours = hours_of(live.usage, [budget.scope for budget, *_ in asked], as_of)
    return [
        Request(
            budget=budget,
            period=period,
            spent_usd=spend.total_usd,
            hours=known,
            as_of=as_of,
            shifts=shown(shifts, known, as_of),
            planned=planned_spend(plans, known, as_of, period.ends_at),
            counted_until=live.counted_until if spend.provisional_usd else as_of,
        )
        for (budget, period, shifts, spend, plans), known in zip(asked, hours, strict=True)
    ]


def _planned_for(budget: Budget, windows: Sequence[Window]) -> tuple[Window, ...]:
    return tuple(window for window in windows if window.touches(budget.scope)) if windows else ()


def hours_of(snapshot: Snapshot, scopes: Sequence[Scope], as_of: datetime) -> list[Hours]:
    """Known hours of each scope up to `as_of`, the age of the data."""
    running = floor_hour(as_of)
    first = running - HOURS_BACK * HOUR
    usd = snapshot.hourly(scopes, first, running + HOUR).astype(np.float64) / 10.0**snapshot.prices.places
    for row, scope in zip(usd, scopes, strict=True):
        if scope.kind in ATTRIBUTED:
            row[:] = _divided_evenly(snapshot, scope, first, as_of)
    usd[:, ~snapshot.known(first, running + HOUR)] = np.nan
    return [Hours(first, row) for row in usd]


def _divided_evenly(snapshot: Snapshot, scope: Scope, first: datetime, as_of: datetime) -> Floats:
    """USD by hour from `first` to the running one, each whole UTC day divided evenly among its hours.

    NaN for the running day: the share usually spent by now is unknown.
    """
    hours = np.arange((floor_hour(as_of) - first) // HOUR + 1)
    found = np.zeros(len(hours))
    for day, usd in snapshot.attributed(scope).items():
        begin = (midnight(day) - first) / HOUR
        share = np.clip(np.minimum(hours + 1, begin + DAY / HOUR) - np.maximum(hours, begin), 0, 1)
        found += float(usd) / (DAY / HOUR) * share
    found[hours >= (floor_day(as_of) - first) / HOUR] = np.nan
    return found


def shown(shifts: Shifts, hours: Hours, as_of: datetime) -> tuple[ModeShift, ...]:
    """The changes that usage shows: it has moved more than half way from the cost of the same hours the day before.

    Half way is the geometric mean: a tenth and ten times are as far.

    Only complete hours count; the first ones after a change are compared with the same ones before.
    """
    return tuple(shift for shift in shifts if _is_shown(shift, hours, as_of))


def _is_shown(shift: ModeShift, hours: Hours, as_of: datetime) -> bool:
    first = (floor_hour(shift.at) - hours.starts_at) // HOUR + 1
    last = min((floor_hour(as_of) - hours.starts_at) // HOUR, first + HOURS_COMPARED, len(hours.usd))
    if first < DAY // HOUR or last <= first:
        return False
    after, before = hours.usd[first:last], hours.usd[first - DAY // HOUR : last - DAY // HOUR]
    known = ~(np.isnan(after) | np.isnan(before))
    was, is_now = float(before[known].sum()), float(after[known].sum())
    half = was * shift.factor**0.5
    return was > 0 and (is_now <= half if shift.factor < 1 else is_now >= half)


class Detail(Flag):
    """Figures of a budget beyond its sums. Each costs work, so ask only for what is shown.

    `ENDS`: expected end of the period. `WHY`: callers and causes. `SHARES`: what each mode costs.
    """

    NONE = 0
    ENDS = auto()
    WHY = auto()
    SHARES = auto()
    ALL = ENDS | WHY | SHARES


class Account:
    """Figures from one snapshot, whose data has an age. `stale`: no forecast of the rest of a period.

    Sums and expected ends include provisional spend, whose largest caller is named. Causes and savings only use the
    snapshot.

    `in_force`: the fallback mode, read when needed. `windows`: planned spend between two moments.
    """

    def __init__(
        self,
        live: LiveSpend,
        as_of: datetime,
        modes: Mapping[str, Mode],
        in_force: Callable[[], InForce],
        *,
        stale: bool,
        windows: Callable[[datetime, datetime], Sequence[Window]] = lambda since, until: (),
    ) -> None:
        self._live = live
        self._windows = windows
        self._snapshot = live.usage
        self._as_of = as_of
        self._modes = modes
        self._in_force = in_force
        self._stale = stale

    def facts(self, asked: Sequence[tuple[Budget, Period]], now: datetime, detail: Detail) -> list[BudgetSpend]:
        """Figures of each budget's period; only the sums if it is over."""
        running = [pair for pair in asked if not pair[1].is_over(now)] if Detail.ENDS in detail else []
        expected = dict(zip(running, self.forecasts(running), strict=True))
        return [
            self._facts(
                budget, period, expected.get((budget, period)), now, Detail.NONE if period.is_over(now) else detail
            )
            for budget, period in asked
        ]

    def forecasts(self, asked: Sequence[tuple[Budget, Period]]) -> list[Forecast | None]:
        """Forecasts of periods that the data has reached; None with too little or stale data."""
        if self._stale:
            return [None for _ in asked]
        until = max((period.ends_at for _, period in asked), default=self._as_of)
        windows = self._windows(floor_hour(self._as_of) - HOURS_BACK * HOUR, until)
        return forecasts_of(self._live, [(budget, period, self._shifts(budget)) for budget, period in asked], windows)

    def line(self, budget: Budget, period: Period) -> Line | None:
        """The line of a period that the data has reached to its expected end; None with stale data."""
        if self._stale:
            return None
        spend = self._live.spend(budget.scope, period)
        windows = self._windows(floor_hour(self._as_of) - HOURS_BACK * HOUR, period.ends_at)
        asked = (budget, period, self._shifts(budget), spend, _planned_for(budget, windows))
        [request] = _requests(self._live, self._as_of, [asked])
        until = request.counted_until or self._as_of
        return line_of(self._live, budget, period, until, partial(path, request))

    def _reckoned_mode(self, budget: Budget, expected: Forecast) -> str:
        changes = self._mode.changes
        return reckoned_mode(changes, self._shifts(budget), expected.shifts) if changes else self._mode.mode

    def _shifts(self, budget: Budget) -> tuple[ModeShift, ...]:
        changes = self._mode.changes
        return mode_shifts(changes, self._shares(budget)) if changes else ()

    def _facts(
        self, budget: Budget, period: Period, expected: Forecast | None, now: datetime, detail: Detail
    ) -> BudgetSpend:
        spend = self._live.spend(budget.scope, period)
        return BudgetSpend(
            budget=budget.name,
            scope=str(budget.scope),
            soft_usd=budget.soft_usd,
            hard_usd=budget.hard_usd,
            raised=budget.raised,
            period=period.key,
            ends_at=period.ends_at,
            spent_usd=spend.total_usd,
            billed_usd=spend.billed_usd,
            billed_days=spend.billed_days,
            computed_usd=spend.computed_usd,
            report_only_usd=spend.report_only_usd,
            provisional_usd=spend.provisional_usd,
            provisional_since=spend.provisional_since,
            attributed=spend.attributed,
            at_least=spend.at_least,
            hidden=tuple(sorted(spend.hidden)),
            assumed=spend.assumed,
            expected_usd=None if expected is None else expected.expected_usd,
            low_usd=None if expected is None else expected.low_usd,
            high_usd=None if expected is None else expected.high_usd,
            forecast_mode=None if expected is None else self._reckoned_mode(budget, expected),
            movers=self.movers(budget.scope, spend) if Detail.WHY in detail else (),
            causes=self._causes(budget) if Detail.WHY in detail else (),
            shares=self._shares(budget) if Detail.SHARES in detail and not self._stale else (),
            as_of=self._as_of,
            stale_at=now if self._stale else None,
        )

    @cached_property
    def _mode(self) -> InForce:
        return self._in_force()

    @cached_property
    def _recent(self) -> RecentSpend:
        return recent_spend(self._snapshot)

    @property
    def _known_from(self) -> datetime:
        """The first hour that lies at least partly in the last 24 hours."""
        return floor_hour(self._recent.until - DAY)

    def _shares(self, budget: Budget) -> tuple[ModeShare, ...]:
        """What each mode would cost, from the last 24 hours in which no mode restricted the team."""
        mix = recent_spend(self._snapshot, self._mode.mix_until)
        usage, card = mix.of_scope(budget.scope), self._snapshot.card
        under = partial(usd_under, recent=usage, scope=ORGANIZATION, card=card)
        return mode_shares(self._modes.values(), usd_of(usage, ORGANIZATION, card), under)

    def movers(self, scope: Scope, spend: Spend, most: int = MOST_MOVERS) -> tuple[NamedMover, ...]:
        """The largest callers, plus the main caller of provisional spend if large enough to name."""
        names = self._snapshot.names
        found = tuple(
            named_mover(
                mover,
                names,
                seen_before=self._recent.seen_before(mover, self._known_from),
                by_mode=self._by_mode(mover, mover.usd, mover.before_usd),
            )
            for mover in self._recent.movers(scope, most)
        )
        newest = self._live.provisional_caller(scope, spend)
        if newest is None or newest.usd < max(LEAST_USD, LEAST_SHARE * self._recent.usd(scope)):
            return found
        return tuple(sorted((*found, newest), key=lambda mover: -mover.usd)[:most])

    def _causes(self, budget: Budget) -> tuple[NamedCause, ...]:
        names = self._snapshot.names
        return tuple(
            named_cause(
                cause,
                names,
                by_mode=cause.kind in ROSE and self._by_mode(cause, cause.after, cause.before),
            )
            for cause in self._recent.causes(budget.scope, self._known_from)
        )

    def _by_mode(self, found: Mover | Cause, usd: Decimal, before_usd: Decimal | None) -> bool:
        until = self._recent.until
        return self._recent.is_moved(self._mode.moves(until), found, usd, before_usd, until.date())


class Spending:
    """Sums of many budgets; further figures of one are computed when it is shown."""

    def __init__(self, asked: Sequence[tuple[Account, Sequence[tuple[Budget, Period]]]], now: datetime) -> None:
        self._asked = asked
        self._account_of = {budget.name: (account, (budget, period)) for account, of in asked for budget, period in of}
        self._now = now

    def __add__(self, other: "Spending") -> "Spending":
        """Combine two at the same moment."""
        return Spending([*self._asked, *other._asked], self._now)

    def sums(self) -> list[BudgetSpend]:
        """Sums of all budgets."""
        return [spend for account, asked in self._asked for spend in account.facts(asked, self._now, Detail.NONE)]

    def of(self, name: str) -> BudgetSpend | None:
        """Sums of one budget; None if nothing is known of it."""
        return self._spend(name, Detail.NONE) if name in self._account_of else None

    def detailed(self, spend: BudgetSpend, detail: Detail) -> BudgetSpend:
        """One budget's sums with the requested further figures."""
        return self._spend(spend.budget, detail)

    def _spend(self, name: str, detail: Detail) -> BudgetSpend:
        account, asked = self._account_of[name]
        [found] = account.facts([asked], self._now, detail)
        return found
