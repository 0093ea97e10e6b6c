"""Watches the dollars an hour of every budget: reads the last hour minute by minute, decides, and records.

One runaway is seen by every budget that counts its callers, and is told once: by the widest of them, or by the one that
was there first.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.alerts.incident_facts import SpikeFacts
from bot.alerts.spend_facts import CauseFacts, MoverFacts, SpendFacts
from bot.budgets.budget import Budget, Scope, ScopeKind
from bot.budgets.burn_rate import (
    LONG,
    LOOK_BACK,
    QUIET_AFTER_LIMIT,
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
from bot.clock import DAY, floor_hour, is_over
from bot.pricing.card import RateCard
from bot.store.alerts import AlertStore
from bot.store.spikes import SpikeStore
from bot.store.usage import UsageStore

WIDTH = {ScopeKind.ORGANIZATION: 0, ScopeKind.WORKSPACE: 1, ScopeKind.KEY: 2, ScopeKind.MODEL: 2}
"""The widest scope first."""


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
    """USD by hour of the scopes of all budgets, up to `until`, which is a full hour.

    `with_usage`: how many hours had any usage in the whole organisation. `by_day`: the same usage by the day, None
    until somebody asks for it.
    """

    until: datetime
    with_usage: int
    hours: dict[Scope, dict[datetime, Decimal]]
    by_day: list[PricedUsage] | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is seen of one budget in this look. `taken`: the step that its own figures ask for.

    `covers`: an open message names the callers of its scope already, about its spike or about a limit of it.
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
        if last is None:
            return
        budgets = sorted(self._review.budgets, key=lambda budget: WIDTH[budget.scope.kind])
        looked = [self._see(budget, last, [each.scope for each in budgets], now) for budget in budgets]
        seen = [each for each in looked if each is not None]
        for each in seen:
            if each.taken is not None and not each.opens:
                self._record(each, each.taken, (), last, mode, now)
        told = [each.budget.scope for each in seen if each.covers]
        beginning = [each for each in seen if each.opens]
        while beginning:
            first, *beginning = beginning
            if first.taken is None or self._is_told(first, told, last):
                continue
            told.append(first.budget.scope)
            within = [each for each in beginning if self._is_told(each, told, last)]
            self._record(first, first.taken, [each.budget.name for each in within], last, mode, now)
            beginning = [each for each in beginning if each not in within]

    def _see(self, budget: Budget, last: _LastHour, scopes: Collection[Scope], now: datetime) -> _Seen | None:
        """None where nothing can begin or end."""
        rates = self._rates(budget.scope, (), last)
        newest = self._spikes.newest(budget.name)
        is_open = newest is not None and newest.status is Status.OPEN
        if not is_open and not rates.reach(self._rules.floor_usd_per_hour):
            # No bound is below the floor, so what is usual need not be known.
            return None
        past = self._past_of(budget.scope, scopes, last)
        usual = baseline(past.hours[budget.scope], past.with_usage, budget.zone, last.until, self._rules)
        posted_at = self._spikes.limit_posted_at(budget.name)
        taken = decide_spike(rates, usual, newest, posted_at, self._rules, now)
        if is_open:
            covers = taken is None
        else:
            reaches = usual is not None and rates.reach(usual.bound)
            quiet = posted_at is not None and not is_over(QUIET_AFTER_LIMIT, posted_at, now)
            covers = taken is None and reaches and quiet
        return _Seen(budget, newest, rates, usual, taken, covers)

    def _is_told(self, seen: _Seen, told: Sequence[Scope], last: _LastHour) -> bool:
        """Whether what lies outside the scopes that are told of is no spike by itself."""
        if seen.usual is None or not told:
            return False
        return not self._rates(seen.budget.scope, told, last).reach(seen.usual.bound)

    def _last_hour(self) -> _LastHour | None:
        as_of = self._usage.data_state().as_of
        if as_of is None:
            return None
        until = window_end(as_of)
        minutes = self._usage.usage_by_minute(until - LONG, until)
        if minutes is None:
            return None
        return _LastHour(until, {minute: price_usage(rows, self._card) for minute, rows in minutes.items()})

    def _past_of(self, scope: Scope, scopes: Collection[Scope], last: _LastHour) -> _Past:
        """The past of all these scopes, read and priced once in an hour."""
        until, past = last.first_hour, self._past
        if past is None or past.until != until or scope not in past.hours:
            rows = self._usage.usage_by_hour(until - LOOK_BACK, until)
            hours: dict[Scope, dict[datetime, Decimal]] = {each: {} for each in scopes}
            for hour, found in rows.items():
                priced = price_usage(found, self._card)
                for each, dollars in hours.items():
                    dollars[hour] = self._dollars(priced, each, ())
            self._past = past = _Past(until, sum(1 for found in rows.values() if found), hours)
        return past

    def _record(
        self, seen: _Seen, taken: SpikeStep, within: Sequence[str], last: _LastHour, mode: str, now: datetime
    ) -> None:
        spend = self._review.spend_against(seen.budget, now)
        if spend is not None:
            facts_of = self._facts_of(seen, taken, spend, within, last, mode, now)
            self._alerts.record(seen.budget.name, taken.period, [taken.step], facts_of, now)

    def _facts_of(
        self,
        seen: _Seen,
        taken: SpikeStep,
        spend: SpendFacts,
        within: Sequence[str],
        last: _LastHour,
        mode: str,
        now: datetime,
    ) -> Callable[[Step], SpikeFacts]:
        movers, found = self._why(seen.budget.scope, last) if seen.opens else ((), ())
        newest, rates, usual = seen.newest, seen.rates, seen.usual
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
                within=tuple(within),
            )

        return facts

    def _why(self, scope: Scope, last: _LastHour) -> tuple[tuple[MoverFacts, ...], tuple[CauseFacts, ...]]:
        """The last hour against the mean hour of the look-back."""
        past = self._past_of(scope, [scope], last)
        known = len(past.hours[scope])
        if not known:
            return (), ()
        if past.by_day is None:
            rows = self._usage.usage_by_day(past.until - LOOK_BACK, past.until)
            past.by_day = price_usage(rows, self._card)
        hour = [RecentUsage(priced, WHOLE) for rows_of_minute in last.minutes.values() for priced in rows_of_minute]
        recent = Recent(hour, [RecentUsage(priced, WHOLE / known) for priced in past.by_day], LONG)
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

    def _rates(self, scope: Scope, without: Sequence[Scope], last: _LastHour) -> Rates:
        dollars = {minute: self._dollars(rows, scope, without) for minute, rows in last.minutes.items()}
        return rates_of(dollars, last.until)

    def _dollars(self, rows: Iterable[PricedUsage], scope: Scope, without: Sequence[Scope]) -> Decimal:
        return sum(
            (
                row.cost.usd
                for row in rows
                if in_scope(scope, row.usage, self._card)
                and not any(in_scope(other, row.usage, self._card) for other in without)
            ),
            ZERO,
        )
