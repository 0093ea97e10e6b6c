"""`/claude-cost plan`: a subscription against the API for a given use."""

import re

from bot.messages import Message
from bot.pricing.estimate import estimate
from bot.pricing.estimate_text import workload_line
from bot.pricing.plans import compare_plans, plan_lines
from bot.pricing.word_split import WordsError, whole_number
from bot.pricing.words import parse_workload
from bot.services import Services
from bot.typed_text import cleaned
from handlers.render.age import with_age
from handlers.render.elements import section
from handlers.render.escape import escape, sentence

MOST_SEATS = 10_000

_SEATS = re.compile(
    r"(?i)\bseats?\s*[=:]\s*([^\s,]+)|(?<![\w=.,])(\d[\d,]*)\s+(?:seats?|people|persons|developers|users)\b"
)


async def plan_command(services: Services, words: str) -> Message:
    """`plan WORDS… [seats=N]`: the words of an estimate, and how many people would have a seat (1 when left out)."""
    try:
        text = await services.threads.commands(_compared, services, words)
    except WordsError as error:
        text = sentence(str(error))
    checked = f"List prices checked on {services.card.checked_on.isoformat()}."
    return with_age(Message(text, [section(text)]), checked)


def _compared(services: Services, words: str) -> str:
    words = cleaned(words)
    seats = 1
    if (given := _SEATS.search(words)) is not None:
        number = (given[1] or given[2]).lower()
        seats = whole_number("seats", number, "seats=5")
        if not 1 <= seats <= MOST_SEATS:
            raise WordsError(f"seats={number} is no team: write 1 to {MOST_SEATS}.", "seats")
    workload = parse_workload(_SEATS.sub(" ", words, count=1), services.card)
    today = services.clock().date()
    result = estimate(workload, services.card, today)
    comparison = compare_plans(result.monthly_usd, seats, workload.routes[0].model, services.card, today)
    return escape("\n".join([f"{workload_line(workload)}:", *plan_lines(comparison)]))
