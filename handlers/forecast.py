"""`/claude-cost forecast`: where each budget's period will end."""

import asyncio

from bot.budgets.prospects import prospects
from bot.message import Message
from bot.services import Services
from handlers.blocks.age import with_age
from handlers.blocks.elements import section
from handlers.blocks.forecast import forecast_message
from handlers.fallback import age_of_data


async def forecast_command(services: Services) -> Message:
    """A range for every budget, with the day on which each limit is crossed."""
    return with_age(await asyncio.to_thread(_forecast, services), await age_of_data(services))


def _forecast(services: Services) -> Message:
    found = prospects(services.review, services.usage, services.card, services.clock())
    if not found:
        text = "Nothing can be forecast yet."
        return Message(text, [section(text)])
    return forecast_message(found, services.display)
