"""`/claude-cost cache`: how often prompts are read from the cache, and what caching saved or lost."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from bot.budgets.cache_use import CacheUse
from bot.budgets.period import Period, in_period
from bot.messages import Message
from bot.money import share, usd
from bot.phrases import count
from handlers.render.logged_requests import NONE
from handlers.render.parts import context, lead, moment, table

MOST_ROWS = 15


def cache_message(
    uses: Sequence[tuple[str, CacheUse]], period: Period, until: datetime, by: str, on: date, *, logged: bool
) -> Message:
    """`uses`: the label of each row and the row, the largest loss first. `on`: the UTC day of the rates."""
    net = sum((use.saved_usd for _, use in uses), Decimal(0))
    lost = [-use.saved_usd for _, use in uses if use.saved_usd < 0]
    lines = [f"Caching {_saved(net)} {in_period(period.key, until)}, up to {moment(until)}, by {by}"]
    if lost:
        lines.append(f"Below the break-even: {count(len(lost), 'row')}, which lost {usd(sum(lost, Decimal(0)))}.")
    rows = [_cells(label, use) for label, use in uses[:MOST_ROWS]]
    if len(uses) > MOST_ROWS:
        rest = sum((use.saved_usd for _, use in uses[MOST_ROWS:]), Decimal(0))
        lines.append(f"And {len(uses) - MOST_ROWS} more rows, which {_saved(rest)}.")
    source = "the usage log of your applications" if logged else "Anthropic's usage, all of it at standard terms"
    return Message(
        [
            lead(*lines),
            table((by.capitalize(), "Hit rate", "Reused", "Break-even", "USD"), rows, _in_words),
            context(
                "Hit rate: cache reads in the whole prompt. Reused: cache reads in all that was read and written. "
                f"Against the same tokens without caching, from {source}, at the rates of {on.isoformat()}."
            ),
        ]
    )


def _saved(amount: Decimal) -> str:
    if not amount:
        return "saved and lost nothing"
    return f"saved {usd(amount)}" if amount > 0 else f"lost {usd(-amount)}"


def _cells(label: str, use: CacheUse) -> list[str]:
    money = NONE if use.reused is None else _saved(use.saved_usd)
    return [label, _percent(use.hit_rate), _percent(use.reused), _percent(use.break_even), money]


def _in_words(cells: Sequence[str]) -> str:
    who, hit_rate, reused, break_even, money = cells
    if reused == NONE:
        return f"• {who}: nothing is cached"
    against = "" if break_even == NONE else f" (break-even {break_even})"
    return f"• {who}: hit rate {hit_rate}, {reused} reused{against}: {money}"


def _percent(part: Fraction | None) -> str:
    return NONE if part is None else share(Decimal(part.numerator), Decimal(part.denominator))
