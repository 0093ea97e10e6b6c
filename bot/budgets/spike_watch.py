"""Watches the dollars an hour of every budget: reads the last hour minute by minute, decides, and records."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.alerts.facts import CauseFacts, MoverFacts, SpikeFacts
from bot.budgets.budget import Budget, Scope
from bot.budgets.burn_rate import (
    LONG,
    LOOK_BACK,
    Baseline,
    Rates,
    Spike,
    SpikeStep,
    baseline,
    decide_spike,
    rates_of,
    window_end,
)
from bot.budgets.causes import causes
from bot.budgets.decide import Status, Step
from bot.budgets.named import cause_facts, mover_facts
from bot.budgets.outlook import WHOLE, Recent, RecentUsage, risen
from bot.budgets.review import BudgetReview
from bot.budgets.rules import SpikeRules
from bot.budgets.spend import ZERO, PricedUsage, in_scope, price_usage
from bot.clock import DAY, floor_hour
from bot.pricing.card import RateCard
from bot.store.alerts import AlertStore
from bot.store.spikes import SpikeStore
from bot.store.usage import UsageStore


@dataclass(frozen=True, slots=True)
class _LastHour:
    """The usage of the long window, which ends at `until`, by its minutes."""

    until: datetime
    minutes: Mapping[datetime, list[PricedUsage]]

    @property
    def first_hour(self) -> datetime:
        """The hour in which the window begins: what lies before it is the past."""
        return floor_hour(self.until - LONG)


@dataclass(slots=True)
class _Past:
    """USD by hour of the scopes that were asked for, up to `until`, which is a full hour.

    `with_usage`: how many hours had any usage in the whole organisation.
    """

    until: datetime
    with_usage: int
    hours: dict[Scope, dict[datetime, Decimal]]


class SpikeWatch:
    """Synchronous; asynchronous callers use a thread. The budgets are those of the review."""

    def __init__(
        self,
        usage: UsageStore,
        alerts: AlertStore,
        spikes: SpikeStore,
        review: BudgetReview,
        card: RateCard,
        rules: SpikeRules,
    ) -> None:
        self._usage = usage
        self._alerts = alerts
        self._spikes = spikes
        self._review = review
        self._card = card
        self._rules = rules
        self._past: _Past | None = None

    def look(self, now: datetime, mode: str) -> None:
        """Take and record the step of every budget's spike, if there is one. `mode`: the fallback mode in force.

        Nothing is decided where the last hour is not known minute by minute, as after a long outage.
        """
        last = self._last_hour() if self._rules.enabled else None
        if last is not None:
            for budget in self._review.budgets:
                self._look_at(budget, last, mode, now)

    def _look_at(self, budget: Budget, last: _LastHour, mode: str, now: datetime) -> None:
        rates = rates_of(
            {minute: self._dollars(rows, budget.scope) for minute, rows in last.minutes.items()}, last.until
        )
        newest = self._spikes.newest(budget.name)
        is_open = newest is not None and newest.status is Status.OPEN
        if not is_open and not rates.reach(self._rules.floor_usd_per_hour):
            # No bound is below the floor, so what is usual need not be known.
            return
        usual = self._baseline(budget, last)
        taken = decide_spike(rates, usual, newest, self._spikes.limit_posted_at(budget.name), self._rules, now)
        if taken is not None:
            facts_of = self._facts_of(budget, taken, newest, rates, usual, last, mode, now)
            self._alerts.record(budget.name, taken.period, [taken.step], facts_of, now)

    def _last_hour(self) -> _LastHour | None:
        as_of = self._usage.data_state().as_of
        if as_of is None:
            return None
        until = window_end(as_of)
        minutes = self._usage.usage_by_minute(until - LONG, until)
        if minutes is None:
            return None
        return _LastHour(until, {minute: price_usage(rows, self._card) for minute, rows in minutes.items()})

    def _baseline(self, budget: Budget, last: _LastHour) -> Baseline | None:
        until, scope = last.first_hour, budget.scope
        past = self._past
        if past is None or past.until != until or scope not in past.hours:
            known = {} if past is None or past.until != until else past.hours
            rows = self._usage.usage_by_hour(until - LOOK_BACK, until)
            hours = {hour: self._dollars(price_usage(found, self._card), scope) for hour, found in rows.items()}
            with_usage = sum(1 for found in rows.values() if found)
            self._past = past = _Past(until, with_usage, {**known, scope: hours})
        return baseline(past.hours[scope], past.with_usage, budget.zone, last.until, self._rules)

    def _facts_of(
        self,
        budget: Budget,
        taken: SpikeStep,
        newest: Spike | None,
        rates: Rates,
        usual: Baseline | None,
        last: _LastHour,
        mode: str,
        now: datetime,
    ) -> Callable[[Step], SpikeFacts]:
        (spend,) = [spend for spend in self._review.spend(now) if spend.budget == budget.name]
        goes_on = taken.step.status is Status.OPEN
        movers, found = self._why(budget.scope, last) if goes_on else ((), ())
        is_first = newest is None or newest.period != taken.period

        def facts(step: Step) -> SpikeFacts:
            return SpikeFacts(
                level=step.level,
                limit_usd=step.limit_usd,
                status=step.status,
                reason=step.reason,
                decided_at=now,
                mode=mode,
                key=taken.period,
                spend=spend,
                long_usd_per_hour=rates.long,
                short_usd_per_hour=rates.short,
                usual_usd_per_hour=None if usual is None else usual.usual,
                since=now if newest is None or is_first else newest.opened_at,
                movers=movers,
                causes=found,
            )

        return facts

    def _why(self, scope: Scope, last: _LastHour) -> tuple[tuple[MoverFacts, ...], tuple[CauseFacts, ...]]:
        """The last hour against the mean hour of the look-back."""
        since = last.first_hour - LOOK_BACK
        known = sum(1 for hour in self._usage.hours(since) if hour < last.first_hour)
        if not known:
            return (), ()
        rows = price_usage(self._usage.usage_by_day(since, last.first_hour), self._card)
        hour = [RecentUsage(priced, WHOLE) for rows_of_minute in last.minutes.values() for priced in rows_of_minute]
        recent = Recent(hour, [RecentUsage(priced, WHOLE / known) for priced in rows], LONG)
        models = {row.priced.usage.model for row in hour}
        new_models = self._usage.first_used_since(floor_hour(last.until - DAY), models)
        names = self._usage.names()
        return (
            tuple(mover_facts(mover, names.workspaces, names.keys) for mover in risen(recent, scope, self._card)),
            tuple(
                cause_facts(cause, names.workspaces, names.keys)
                for cause in causes(recent, scope, self._card, new_models)
            ),
        )

    def _dollars(self, rows: Iterable[PricedUsage], scope: Scope) -> Decimal:
        return sum((row.cost.usd for row in rows if in_scope(scope, row.usage, self._card)), ZERO)
