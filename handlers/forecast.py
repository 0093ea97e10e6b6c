"""`/claude-cost forecast`: where each budget's period will end."""

import difflib

from bot.budgets.prospects import prospects
from bot.messages import Message
from bot.services import Services
from bot.typed_text import words_in
from handlers.fallback import age_of_data
from handlers.render.age import with_age
from handlers.render.elements import section
from handlers.render.escape import code, shown
from handlers.render.forecast import MOST_BUDGETS, forecast_message


async def forecast_command(services: Services, words: str) -> Message:
    """`forecast [BUDGET]`: a range for every budget, or for one, with the day on which each limit is crossed."""
    return with_age(await services.threads.commands(_forecast, services, words), await age_of_data(services))


def _forecast(services: Services, words: str) -> Message:
    names = {budget.name.lower(): budget.name for budget in services.budgets.in_force()}
    listed = [word for word in words_in(words) if word.lower() not in ("for", "of", "budget")]
    chosen = [names.get(word.lower()) for word in listed]
    if None in chosen:
        return _no_budget(listed[chosen.index(None)], sorted(names.values()))
    now = services.clock()
    asked = [pair for pair in services.review.present(now) if not chosen or pair[0].name in chosen]
    found = prospects(services.review, now, asked[:MOST_BUDGETS])
    if not found:
        text = "Nothing can be forecast yet."
        return Message(text, [section(text)])
    return forecast_message(found, services.display, more=len(asked) - len(found))


def _no_budget(word: str, known: list[str]) -> Message:
    near = difflib.get_close_matches(word, known, n=1)
    hint = f" Did you mean `forecast {shown(near[0])}`?" if near else ""
    text = f"There is no budget {code(word)}: `forecast` takes the name of a budget, or nothing for all of them.{hint}"
    return Message(text, [section(text)])
