"""`/claude-cost rates` and `plan`: what tokens cost, and a subscription against the API."""

import re

from bot.language import tr
from bot.listed import sentences
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
    return with_age(message, tr("List prices in USD without tax, checked on {day}.", day=card.checked_on.isoformat()))


async def plan_command(services: Services, request: Request) -> Message:
    """`plan WORDS… [seats=N]`: the words of an estimate, and how many people would have a seat (default 1)."""
    try:
        message = said(await services.threads.commands(_compared, services, request.words))
    except WordsError as error:
        message = said(sentence(str(error)))
    return priced(services, message)


def priced(services: Services, message: Message) -> Message:
    """The answer with the day on which the list prices were checked."""
    return with_age(message, tr("List prices checked on {day}.", day=services.card.checked_on.isoformat()))


def _unknown(services: Services, error: UnknownModelError) -> str:
    word = code(error.word)
    if error.is_foreign:
        return tr(
            "{word} is not a Claude model: only Claude models have prices here. Type `rates` for the newest ones.",
            word=word,
        )
    known = [_not_in_card(services, error)]
    if error.nearest:
        known.append(tr("Did you mean {near}?", near=code(error.nearest)))
    elif family_in(error.word) is None:
        known.append(tr("Type `rates` for the newest models."))
    return sentences(known)


def _not_in_card(services: Services, error: UnknownModelError) -> str:
    """The answer for an unknown model, with how its usage would be priced."""
    word, family = code(error.word), family_in(error.word)
    if family is None:
        return tr("The rate card has no model {word}.", word=word)
    stand_in = services.card.resolve(error.word, services.clock().date()).model
    return tr(
        "The rate card has no model {word}; its usage is priced at the most expensive {family} rate, {model}'s.",
        word=word,
        family=family,
        model=stand_in.name,
    )


def _compared(services: Services, words: str) -> str:
    seats = 1
    if (given := _SEATS.search(words)) is not None:
        number = (given[1] or given[2]).lower()
        seats = whole_number("seats", number, "seats=5")
        if not 1 <= seats <= MOST_SEATS:
            raise WordsError(
                tr("{word} is no team: write 1 to {most}.", word=f"seats={number}", most=MOST_SEATS), "seats"
            )
    workload = parse_workload(_SEATS.sub(" ", words, count=1), services.card)
    today = services.clock().date()
    result = estimate(workload, services.card, today)
    comparison = compare_plans(result.monthly_usd, seats, workload.routes[0].model, services.card, today)
    return escape("\n".join([tr("{workload}:", workload=workload_line(workload)), *plan_lines(comparison)]))
