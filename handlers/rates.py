"""`/claude-cost rates`: what tokens cost, from the dated rate card."""

import re

from bot.messages import Message
from bot.pricing.japanese_words import with_english_models
from bot.pricing.model_ids import family_in
from bot.pricing.model_names import UnknownModelError, model_named
from bot.services import Services
from bot.typed_text import words_in
from handlers.render.age import with_age
from handlers.render.elements import section
from handlers.render.escape import code
from handlers.render.rates import model_rates, overview

_LEAD = re.compile(r"^(?:(?:for|of|on|the)\s+)+", re.IGNORECASE)


async def rates_command(services: Services, words: str) -> Message:
    """`rates [MODEL]`: a family, `sonnet-4.6`, `Sonnet 4.6` or an API id in any spelling."""
    card, today = services.card, services.clock().date()
    words = " ".join(with_english_models(_LEAD.sub("", " ".join(words_in(words)))).split())
    try:
        message = model_rates(model_named(words, card), card, today) if words else overview(card, today)
    except UnknownModelError as error:
        text = _unknown(services, error)
        message = Message(text, [section(text)])
    return with_age(message, f"List prices in USD without tax, checked on {card.checked_on.isoformat()}.")


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
