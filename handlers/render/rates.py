"""`/claude-cost rates`: the rate card, one model in full or each family's newest."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from bot.amounts import CENT
from bot.language import tr, tr_noop
from bot.listed import clauses, comma_list
from bot.messages import Message
from bot.pricing.card import Model, Prices, RateCard, Rates
from handlers.render.parts import code, lead, narrow_table, paragraph, shown

HEADINGS = (
    tr_noop("Model"),
    tr_noop("Input"),
    tr_noop("Write 5 min"),
    tr_noop("Write 1 h"),
    tr_noop("Cache read"),
    tr_noop("Output"),
    tr_noop("Fast in"),
    tr_noop("Fast out"),
)
NONE = "–"

ON_PHONE = (0, 1, 4, 5)
"""Columns of the table on a phone: prices that every request pays."""

TOKENIZERS = {
    1: tr_noop("• tokenizer: the one before Opus 4.7"),
    2: tr_noop("• tokenizer: that of Opus 4.7 and later, about 30% more tokens of the same text"),
}


def overview(card: RateCard, today: date) -> Message:
    """Each family's newest model at today's prices."""
    models = [card.newest(family) for family in card.families()]
    notes = [
        tr("{name}: {what}", name=model.name, what=line)
        for model in models
        if (line := _step_line(model.rates(today))) is not None
    ]
    rows = [_cells(model, model.rates(today), today) for model in models]
    return Message(
        [
            paragraph(tr("USD per million tokens, the newest model of each family. `rates MODEL` shows more.")),
            *narrow_table([tr(heading) for heading in HEADINGS], rows, _in_words, ON_PHONE),
            paragraph(*notes, _factors(card)),
        ]
    )


def model_rates(model: Model, card: RateCard, today: date) -> Message:
    """Everything in the rate card about one model."""
    rates = model.rates(today)
    first = tr("{name}, {id}, USD per million tokens", name=model.name, id=code(model.id))
    batch = [_price(price * card.batch_factor) for price in (rates.input, rates.output)]
    lines = [
        _prices(rates),
        tr(
            "batch: input {input}, output {output}; cache writes and reads by the same factor",
            input=batch[0],
            output=batch[1],
        ),
        _fast_words(rates, today),
    ]
    lines += [step for step in [_step_line(rates)] if step is not None]
    lines.append(clauses([_valid(rates, today), _source(rates)]))
    lines += [_other_prices(other, rates) for other in model.price if other is not rates]
    lines.append(_retirement(model, today))
    lines = [f"• {line}" for line in lines]
    lines.append(tr(TOKENIZERS[model.tokenizer]))
    lines.append(f"• {_least_cached(model)}")
    lines.append(f"• {_surcharges(model, card)}")
    return Message([lead(first, *lines)])


def _other_prices(other: Rates, rates: Rates) -> str:
    day, prices = other.valid_from.isoformat(), _prices(other)
    if other.valid_from < rates.valid_from:
        line = tr("earlier, from {day}: {prices}", day=day, prices=prices)
    else:
        line = tr("later, from {day}: {prices}", day=day, prices=prices)
    return clauses([line, _step_line(other) or tr("no step"), _source(other)])


def _source(rates: Rates) -> str:
    return tr("source: {source}", source=shown(rates.source, 300))


def _least_cached(model: Model) -> str:
    least = model.min_cacheable_tokens
    if least is None:
        return tr("smallest prompt that is cached: not known")
    return tr("smallest prompt that is cached: {tokens} tokens", tokens=f"{least:,}")


def _cells(model: Model, rates: Rates, today: date) -> list[str]:
    fast = [rates.fast_input, rates.fast_output] if _fast_now(rates, today) else [None, None]
    return [
        model.name,
        *(
            _price(price)
            for price in (rates.input, rates.cache_write_5m, rates.cache_write_1h, rates.cache_read, rates.output)
        ),
        *(NONE if price is None else _price(price) for price in fast),
    ]


def _prices(prices: Prices) -> str:
    return tr(
        "input {input}, cache writes {write_5m} for 5 minutes and {write_1h} for 1 hour, cache reads {read}, output "
        "{output}",
        input=_price(prices.input),
        write_5m=_price(prices.cache_write_5m),
        write_1h=_price(prices.cache_write_1h),
        read=_price(prices.cache_read),
        output=_price(prices.output),
    )


def _in_words(cells: Sequence[str]) -> str:
    name, input_, write_5m, write_1h, read, output, *fast = cells
    line = tr(
        "• {name}: input {input}, cache writes {write_5m} for 5 minutes and {write_1h} for 1 hour, cache reads {read}, "
        "output {output}",
        name=name,
        input=input_,
        write_5m=write_5m,
        write_1h=write_1h,
        read=read,
        output=output,
    )
    if NONE in fast:
        return line
    return clauses([line, tr("fast mode: input {input}, output {output}", input=fast[0], output=fast[1])])


def _fast_now(rates: Rates, today: date) -> bool:
    return rates.fast_input is not None and (rates.fast_until is None or today <= rates.fast_until)


def _fast_words(rates: Rates, today: date) -> str:
    if rates.fast_input is None or rates.fast_output is None:
        return tr("fast mode: no price in the rate card")
    until = rates.fast_until
    if until is not None and not _fast_now(rates, today):
        return tr(
            "fast mode: ended {day}; such requests run at standard speed and price",
            day=until.isoformat(),
        )
    prices = {"input": _price(rates.fast_input), "output": _price(rates.fast_output)}
    if until is None:
        return tr("fast mode: input {input}, output {output}", **prices)
    return tr("fast mode: input {input}, output {output}, until {day}", **prices, day=until.isoformat())


def _step_line(rates: Rates) -> str | None:
    step = rates.step
    if step is None:
        return None
    return tr(
        "a request with a prompt above {tokens} tokens, for all of its tokens: {prices}",
        tokens=f"{step.above_prompt_tokens:,}",
        prices=_prices(step),
    )


def _valid(rates: Rates, today: date) -> str:
    day = rates.valid_from.isoformat()
    if rates.valid_from <= today:
        return tr("valid from {day}", day=day)
    return tr("valid from {day}, which is still to come", day=day)


def _retirement(model: Model, today: date) -> str:
    if model.retires is not None:
        day = model.retires.isoformat()
        if model.retires < today:
            return tr("retirement: its last day was {day}", day=day)
        return tr("retirement: its last day is {day}", day=day)
    if model.retires_not_before is not None:
        return tr("retirement: not before {day}", day=model.retires_not_before.isoformat())
    return tr("retirement: no day is known")


def _surcharges(model: Model, card: RateCard) -> str:
    places = []
    if model.us_inference:
        places.append(tr("US-only inference costs {factor} times as much", factor=_factor(card.us_factor)))
    if model.regional_premium:
        factor = _factor(card.regional_factor)
        places.append(tr("regional endpoints of Bedrock and Vertex {factor} times", factor=factor))
    return comma_list(places) if places else tr("no surcharge by region")


def _factors(card: RateCard) -> str:
    return tr(
        "Batches cost {batch} times these prices, US-only inference {us} times where the model has it, a web search "
        "{search}.",
        batch=_factor(card.batch_factor),
        us=_factor(card.us_factor),
        search=_price(card.web_search_usd),
    )


def _factor(factor: Decimal) -> str:
    return f"{factor.normalize():f}"


def _price(usd: Decimal) -> str:
    """`$5.00`, `$0.125`: all digits, at least cents."""
    exact = usd.normalize()
    return f"${exact if exact != exact.quantize(CENT) else exact.quantize(CENT):f}"
