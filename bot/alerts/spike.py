"""Detector of spikes: USD an hour of every budget, from the last hour minute by minute.

A runaway shows in every budget that counts its callers. It is reported once: by the widest of them, or by the one that
already has an alert.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from bot.alerts.detector import DetectorContext
from bot.alerts.incident import AlertKind, Identity, Status
from bot.alerts.model import BudgetAlert, Transition, at_step
from bot.alerts.rules import SpikeRules
from bot.alerts.spike_rates import (
    LONG,
    LOOK_BACK,
    QUIET_AFTER_LIMIT,
    SHORT,
    Baseline,
    Rates,
    Spike,
    SpikeStep,
    around,
    baseline,
    decide_spike,
    rates_of,
    window_end,
)
from bot.budgets.budget import Budget, Scope, ScopeKind
from bot.budgets.budget_spend import NamedCause, NamedMover, named_cause, named_mover
from bot.budgets.calendar import Window, overlap
from bot.budgets.day_parts import parts_of
from bot.budgets.recent import RecentSpend
from bot.budgets.snapshot import Snapshot
from bot.budgets.trend import ROSE, WHOLE, Stretch
from bot.budgets.usage_table import Money
from bot.clock import DAY, HOUR, MINUTE, floor_hour, is_over

WIDE = (ScopeKind.ORGANIZATION, ScopeKind.WORKSPACE, ScopeKind.FEATURE)
"""Wide scopes, widest first; all others are narrower."""

WHY_BACK = 4 * DAY
"""How far back callers are compared with the last hour: at least over a weekend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikeAlert(BudgetAlert):
    """USD an hour far above usual. `bound_usd_per_hour`: the rate from which it was a spike.

    `key`: when it was first seen. `usual_usd_per_hour`: None if unknown. Movers and causes compare the last hour with
    the mean hour of the two weeks before. `within`: further budgets that see the same spike.
    """

    kind: Literal[AlertKind.SPIKE] = AlertKind.SPIKE
    key: str
    bound_usd_per_hour: Decimal
    long_usd_per_hour: Decimal
    short_usd_per_hour: Decimal
    usual_usd_per_hour: Decimal | None
    since: datetime
    movers: tuple[NamedMover, ...]
    causes: tuple[NamedCause, ...]
    within: tuple[str, ...] = ()

    @property
    def budgets(self) -> tuple[str, ...]:
        """The further budgets have no spike of their own."""
        return (self.spend.budget, *self.within)

    @property
    def identity(self) -> Identity:
        return Identity(AlertKind.SPIKE, self.spend.budget, self.key)

    @property
    def incident(self) -> str:
        return self.identity.visible(self.bound_usd_per_hour)

    @property
    def is_urgent(self) -> bool:
        return True

    @property
    def bound(self) -> Decimal:
        return self.bound_usd_per_hour


@dataclass(frozen=True, slots=True)
class _LastHour:
    """The long window, which ends at `until`.

    `minutes`: units of money by minute, one row for each of `scopes`. `unplanned`: the same without minutes in which a
    whole scope is planned or expected; only those open a spike. `planned`: scopes for which that is so in this hour.
    `steady`: units an hour of the windows, without the most expensive minute. `reaching`: scopes that reach the floor
    in both windows: no bound is lower.
    """

    snapshot: Snapshot
    until: datetime
    scopes: Mapping[Scope, int]
    minutes: Money
    unplanned: Money
    planned: Sequence[Scope]
    steady: tuple[Money, Money]
    reaching: AbstractSet[Scope]

    def reaches(self, scope: Scope, usual: Baseline | None) -> bool:
        """Whether the scope spends far above usual, in both windows."""
        if usual is None or scope not in self.reaching:
            return False
        bound = int(usual.bound.scaleb(self.snapshot.prices.places))
        return all(units[self.scopes[scope]] >= bound for units in self.steady)

    @property
    def first_hour(self) -> datetime:
        """The hour in which the window begins; earlier hours are history."""
        return floor_hour(self.until - LONG)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One budget in this look. `taken`: the step that its own figures require.

    `covers`: an open message, about its spike or its limit, already names the callers of its scope.
    """

    budget: Budget
    newest: Spike | None
    rates: Rates
    usual: Baseline | None
    taken: SpikeStep | None
    covers: bool

    @property
    def opens(self) -> bool:
        return self.taken is not None and self.taken.step.status is Status.OPEN


class SpikeDetector:
    """Checks every budget of the review."""

    name = "spikes"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        self._rules = context.rules.of(SpikeRules)
        self._usual: dict[tuple[Scope, ZoneInfo], Baseline | None] = {}
        self._usual_around: tuple[datetime, ...] = ()

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """The steps of every budget's spike.

        Nothing is decided if the last hour is not known minute by minute, as after a long outage.
        """
        if not self._rules.enabled:
            return
        budgets = sorted(self._context.review.budgets, key=lambda budget: _width(budget.scope))
        last = self._last_hour({budget.scope for budget in budgets})
        if last is None:
            return
        is_open = self._context.spikes.open()
        self._learn(last, [budget for budget in budgets if budget.name in is_open or budget.scope in last.reaching])
        seen = [
            self._see(budget, last, now)
            for budget in budgets
            if budget.name in is_open or last.reaches(budget.scope, self._usual.get((budget.scope, budget.zone)))
        ]
        for each in seen:
            if each.taken is not None and not each.opens:
                yield self._transitions(each, each.taken, (), last, mode, now)
        # Do not report planned or expected spend, not even as part of a wider budget's.
        reported = [*last.planned, *(each.budget.scope for each in seen if each.covers)]
        beginning = [each for each in seen if each.opens]
        while beginning:
            first, *beginning = beginning
            if first.taken is None or self._is_reported(first, reported, last):
                continue
            reported.append(first.budget.scope)
            within = [each for each in beginning if self._is_reported(each, reported, last)]
            yield self._transitions(first, first.taken, [each.budget.name for each in within], last, mode, now)
            beginning = [each for each in beginning if each not in within]

    def _see(self, budget: Budget, last: _LastHour, now: datetime) -> _Seen:
        newest = self._context.spikes.newest(budget.name)
        is_open = newest is not None and newest.status is Status.OPEN
        minutes = last.minutes if is_open else last.unplanned
        rates = _rates(last.snapshot, minutes[last.scopes[budget.scope]], last.until)
        usual = self._usual[budget.scope, budget.zone]
        posted_at = self._context.spikes.limit_posted_at(budget.name)
        taken = decide_spike(rates, usual, newest, posted_at, self._rules, now)
        if is_open:
            covers = taken is None
        else:
            reaches = usual is not None and rates.reach(usual.bound)
            quiet = posted_at is not None and not is_over(QUIET_AFTER_LIMIT, posted_at, now)
            covers = taken is None and reaches and quiet
        return _Seen(budget, newest, rates, usual, taken, covers)

    def _is_reported(self, seen: _Seen, reported: Sequence[Scope], last: _LastHour) -> bool:
        """Whether the spend outside the reported scopes is no spike by itself."""
        if seen.usual is None or not reported:
            return False
        return not self._rates_without(seen.budget.scope, reported, last).reach(seen.usual.bound)

    def _last_hour(self, scopes: Collection[Scope]) -> _LastHour | None:
        snapshot = self._context.snapshots.current()
        if snapshot.as_of is None:
            return None
        until = window_end(snapshot.as_of)
        asked = {scope: row for row, scope in enumerate(scopes)}
        minutes = snapshot.minutes(list(asked), until - LONG, until)
        if minutes is None:
            return None
        floor = int(self._rules.floor_usd_per_hour.scaleb(snapshot.prices.places))
        windows = self._context.review.windows(until - LONG, until)
        unplanned = _without(minutes, asked, windows, until)
        short = unplanned[:, -(SHORT // MINUTE) :]
        steady = (
            unplanned.sum(axis=1) - unplanned.max(axis=1),
            (short.sum(axis=1) - short.max(axis=1)) * (LONG // SHORT),
        )
        reaching = frozenset(scope for scope, row in asked.items() if min(part[row] for part in steady) >= floor)
        planned = [window.scope for window in windows if window.scope is not None]
        return _LastHour(snapshot, until, asked, minutes, unplanned, planned, steady, reaching)

    def _learn(self, last: _LastHour, budgets: Sequence[Budget]) -> None:
        """Compute what is usual for these budgets, once an hour."""
        if self._usual_around != around(last.until):
            self._usual, self._usual_around = {}, around(last.until)
        zones: dict[Scope, set[ZoneInfo]] = {}
        for budget in budgets:
            if (budget.scope, budget.zone) not in self._usual:
                zones.setdefault(budget.scope, set()).add(budget.zone)
        if not zones:
            return
        snapshot, until = last.snapshot, last.first_hour
        since = until - LOOK_BACK
        known = np.flatnonzero(snapshot.known(since, until)).tolist()
        windows = self._context.review.windows(since, until)
        with_usage = sum(snapshot.day(part.day).used_in(part.first, part.last) for part in parts_of(since, until))
        for scope, units in zip(zones, snapshot.hourly(list(zones), since, until), strict=True):
            planned = {hour for each in windows if each.touches(scope) for hour in overlap(each, since, until)}
            hours = {
                since + index * HOUR: snapshot.prices.usd(units[index])
                for index in known
                if since + index * HOUR not in planned
            }
            for zone in zones[scope]:
                self._usual[scope, zone] = baseline(hours, with_usage, zone, last.until, self._rules)

    def _transitions(
        self, seen: _Seen, taken: SpikeStep, within: Sequence[str], last: _LastHour, mode: str, now: datetime
    ) -> Sequence[Transition]:
        spend = self._context.review.spend_against(seen.budget, now)
        if spend is None:
            return ()
        movers, causes = self._why(seen.budget.scope, last) if seen.opens else ((), ())
        newest, rates, usual = seen.newest, seen.rates, seen.usual
        payload = SpikeAlert(
            **at_step(taken.step, mode, now),
            key=taken.key,
            bound_usd_per_hour=taken.bound,
            spend=spend,
            long_usd_per_hour=rates.long,
            short_usd_per_hour=rates.short,
            usual_usd_per_hour=None if usual is None else usual.usual,
            since=now if newest is None or newest.key != taken.key else newest.opened_at,
            movers=movers,
            causes=causes,
            within=tuple(within),
        )
        return [Transition(payload, taken.step.post)]

    def _why(self, scope: Scope, last: _LastHour) -> tuple[tuple[NamedMover, ...], tuple[NamedCause, ...]]:
        """Movers and causes: the last hour against the mean hour of the days before."""
        snapshot, until = last.snapshot, last.first_hour
        since = until - WHY_BACK
        known = snapshot.known_hours(since, until)
        if not known:
            return (), ()
        hour = [Stretch(last.until - LONG, last.until, WHOLE)]
        recent = RecentSpend(snapshot, last.until - LONG, last.until, hour, [Stretch(since, until, WHOLE / known)])
        names, moves = snapshot.names, self._context.review.in_force(last.until).moves(last.until)
        by_mode = partial(recent.is_moved, moves, on=last.until.date())
        return (
            tuple(
                named_mover(
                    mover,
                    names,
                    seen_before=recent.seen_before(mover, floor_hour(last.until - DAY)),
                    by_mode=by_mode(mover, mover.usd, mover.before_usd),
                )
                for mover in recent.risen(scope)
            ),
            tuple(
                named_cause(
                    cause,
                    names,
                    by_mode=cause.kind in ROSE and by_mode(cause, cause.after, cause.before),
                )
                for cause in recent.causes(scope, floor_hour(last.until - DAY))
            ),
        )

    def _rates_without(self, scope: Scope, without: Sequence[Scope], last: _LastHour) -> Rates:
        """Rates of spend that the scope counts and none of the others does."""
        snapshot, index = last.snapshot, last.snapshot.index
        inside = index.callers_in(scope, snapshot.callers)
        for other in without:
            inside &= ~index.callers_in(other, snapshot.callers)
        units = snapshot.prices.zeros(LONG // MINUTE)
        for hour, table in snapshot.rows(last.until - LONG, last.until):
            mask = inside[index.caller_of_group.values[table.group]]
            at = table.minute[mask] + (hour - (last.until - LONG)) // MINUTE
            np.add.at(units, at, table.units[mask])
        return _rates(snapshot, units, last.until)


def _without(minutes: Money, scopes: Mapping[Scope, int], windows: Sequence[Window], until: datetime) -> Money:
    """The minutes of the hour that ends at `until`, without planned ones."""
    if not windows:
        return minutes
    found, since = minutes.copy(), until - LONG
    for window in windows:
        first = max((window.starts_at - since) // MINUTE, 0)
        last = max(-((since - window.ends_at) // MINUTE), 0)
        for scope, row in scopes.items():
            if window.covers(scope):
                found[row, first:last] = 0
    return found


def _width(scope: Scope) -> int:
    return WIDE.index(scope.kind) if scope.kind in WIDE else len(WIDE)


def _rates(snapshot: Snapshot, units: Money, until: datetime) -> Rates:
    first = until - LONG
    dollars = {first + index * MINUTE: snapshot.prices.usd(one) for index, one in enumerate(units.tolist()) if one}
    return rates_of(dollars, until)
