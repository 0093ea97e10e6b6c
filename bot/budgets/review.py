"""Reads what the store knows of a budget, prices it, lets the pure parts decide, and records what they say."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from bot.alerts.incident_facts import AlertFacts, restated
from bot.alerts.spend_facts import CauseFacts, MoverFacts, SavingFacts, SpendFacts
from bot.budgets.budget import ORGANIZATION, Budget, Scope, ScopeKind
from bot.budgets.causes import causes, unseen_before
from bot.budgets.decide import Incident, Step, as_watched, closed, decide, watch, withdrawn
from bot.budgets.named import cause_facts, mover_facts
from bot.budgets.outlook import Recent, RecentUsage, Stretch, movers, pace, recent_window, saving
from bot.budgets.period import Period
from bot.budgets.period_usage import PeriodUsage
from bot.budgets.scopes import NoMatchError, Unmatched, matched, resolved
from bot.budgets.spend import Spend, price_usage
from bot.clock import DAY, HOUR, floor_hour
from bot.fallback.modes import Mode
from bot.pricing.card import RateCard
from bot.store.alerts import AlertStore
from bot.store.usage import NO_NAMES, UsageStore

log = logging.getLogger(__name__)

LOOK_BACK = 2 * DAY + 2 * HOUR
"""Movers are compared with the day before, as of a moment that may lie some minutes back."""

STILL_REVIEWED = 2 * DAY
"""Usage of a period's last minutes becomes visible after its end, and is read again for about this long."""


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What all budgets share at one moment. `report_read_at`: how new the cost report is."""

    as_of: datetime
    report_read_at: datetime | None
    recent: Recent
    new_models: frozenset[str]
    workspaces: Mapping[str, str]
    keys: Mapping[str, str]


class BudgetReview:
    """Synchronous; asynchronous callers use a thread. `book`: asked for the budgets in force at every question."""

    def __init__(
        self,
        usage: UsageStore,
        alerts: AlertStore,
        book: Callable[[], Sequence[Budget]],
        modes: Mapping[str, Mode],
        card: RateCard,
    ) -> None:
        self._usage = usage
        self._alerts = alerts
        self._book = book
        self._modes = modes
        self._card = card
        self._reported: dict[str, str] = {}

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budgets in force now, each with the ids that usage is stored under; without those that match nothing."""
        return _in_scope(self._matched())

    def unmatched(self) -> list[Unmatched]:
        """The budgets in force whose scope matches nothing in the organisation."""
        return [each for each in self._matched() if isinstance(each, Unmatched)]

    def scope_of(self, scope: Scope) -> Scope:
        """The scope with the id that usage is stored under. Raises `NoMatchError`."""
        return resolved(scope, self._usage.names(), self._usage.has_usage_of, self._card)

    def _matched(self) -> list[Budget | Unmatched]:
        budgets = self._book()
        looked_up = any(budget.scope != ORGANIZATION for budget in budgets)
        names = self._usage.names() if looked_up else NO_NAMES
        return matched(budgets, names, self._usage.has_usage_of, self._card)

    def _report_unmatched(self, found: Iterable[Budget | Unmatched]) -> None:
        unmatched = {each.budget.name: each.sentence for each in found if isinstance(each, Unmatched)}
        for name, sentence in unmatched.items():
            if self._reported.get(name) != sentence:
                log.warning("budget %s counts nothing: %s", name, sentence)
        self._reported = unmatched

    def needed_since(self, now: datetime) -> datetime:
        """From when on usage has to be known: every period that is reviewed, and two days for what moved."""
        starts = [period.starts_at for budget in self.budgets for period in _reviewed(budget, now)]
        return floor_hour(min([*starts, now - LOOK_BACK]))

    def spend(self, now: datetime) -> list[SpendFacts]:
        """Every budget's spend and outlook; empty before the first poll.

        A period of which nothing is known yet, because it began after the data ends, would look like no spend at
        all: instead of it stands the one before.
        """
        return self._spend_of([(budget, None) for budget in self.budgets], now)

    def spend_against(self, budget: Budget, now: datetime) -> SpendFacts | None:
        """The same for a budget that is not in force, or not yet.

        None before the first poll, and where its scope matches nothing.
        """
        try:
            budget = replace(budget, scope=self.scope_of(budget.scope))
        except NoMatchError:
            return None
        return next(iter(self._spend_of([(budget, None)], now)), None)

    def spends_in(self, asked: Sequence[tuple[Budget, Period]], now: datetime) -> list[SpendFacts]:
        """What budgets have spent in any periods, as far as usage of them is known, in the order of what is asked.

        All are read at once; empty before the first poll.
        """
        return self._spend_of(asked, now)

    def savings(
        self, now: datetime, mix_until: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[SavingFacts, ...], datetime | None]:
        """What each mode would save for the whole organisation, or else for the first budget, and the data's age.

        `mix_until`: the end of the 24 hours that are carried to the end of the period; None for the newest. `until`:
        the end of the mode, where it is to end before the period.
        """
        outlook = self._outlook(mix_until)
        if outlook is None:
            return (), None
        budgets = self.budgets
        if not budgets:
            return (), outlook.as_of
        widest = min(budgets, key=lambda budget: budget.scope.kind is not ScopeKind.ORGANIZATION)
        period = widest.period_at(now)
        if until is None or until >= period.ends_at:
            return self._savings(widest, period, outlook), outlook.as_of
        found = self._savings(widest, replace(period, ends_at=until), outlook)
        return tuple(saving.model_copy(update={"until": until}) for saving in found), outlook.as_of

    def recent(self, now: datetime, mix_until: datetime | None = None) -> Recent | None:
        """The usage of the last 24 hours, or of those that end at `mix_until`; None before the first poll."""
        outlook = self._outlook(mix_until)
        return None if outlook is None else outlook.recent

    def decide(self, now: datetime, mode: str) -> int:
        """Take and record the steps of every budget; returns how many. `mode`: the fallback mode in force.

        A period that ended a short while ago is reviewed too, with the limits that were in force in it. After that its
        alerts are closed. Those of budgets that are not configured any more are withdrawn.
        """
        outlook = self._outlook()
        if outlook is None:
            return 0
        found = self._matched()
        self._report_unmatched(found)
        budgets = _in_scope(found)
        reviewed = [(budget, period) for budget in budgets for period in _reviewed(budget, now)]
        usage = self._usage_of([period for _, period in reviewed], outlook)
        decided = sum(self._decide(budget, period, usage, outlook, mode, now) for budget, period in reviewed)
        # A budget whose scope cannot be found at the moment is still configured.
        names = {each.budget.name if isinstance(each, Unmatched) else each.name for each in found}
        return decided + self._end(names, mode, now)

    def _end(self, names: Collection[str], mode: str, now: datetime) -> int:
        """Withdraw alerts of budgets that are not configured any more, and close those of periods that are over.

        The message keeps the figures that it has, with their age.
        """
        ended = 0
        for facts in self._alerts.standing():
            if facts.ends_at is None:
                continue
            incident = Incident(facts.level, facts.limit_usd, facts.status)
            if facts.ends_at + STILL_REVIEWED <= now:
                step = closed(incident)
            elif facts.subject not in names:
                step = withdrawn(incident)
            else:
                continue
            self._alerts.record(facts.subject, facts.period, [step], partial(restated, facts, mode=mode, now=now), now)
            ended += 1
        return ended

    def _decide(
        self, budget: Budget, period: Period, usage: PeriodUsage, outlook: _Outlook, mode: str, now: datetime
    ) -> int:
        incidents = self._alerts.incidents(budget.name, period.key)
        if period.is_over(now):
            # The bot may have been away for as long as the period lasted.
            before = budget.period_before(period)
            watched = as_watched(budget, incidents or self._alerts.incidents(budget.name, before.key))
            if watched is None:
                return 0
            budget = watched
        spend = usage.spend(budget.scope, period)
        steps = decide(budget, spend.total_usd, incidents)
        noted = watch(budget, incidents)
        if noted or steps:
            facts = self._spend_facts(budget, period, spend, outlook, now)
            self._alerts.record(budget.name, period.key, [*noted, *steps], _facts_of(facts, mode, now), now)
        return len(steps)

    def _outlook(self, mix_until: datetime | None = None) -> _Outlook | None:
        state = self._usage.data_state()
        if state.as_of is None:
            return None
        window = recent_window(state.as_of if mix_until is None else min(mix_until, state.as_of))
        names = self._usage.names()
        recent = Recent(
            last=self._recent_usage(window.last),
            before=self._recent_usage(window.before),
            covered=window.covered(self._usage.hours(window.known_from)),
        )
        return _Outlook(
            as_of=state.as_of,
            report_read_at=state.billed_read_at,
            recent=recent,
            new_models=self._usage.first_used_since(window.known_from, unseen_before(recent)),
            workspaces=names.workspaces,
            keys=names.keys,
        )

    def _recent_usage(self, stretches: Sequence[Stretch]) -> list[RecentUsage]:
        # Each begins where the one before it ends.
        borders = [stretches[0].starts_at, *(stretch.ends_at for stretch in stretches)]
        return [
            RecentUsage(priced, stretch.share)
            for stretch, rows in zip(stretches, self._usage.usage_between(borders), strict=True)
            for priced in price_usage(rows, self._card)
        ]

    def _usage_of(self, periods: Iterable[Period], outlook: _Outlook) -> PeriodUsage:
        return PeriodUsage(self._usage, self._card, periods, outlook.report_read_at)

    def _spend_of(
        self, asked: Sequence[tuple[Budget, Period | None]] | Sequence[tuple[Budget, Period]], now: datetime
    ) -> list[SpendFacts]:
        """Of the periods asked for, or else of those of which something is known."""
        outlook = self._outlook()
        if outlook is None:
            return []
        known = [(budget, period or _known(budget, outlook.as_of, now)) for budget, period in asked]
        usage = self._usage_of([period for _, period in known], outlook)
        return [
            self._spend_facts(budget, period, usage.spend(budget.scope, period), outlook, now)
            for budget, period in known
        ]

    def _spend_facts(
        self, budget: Budget, period: Period, spend: Spend, outlook: _Outlook, now: datetime
    ) -> SpendFacts:
        scope, recent, as_of = budget.scope, outlook.recent, outlook.as_of
        over = period.is_over(now)
        return SpendFacts(
            budget=budget.name,
            scope=str(scope),
            soft_usd=budget.soft_usd,
            hard_usd=budget.hard_usd,
            period=period.key,
            ends_at=period.ends_at,
            spent_usd=spend.total_usd,
            billed_usd=spend.billed_usd,
            billed_days=spend.billed_days,
            computed_usd=spend.computed_usd,
            report_only_usd=spend.report_only_usd,
            at_least=spend.at_least,
            hidden=tuple(sorted(spend.hidden)),
            assumed=spend.assumed,
            pace_usd=None if over else pace(spend.total_usd, recent, scope, period, as_of, self._card),
            movers=() if over else self._movers(budget, outlook),
            causes=() if over else self._causes(budget, outlook),
            savings=() if over else self._savings(budget, period, outlook),
            as_of=as_of,
        )

    def _movers(self, budget: Budget, outlook: _Outlook) -> tuple[MoverFacts, ...]:
        found = movers(outlook.recent, budget.scope, self._card)
        return tuple(mover_facts(mover, outlook.workspaces, outlook.keys) for mover in found)

    def _causes(self, budget: Budget, outlook: _Outlook) -> tuple[CauseFacts, ...]:
        found = causes(outlook.recent, budget.scope, self._card, outlook.new_models)
        return tuple(cause_facts(cause, outlook.workspaces, outlook.keys) for cause in found)

    def _savings(self, budget: Budget, period: Period, outlook: _Outlook) -> tuple[SavingFacts, ...]:
        savings = [
            saving(mode.name, mode.ceiling, outlook.recent, budget.scope, period, outlook.as_of, self._card)
            for mode in self._modes.values()
            if mode.ceiling is not None
        ]
        return tuple(SavingFacts(mode=s.mode, model=s.model, usd=s.usd) for s in savings if s is not None)


def _in_scope(found: Iterable[Budget | Unmatched]) -> tuple[Budget, ...]:
    return tuple(each for each in found if isinstance(each, Budget))


def _reviewed(budget: Budget, now: datetime) -> list[Period]:
    return budget.periods_since(now - STILL_REVIEWED, now)


def _known(budget: Budget, as_of: datetime, now: datetime) -> Period:
    """The present period, or the last one of which the data tells anything."""
    present = budget.period_at(now)
    return present if present.starts_at < as_of else budget.period_at(as_of - as_of.resolution)


def _facts_of(spend: SpendFacts, mode: str, now: datetime) -> Callable[[Step], AlertFacts]:
    def facts(step: Step) -> AlertFacts:
        return AlertFacts(
            level=step.level,
            limit_usd=step.limit_usd,
            status=step.status,
            reason=step.reason,
            decided_at=now,
            mode=mode,
            spend=spend,
        )

    return facts
