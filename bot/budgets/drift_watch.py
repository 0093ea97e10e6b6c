"""Tells the settled days on which computed and billed differ by more than known causes explain."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bot.alerts.incident_facts import BILL, DriftCauseFacts, DriftFacts, ModelDriftFacts
from bot.budgets.budget import Level
from bot.budgets.decide import Step
from bot.budgets.drift import DayDrift, decide_drift
from bot.budgets.rules import DriftRules
from bot.budgets.settled_days import SettledDays
from bot.budgets.spend import SETTLED_AFTER
from bot.clock import DAY
from bot.store.alerts import AlertStore
from bot.store.incidents import IncidentStore
from bot.store.usage import UsageStore
from bot.usage.age import DataState

JUDGED_FOR = 3 * DAY
"""How long after it has settled a day is judged."""

BEFORE_THE_FIRST = DAY
"""A bot that is new tells of the day that settled last before it came, and not of all that were there before."""


class DriftWatch:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(
        self,
        usage: UsageStore,
        alerts: AlertStore,
        incidents: IncidentStore,
        days: SettledDays,
        rules: DriftRules,
    ) -> None:
        self._usage = usage
        self._alerts = alerts
        self._incidents = incidents
        self._days = days
        self._rules = rules
        self._judged: datetime | None = None

    def look(self, now: datetime, mode: str) -> None:
        """Judge the days that settled lately, once for each reading of the cost report."""
        data = self._usage.data_state()
        if not self._rules.enabled or data.billed_read_at is None or data.billed_read_at == self._judged:
            return
        for drift in self._judgeable(now):
            self._decide(drift, data, now, mode)
        self._judged = data.billed_read_at

    def _judgeable(self, now: datetime) -> list[DayDrift]:
        watching_since = self._incidents.watching_since() or now
        settled_since = max(now - JUDGED_FOR, watching_since - BEFORE_THE_FIRST)
        # A day has settled a day after its end.
        first = (settled_since - SETTLED_AFTER - DAY + timedelta.resolution).date() + DAY
        return self._days.between(first, now.date())

    def _decide(self, drift: DayDrift, data: DataState, now: datetime, mode: str) -> None:
        period = drift.day.isoformat()
        known = next(
            (found for found in self._alerts.incidents(BILL, period) if found.level is Level.DRIFT),
            None,
        )
        step = decide_drift(drift, self._rules, known)
        if step is not None:
            self._alerts.record(BILL, period, [step], _facts_of(drift, data, now, mode), now)


def _facts_of(drift: DayDrift, data: DataState, now: datetime, mode: str) -> Callable[[Step], DriftFacts]:
    def facts(step: Step) -> DriftFacts:
        return DriftFacts(
            level=step.level,
            limit_usd=step.limit_usd,
            status=step.status,
            reason=step.reason,
            decided_at=now,
            mode=mode,
            day=drift.day,
            computed_usd=drift.computed_usd,
            billed_usd=drift.billed_usd,
            list_usd=drift.list_usd,
            difference_usd=drift.difference_usd,
            unexplained_usd=drift.unexplained_usd,
            causes=tuple(DriftCauseFacts(cause=cause, usd=usd) for cause, usd in drift.causes.items()),
            models=tuple(
                ModelDriftFacts(
                    model=model.model,
                    computed_usd=model.computed_usd,
                    billed_usd=model.billed_usd,
                    unexplained_usd=model.unexplained_usd,
                )
                for model in drift.models
                if drift.by_model
            ),
            report_read_at=data.billed_read_at or now,
            as_of=data.as_of or now,
        )

    return facts
