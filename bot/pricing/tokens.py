"""Token counts and billing terms: what is stored, and what USD are derived from."""

from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

TOKENIZER_FACTOR = Decimal("1.3")
"""Models from Opus 4.7 on make about 30 % more tokens of the same text (platform.claude.com, 2026)."""


class TokenCounts(NamedTuple):
    """Counts of one response or of any sum of responses, under the names of Anthropic's usage report.

    `uncached_input_tokens` excludes cached tokens; the whole prompt is `prompt_tokens`.
    """

    uncached_input_tokens: int = 0
    cache_creation_5m_input_tokens: int = 0
    cache_creation_1h_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    web_search_requests: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All input: uncached, written to a cache, read from a cache."""
        return (
            self.uncached_input_tokens
            + self.cache_creation_5m_input_tokens
            + self.cache_creation_1h_input_tokens
            + self.cache_read_input_tokens
        )

    @property
    def tokens(self) -> int:
        """Prompt and output."""
        return self.prompt_tokens + self.output_tokens

    def __sub__(self, other: "TokenCounts") -> "TokenCounts":
        return TokenCounts(*(mine - its for mine, its in zip(self, other, strict=True)))

    def __add__(self, other: "TokenCounts") -> "TokenCounts":  # type: ignore[override]  # not joined as tuples are
        return TokenCounts(
            self.uncached_input_tokens + other.uncached_input_tokens,
            self.cache_creation_5m_input_tokens + other.cache_creation_5m_input_tokens,
            self.cache_creation_1h_input_tokens + other.cache_creation_1h_input_tokens,
            self.cache_read_input_tokens + other.cache_read_input_tokens,
            self.output_tokens + other.output_tokens,
            self.web_search_requests + other.web_search_requests,
        )


UNKNOWN_TERM = "unknown"
"""The value of a term that the source cannot report."""


class Terms(NamedTuple):
    """What changes the price of the same tokens. None means: not reported, billed as standard.

    `service_tier`: `standard`, `batch`, `priority`, `flex` … · `inference_geo`: `global`, `us`, `not_available` ·
    `speed`: `standard`, `fast`. All three are open sets: an unknown value is billed as standard. A term
    that the source cannot report is `UNKNOWN_TERM`: priced as standard, and the sum is "at least" if it may cost more.
    """

    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None


STANDARD = Terms()


def same_text(tokens: int, counted_with: int, read_with: int) -> int:
    """About how many tokens the text of `tokens` is in another tokenizer generation (1 or 2, see the rate card)."""
    if counted_with == read_with:
        return tokens
    factor = TOKENIZER_FACTOR if read_with > counted_with else 1 / TOKENIZER_FACTOR
    return int((tokens * factor).to_integral_value(ROUND_HALF_UP))
