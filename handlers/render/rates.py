"""`/claude-cost rates`: rows of the rate card, of one model in full or of each family's newest."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from bot.amounts import CENT
from bot.messages import Message
from bot.pricing.card import Model, Prices, RateCard, Rates
from handlers.render.parts import code, lead, paragraph, shown, table

HEADINGS = ("Model", "Input", "Write 5 min", "Write 1 h", "Cache read", "Output", "Fast in", "Fast out")
NONE = "–"

TOKENIZERS = {1: "the one before Opus 4.7", 2: "that of Opus 4.7 and later, about 30% more tokens of the same text"}


def overview(card: RateCard, today: date) -> Message:
    """Each family's newest model at today's prices."""
    models = [card.newest(family) for family in card.families()]
    notes = [f"{model.name}: {line}" for model in models if (line := _step_line(model.rates(today))) is not None]
    rows = [_cells(model, model.rates(today), today) for model in models]
    return Message(
        [
            paragraph("USD per million tokens, the newest model of each family. `rates MODEL` shows more."),
            table(HEADINGS, rows, _in_words),
            paragraph(*notes, _factors(card)),
        ]
    )


def model_rates(model: Model, card: RateCard, today: date) -> Message:
    """Everything that the rate card knows of one model."""
    rates = model.rates(today)
    first = f"{model.name}, {code(model.id)}, USD per million tokens"
    lines = [f"• {_prices(rates)}"]
    batch = [_price(price * card.batch_factor) for price in (rates.input, rates.output)]
    lines.append(f"• batch: input {batch[0]}, output {batch[1]}; cache writes and reads by the same factor")
    lines.append(f"• fast mode: {_fast_words(rates, today)}")
    lines += [f"• {step}" for step in [_step_line(rates)] if step is not None]
    lines.append(f"• {_valid(rates, today)}; source: {shown(rates.source, 300)}")
    lines += [
        f"• {'earlier' if other.valid_from < rates.valid_from else 'later'}, from {other.valid_from.isoformat()}: "
        f"{_prices(other)}; {_step_line(other) or 'no step'}; source: {shown(other.source, 300)}"
        for other in model.price
        if other is not rates
    ]
    lines.append(f"• retirement: {_retirement(model, today)}")
    lines.append(f"• tokenizer: {TOKENIZERS[model.tokenizer]}")
    least = model.min_cacheable_tokens
    lines.append(f"• smallest prompt that is cached: {'not known' if least is None else f'{least:,} tokens'}")
    lines.append(f"• {_surcharges(model, card)}")
    return Message([lead(first, *lines)])


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
    return (
        f"input {_price(prices.input)}, {_writes(_price(prices.cache_write_5m), _price(prices.cache_write_1h))}, "
        f"cache reads {_price(prices.cache_read)}, output {_price(prices.output)}"
    )


def _in_words(cells: Sequence[str]) -> str:
    name, input_, write_5m, write_1h, read, output, *fast = cells
    prices = f"input {input_}, {_writes(write_5m, write_1h)}, cache reads {read}, output {output}"
    return f"• {name}: {prices}" + ("" if NONE in fast else f"; fast mode: input {fast[0]}, output {fast[1]}")


def _writes(write_5m: str, write_1h: str) -> str:
    return f"cache writes {write_5m} for 5 minutes and {write_1h} for 1 hour"


def _fast_now(rates: Rates, today: date) -> bool:
    return rates.fast_input is not None and (rates.fast_until is None or today <= rates.fast_until)


def _fast_words(rates: Rates, today: date) -> str:
    if rates.fast_input is None or rates.fast_output is None:
        return "no price in the rate card"
    if not _fast_now(rates, today):
        return f"ended {rates.fast_until}; such requests run at standard speed and price"
    until = "" if rates.fast_until is None else f", until {rates.fast_until.isoformat()}"
    return f"input {_price(rates.fast_input)}, output {_price(rates.fast_output)}{until}"


def _step_line(rates: Rates) -> str | None:
    step = rates.step
    if step is None:
        return None
    return f"a request with a prompt above {step.above_prompt_tokens:,} tokens, for all of its tokens: {_prices(step)}"


def _valid(rates: Rates, today: date) -> str:
    begins = f"valid from {rates.valid_from.isoformat()}"
    return begins if rates.valid_from <= today else f"{begins}, which is still to come"


def _retirement(model: Model, today: date) -> str:
    if model.retires is not None:
        day = model.retires.isoformat()
        return f"its last day was {day}" if model.retires < today else f"its last day is {day}"
    if model.retires_not_before is not None:
        return f"not before {model.retires_not_before.isoformat()}"
    return "no day is known"


def _surcharges(model: Model, card: RateCard) -> str:
    places = []
    if model.us_inference:
        places.append(f"US-only inference costs {card.us_factor.normalize():f} times as much")
    if model.regional_premium:
        places.append(f"regional endpoints of Bedrock and Vertex {card.regional_factor.normalize():f} times")
    return ", ".join(places) if places else "no surcharge by region"


def _factors(card: RateCard) -> str:
    return (
        f"Batches cost {card.batch_factor.normalize():f} times these prices, US-only inference "
        f"{card.us_factor.normalize():f} times where the model has it, a web search {_price(card.web_search_usd)}."
    )


def _price(usd: Decimal) -> str:
    """`$5.00`, `$0.125`: to the last digit, with cents at least."""
    exact = usd.normalize()
    return f"${exact if exact != exact.quantize(CENT) else exact.quantize(CENT):f}"
