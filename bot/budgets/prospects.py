"""Where each budget's present period will end: spend, history and forecast put together."""

from dataclasses import dataclass
from datetime import datetime

from bot.alerts.spend_facts import SpendFacts
from bot.budgets.budget import Budget
from bot.budgets.forecast import Forecast
from bot.budgets.history import forecasts_of
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
    spends = {spend.budget: spend for spend in review.spend(now, why=False)}
    budgets = [budget for budget in review.budgets if budget.name in spends]
    if not budgets or snapshot.as_of is None:
        return []
    known = [budget for budget in budgets if budget.period_at(now).key == spends[budget.name].period]
    made = forecasts_of(snapshot, [(budget, budget.period_at(now), ()) for budget in known])
    by_name = {budget.name: found for budget, found in zip(known, made, strict=True)}
    return [
        Prospect(budget, budget.period_at(now), spends[budget.name], by_name.get(budget.name)) for budget in budgets
    ]
