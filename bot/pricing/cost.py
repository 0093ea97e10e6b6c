"""The cost of a usage: exact dollars from counts, terms and the rates of the day. Nothing is rounded here."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from bot.pricing.card import RateCard, Rates, Resolved, Step
from bot.pricing.tokens import Terms, TokenCounts

MTOK = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class CostLine:
    """One kind of token. `usd_per_mtok` is after batch, region, speed and step.

    `kind`: input, cache_write_5m, cache_write_1h, cache_read or output; web_search counts searches.
    """

    kind: str
    tokens: int
    usd_per_mtok: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Cost:
    """`assumed`: the clause that says how an unknown model was priced. `at_least`: the true cost may be higher."""

    usd: Decimal
    lines: tuple[CostLine, ...]
    assumed: str | None
    at_least: bool


def cost_of(
    card: RateCard, model_id: str, counts: TokenCounts, terms: Terms, on: date, *, prompt_tokens: int | None
) -> Cost:
    """What `counts` cost in USD at the rates of the UTC day `on`.

    `prompt_tokens`: the whole prompt of this one request. None means a sum of requests: it is priced at the
    base step, and marked `at_least` where the model has a dearer step above it.
    """
    resolved = card.resolve(model_id, on)
    rates = resolved.rates.at(prompt_tokens)
    factor = _factor(card, resolved, terms)
    per_mtok = {
        kind: price * factor * speed
        for kind, price, speed in _prices(rates, *_speed(resolved.rates, terms, on, isinstance(rates, Step)))
    }
    tokens = {
        "input": counts.uncached_input_tokens,
        "cache_write_5m": counts.cache_creation_5m_input_tokens,
        "cache_write_1h": counts.cache_creation_1h_input_tokens,
        "cache_read": counts.cache_read_input_tokens,
        "output": counts.output_tokens,
    }
    lines = [CostLine(kind, n, per_mtok[kind], n * per_mtok[kind] / MTOK) for kind, n in tokens.items() if n]
    if counts.web_search_requests:
        searches, price = counts.web_search_requests, card.web_search_usd
        lines.append(CostLine("web_search", searches, price * MTOK, searches * price))
    return Cost(
        usd=sum((line.usd for line in lines), Decimal(0)),
        lines=tuple(lines),
        assumed=resolved.assumed,
        at_least=bool(lines) and (_hidden_step(resolved, prompt_tokens) or _unknown_speed(resolved.rates, terms, on)),
    )


def _factor(card: RateCard, resolved: Resolved, terms: Terms) -> Decimal:
    factor = Decimal(1)
    if terms.service_tier == "batch":
        factor *= card.batch_factor
    if terms.inference_geo == "us" and resolved.model.us_inference:
        factor *= card.us_factor
    if resolved.regional and resolved.model.regional_premium:
        factor *= card.regional_factor
    return factor


def _speed(rates: Rates, terms: Terms, on: date, above_step: bool) -> tuple[Decimal, Decimal]:
    """How much dearer fast mode makes input (with the cache prices, which are multiples of it) and output."""
    one = Decimal(1)
    offered = rates.fast_until is None or on <= rates.fast_until
    # Fast mode and batch exclude each other, and a step's own prices are whole.
    if terms.speed != "fast" or terms.service_tier == "batch" or above_step or not offered:
        return one, one
    if rates.fast_input is None or rates.fast_output is None:
        return one, one
    return rates.fast_input / rates.input, rates.fast_output / rates.output


def _prices(rates: Rates | Step, input_speed: Decimal, output_speed: Decimal) -> list[tuple[str, Decimal, Decimal]]:
    return [
        ("input", rates.input, input_speed),
        ("cache_write_5m", rates.cache_write_5m, input_speed),
        ("cache_write_1h", rates.cache_write_1h, input_speed),
        ("cache_read", rates.cache_read, input_speed),
        ("output", rates.output, output_speed),
    ]


def _hidden_step(resolved: Resolved, prompt_tokens: int | None) -> bool:
    return prompt_tokens is None and resolved.rates.step is not None


def _unknown_speed(rates: Rates, terms: Terms, on: date) -> bool:
    unpriced = rates.fast_input is None and rates.fast_until is not None
    return terms.speed == "fast" and unpriced and rates.fast_until is not None and on <= rates.fast_until
