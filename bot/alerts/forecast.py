"""When a forecast is worth an alert. Pure.

One limit is told at a time, the highest that the expected end of the period passes: a lower one is superseded by it. An
alert opens once that has held for a while, is superseded when the limit itself is crossed, and is resolved when the
expected end has fallen well below the limit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from operator import itemgetter

from bot.alerts.decide import Incident, Reason, Status, Step
from bot.alerts.model import ForecastAlert, at_step
from bot.alerts.rules import ForecastRules
from bot.alerts.store import AlertStore
from bot.budgets.budget import LIMITS, Budget, Level
from bot.budgets.forecast import Forecast
from bot.budgets.period import Period
from bot.budgets.prospects import Prospect, prospects
from bot.budgets.review import BudgetReview
from bot.clock import BEFORE_EVERYTHING, is_over
from bot.db.state import StateStore

Since = Mapping[Decimal, datetime]
"""By limit: since when the expected end of the period has been at or above it without a break."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The steps to take, and what to remember until the next look."""

    steps: tuple[Step, ...]
    since: Since


def expect(
    budget: Budget,
    spent_usd: Decimal,
    expected_usd: Decimal,
    incidents: Sequence[Incident],
    since: Since,
    rules: ForecastRules,
    as_of: datetime,
) -> Expected:
    """`incidents`: all of the budget in the present period. `since`: what was remembered at the look before.

    `as_of`: the age of the data, by whose time it is measured how long something holds.
    """
    limits = [limit for level in LIMITS if (limit := budget.limit(level)) is not None]
    passed = {limit: since.get(limit, as_of) for limit in limits if spent_usd < limit <= expected_usd}
    told = max((limit for limit, begun in passed.items() if as_of - begun >= rules.holds), default=None)
    known = {i.limit_usd: i for i in incidents if i.level is Level.FORECAST}
    # What has been told stands until it is cleared: while it does, a lower limit is no news.
    standing = [
        limit
        for limit in limits
        if limit in known
        and known[limit].status is Status.OPEN
        and spent_usd < limit
        and not _is_cleared(limit, expected_usd, rules)
    ]
    told = max((limit for limit in (told, *standing) if limit is not None), default=None)
    steps = [_step(limit, spent_usd, expected_usd, told, known.get(limit), rules) for limit in limits]
    steps += [_withdraw(incident) for limit, incident in known.items() if limit not in limits]
    return Expected(tuple(step for step in steps if step is not None), passed)


def _step(
    limit_usd: Decimal,
    spent_usd: Decimal,
    expected_usd: Decimal,
    told: Decimal | None,
    incident: Incident | None,
    rules: ForecastRules,
) -> Step | None:
    is_open = incident is not None and incident.status is Status.OPEN
    if limit_usd == told:
        if is_open:
            return None
        reason = Reason.EXPECTED if incident is None else Reason.EXPECTED_AGAIN
        return Step(Level.FORECAST, limit_usd, Status.OPEN, reason, post=True)
    if incident is None or incident.status not in (Status.OPEN, Status.SUPERSEDED):
        return None
    if _is_cleared(limit_usd, expected_usd, rules) and spent_usd < limit_usd:
        # One that was superseded is over too: its message would go on speaking of a limit that is not in reach.
        return Step(Level.FORECAST, limit_usd, Status.RESOLVED, Reason.EXPECTED_BELOW)
    if not is_open:
        return None
    if spent_usd >= limit_usd:
        return Step(Level.FORECAST, limit_usd, Status.SUPERSEDED, Reason.CROSSED)
    if told is not None and told > limit_usd:
        return Step(Level.FORECAST, limit_usd, Status.SUPERSEDED, Reason.EXPECTED_HIGHER)
    return None


def _is_cleared(limit_usd: Decimal, expected_usd: Decimal, rules: ForecastRules) -> bool:
    return expected_usd < limit_usd * rules.clear_percent / 100


def _withdraw(incident: Incident) -> Step | None:
    if incident.status not in (Status.OPEN, Status.SUPERSEDED):
        return None
    return Step(Level.FORECAST, incident.limit_usd, Status.WITHDRAWN, Reason.LIMIT_CHANGED)


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
        remembered: StateStore,
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
