"""Tokens added up by everything that changes their price or that sums are shown by."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from bot.pricing.tokens import Terms, TokenCounts

LONGEST_PROMPT = 1_000_000
"""Tokens; no Claude model reads more in one request."""


class Prompt(IntEnum):
    """What is known about the prompts of a place's requests.

    BEYOND: each counts more than any model reads, so it must be of several requests.
    """

    SHORT = 0
    LONG = 1
    SEVERAL = 2
    BEYOND = 3


class Place(NamedTuple):
    """Within one place, cost is linear in tokens. `day` is the UTC day that prices go by, `shown` the day of sums."""

    model: str
    day: date | None
    shown: date | None
    prompt: Prompt
    terms: Terms
    feature: str | None
    user: str | None


@dataclass(frozen=True, slots=True)
class Sum:
    """What a number of calls have in common: their tokens and exact USD."""

    calls: int
    counts: TokenCounts
    usd: Decimal


NOTHING = Sum(0, TokenCounts(), Decimal(0))


class Sums:
    """Calls and tokens by place."""

    def __init__(self) -> None:
        self._numbers: dict[Place, list[int]] = {}

    def add(self, place: Place, calls: int, counts: TokenCounts) -> None:
        """Count tokens, and this many calls."""
        numbers = self.numbers(place)
        numbers[0] += calls
        numbers[1] += counts.uncached_input_tokens
        numbers[2] += counts.cache_creation_5m_input_tokens
        numbers[3] += counts.cache_creation_1h_input_tokens
        numbers[4] += counts.cache_read_input_tokens
        numbers[5] += counts.output_tokens
        numbers[6] += counts.web_search_requests

    def numbers(self, place: Place) -> list[int]:
        """The calls of a place and its tokens in the order of `TokenCounts`, to be added to."""
        numbers = self._numbers.get(place)
        if numbers is None:
            numbers = self._numbers[place] = [0] * 7
        return numbers

    def include(self, other: "Sums") -> None:
        """Add all of another one."""
        for place, calls, counts in other.places():
            self.add(place, calls, counts)

    def places(self) -> Iterator[tuple[Place, int, TokenCounts]]:
        """Each place that something is left in, its calls and its tokens."""
        for place, (calls, *tokens) in self._numbers.items():
            if calls or any(tokens):
                yield place, calls, TokenCounts(*tokens)
