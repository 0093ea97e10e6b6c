"""A workload, with tokens estimated from characters where needed.

Rules of thumb for the older tokenizer (generation 1): English 4 characters a token, Japanese 1.5 tokens a character,
between 1 and 2 by content. The newer one makes about 30 % more tokens of the same text (platform.claude.com, 2026)."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Literal, NamedTuple

from bot.pricing.card import Model
from bot.pricing.tokens import same_text

Lang = Literal["en", "ja"]

OLD_TOKENIZER = 1


class Rule(NamedTuple):
    """Tokens per character with the older tokenizer: usual, least, most."""

    usual: Fraction
    least: Fraction
    most: Fraction
    name: str


RULES: dict[Lang, Rule] = {
    "en": Rule(Fraction(1, 4), Fraction(1, 5), Fraction(1, 3), "English"),
    "ja": Rule(Fraction(3, 2), Fraction(1), Fraction(2), "Japanese"),
}


class Text(NamedTuple):
    """A number of characters in a language."""

    chars: int
    lang: Lang


def tokens_of(text: Text, tokenizer: int) -> int:
    """The usual number of tokens in a tokenizer generation."""
    return _tokens(text, RULES[text.lang].usual, tokenizer)


def token_range(text: Text, tokenizer: int) -> tuple[int, int]:
    """The range that the rule of thumb allows."""
    rule = RULES[text.lang]
    return _tokens(text, rule.least, tokenizer), _tokens(text, rule.most, tokenizer)


def language_of(text: str) -> Lang:
    """`ja` for a text with a good part of Japanese script, otherwise `en`."""
    japanese = sum(1 for character in text if _is_japanese(character))
    return "ja" if japanese * 5 > len(text.replace(" ", "")) else "en"


def _is_japanese(character: str) -> bool:
    return "\u3040" <= character <= "\u30ff" or "\u4e00" <= character <= "\u9fff" or "\uff66" <= character <= "\uff9f"


def _tokens(text: Text, rate: Fraction, tokenizer: int) -> int:
    return same_text(ceil(text.chars * rate), OLD_TOKENIZER, tokenizer)


Ttl = Literal["5m", "1h"]
Geo = Literal["us"]
Per = Literal["minute", "hour", "day", "week", "month"]

DAYS_IN_MONTH = 30
"""A month of an estimate has 30 days."""

TIMES_A_MONTH: dict[Per, Fraction] = {
    "minute": Fraction(DAYS_IN_MONTH * 24 * 60),
    "hour": Fraction(DAYS_IN_MONTH * 24),
    "day": Fraction(DAYS_IN_MONTH),
    "week": Fraction(DAYS_IN_MONTH, 7),
    "month": Fraction(1),
}


class Route(NamedTuple):
    """The part of the requests that goes to one model; the shares of a workload sum to 1."""

    model: Model
    share: Fraction


class Goal(NamedTuple):
    """A monthly cost to stay below by moving requests to a cheaper model."""

    usd: Decimal
    to: Model


class Workload(NamedTuple):
    """Requests of one shape. Tokens are per request, or per turn of a conversation.

    `requests`: of single requests, or of conversations where `turns` is above 1. `input_tokens` are the counts of
    whichever model reads them, unless `text` says what the input is. `prefix_tokens`: what every turn of a conversation
    sends before the conversation itself. `cached_tokens` are part of the prefix, or of the input of single requests.
    `hit_rate`: share of requests that find the cached part in the cache, 0 to 1; None if not given: then it
    follows from rate and TTL. `turns_cached`: each turn has a breakpoint at the end of its prompt, so that the next one
    reads it from the cache. `searches`: web searches of a request, or turn. `geo`: where inference has to run.
    `compared_with`: the one model that a mix is held against. `peak`: how many times the mean the busiest minute is.
    `counted`: what Anthropic counted for a prompt, by model id; it goes before `input_tokens`.
    `name`: under which the estimate is kept.
    """

    routes: tuple[Route, ...]
    requests: int
    output_tokens: int
    per: Per = "month"
    input_tokens: int = 0
    text: Text | None = None
    prefix_tokens: int = 0
    cached_tokens: int = 0
    hit_rate: Decimal | None = None
    ttl: Ttl = "5m"
    batch: bool = False
    fast: bool = False
    geo: Geo | None = None
    searches: Decimal = Decimal(0)
    turns: int = 1
    turns_cached: bool = False
    compared_with: Model | None = None
    goal: Goal | None = None
    peak: Decimal | None = None
    counted: tuple[tuple[str, int], ...] = ()
    name: str | None = None

    @property
    def monthly_requests(self) -> Fraction:
        """Requests, or conversations, in 30 days, exactly."""
        return self.requests * TIMES_A_MONTH[self.per]

    @property
    def model(self) -> Model | None:
        """The only model; None for a mix."""
        return self.routes[0].model if len(self.routes) == 1 else None

    def input_for(self, model: Model) -> int:
        """Input tokens of one request, or turn, as this model counts them."""
        if self.text is not None:
            return tokens_of(self.text, model.tokenizer)
        return dict(self.counted).get(model.id, self.input_tokens)


def all_on(model: Model) -> tuple[Route, ...]:
    """Every request on one model."""
    return (Route(model, Fraction(1)),)
