"""A workload: what an estimate is about."""

from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple

from bot.pricing.card import Model
from bot.pricing.text_tokens import Text, tokens_of

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
    """A sum that the month shall not pass, reached by moving requests to a cheaper model."""

    usd: Decimal
    to: Model


class Workload(NamedTuple):
    """Requests of one shape. Tokens are per request, or per turn of a conversation.

    `requests`: of single requests, or of conversations where `turns` is above 1. `input_tokens` are the counts of
    whichever model reads them, unless `text` says what the input is. `prefix_tokens`: what every turn of a conversation
    sends before the conversation itself. `cached_tokens` are part of the prefix, or of the input of single requests.
    `hit_rate`: share of requests that find the cached part in the cache, 0 to 1; None where nothing was said: then it
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
