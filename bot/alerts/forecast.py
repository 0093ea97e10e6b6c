"""Looks whether a period is expected to end above a limit, and records what is to be told of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from operator import itemgetter

from bot.alerts.model import ForecastAlert, at_step
from bot.budgets.budget import Budget
from bot.budgets.decide import Incident, Step
from bot.budgets.expectation import Since, expect
from bot.budgets.forecast import Forecast
from bot.budgets.period import Period
from bot.budgets.prospects import Prospect, prospects
from bot.budgets.review import BudgetReview
from bot.budgets.rules import ForecastRules
from bot.clock import BEFORE_EVERYTHING, is_over
from bot.store.alerts import AlertStore
from bot.store.remembered import RememberedStore

LOOK_EVERY = timedelta(minutes=10)
"""An expectation of days does not change in a minute."""

MOST_AT_ONCE = 50
"""So that no single cycle has to make the forecasts of a thousand budgets."""


REMEMBERED = "forecast_since"


class ForecastDetector:
    """Synchronous; asynchronous callers use a thread."""

    name = "forecasts"

    def __init__(
        self,
        review: BudgetReview,
        alerts: AlertStore,
        remembered: RememberedStore,
        rules: ForecastRules,
    ) -> None:
        self._review = review
        self._alerts = alerts
        self._remembered = remembered
        self._rules = rules
        self._looked_at: dict[str, datetime] = {}

    def look(self, now: datetime, mode: str) -> None:
        """`mode`: the fallback mode in force."""
        if not self._rules.enabled:
            return
        present = self._review.present(now)
        due = looked_at_next(present, self._looked_at, now)
        found = prospects(self._review, now, due) if due else []
        if not found:
            return
        in_force = {_key(*pair) for pair in present}
        self._looked_at = {key: at for key, at in self._looked_at.items() if key in in_force}
        remembered = self._remembered.get(REMEMBERED) or {}
        kept = {key: since for key, since in remembered.items() if key in in_force}
        incidents = self._alerts.incidents_in(self._review.agenda(now).periods)
        for prospect in found:
            key = _key(prospect.budget, prospect.period)
            self._looked_at[key] = now
            if prospect.spend.stale_at is not None:
                # Data that does not come confirms nothing, and refutes nothing either.
                continue
            before = kept.pop(key, None)
            if prospect.forecast is None:
                continue
            known = incidents.get((prospect.budget.name, prospect.period.key), ())
            since = self._look_at(prospect, prospect.forecast, known, _since(before), mode, now)
            if since:
                kept[key] = {f"{limit:f}": begun.isoformat() for limit, begun in since.items()}
        if kept != remembered:
            self._remembered.put(REMEMBERED, kept)

    def _look_at(
        self,
        prospect: Prospect,
        forecast: Forecast,
        incidents: Sequence[Incident],
        since: Since,
        mode: str,
        now: datetime,
    ) -> Since:
        budget, period = prospect.budget, prospect.period
        spent_usd = prospect.spend.spent_usd
        # Data that does not come confirms nothing.
        as_of = prospect.spend.as_of
        expected = expect(budget, spent_usd, forecast.expected_usd, incidents, since, self._rules, as_of)
        if expected.steps:
            spend = self._review.spend_against(budget, now) or prospect.spend
            facts_of = _facts_of(replace(prospect, spend=spend), forecast, mode, now)
            self._alerts.record(budget.name, period.key, expected.steps, facts_of, now)
        return expected.since


def looked_at_next(
    present: Sequence[tuple[Budget, Period]], looked_at: Mapping[str, datetime], now: datetime
) -> list[tuple[Budget, Period]]:
    """Those that are due, as many as one cycle takes; those that have waited longest first.

    `looked_at`: by budget and period, where it was looked at before.
    """
    waiting = []
    for budget, period in present:
        at = looked_at.get(_key(budget, period))
        if at is None or is_over(LOOK_EVERY, at, now):
            # Beside each other: budgets of one zone and period share much of the work.
            waiting.append(
                (at or BEFORE_EVERYTHING, budget.zone.key, period.starts_at, period.ends_at, (budget, period))
            )
    waiting.sort(key=itemgetter(0, 1, 2, 3))
    return [pair for *_, pair in waiting[:MOST_AT_ONCE]]


def _key(budget: Budget, period: Period) -> str:
    return f"{budget.name}/{period.key}"


def _since(stored: Mapping[str, str] | None) -> Since:
    return {Decimal(limit): datetime.fromisoformat(begun) for limit, begun in (stored or {}).items()}


def _facts_of(prospect: Prospect, forecast: Forecast, mode: str, now: datetime) -> Callable[[Step], ForecastAlert]:
    def facts(step: Step) -> ForecastAlert:
        crossing = next((c for c in forecast.crossings if c.limit_usd == step.limit_usd), None)
        return ForecastAlert(
            **at_step(step, mode, now),
            spend=prospect.spend,
            low_usd=forecast.low_usd,
            expected_usd=forecast.expected_usd,
            high_usd=forecast.high_usd,
            crossed_at=None if crossing is None else crossing.expected,
            crossed_earliest_at=None if crossing is None else crossing.earliest,
        )

    return facts
