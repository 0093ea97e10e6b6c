"""`/claude-cost limits`: Anthropic's rate limits and the limits of the budgets."""

from bot.message import Message
from bot.pricing.throughput import load_rate_limits
from bot.services import Services
from handlers.blocks.age import with_age
from handlers.blocks.limits import limits_message
from handlers.fallback import age_of_data


async def limits_command(services: Services) -> Message:
    """Every budget with its limits and origin, and the organisation's own rate limits or the table by tier."""
    measured = await services.rate_limits.measured()
    budgets = await services.threads.commands(services.budgets.in_force)
    message = limits_message(budgets, measured, load_rate_limits())
    return with_age(message, await age_of_data(services))
