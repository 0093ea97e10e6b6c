"""Looks whether a period is expected to end above a limit, and records what is to be told of it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from bot.alerts.incident_facts import ForecastFacts
from bot.budgets.decide import Step
from bot.budgets.expectation import Since, expect
from bot.budgets.forecast import Forecast
from bot.budgets.prospects import Prospect, prospects
from bot.budgets.review import BudgetReview
from bot.budgets.rules import ForecastRules
from bot.budgets.snapshots import Snapshots
from bot.clock import is_over
from bot.store.alerts import AlertStore
from bot.store.remembered import RememberedStore

LOOK_EVERY = timedelta(minutes=10)
"""Four weeks of usage are read for it, and an expectation of days does not change in a minute."""

REMEMBERED = "forecast_since"


class ForecastWatch:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(
        self,
        review: BudgetReview,
        snapshots: Snapshots,
        alerts: AlertStore,
        remembered: RememberedStore,
        rules: ForecastRules,
    ) -> None:
        self._review = review
        self._snapshots = snapshots
        self._alerts = alerts
        self._remembered = remembered
        self._rules = rules
        self._looked_at: datetime | None = None

    def look(self, now: datetime, mode: str) -> None:
        """`mode`: the fallback mode in force."""
        if not self._rules.enabled or (self._looked_at is not None and not is_over(LOOK_EVERY, self._looked_at, now)):
            return
        self._looked_at = now
        remembered = self._remembered.get(REMEMBERED) or {}
        kept: dict[str, dict[str, str]] = {}
        for prospect in prospects(self._review, self._snapshots, now):
            if prospect.forecast is None:
                continue
            key = f"{prospect.budget.name}/{prospect.period.key}"
            since = self._look_at(prospect, prospect.forecast, _since(remembered.get(key)), mode, now)
            if since:
                kept[key] = {f"{limit:f}": begun.isoformat() for limit, begun in since.items()}
        if kept != remembered:
            self._remembered.put(REMEMBERED, kept)

    def _look_at(self, prospect: Prospect, forecast: Forecast, since: Since, mode: str, now: datetime) -> Since:
        budget, period = prospect.budget, prospect.period
        incidents = self._alerts.incidents(budget.name, period.key)
        spent_usd = prospect.spend.spent_usd
        # Data that does not come confirms nothing.
        as_of = prospect.spend.as_of
        expected = expect(budget, spent_usd, forecast.expected_usd, incidents, since, self._rules, as_of)
        if expected.steps:
            facts_of = _facts_of(prospect, forecast, mode, now)
            self._alerts.record(budget.name, period.key, expected.steps, facts_of, now)
        return expected.since


def _since(stored: Mapping[str, str] | None) -> Since:
    return {Decimal(limit): datetime.fromisoformat(begun) for limit, begun in (stored or {}).items()}


def _facts_of(prospect: Prospect, forecast: Forecast, mode: str, now: datetime) -> Callable[[Step], ForecastFacts]:
    def facts(step: Step) -> ForecastFacts:
        crossing = next((c for c in forecast.crossings if c.limit_usd == step.limit_usd), None)
        return ForecastFacts(
            level=step.level,
            limit_usd=step.limit_usd,
            status=step.status,
            reason=step.reason,
            decided_at=now,
            mode=mode,
            spend=prospect.spend,
            low_usd=forecast.low_usd,
            expected_usd=forecast.expected_usd,
            high_usd=forecast.high_usd,
            crossed_at=None if crossing is None else crossing.expected,
            crossed_earliest_at=None if crossing is None else crossing.earliest,
        )

    return facts
