"""Where each budget's present period will end: spend, history and forecast put together."""

from dataclasses import dataclass
from datetime import datetime

from bot.alerts.spend_facts import SpendFacts
from bot.budgets.budget import Budget
from bot.budgets.forecast import Forecast, forecast
from bot.budgets.history import histories
from bot.budgets.period import Period
from bot.budgets.review import BudgetReview
from bot.budgets.snapshots import Snapshots


@dataclass(frozen=True, slots=True)
class Prospect:
    """One budget, its present period, the spend that is known and the forecast, None with too little data.

    Of a period that began after the data ends nothing is known yet; `spend` is then that of an earlier one.
    """

    budget: Budget
    period: Period
    spend: SpendFacts
    forecast: Forecast | None


def prospects(review: BudgetReview, snapshots: Snapshots, now: datetime) -> list[Prospect]:
    """Every budget's; empty before the first poll. Synchronous; asynchronous callers use a thread."""
    snapshot = snapshots.current()
    spends = {spend.budget: spend for spend in review.spend(now)}
    budgets = [budget for budget in review.budgets if budget.name in spends]
    if not budgets or snapshot.as_of is None:
        return []
    found = []
    for budget, history in zip(budgets, histories(snapshot, budgets, snapshot.as_of), strict=True):
        period, spend = budget.period_at(now), spends[budget.name]
        known = spend.period == period.key
        expected = forecast(budget, period, spend.spent_usd, history) if known else None
        found.append(Prospect(budget, period, spend, expected))
    return found
