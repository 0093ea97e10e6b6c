"""Detector of forecasts above a limit. Pure.

One limit is reported at a time, the highest that the expected end of the period passes; it supersedes a lower one. An
alert opens once that has held for a while, is superseded when the limit itself is crossed, and is resolved when the
expected end has fallen well below the limit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from operator import itemgetter
from typing import Literal, Self

from bot.alerts.detector import DetectorContext
from bot.alerts.incident import AlertKind, Identity, Incident, Status, Step
from bot.alerts.model import BudgetAlert, Transition, at_step
from bot.alerts.rules import ForecastRules
from bot.budgets.budget import Budget, Limit, Period
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.calendar import quiet
from bot.budgets.forecast import Forecast
from bot.budgets.review import budget_forecasts
from bot.clock import BEFORE_EVERYTHING, is_over


class ForecastReason(StrEnum):
    EXPECTED = "the period is expected to end above the limit"
    EXPECTED_AGAIN = "the period is expected to end above the limit again"
    EXPECTED_HIGHER = "the period is expected to end above the next limit too"
    EXPECTED_BELOW = "the period is expected to end below the limit"
    CROSSED = "crossed"
    LIMIT_CHANGED = "the limit is not in force any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastAlert(BudgetAlert):
    """A period that is expected to end above a limit, USD. `crossed_at`: when the limit is expected to be reached."""

    kind: Literal[AlertKind.FORECAST] = AlertKind.FORECAST
    limit: Limit
    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal
    crossed_at: datetime | None
    crossed_earliest_at: datetime | None

    @property
    def identity(self) -> Identity:
        return Identity(AlertKind.FORECAST, self.spend.budget, self.spend.period, self.limit)

    def with_spend(self, spend: BudgetSpend) -> Self:
        end, low_usd, high_usd = spend.expected_usd, spend.low_usd, spend.high_usd
        if end is None or low_usd is None or high_usd is None or not spend.spent_usd < self.limit.usd <= end:
            return self
        return replace(
            self,
            spend=spend,
            expected_usd=end,
            low_usd=low_usd,
            high_usd=high_usd,
            # The dates belong to the older figures, so drop them.
            crossed_at=None,
            crossed_earliest_at=None,
        )


@dataclass(frozen=True, slots=True)
class ForecastStep(Step):
    """A step of a forecast's incident."""

    limit: Limit


Since = Mapping[Decimal, datetime]
"""Since when the expected end has been at or above each limit (USD) without a break."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The steps to take, and what to remember until the next look."""

    steps: tuple[ForecastStep, ...]
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
    """`incidents`: all of the budget in the present period. `since`: as stored at the last look.

    `as_of`: age of the data; how long something holds is measured by it.
    """
    known = {i.limit.usd: (i.limit, i.status) for i in incidents if i.kind is AlertKind.FORECAST and i.limit}
    # If soft and hard limit have swapped sums, the incident stays with its sum.
    limits = [known.get(limit.usd, (limit, None))[0] for limit in budget.limits()]
    passed = {limit.usd: since.get(limit.usd, as_of) for limit in limits if spent_usd < limit.usd <= expected_usd}
    lasting = [usd for usd, begun in passed.items() if as_of - begun >= rules.holds]
    # While a reported forecast is open, a lower limit is not news.
    standing = [
        limit.usd
        for limit in limits
        if known.get(limit.usd, (limit, None))[1] is Status.OPEN
        and spent_usd < limit.usd
        and not _is_cleared(limit, expected_usd, rules)
    ]
    highest = max((*lasting, *standing), default=None)
    steps = [
        _step(limit, spent_usd, expected_usd, highest, known.get(limit.usd, (limit, None))[1], rules)
        for limit in limits
    ]
    steps += [_withdraw(limit, status) for limit, status in known.values() if limit not in limits]
    return Expected(tuple(step for step in steps if step is not None), passed)


def _step(
    limit: Limit,
    spent_usd: Decimal,
    expected_usd: Decimal,
    highest: Decimal | None,
    status: Status | None,
    rules: ForecastRules,
) -> ForecastStep | None:
    """`highest`: the limit to report, USD. `status`: of the limit's incident, None if there is none."""
    is_open = status is Status.OPEN
    if limit.usd == highest:
        if is_open:
            return None
        reason = ForecastReason.EXPECTED if status is None else ForecastReason.EXPECTED_AGAIN
        return ForecastStep(limit, Status.OPEN, reason, post=True)
    if status not in (Status.OPEN, Status.SUPERSEDED):
        return None
    if _is_cleared(limit, expected_usd, rules) and spent_usd < limit.usd:
        # Resolve superseded ones too: their messages would keep naming a limit that is out of reach.
        return ForecastStep(limit, Status.RESOLVED, ForecastReason.EXPECTED_BELOW)
    if not is_open:
        return None
    if spent_usd >= limit.usd:
        return ForecastStep(limit, Status.SUPERSEDED, ForecastReason.CROSSED)
    if highest is not None and highest > limit.usd:
        return ForecastStep(limit, Status.SUPERSEDED, ForecastReason.EXPECTED_HIGHER)
    return None


def _is_cleared(limit: Limit, expected_usd: Decimal, rules: ForecastRules) -> bool:
    return expected_usd < limit.usd * rules.clear_percent / 100


def _withdraw(limit: Limit, status: Status) -> ForecastStep | None:
    if status not in (Status.OPEN, Status.SUPERSEDED):
        return None
    return ForecastStep(limit, Status.WITHDRAWN, ForecastReason.LIMIT_CHANGED)


LOOK_EVERY = timedelta(minutes=10)
"""Time between two forecasts of a budget: an expectation over days does not change in a minute."""

MOST_AT_ONCE = 50
"""Most forecasts in one cycle, so that a thousand budgets do not hold up one cycle."""


STATE_KEY = "forecast_since"


class ForecastDetector:
    """Forecasts the present period of every budget, a few in each cycle."""

    name = "forecasts"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        self._looked_at: dict[str, datetime] = {}

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """The steps of the budgets whose turn it is."""
        review, rules = self._context.review, self._context.rules.of(ForecastRules)
        if not rules.enabled:
            return
        present = review.present(now)
        due = looked_at_next(present, self._looked_at, now)
        found = budget_forecasts(review, now, due) if due else []
        if not found:
            return
        in_force = {_key(*pair) for pair in present}
        self._looked_at = {key: at for key, at in self._looked_at.items() if key in in_force}
        stored = self._context.state_store.get(STATE_KEY) or {}
        kept = {key: since for key, since in stored.items() if key in in_force}
        incidents = self._context.alerts.incidents_in(review.agenda(now).periods)
        windows = review.windows(now, now + timedelta.resolution)
        for each in found:
            key = _key(each.budget, each.period)
            self._looked_at[key] = now
            if each.spend.stale_at is not None:
                # Stale data neither confirms nor refutes a forecast.
                continue
            if quiet(windows, each.budget, now) is not None:
                # Planned spend now says nothing about the rest of the period.
                continue
            before = kept.pop(key, None)
            if each.forecast is None:
                continue
            expected = expect(
                each.budget,
                each.spend.spent_usd,
                each.forecast.expected_usd,
                incidents.get((each.budget.name, each.period.key), ()),
                _since(before),
                rules,
                each.spend.as_of,
            )
            if expected.steps:
                spend = review.spend_against(each.budget, now) or each.spend
                yield [
                    Transition(_payload(step, spend, each.forecast, mode, now), step.post) for step in expected.steps
                ]
            if expected.since:
                kept[key] = {f"{limit:f}": begun.isoformat() for limit, begun in expected.since.items()}
        if kept != stored:
            self._context.state_store.put(STATE_KEY, kept)


def looked_at_next(
    present: Sequence[tuple[Budget, Period]], looked_at: Mapping[str, datetime], now: datetime
) -> list[tuple[Budget, Period]]:
    """The budgets that are due, at most `MOST_AT_ONCE`, longest wait first.

    `looked_at`: time of the last look by budget and period.
    """
    waiting = []
    for budget, period in present:
        at = looked_at.get(_key(budget, period))
        if at is None or is_over(LOOK_EVERY, at, now):
            # Group them: budgets of one zone and period share much of the work.
            waiting.append(
                (at or BEFORE_EVERYTHING, budget.zone.key, period.starts_at, period.ends_at, (budget, period))
            )
    waiting.sort(key=itemgetter(0, 1, 2, 3))
    return [pair for *_, pair in waiting[:MOST_AT_ONCE]]


def _key(budget: Budget, period: Period) -> str:
    return f"{budget.name}/{period.key}"


def _since(stored: Mapping[str, str] | None) -> Since:
    return {Decimal(limit): datetime.fromisoformat(begun) for limit, begun in (stored or {}).items()}


def _payload(step: ForecastStep, spend: BudgetSpend, forecast: Forecast, mode: str, now: datetime) -> ForecastAlert:
    crossing = next((c for c in forecast.crossings if c.limit_usd == step.limit.usd), None)
    return ForecastAlert(
        **at_step(step, mode, now),
        limit=step.limit,
        spend=spend,
        low_usd=forecast.low_usd,
        expected_usd=forecast.expected_usd,
        high_usd=forecast.high_usd,
        crossed_at=None if crossing is None else crossing.expected,
        crossed_earliest_at=None if crossing is None else crossing.earliest,
    )
