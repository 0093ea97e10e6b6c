"""Where each budget's present period will end: spend, history and forecast put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.budgets.budget import Budget
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.forecast import Forecast
from bot.budgets.period import Period
from bot.budgets.review import BudgetReview


@dataclass(frozen=True, slots=True)
class Prospect:
    """One budget, its present period, the spend that is known and the forecast, None with too little or stale data.

    Of a period that began after the data ends nothing is forecast. `spend` is that of an earlier one there, unless
    applications have logged something of it.
    """

    budget: Budget
    period: Period
    spend: BudgetSpend
    forecast: Forecast | None


def prospects(
    review: BudgetReview, now: datetime, asked: Sequence[tuple[Budget, Period]] | None = None
) -> list[Prospect]:
    """Of every budget in force with its present period, or of those that are asked for; empty before the first poll.

    Synchronous; asynchronous callers use a thread.
    """
    pairs = review.present(now) if asked is None else asked
    spends = review.spend_of([budget for budget, _ in pairs], now)
    if not spends:
        return []
    known = [
        (budget, period)
        for (budget, period), spend in zip(pairs, spends, strict=True)
        if spend.period == period.key and period.starts_at < spend.as_of
    ]
    made = {budget.name: found for (budget, _), found in zip(known, review.forecasts(known, now), strict=True)}
    return [
        Prospect(budget, period, spend, made.get(budget.name))
        for (budget, period), spend in zip(pairs, spends, strict=True)
    ]
