"""The cost of a usage: exact dollars from counts, terms and the rates of the day. Nothing is rounded here."""

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from bot.pricing.card import RateCard
from bot.pricing.tokens import Terms, TokenCounts
from bot.pricing.unit_prices import MTOK, Hidden, UnitPrices, stepped_prices

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
