"""The cost of a usage: exact dollars from counts, terms and the rates of the day. Nothing is rounded here."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from bot.pricing.card import RateCard
from bot.pricing.tokens import Terms, TokenCounts
from bot.pricing.unit_prices import MTOK, Hidden, UnitPrices, stepped_prices

__all__ = ["Cost", "CostLine", "Hidden", "cost_of"]

KINDS = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
NONE: frozenset[Hidden] = frozenset()


@dataclass(frozen=True, slots=True)
class CostLine:
    """One kind of token. `usd_per_mtok` is after batch, region, speed and step.

    `kind`: input, cache_write_5m, cache_write_1h, cache_read or output; web_search counts searches.
    """

    kind: str
    tokens: int
    usd_per_mtok: Decimal
    usd: Decimal


@dataclass(slots=True)
class Cost:
    """What a usage costs in USD, and at which prices. Not frozen: that doubles the time of making one for each row."""

    usd: Decimal
    counts: TokenCounts
    prices: UnitPrices

    @property
    def lines(self) -> tuple[CostLine, ...]:
        """One line for each kind that is counted."""
        counts = self.counts
        tokens = (
            counts.uncached_input_tokens,
            counts.cache_creation_5m_input_tokens,
            counts.cache_creation_1h_input_tokens,
            counts.cache_read_input_tokens,
            counts.output_tokens,
        )
        lines = [
            CostLine(kind, n, usd_per_mtok, n * usd_per_mtok / MTOK)
            for kind, n, usd_per_mtok in zip(KINDS, tokens, self.prices.usd_per_mtok, strict=True)
            if n
        ]
        if counts.web_search_requests:
            searches, price = counts.web_search_requests, self.prices.usd_per_token[-1]
            lines.append(CostLine("web_search", searches, price * MTOK, searches * price))
        return tuple(lines)

    @property
    def assumed(self) -> str | None:
        """The clause that says how an unknown model was priced."""
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

    `prompt_tokens`: the whole prompt of this one request. None means a sum of requests: it is priced at the
    base step, and marked `at_least` where the model has a dearer step above it. So are fast mode without a fast price
    in the card, and terms that could not be asked for where they make this model dearer.
    """
    steps = stepped_prices(card, model_id, on, terms.service_tier, terms.inference_geo, terms.speed)
    prices = steps.several if prompt_tokens is None else steps.at(prompt_tokens)
    uncached, write_5m, write_1h, read, output, search = prices.usd_per_token
    usd = (
        counts.uncached_input_tokens * uncached
        + counts.cache_creation_5m_input_tokens * write_5m
        + counts.cache_creation_1h_input_tokens * write_1h
        + counts.cache_read_input_tokens * read
        + counts.output_tokens * output
    )
    if counts.web_search_requests:
        usd += counts.web_search_requests * search
    return Cost(usd, counts, prices)
