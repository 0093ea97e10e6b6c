"""A kept estimate beside its pace, and the inputs that are not as estimated."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from bot.amounts import cents_of, change, count, in_cents, shares, usd
from bot.budgets.actuals import LEAST_HOURS, Comparison, Difference, Input, Stretch
from bot.clock import DAY, HOUR
from bot.display import Display
from bot.messages import Message
from bot.pricing.cost import Hidden
from bot.pricing.store import KeptEstimate
from handlers.render.parts import code, context, figure, mention, moment, sentence, shown
from handlers.render.report import short
from handlers.render.spend import at_least_line, display_lines, unknown_price_line

WORDS_LIMIT = 300
MOST_MODELS = 3
MOST_DIFFERENCES = 8

SHORT_FROM = 100_000
"""Numbers below it are written out."""


@dataclass(frozen=True, slots=True)
class Pace:
    """USD a month at what the stretch used, None where that is too little. `hidden`, `assumed`: as in `Spend`."""

    stretch: Stretch
    monthly_usd: Decimal | None
    hidden: frozenset[Hidden]
    assumed: tuple[str, ...]
    logged: bool


def actual_message(kept: KeptEstimate, comparison: Comparison, pace: Pace, display: Display) -> Message:
    """One sentence with the inputs that explain the difference, and what it is taken from."""
    stretch, monthly = pace.stretch, comparison.monthly_usd
    estimated = f"{code(kept.name)}: estimated {usd(kept.monthly_usd)} a month"
    if monthly is None:
        line = f"{estimated}, pace not known yet (it takes {LEAST_HOURS} hours of usage)"
    else:
        least = "at least " if pace.hidden else ""
        line = f"{estimated}, on pace for {least}{usd(monthly)}{_changed(monthly, kept.monthly_usd)}"
    if comparison.nothing_used:
        line = f"{line}: no usage of {shown(kept.scope or '')} in {_length(stretch)}."
        return Message([figure(line), context(_whose(kept, pace))])
    parts = _parts(comparison)
    if parts:
        line = f"{line}: {', '.join(parts)}."
    else:
        line = f"{line}: every input that can be compared is about as estimated."
    return Message(
        [
            figure(line, *([] if monthly is None else display_lines(monthly, display))),
            context(
                _whose(kept, pace),
                *([] if monthly is None or len(parts) < 2 else [ADD_UP]),
                *([] if comparison.by_request else [_without_requests(pace)]),
                *([at_least_line(pace.hidden)] if pace.hidden else []),
                *([unknown_price_line(pace.assumed)] if pace.assumed else []),
            ),
        ]
    )


ADD_UP = (
    "Each amount is what a month changes when that input becomes as used, one after the other; they add up to the "
    "difference."
)


def unknown_pace(kept: KeptEstimate, why: str) -> str:
    """That nothing was used so far, or that the scope means nothing."""
    return (
        f"{code(kept.name)}: estimated {usd(kept.monthly_usd)} a month, pace not known yet. {sentence(why)} "
        f"The estimate is {code(kept.words, WORDS_LIMIT)}."
    )


def _changed(monthly: Decimal, estimated: Decimal) -> str:
    words = change(monthly, estimated)
    return "" if words is None else f" ({words})"


def _whose(kept: KeptEstimate, pace: Pace) -> str:
    stretch = pace.stretch
    source = "logged by applications" if pace.logged else "Anthropic's usage"
    scaled = ", scaled to 30 days" if pace.monthly_usd is not None else ""
    return (
        f"Usage of {shown(kept.scope or '')} ({source}) in {_length(stretch)}{scaled}. "
        f"The estimate is {code(kept.words, WORDS_LIMIT)}, kept by {mention(kept.kept_by)} on {moment(kept.kept_at)}."
    )


def _length(stretch: Stretch) -> str:
    whole = stretch.until - stretch.since
    if not stretch.gives_pace:
        return f"the time since {moment(stretch.since)}"
    length = count(whole // DAY, "day") if whole % DAY == 0 * DAY else count(whole // HOUR, "hour")
    gap = whole // HOUR - stretch.hours
    unknown = f", of which {count(gap, 'hour')} {'is' if gap == 1 else 'are'} not known" if gap else ""
    return f"the {length} up to {moment(stretch.until)}{unknown}"


def _without_requests(pace: Pace) -> str:
    if pace.logged:
        return "Requests, and so tokens a request, cannot be compared: tokens were logged without requests."
    return "Requests, and so tokens a request, cannot be compared: Anthropic's usage report does not count requests."


def _parts(comparison: Comparison) -> list[str]:
    """Dollars add up to the difference that the line shows, to the cent."""
    listed = comparison.differences[:MOST_DIFFERENCES]
    words = [_words(each, by_request=comparison.by_request) for each in listed]
    if comparison.monthly_usd is None or comparison.rest_usd is None:
        return words
    effects = [each.usd or Fraction(0) for each in listed]
    left = comparison.rest_usd + sum(
        (each.usd or Fraction(0) for each in comparison.differences[len(listed) :]), Fraction(0)
    )
    whole = cents_of(comparison.monthly_usd) - cents_of(comparison.estimated_usd)
    *found, rest = in_cents(whole, [_decimal(effect) for effect in [*effects, left]])
    parts = [f"{text}{_dollars(amount)}" for text, amount in zip(words, found, strict=True)]
    return [*parts, f"everything else{_dollars(rest)}"] if parts and cents_of(rest) else parts


def _dollars(amount: Decimal) -> str:
    """` (+$170.00)`; nothing for what changes nothing."""
    if not cents_of(amount):
        return ""
    return f" ({'+' if amount > 0 else ''}{usd(amount)})"


def _decimal(exact: Fraction) -> Decimal:
    return Decimal(exact.numerator) / Decimal(exact.denominator)


def _words(difference: Difference, *, by_request: bool) -> str:
    """`output 640 tokens a request instead of 500`."""
    each = "a request" if by_request else "a month"
    estimated, actual = difference.estimated or Fraction(0), difference.actual or Fraction(0)
    before, now = _number(estimated), _number(actual)
    share_before, share_now = _shares_in_words(estimated, actual)
    match difference.input:
        case Input.PRICES:
            return "list prices since it was kept"
        case Input.REQUESTS:
            return f"{now} requests a day instead of {before}"
        case Input.PROMPT:
            return f"input {now} tokens {each} instead of {before}"
        case Input.OUTPUT:
            return f"output {now} tokens {each} instead of {before}"
        case Input.SEARCHES:
            return f"{now} web searches {each} instead of {before}"
        case Input.CACHED:
            return f"{share_now} of the input cached instead of {share_before}"
        case Input.HIT:
            return f"cache hit rate {share_now} instead of {share_before}"
        case Input.TTL:
            return f"{share_now} of the cache writes for 1 hour instead of {share_before}"
        case Input.BATCH:
            return f"{share_now} of the tokens in batches instead of {share_before}"
        case Input.US:
            return f"{share_now} of the tokens in the US instead of {share_before}"
        case Input.FAST:
            return f"{share_now} of the tokens in fast mode instead of {share_before}"
        case Input.MODELS:
            estimated_models, models = difference.models or ({}, {})
            return f"{_models(models)} instead of {_models(estimated_models)}"


def _models(by_name: Mapping[str, Fraction]) -> str:
    if len(by_name) == 1:
        return shown(next(iter(by_name)))
    ordered = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    per_cent = shares([_decimal(part) for _, part in ordered]) or []
    listed = [f"{shown(name)} {share}" for (name, _), share in zip(ordered, per_cent, strict=True)]
    more = len(listed) - MOST_MODELS
    return " + ".join(listed[:MOST_MODELS]) + (f" and {count(more, 'more model')}" if more > 0 else "")


def _shares_in_words(before: Fraction, now: Fraction) -> tuple[str, str]:
    return _per_cent(before), _per_cent(now)


def _per_cent(share: Fraction) -> str:
    """`38%`; neither 0% nor 100% for what is not all of it."""
    rounded = int(share * 100 + Fraction(1, 2))
    if rounded == 0 and share:
        return "under 1%"
    return "over 99%" if rounded == 100 and share < 1 else f"{rounded}%"


def _number(amount: Fraction) -> str:
    """`640`, `3,333`, `12.5M`; two more digits below 10."""
    if amount >= SHORT_FROM:
        return short(int(amount + Fraction(1, 2)))
    if amount >= 10 or amount.denominator == 1:
        return f"{int(amount + Fraction(1, 2)):,}"
    return f"{float(amount):.2g}"
