"""What prompt caching saved or lost against sending the same tokens uncached, by row of a report. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from bot.pricing.card import RateCard
from bot.pricing.tokens import Terms, TokenCounts
from bot.pricing.unit_prices import unit_prices

Use = tuple[str | None, str, Terms, TokenCounts]
"""Row, model, terms and tokens."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """`hit_rate`: cache reads in the whole prompt. `reused`: cache reads in all that was cached; None without any.

    `break_even`: the lowest `reused` at which caching pays, at the TTLs in use; None where nothing was written.
    `saved_usd`: negative where caching cost more than it saved.
    """

    row: str | None
    prompt_tokens: int
    hit_rate: Fraction
    reused: Fraction | None
    break_even: Fraction | None
    saved_usd: Decimal


def cache_uses(uses: Iterable[Use], card: RateCard, on: date) -> list[CacheUse]:
    """At the rates of the UTC day `on`: the largest loss first, then the longest prompts. Rows without input are left
    out.
    """
    sums: dict[str | None, _Sums] = {}
    for row, model, terms, counts in uses:
        sums.setdefault(row, _Sums()).add(model, terms, counts, card, on)
    found = [each.use(row) for row, each in sums.items() if each.counts.prompt_tokens]
    return sorted(found, key=lambda use: (min(use.saved_usd, Decimal(0)), -use.prompt_tokens, str(use.row)))


class _Sums:
    def __init__(self) -> None:
        self.counts = TokenCounts()
        self.read_usd = self.write_usd = self.could_save_usd = Decimal(0)

    def add(self, model: str, terms: Terms, counts: TokenCounts, card: RateCard, on: date) -> None:
        uncached, write_5m, write_1h, read, *_ = unit_prices(card, model, terms, on).usd_per_token
        written_5m, written_1h = counts.cache_creation_5m_input_tokens, counts.cache_creation_1h_input_tokens
        self.counts += counts
        self.read_usd += counts.cache_read_input_tokens * (uncached - read)
        self.write_usd += written_5m * (write_5m - uncached) + written_1h * (write_1h - uncached)
        self.could_save_usd += (counts.cache_read_input_tokens + written_5m + written_1h) * (uncached - read)

    def use(self, row: str | None) -> CacheUse:
        counts = self.counts
        read = counts.cache_read_input_tokens
        written = counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens
        cached = read + written
        break_even = None
        if written:
            premium = Fraction(self.write_usd) / written
            break_even = premium / (premium + Fraction(self.could_save_usd) / cached)
        return CacheUse(
            row=row,
            prompt_tokens=counts.prompt_tokens,
            hit_rate=Fraction(read, counts.prompt_tokens),
            reused=Fraction(read, cached) if cached else None,
            break_even=break_even,
            saved_usd=self.read_usd - self.write_usd,
        )
