"""Tells when no data comes any more, and when it comes again."""

from collections.abc import Callable
from datetime import datetime

from bot.alerts.model import DATA, NoDataAlert, at_step, minute_key
from bot.budgets.account import Detail
from bot.budgets.budget_spend import BudgetSpend, KnownSum
from bot.budgets.decide import Status, Step
from bot.budgets.review import BudgetReview
from bot.clock import HOUR, floor_hour
from bot.store.alerts import AlertStore
from bot.store.cycle_state import CycleState
from bot.store.usage import UsageStore
from bot.usage.age import DataState, not_ahead
from bot.usage.silence import Silence, SilenceStep, decide_silence

NOT_REFRESHED = "Anthropic answers, but its data is not refreshed."


class NoDataDetector:
    """Synchronous; asynchronous callers use a thread. To be asked after a poll, or while one hangs."""

    name = "no data"

    def __init__(
        self,
        usage: UsageStore,
        alerts: AlertStore,
        state: Callable[[], CycleState],
        review: BudgetReview,
        poll_seconds: int,
    ) -> None:
        self._usage = usage
        self._alerts = alerts
        self._state = state
        self._review = review
        self._poll_seconds = poll_seconds

    def look(self, now: datetime, mode: str) -> None:
        """Take and record the step that is due, if any."""
        stored = self._state().data
        data = not_ahead(stored, now)
        if data != stored:
            self._usage.save_state(data)
        told = decide_silence(data, now, self._poll_seconds, self._last())
        if told is not None:
            facts_of = self._facts_of(told, data, now, mode)
            self._alerts.record(DATA, minute_key(told.began_at), [told.step], facts_of, now)

    def _last(self) -> Silence | None:
        newest = self._state().no_data
        if newest is None:
            return None
        return Silence(datetime.fromisoformat(newest.period), newest.status, newest.changed_at)

    def _facts_of(self, told: SilenceStep, data: DataState, now: datetime, mode: str) -> Callable[[Step], NoDataAlert]:
        sums = tuple(_sum(spend) for spend in self._review.spend(now, Detail.NONE))
        missing = self._missing_hours(told.since, data) if told.step.status is Status.RESOLVED else 0

        def facts(step: Step) -> NoDataAlert:
            return NoDataAlert(
                **at_step(step, mode, now),
                began_at=told.began_at,
                since=told.since,
                because=data.error or NOT_REFRESHED,
                as_of=data.as_of,
                sums=sums,
                missing_hours=missing,
            )

        return facts

    def _missing_hours(self, since: datetime, data: DataState) -> int:
        if data.as_of is None:
            return 0
        first = floor_hour(since)
        known = self._usage.hours(first)
        count = -((first - data.as_of) // HOUR)
        return sum(1 for index in range(count) if first + index * HOUR not in known)


def _sum(spend: BudgetSpend) -> KnownSum:
    limit_usd = spend.soft_usd if spend.hard_usd is None else spend.hard_usd
    return KnownSum(budget=spend.budget, period=spend.period, spent_usd=spend.spent_usd, limit_usd=limit_usd)
