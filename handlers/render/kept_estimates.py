"""Estimates that were kept: the list, one of them then and now, and the answers to keeping and dropping."""

from collections.abc import Sequence

from bot.messages import Message
from bot.money import usd
from bot.pricing.estimate import Estimate
from bot.pricing.store import KeptEstimate
from handlers.render.elements import moment, section
from handlers.render.escape import code, mention
from handlers.render.estimate import estimate_message

WORDS_LIMIT = 300
MOST = 20


def kept_list(kept: Sequence[KeptEstimate]) -> list[str]:
    """One line for each; the newest `MOST` where there are more."""
    if not kept:
        return ["No estimate is kept: add as=NAME to one, as in `estimate sonnet requests=1k in=2000 out=500 as=demo`."]
    shown = sorted(kept, key=lambda one: one.kept_at, reverse=True)[:MOST]
    lines = [f"{code(one.name)}: {usd(one.monthly_usd)} a month, {code(one.words, WORDS_LIMIT)}" for one in shown]
    more = len(kept) - len(shown)
    return lines if more <= 0 else [*lines, f"and {more} older ones"]


def kept_line(kept: KeptEstimate, replaced: KeptEstimate | None) -> str:
    """That an estimate is kept now, and what it replaced."""
    line = f"Kept as {code(kept.name)}, with the prices checked on {kept.rates_checked.isoformat()}."
    if replaced is None:
        return line
    return f"{line} It replaces {usd(replaced.monthly_usd)} a month of {moment(replaced.kept_at)}."


def dropped(kept: KeptEstimate) -> str:
    """That it is forgotten, with the words that bring it back."""
    return f"{code(kept.name)} is dropped. It was {code(kept.words, WORDS_LIMIT)}."


def kept_message(kept: KeptEstimate, now: Estimate) -> Message:
    """What it cost when it was kept, and what it costs today."""
    then = (
        f"{code(kept.name)}, kept by {mention(kept.kept_by)} on {moment(kept.kept_at)}: {usd(kept.monthly_usd)} "
        f"a month at the prices checked on {kept.rates_checked.isoformat()}."
    )
    message = estimate_message(now, ())
    lead = f"{then}\nToday:"
    return Message(f"{lead}\n{message.text}", [section(lead), *message.blocks])
