"""The cost of a usage: exact dollars from counts, terms and the rates of the day. Nothing is rounded here."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from bot.pricing.card import Prices, RateCard, Rates, Resolved
from bot.pricing.tokens import UNKNOWN_TERM, Terms, TokenCounts

MTOK = Decimal(1_000_000)

KEPT = 8192
"""Cached combinations of model, terms and day: a year of a busy organization."""


class Hidden(StrEnum):
    """Why the true cost may be higher than the computed cost.

    `prompt`: a sum of requests does not show prompts above a price step. `fast_price`: the card has no price for the
    fast mode of this model. `terms`: the source cannot report a dimension that changes the price. `rows`: some
    rows could not be read in full.
    """

    PROMPT = "prompt"
    FAST_PRICE = "fast_price"
    TERMS = "terms"
    ROWS = "rows"


class UnitPrices(NamedTuple):
    """Exact USD of one token of each kind, in the order of the fields of `TokenCounts`; the last is one web search.

    `usd_per_mtok`: the same of the five kinds of token, per million. `hidden`: why the true cost may be higher, where
    any token is counted; searches alone hide nothing. `assumed`: the clause that says how an unknown model is priced.
    """

    usd_per_token: tuple[Decimal, Decimal, Decimal, Decimal, Decimal, Decimal]
    usd_per_mtok: tuple[Decimal, Decimal, Decimal, Decimal, Decimal]
    hidden: frozenset[Hidden]
    assumed: str | None


class SteppedPrices(NamedTuple):
    """Unit prices by prompt length. `above_prompt_tokens`: the longest prompt that is not `long`."""

    several: UnitPrices
    short: UnitPrices
    long: UnitPrices
    above_prompt_tokens: int | None

    def at(self, prompt_tokens: int | None) -> UnitPrices:
        """The prices of one request with this prompt, or of a sum of requests (None)."""
        if prompt_tokens is None:
            return self.several
        if self.above_prompt_tokens is None or prompt_tokens <= self.above_prompt_tokens:
            return self.short
        return self.long


def unit_prices(card: RateCard, model_id: str, terms: Terms, on: date, prompt_tokens: int | None = None) -> UnitPrices:
    """Prices of a sum of requests on the UTC day `on`: its cost is linear in its tokens.

    `prompt_tokens`: a prompt length on the same side of the price step as theirs; None if unknown.
    """
    return stepped_prices(card, model_id, on, terms).at(prompt_tokens)


@lru_cache(maxsize=KEPT)
def stepped_prices(card: RateCard, model_id: str, on: date, terms: Terms) -> SteppedPrices:
    """The prices of a model under terms on a UTC day."""
    resolved = card.resolve(model_id, on)
    terms = _with_those_of_the_id(terms, resolved)
    rates = resolved.rates
    short = _unit_prices(card, resolved, rates, terms, on)
    if rates.step is None:
        return SteppedPrices(short, short, short, None)
    several = short._replace(hidden=short.hidden | {Hidden.PROMPT})
    long = _unit_prices(card, resolved, rates.step, terms, on)
    return SteppedPrices(several, short, long, rates.step.above_prompt_tokens)


def _unit_prices(card: RateCard, resolved: Resolved, prices: Prices, terms: Terms, on: date) -> UnitPrices:
    fast = _runs_fast(resolved.rates, terms, on)
    factor = _factor(card, resolved, terms)
    uncached, write_5m, write_1h, read, output = (price * factor for price in _by_kind(prices, fast))
    reasons = {
        Hidden.FAST_PRICE: fast and (prices.fast_input is None or not resolved.is_known),
        Hidden.TERMS: _may_cost_more(resolved, prices, terms, on),
    }
    return UnitPrices(
        (uncached / MTOK, write_5m / MTOK, write_1h / MTOK, read / MTOK, output / MTOK, card.web_search_usd),
        (uncached, write_5m, write_1h, read, output),
        frozenset(reason for reason, holds in reasons.items() if holds),
        resolved.assumed,
    )


def _with_those_of_the_id(terms: Terms, resolved: Resolved) -> Terms:
    """Fill in speed and tier from the id, as in `claude-opus-4.8-fast` and `claude-opus-4.8:batch`, if the usage has
    none.
    """
    if resolved.fast and terms.speed is None:
        terms = terms._replace(speed="fast")
    if resolved.batch and terms.service_tier is None:
        terms = terms._replace(service_tier="batch")
    return terms


def _runs_fast(rates: Rates, terms: Terms, on: date) -> bool:
    """Batches never run fast, and no request does after the last day of fast mode."""
    return (
        terms.speed == "fast" and terms.service_tier != "batch" and (rates.fast_until is None or on <= rates.fast_until)
    )


def _may_cost_more(resolved: Resolved, prices: Prices, terms: Terms, on: date) -> bool:
    """Whether a term that the source cannot report may raise the price of this model."""
    unknown_model = resolved.assumed is not None
    if terms.inference_geo == UNKNOWN_TERM and (unknown_model or resolved.model.us_inference):
        return True
    asked_for_fast = Terms(terms.service_tier, terms.inference_geo, "fast")
    has_fast = unknown_model or prices.fast_input is not None
    return terms.speed == UNKNOWN_TERM and has_fast and _runs_fast(resolved.rates, asked_for_fast, on)


def _by_kind(prices: Prices, fast: bool) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal]:
    """The five token prices. Without a fast price in the card, the standard price is the lower bound."""
    uncached, write_5m, write_1h, read = prices.input, prices.cache_write_5m, prices.cache_write_1h, prices.cache_read
    if not fast or prices.fast_input is None or prices.fast_output is None:
        return uncached, write_5m, write_1h, read, prices.output
    # Multiply before dividing: the ratio alone may have no finite decimal.
    faster = prices.fast_input
    return (
        uncached * faster / uncached,
        write_5m * faster / uncached,
        write_1h * faster / uncached,
        read * faster / uncached,
        prices.fast_output,
    )


def _factor(card: RateCard, resolved: Resolved, terms: Terms) -> Decimal:
    # An unknown id is most likely a new model, and new models have every surcharge.
    unknown = not resolved.is_known
    factor = Decimal(1)
    if terms.service_tier == "batch":
        factor *= card.batch_factor
    if terms.inference_geo == "us" and (unknown or resolved.model.us_inference):
        factor *= card.us_factor
    if resolved.regional and (unknown or resolved.model.regional_premium):
        factor *= card.regional_factor
    return factor


__all__ = ["Cost", "CostLine", "Hidden", "cost_of"]

KINDS = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
NONE: frozenset[Hidden] = frozenset()


class CostLine(NamedTuple):
    """One kind of token. `usd_per_mtok` is after batch, region, speed and step.

    `kind`: input, cache_write_5m, cache_write_1h, cache_read or output; web_search counts searches.
    """

    kind: str
    tokens: int
    usd_per_mtok: Decimal
    usd: Decimal


class Cost:
    """What a usage costs in USD, and at which prices. A plain class, because one is made for every row."""

    __slots__ = ("counts", "prices", "usd")

    def __init__(self, usd: Decimal, counts: TokenCounts, prices: UnitPrices) -> None:
        self.usd = usd
        self.counts = counts
        self.prices = prices

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cost):
            return NotImplemented
        return (self.usd, self.counts, self.prices) == (other.usd, other.counts, other.prices)

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        return f"Cost({self.usd!r}, {self.counts!r}, {self.prices!r})"

    @property
    def lines(self) -> tuple[CostLine, ...]:
        """One line for each kind of token that occurs."""
        *tokens, searches = self.counts
        lines = [
            CostLine(kind, n, usd_per_mtok, n * usd_per_mtok / MTOK)
            for kind, n, usd_per_mtok in zip(KINDS, tokens, self.prices.usd_per_mtok, strict=True)
            if n
        ]
        if searches:
            price = self.prices.usd_per_token[-1]
            lines.append(CostLine("web_search", searches, price * MTOK, searches * price))
        return tuple(lines)

    @property
    def assumed(self) -> str | None:
        """How an unknown model was priced, as a clause."""
        return self.prices.assumed

    @property
    def hidden(self) -> frozenset[Hidden]:
        """Why the true cost may be higher."""
        counts = self.counts
        return self.prices.hidden if counts.prompt_tokens or counts.output_tokens else NONE

    @property
    def at_least(self) -> bool:
        """Whether the true cost may be higher."""
        return bool(self.hidden)


def cost_of(
    card: RateCard, model_id: str, counts: TokenCounts, terms: Terms, on: date, *, prompt_tokens: int | None
) -> Cost:
    """What `counts` cost in USD at the rates of the UTC day `on`.

    `prompt_tokens`: the whole prompt of one request. None: a sum of requests, priced at the base step and marked
    `at_least` if the model has a more expensive step. Also marked: fast mode without a fast price in the card, and
    terms that the source cannot report if they can raise the price of this model.
    """
    steps = stepped_prices(card, model_id, on, terms)
    prices = steps.several if prompt_tokens is None else steps.at(prompt_tokens)
    uncached, write_5m, write_1h, read, output, searches = counts
    uncached_usd, write_5m_usd, write_1h_usd, read_usd, output_usd, search_usd = prices.usd_per_token
    usd = (
        uncached * uncached_usd
        + write_5m * write_5m_usd
        + write_1h * write_1h_usd
        + read * read_usd
        + output * output_usd
    )
    if searches:
        usd += searches * search_usd
    return Cost(usd, counts, prices)
