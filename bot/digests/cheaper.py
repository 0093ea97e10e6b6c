"""Possible savings: what callers would have paid in batches, with a cache, or on a smaller model. Pure.

Each is computed on the same tokens at list prices. Logs do not show whether answers can wait, prompts repeat or a
smaller model is good enough: those are assumptions, and a digest states them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from bot.budgets.spend import ZERO
from bot.budgets.trend import retokenized
from bot.pricing.card import Model, RateCard
from bot.pricing.cost import cost_of
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.model import DayUsage

LEAST_USD = Decimal(1)
"""Smallest saving per period worth showing, USD."""

MOST_CALLERS = 3

REPEATS = Decimal("0.5")
"""Assumed share of the uncached input that is the same in every request."""

HITS = Decimal("0.9")
"""Assumed share of the repeated input that is read from the cache; the rest is written."""

CACHES_ALREADY = Decimal("0.1")
"""Cached share of the prompt above which a caller already uses caching."""


class Way(StrEnum):
    """Ways to save: half the price for waiting up to a day, a prompt cache, or another model."""

    BATCH = "batch"
    CACHE = "cache"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One possible saving. `model`: name of the smaller model, if all usage would move to the same."""

    way: Way
    usd: Decimal
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheaper:
    """A caller and its options, largest saving first. They exclude each other: their savings do not add up."""

    caller: str
    options: tuple[Option, ...]


class Use(NamedTuple):
    """Tokens of a caller on one model and terms. `requests`: None if unknown."""

    model: str
    terms: Terms
    counts: TokenCounts
    requests: int | None = None


def cheaper(callers: Mapping[str, Iterable[Use]], card: RateCard, on: date) -> tuple[Cheaper, ...]:
    """The three callers with the largest savings above a dollar. `on`: UTC day of the prices."""
    found = []
    for caller, uses in callers.items():
        listed = list(uses)
        options = [_in_batches(listed, card, on), _cached(listed, card, on), _on_smaller(listed, card, on)]
        worth = [option for option in options if option.usd > LEAST_USD]
        if worth:
            ordered = sorted(worth, key=lambda option: (-option.usd, option.way))
            found.append(Cheaper(caller=caller, options=tuple(ordered)))
    return tuple(sorted(found, key=lambda each: (-each.options[0].usd, each.caller))[:MOST_CALLERS])


def _in_batches(uses: Iterable[Use], card: RateCard, on: date) -> Option:
    saved = ZERO
    for use in uses:
        if use.terms.service_tier in (None, "standard") and use.terms.speed != "fast":
            batch = use.terms._replace(service_tier="batch")
            saved += _usd(use, card, on) - _usd(use._replace(terms=batch), card, on)
    return Option(way=Way.BATCH, usd=saved)


def _cached(uses: Iterable[Use], card: RateCard, on: date) -> Option:
    return Option(way=Way.CACHE, usd=sum((_cache_saving(use, card, on) for use in uses), ZERO))


def _cache_saving(use: Use, card: RateCard, on: date) -> Decimal:
    counts, prompt = use.counts, use.counts.prompt_tokens
    repeated = int(counts.uncached_input_tokens * REPEATS)
    if not repeated or prompt - counts.uncached_input_tokens > prompt * CACHES_ALREADY:
        return ZERO
    least = card.resolve(use.model, on).model.min_cacheable_tokens
    if use.requests and least is not None and repeated / use.requests < least:
        return ZERO
    read = int(repeated * HITS)
    moved = counts._replace(
        uncached_input_tokens=counts.uncached_input_tokens - repeated,
        cache_creation_5m_input_tokens=counts.cache_creation_5m_input_tokens + repeated - read,
        cache_read_input_tokens=counts.cache_read_input_tokens + read,
    )
    return max(_usd(use, card, on) - _usd(use._replace(counts=moved), card, on), ZERO)


def _on_smaller(uses: Iterable[Use], card: RateCard, on: date) -> Option:
    saved, models = ZERO, set[str]()
    for use in uses:
        target = smaller_than(card.resolve(use.model, on).model, card, on)
        if target is None:
            continue
        row = DayUsage(on, use.model, "", None, use.terms, use.counts)
        moved = use._replace(model=target.id, counts=retokenized(row, target.id, card))
        less = _usd(use, card, on) - _usd(moved, card, on)
        if less > 0:
            saved += less
            models.add(target.name)
    return Option(way=Way.MODEL, usd=saved, model=models.pop() if len(models) == 1 else None)


def smaller_than(model: Model, card: RateCard, on: date) -> Model | None:
    """The newest model of the next cheaper family; None for the cheapest one, and outside the families."""
    families = card.families()
    if model.family not in families:
        return None
    cheaper_ones = families[families.index(model.family) + 1 :]
    return card.newest(cheaper_ones[0], on) if cheaper_ones else None


def _usd(use: Use, card: RateCard, on: date) -> Decimal:
    return cost_of(card, use.model, use.counts, use.terms, on, prompt_tokens=None).usd
