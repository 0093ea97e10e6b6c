"""`/claude-cost rates` and `plan`: what tokens cost, and a subscription against the API."""

import re

from bot.messages import Message
from bot.pricing.estimate import estimate
from bot.pricing.estimate_text import workload_line
from bot.pricing.japanese_words import with_english_models
from bot.pricing.model_ids import family_in
from bot.pricing.model_names import UnknownModelError, model_named
from bot.pricing.plans import compare_plans, plan_lines
from bot.pricing.word_split import WordsError, whole_number
from bot.pricing.words import parse_workload
from bot.services import Services
from bot.typed_text import words_in
from handlers.render.parts import code, escape, said, sentence, with_age
from handlers.render.rates import model_rates, overview
from handlers.requests import Request

MOST_SEATS = 10_000

_LEAD = re.compile(r"^(?:(?:for|of|on|the)\s+)+", re.IGNORECASE)

_SEATS = re.compile(
    r"(?i)\bseats?\s*[=:]\s*([^\s,]+)|(?<![\w=.,])(\d[\d,]*)\s+(?:seats?|people|persons|developers|users)\b"
)


async def rates_command(services: Services, request: Request) -> Message:
    """`rates [MODEL]`: a family, `sonnet-4.6`, `Sonnet 4.6` or an API id in any spelling."""
    card, today = services.card, services.clock().date()
    words = " ".join(with_english_models(_LEAD.sub("", " ".join(words_in(request.words)))).split())
    try:
        message = model_rates(model_named(words, card), card, today) if words else overview(card, today)
    except UnknownModelError as error:
        message = said(_unknown(services, error))
    return with_age(message, f"List prices in USD without tax, checked on {card.checked_on.isoformat()}.")


async def plan_command(services: Services, request: Request) -> Message:
    """`plan WORDS… [seats=N]`: the words of an estimate, and how many people would have a seat (1 when left out)."""
    try:
        message = said(await services.threads.commands(_compared, services, request.words))
    except WordsError as error:
        message = said(sentence(str(error)))
    return priced(services, message)


def priced(services: Services, message: Message) -> Message:
    """The answer with the day on which the list prices were checked."""
    return with_age(message, f"List prices checked on {services.card.checked_on.isoformat()}.")


def _unknown(services: Services, error: UnknownModelError) -> str:
    if error.is_foreign:
        why = "only Claude models have prices here. Type `rates` for the newest ones."
        return f"{code(error.word)} is not a Claude model: {why}"
    hint = f" Did you mean {code(error.nearest)}?" if error.nearest else ""
    if family_in(error.word) is None:
        hint = hint or " Type `rates` for the newest models."
        return f"The rate card has no model {code(error.word)}.{hint}"
    assumed = services.card.resolve(error.word, services.clock().date()).assumed
    return f"The rate card has no model {code(error.word)}; its usage is {assumed}.{hint}"


def _compared(services: Services, words: str) -> str:
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
