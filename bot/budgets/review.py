"""Reads what the store knows of a budget, prices it, lets the pure parts decide, and records what they say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.alerts.facts import AlertFacts, MoverFacts, SavingFacts, SpendFacts
from bot.budgets.budget import ORGANIZATION, Budget
from bot.budgets.decide import Step, decide
from bot.budgets.outlook import Recent, covered_hours, movers, pace, recent_window, saving
from bot.budgets.period import Period, period_at
from bot.budgets.spend import price_usage, spend_of
from bot.clock import DAY, floor_hour
from bot.fallback.modes import Mode
from bot.pricing.card import RateCard
from bot.store.alerts import AlertStore
from bot.store.usage import UsageStore

LOOK_BACK = 2 * DAY
"""Movers are compared with the day before, so two days are always kept read."""


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What all budgets share at one moment."""

    as_of: datetime
    recent: Recent
    workspaces: Mapping[str, str]
    keys: Mapping[str, str]


class BudgetReview:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(
        self,
        usage: UsageStore,
        alerts: AlertStore,
        budgets: Sequence[Budget],
        modes: Mapping[str, Mode],
        card: RateCard,
    ) -> None:
        self._usage = usage
        self._alerts = alerts
        self.budgets = tuple(budgets)
        self._modes = modes
        self._card = card

    def needed_since(self, now: datetime) -> datetime:
        """From when on usage has to be known: every open period, and two days for what moved."""
        starts = [period_at(budget.period, budget.zone, now).starts_at for budget in self.budgets]
        return floor_hour(min([*starts, now - LOOK_BACK]))

    def spend(self, now: datetime) -> list[SpendFacts]:
        """Every budget's spend and outlook; empty before the first poll."""
        outlook = self._outlook()
        if outlook is None:
            return []
        return [self._spend(budget, self._period(budget, now), outlook, now) for budget in self.budgets]

    def savings(self, now: datetime) -> tuple[tuple[SavingFacts, ...], datetime | None]:
        """What each mode would save for the whole organisation, or else for the first budget, and the data's age."""
        spends = self.spend(now)
        if not spends:
            return (), None
        widest = next((spend for spend in spends if spend.scope == str(ORGANIZATION)), spends[0])
        return widest.savings, widest.as_of

    def decide(self, now: datetime, mode: str) -> int:
        """Take and record the steps of every budget; returns how many. `mode`: the fallback mode in force."""
        outlook = self._outlook()
        if outlook is None:
            return 0
        taken = 0
        for budget in self.budgets:
            period = self._period(budget, now)
            spend = self._spend(budget, period, outlook, now)
            steps = decide(budget, spend.spent_usd, self._alerts.incidents(budget.name, period.key))
            if steps:
                self._alerts.record(budget.name, period.key, steps, _facts_of(spend, mode, now), now)
            taken += len(steps)
        return taken

    @staticmethod
    def _period(budget: Budget, now: datetime) -> Period:
        return period_at(budget.period, budget.zone, now)

    def _outlook(self) -> _Outlook | None:
        state = self._usage.data_state()
        if state.as_of is None:
            return None
        window = recent_window(state.as_of)
        hours = [hour for hour in self._usage.hours(window.last_from) if hour < window.until]
        names = self._usage.names()
        return _Outlook(
            as_of=state.as_of,
            recent=Recent(
                last=price_usage(self._usage.usage_by_day(window.last_from, window.until), self._card),
                before=price_usage(self._usage.usage_by_day(window.before_from, window.last_from), self._card),
                covered=covered_hours(window, len(hours)),
            ),
            workspaces=names.workspaces,
            keys=names.keys,
        )

    def _spend(self, budget: Budget, period: Period, outlook: _Outlook, now: datetime) -> SpendFacts:
        priced = price_usage(self._usage.usage_by_day(period.starts_at, period.ends_at), self._card)
        billed = self._usage.billed_between(period.starts_at.date(), period.ends_at.date())
        spend = spend_of(budget.scope, period, priced, billed, self._card, now)
        scope, recent, as_of = budget.scope, outlook.recent, outlook.as_of
        largest = movers(recent, scope, self._card)
        savings = [
            saving(mode.name, mode.ceiling, recent, scope, period, as_of, self._card)
            for mode in self._modes.values()
            if mode.ceiling is not None
        ]
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
            assumed=spend.assumed,
            pace_usd=pace(spend.total_usd, recent, scope, period, as_of, self._card),
            movers=tuple(
                MoverFacts(
                    model=mover.model,
                    workspace=outlook.workspaces.get(mover.workspace_id, mover.workspace_id),
                    key=None if mover.api_key_id is None else outlook.keys.get(mover.api_key_id, mover.api_key_id),
                    usd=mover.usd,
                    before_usd=mover.before_usd,
                )
                for mover in largest
            ),
            savings=tuple(SavingFacts(mode=s.mode, model=s.model, usd=s.usd) for s in savings if s is not None),
            as_of=as_of,
        )


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
