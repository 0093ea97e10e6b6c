"""A saved estimate beside its pace, and the inputs that differ from the estimate."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from bot.amounts import cents_of, change, in_cents, shares, usd
from bot.budgets.actuals import LEAST_HOURS, Comparison, Difference, Input, Stretch
from bot.clock import DAY, HOUR
from bot.display import Display
from bot.language import ntr, tr, tr_noop
from bot.listed import comma_list
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
"""Smaller numbers are written out."""


@dataclass(frozen=True, slots=True)
class Pace:
    """USD a month at the usage of the stretch, None if that is too short. `hidden`, `assumed`: as in `Spend`."""

    stretch: Stretch
    monthly_usd: Decimal | None
    hidden: frozenset[Hidden]
    assumed: tuple[str, ...]
    logged: bool


def actual_message(kept: KeptEstimate, comparison: Comparison, pace: Pace, display: Display) -> Message:
    """One sentence with the inputs that explain the difference, and the stretch it is based on."""
    stretch, monthly = pace.stretch, comparison.monthly_usd
    line = _paced(kept, monthly, at_least=bool(pace.hidden))
    if comparison.nothing_used:
        line = tr(
            "{estimate}: no usage of {scope} in {length}.",
            estimate=line,
            scope=shown(kept.scope or ""),
            length=_length(stretch),
        )
        return Message([figure(line), context(_whose(kept, pace))])
    parts = _parts(comparison)
    if parts:
        line = tr("{estimate}: {differences}.", estimate=line, differences=comma_list(parts))
    else:
        line = tr("{estimate}: every input that can be compared is about as estimated.", estimate=line)
    return Message(
        [
            figure(line, *([] if monthly is None else display_lines(monthly, display))),
            context(
                _whose(kept, pace),
                *([] if monthly is None or len(parts) < 2 else [tr(ADD_UP)]),
                *([] if comparison.by_request else [_without_requests(pace)]),
                *([at_least_line(pace.hidden)] if pace.hidden else []),
                *([unknown_price_line(pace.assumed)] if pace.assumed else []),
            ),
        ]
    )


ADD_UP = tr_noop(
    "Each amount is what a month changes when that input becomes as used, one after the other; they add up to the "
    "difference."
)


def _paced(kept: KeptEstimate, monthly: Decimal | None, *, at_least: bool) -> str:
    """What was estimated and what is used, without a full stop."""
    values = {"name": code(kept.name), "estimated": usd(kept.monthly_usd)}
    if monthly is None:
        return tr(
            "{name}: estimated {estimated} a month, pace not known yet (it takes {hours} hours of usage)",
            hours=LEAST_HOURS,
            **values,
        )
    pace = tr("at least {usd}", usd=usd(monthly)) if at_least else usd(monthly)
    changed = change(monthly, kept.monthly_usd)
    if changed is None:
        return tr("{name}: estimated {estimated} a month, on pace for {pace}", pace=pace, **values)
    return tr(
        "{name}: estimated {estimated} a month, on pace for {pace} ({change})", pace=pace, change=changed, **values
    )


def unknown_pace(kept: KeptEstimate, why: str) -> str:
    """The answer if nothing was used so far, or the scope matches nothing."""
    return tr(
        "{name}: estimated {estimated} a month, pace not known yet. {why} The estimate is {words}.",
        name=code(kept.name),
        estimated=usd(kept.monthly_usd),
        why=sentence(why),
        words=code(kept.words, WORDS_LIMIT),
    )


def _whose(kept: KeptEstimate, pace: Pace) -> str:
    values = {
        "scope": shown(kept.scope or ""),
        "source": tr("logged by applications") if pace.logged else tr("Anthropic's usage"),
        "length": _length(pace.stretch),
        "words": code(kept.words, WORDS_LIMIT),
        "who": mention(kept.kept_by),
        "time": moment(kept.kept_at),
    }
    if pace.monthly_usd is None:
        return tr(
            "Usage of {scope} ({source}) in {length}. The estimate is {words}, kept by {who} on {time}.", **values
        )
    return tr(
        "Usage of {scope} ({source}) in {length}, scaled to 30 days. The estimate is {words}, kept by {who} on {time}.",
        **values,
    )


def _length(stretch: Stretch) -> str:
    whole = stretch.until - stretch.since
    if not stretch.gives_pace:
        return tr("the time since {time}", time=moment(stretch.since))
    in_days = whole % DAY == 0 * DAY
    length = (
        ntr("{number} day", "{number} days", whole // DAY)
        if in_days
        else ntr("{number} hour", "{number} hours", whole // HOUR)
    )
    gap = whole // HOUR - stretch.hours
    if not gap:
        return tr("the {length} up to {until}", length=length, until=moment(stretch.until))
    return ntr(
        "the {length} up to {until}, of which {number} hour is not known",
        "the {length} up to {until}, of which {number} hours are not known",
        gap,
        length=length,
        until=moment(stretch.until),
    )


def _without_requests(pace: Pace) -> str:
    if pace.logged:
        return tr("Requests, and so tokens a request, cannot be compared: tokens were logged without requests.")
    return tr(
        "Requests, and so tokens a request, cannot be compared: Anthropic's usage report does not count requests."
    )


def _parts(comparison: Comparison) -> list[str]:
    """The parts, in dollars that add up to the difference shown, to the cent."""
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
    parts = [_with_dollars(text, amount) for text, amount in zip(words, found, strict=True)]
    return [*parts, _with_dollars(tr("everything else"), rest)] if parts and cents_of(rest) else parts


def _with_dollars(text: str, amount: Decimal) -> str:
    """`input 640 tokens (+$170.00)`; without dollars if nothing changes."""
    if not cents_of(amount):
        return text
    return tr("{what} ({usd})", what=text, usd=f"{'+' if amount > 0 else ''}{usd(amount)}")


def _decimal(exact: Fraction) -> Decimal:
    return Decimal(exact.numerator) / Decimal(exact.denominator)


def _words(difference: Difference, *, by_request: bool) -> str:
    """`output 640 tokens a request instead of 500`."""
    estimated, actual = difference.estimated or Fraction(0), difference.actual or Fraction(0)
    if difference.input is Input.PRICES:
        return tr("list prices since it was kept")
    if difference.input is Input.MODELS:
        before, now = difference.models or ({}, {})
        return tr("{now} instead of {before}", now=_models(now), before=_models(before))
    if difference.input in SHARES:
        return tr(SHARES[difference.input], now=_per_cent(actual), before=_per_cent(estimated))
    numbers = A_REQUEST if by_request else A_MONTH
    return tr(numbers[difference.input], now=_number(actual), before=_number(estimated))


SHARES: Mapping[Input, str] = {
    Input.CACHED: tr_noop("{now} of the input cached instead of {before}"),
    Input.HIT: tr_noop("cache hit rate {now} instead of {before}"),
    Input.TTL: tr_noop("{now} of the cache writes for 1 hour instead of {before}"),
    Input.BATCH: tr_noop("{now} of the tokens in batches instead of {before}"),
    Input.US: tr_noop("{now} of the tokens in the US instead of {before}"),
    Input.FAST: tr_noop("{now} of the tokens in fast mode instead of {before}"),
}

A_REQUEST: Mapping[Input, str] = {
    Input.REQUESTS: tr_noop("{now} requests a day instead of {before}"),
    Input.PROMPT: tr_noop("input {now} tokens a request instead of {before}"),
    Input.OUTPUT: tr_noop("output {now} tokens a request instead of {before}"),
    Input.SEARCHES: tr_noop("{now} web searches a request instead of {before}"),
}

A_MONTH: Mapping[Input, str] = {
    Input.REQUESTS: tr_noop("{now} requests a day instead of {before}"),
    Input.PROMPT: tr_noop("input {now} tokens a month instead of {before}"),
    Input.OUTPUT: tr_noop("output {now} tokens a month instead of {before}"),
    Input.SEARCHES: tr_noop("{now} web searches a month instead of {before}"),
}


def _models(by_name: Mapping[str, Fraction]) -> str:
    if len(by_name) == 1:
        return shown(next(iter(by_name)))
    ordered = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    per_cent = shares([_decimal(part) for _, part in ordered]) or []
    named = [f"{shown(name)} {share}" for (name, _), share in zip(ordered, per_cent, strict=True)]
    more = len(named) - MOST_MODELS
    largest = " + ".join(named[:MOST_MODELS])
    if more <= 0:
        return largest
    return ntr("{models} and {number} more model", "{models} and {number} more models", more, models=largest)


def _per_cent(share: Fraction) -> str:
    """`38%`; 0% and 100% only if exact."""
    rounded = int(share * 100 + Fraction(1, 2))
    if rounded == 0 and share:
        return tr("under 1%")
    return tr("over 99%") if rounded == 100 and share < 1 else f"{rounded}%"


def _number(amount: Fraction) -> str:
    """`640`, `3,333`, `12.5M`; two decimal places below 10."""
    if amount >= SHORT_FROM:
        return short(int(amount + Fraction(1, 2)))
    if amount >= 10 or amount.denominator == 1:
        return f"{int(amount + Fraction(1, 2)):,}"
    return f"{float(amount):.2g}"
