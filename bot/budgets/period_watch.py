"""Opens each period of a budget with one post: what the last one came to, and what the new one allows."""

from collections.abc import Callable
from datetime import datetime

from bot.alerts.facts import KnownSumFacts, PeriodFacts, SpendFacts
from bot.budgets.budget import Budget
from bot.budgets.decide import Step, as_watched
from bot.budgets.opening import may_open, opening, unbilled_days
from bot.budgets.period import Period, PeriodKind
from bot.budgets.review import BudgetReview
from bot.clock import HOUR, floor_hour
from bot.store.alerts import AlertStore
from bot.store.usage import UsageStore
from bot.usage.age import DataState


class PeriodWatch:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, usage: UsageStore, alerts: AlertStore, review: BudgetReview) -> None:
        self._usage = usage
        self._alerts = alerts
        self._review = review

    def look(self, now: datetime, mode: str) -> None:
        """Record the posts that are due."""
        data = self._usage.data_state()
        as_of = data.as_of
        if as_of is None:
            return
        for budget in self._review.budgets:
            if may_open(budget, budget.period_at(now), now, as_of):
                self._decide(budget, data, now, mode)

    def _decide(self, budget: Budget, data: DataState, now: datetime, mode: str) -> None:
        period = budget.period_at(now)
        ended = budget.period_before(period)
        before = self._alerts.incidents(budget.name, ended.key)
        step = opening(before, self._alerts.incidents(budget.name, period.key))
        last = None if step is None else self._review.spend_in(as_watched(budget, before) or budget, ended, now)
        if step is not None and last is not None:
            facts_of = self._facts_of(budget, period, ended, last, data, now, mode)
            self._alerts.record(budget.name, period.key, [step], facts_of, now)

    def _facts_of(
        self,
        budget: Budget,
        period: Period,
        ended: Period,
        last: SpendFacts,
        data: DataState,
        now: datetime,
        mode: str,
    ) -> Callable[[Step], PeriodFacts]:
        missing = self._missing_hours(ended)
        before = None if missing else self._before(budget, ended, now)

        def facts(step: Step) -> PeriodFacts:
            return PeriodFacts(
                level=step.level,
                limit_usd=step.limit_usd,
                status=step.status,
                reason=step.reason,
                decided_at=now,
                mode=mode,
                budget=budget.name,
                scope=str(budget.scope),
                period_kind="week" if budget.period is PeriodKind.WEEK else "month",
                key=period.key,
                new_ends_at=period.ends_at,
                soft_usd=budget.soft_usd,
                hard_usd=budget.hard_usd,
                last=last,
                unbilled_days=unbilled_days(budget, ended, data.billed_read_at),
                missing_hours=missing,
                before=before,
                as_of=last.as_of,
            )

        return facts

    def _before(self, budget: Budget, ended: Period, now: datetime) -> KnownSumFacts | None:
        before = budget.period_before(ended)
        spend = None if self._missing_hours(before) else self._review.spend_in(budget, before, now)
        if spend is None:
            return None
        return KnownSumFacts(budget=budget.name, period=before.key, spent_usd=spend.spent_usd, limit_usd=None)

    def _missing_hours(self, period: Period) -> int:
        first = floor_hour(period.starts_at)
        known = self._usage.hours(first)
        return sum(1 for index in range((period.ends_at - first) // HOUR) if first + index * HOUR not in known)
