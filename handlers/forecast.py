"""`/claude-cost forecast`: where each budget's period will end."""

import asyncio

from bot.budgets.forecast import forecast
from bot.budgets.history import SpendHistory
from bot.budgets.period import period_at
from bot.message import Message
from bot.services import Services
from handlers.blocks.age import with_age
from handlers.blocks.elements import section
from handlers.blocks.forecast import Outlook, forecast_message
from handlers.fallback import age_of_data


async def forecast_command(services: Services) -> Message:
    """A range for every budget, with the day on which each limit is crossed."""
    return with_age(await asyncio.to_thread(_forecast, services), await age_of_data(services))


def _forecast(services: Services) -> Message:
    now = services.clock()
    spends = {spend.budget: spend for spend in services.review.spend(now)}
    budgets = [budget for budget in services.review.budgets if budget.name in spends]
    if not budgets:
        text = "Nothing can be forecast yet."
        return Message(text, [section(text)])
    as_of = min(spend.as_of for spend in spends.values())
    histories = SpendHistory(services.usage, services.card).of_budgets(budgets, as_of)
    outlooks = []
    for budget, history in zip(budgets, histories, strict=True):
        period, spend = period_at(budget.period, budget.zone, now), spends[budget.name]
        known = spend.period == period.key
        found = forecast(budget, period, spend.spent_usd, history) if known else None
        outlooks.append(Outlook(budget, period, spend, found))
    return forecast_message(outlooks)
