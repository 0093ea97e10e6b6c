"""When caching pays: the hit rate from which on it is no dearer, and whether the requests keep a cache warm."""

from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from bot.pricing.card import Model
from bot.pricing.workload import DAYS_IN_MONTH, Workload

LIFE = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}
"""How long an entry lives after each use (platform.claude.com, Prompt caching)."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """`gap`: mean time between two requests at an even rate. `warm`: whether the next one comes in time."""

    gap: timedelta
    warm: bool


def break_even(model: Model, ttl: str, on: date, prompt_tokens: int | None = None) -> Fraction:
    """The hit rate, 0 to 1, from which on caching costs no more than plain input: (w - 1) / (w - r).

    w and r are what a write and a read cost as multiples of the input price.
    """
    rates = model.rates(on).at(prompt_tokens)
    write = rates.cache_write_1h if ttl == "1h" else rates.cache_write_5m
    return Fraction(write - rates.input) / Fraction(write - rates.cache_read)


def warmth(workload: Workload, share: Fraction = Fraction(1)) -> Warmth:
    """At an even rate over 30 days, for the share of the requests that use one model's cache."""
    month = timedelta(days=DAYS_IN_MONTH)
    requests = workload.monthly_requests * workload.turns * share
    gap = month * requests.denominator / requests.numerator
    return Warmth(gap, gap <= LIFE[workload.ttl])
