"""`/claude-cost limits`: Anthropic's rate limits and the limits of the budgets."""

from bot.messages import Message
from bot.pricing.throughput import load_rate_limits
from bot.services import Services
from handlers.fallback import age_of_data
from handlers.render.age import with_age
from handlers.render.limits import limits_message


async def limits_command(services: Services) -> Message:
    """Every budget with its limits and origin, and the organisation's own rate limits or the table by tier."""
    measured = await services.rate_limits.measured()
    budgets = await services.threads.commands(services.budgets.in_force)
    message = limits_message(budgets, measured, load_rate_limits())
    return with_age(message, await age_of_data(services))
