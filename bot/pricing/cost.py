"""The cost of a usage: exact dollars from counts, terms and the rates of the day. Nothing is rounded here."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum

from bot.pricing.card import Prices, RateCard, Rates, Resolved
from bot.pricing.tokens import UNKNOWN_TERM, Terms, TokenCounts

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


class Hidden(StrEnum):
    """Why the true cost may be higher than what is computed.

    `prompt`: a sum of requests does not show prompts above a price step. `fast_price`: the card has no price for the
    fast mode of this model. `terms`: the source could not be asked for a dimension that changes the price. `rows`: some
    rows could not be read in full.
    """

    PROMPT = "prompt"
    FAST_PRICE = "fast_price"
    TERMS = "terms"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Cost:
    """`assumed`: the clause that says how an unknown model was priced. `hidden`: why the true cost may be higher."""

    usd: Decimal
    lines: tuple[CostLine, ...]
    assumed: str | None
    hidden: frozenset[Hidden]

    @property
    def at_least(self) -> bool:
        """Whether the true cost may be higher."""
        return bool(self.hidden)


def cost_of(
    card: RateCard, model_id: str, counts: TokenCounts, terms: Terms, on: date, *, prompt_tokens: int | None
) -> Cost:
    """What `counts` cost in USD at the rates of the UTC day `on`.

    `prompt_tokens`: the whole prompt of this one request. None means a sum of requests: it is priced at the
    base step, and marked `at_least` where the model has a dearer step above it. So are fast mode without a fast price
    in the card, and terms that could not be asked for where they make this model dearer.
    """
    resolved = card.resolve(model_id, on)
    terms = _with_those_of_the_id(terms, resolved)
    prices = resolved.rates.at(prompt_tokens)
    fast = _runs_fast(resolved.rates, terms, on)
    factor = _factor(card, resolved, terms)
    per_mtok = {kind: price * factor for kind, price in _by_kind(prices, fast).items()}
    tokens = {
        "input": counts.uncached_input_tokens,
        "cache_write_5m": counts.cache_creation_5m_input_tokens,
        "cache_write_1h": counts.cache_creation_1h_input_tokens,
        "cache_read": counts.cache_read_input_tokens,
        "output": counts.output_tokens,
    }
    lines = [CostLine(kind, n, per_mtok[kind], n * per_mtok[kind] / MTOK) for kind, n in tokens.items() if n]
    reasons = {
        Hidden.PROMPT: prompt_tokens is None and resolved.rates.step is not None,
        Hidden.FAST_PRICE: fast and (prices.fast_input is None or not resolved.is_known),
        Hidden.TERMS: _may_be_dearer(resolved, prices, terms, on),
    }
    hidden = frozenset(reason for reason, holds in reasons.items() if lines and holds)
    if counts.web_search_requests:
        searches, price = counts.web_search_requests, card.web_search_usd
        lines.append(CostLine("web_search", searches, price * MTOK, searches * price))
    return Cost(
        usd=sum((line.usd for line in lines), Decimal(0)),
        lines=tuple(lines),
        assumed=resolved.assumed,
        hidden=hidden,
    )


def _with_those_of_the_id(terms: Terms, resolved: Resolved) -> Terms:
    """`claude-opus-4.8-fast` and `claude-opus-4.8:batch` say how they were served where the usage does not."""
    if resolved.fast and terms.speed is None:
        terms = replace(terms, speed="fast")
    if resolved.batch and terms.service_tier is None:
        terms = replace(terms, service_tier="batch")
    return terms


def _runs_fast(rates: Rates, terms: Terms, on: date) -> bool:
    """Batches never run fast, and nothing does after the last day of fast mode."""
    return (
        terms.speed == "fast" and terms.service_tier != "batch" and (rates.fast_until is None or on <= rates.fast_until)
    )


def _may_be_dearer(resolved: Resolved, prices: Prices, terms: Terms, on: date) -> bool:
    """Whether a term that could not be asked for has a dearer value for this model."""
    unknown_model = resolved.assumed is not None
    if terms.inference_geo == UNKNOWN_TERM and (unknown_model or resolved.model.us_inference):
        return True
    asked_for_fast = Terms(terms.service_tier, terms.inference_geo, "fast")
    has_fast = unknown_model or prices.fast_input is not None
    return terms.speed == UNKNOWN_TERM and has_fast and _runs_fast(resolved.rates, asked_for_fast, on)


def _by_kind(prices: Prices, fast: bool) -> dict[str, Decimal]:
    """The five token prices; where the card has no fast price, the standard one is the least that fast costs."""
    inputs = {
        "input": prices.input,
        "cache_write_5m": prices.cache_write_5m,
        "cache_write_1h": prices.cache_write_1h,
        "cache_read": prices.cache_read,
    }
    if not fast or prices.fast_input is None or prices.fast_output is None:
        return {**inputs, "output": prices.output}
    # Multiplied before it is divided: the ratio alone may have no end as a decimal.
    faster = {kind: price * prices.fast_input / prices.input for kind, price in inputs.items()}
    return {**faster, "output": prices.fast_output}


def _factor(card: RateCard, resolved: Resolved, terms: Terms) -> Decimal:
    # An unknown id is most likely a new model, and new models carry every surcharge.
    unknown = not resolved.is_known
    factor = Decimal(1)
    if terms.service_tier == "batch":
        factor *= card.batch_factor
    if terms.inference_geo == "us" and (unknown or resolved.model.us_inference):
        factor *= card.us_factor
    if resolved.regional and (unknown or resolved.model.regional_premium):
        factor *= card.regional_factor
    return factor
