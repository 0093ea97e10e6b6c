"""A workload, and what one way of doing it costs in a month of 30 days, line by line.

Rules of thumb for the older tokenizer (generation 1): English 4 characters a token, Japanese 1.5 tokens a character,
between 1 and 2 by content. The newer one makes about 30 % more tokens of the same text (platform.claude.com, 2026).

Assumes random arrivals at an even rate around the clock (a Poisson process). A hit renews the entry at no cost, so a
request hits if the gap before it is shorter than the TTL: with mean gap g and TTL t, a share of 1 - exp(-t / g).
Bursts hit more often.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, exp
from typing import Literal, NamedTuple

from bot.pricing.card import Model, RateCard
from bot.pricing.cost import cost_of
from bot.pricing.tokens import Terms, TokenCounts, same_text

Lang = Literal["en", "ja"]

OLD_TOKENIZER = 1


class Rule(NamedTuple):
    """Tokens per character with the older tokenizer: usual, least, most."""

    usual: Fraction
    least: Fraction
    most: Fraction


RULES: dict[Lang, Rule] = {
    "en": Rule(Fraction(1, 4), Fraction(1, 5), Fraction(1, 3)),
    "ja": Rule(Fraction(3, 2), Fraction(1), Fraction(2)),
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

    `requests`: of single requests, or of conversations if `turns` is above 1. `input_tokens`: as counted by whichever
    model reads them, unless `text` gives the input. `prefix_tokens`: what every turn of a conversation sends before the
    conversation itself. `cached_tokens`: part of the prefix, or of the input of single requests. `hit_rate`: share of
    requests that find the cached part in the cache, 0 to 1; None if not given: then it follows from rate and TTL.
    `turns_cached`: each turn has a breakpoint at the end of its prompt, so that the next one reads it from the cache.
    `searches`: web searches per request, or turn. `geo`: where inference has to run. `compared_with`: the one model to
    compare a mix with. `peak`: busiest minute as a multiple of the mean. `counted`: Anthropic's token count of a
    prompt, by model id; overrides `input_tokens`. `name`: name under which the estimate is saved.
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


LIFE: dict[Ttl, timedelta] = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}
"""How long an entry lives after each use (platform.claude.com, Prompt caching)."""

MONTH = timedelta(days=DAYS_IN_MONTH)


class Warmth(NamedTuple):
    """`gap`: mean time between two requests. `hit_rate`: the share that comes in time, 0 to 1, to a whole per cent."""

    gap: timedelta
    hit_rate: Decimal


def break_even(model: Model, ttl: str, on: date, prompt_tokens: int | None = None) -> Fraction:
    """The hit rate, 0 to 1, at which caching costs as much as plain input: (w - 1) / (w - r).

    w and r are the prices of a write and a read as multiples of the input price.
    """
    rates = model.rates(on).at(prompt_tokens)
    write = rates.cache_write_1h if ttl == "1h" else rates.cache_write_5m
    return Fraction(write - rates.input) / Fraction(write - rates.cache_read)


def warmth(workload: Workload, share: Fraction = Fraction(1)) -> Warmth:
    """Gap and hit rate at an even rate over 30 days, for the share of the requests that use one model's cache."""
    requests = _requests(workload, share)
    gap = MONTH * requests.denominator / requests.numerator
    return Warmth(gap, expected_hit_rate(requests, workload.ttl))


def expected_hit_rate(requests_a_month: Fraction, ttl: Ttl) -> Decimal:
    """The share of requests that hit, 0 to 1, in whole per cent: the model is not more precise."""
    return Decimal(round(_arrive_in_time(requests_a_month, ttl) * 100)) / 100


def hit_rate_of(workload: Workload, share: Fraction = Fraction(1)) -> Decimal:
    """The given hit rate, or the one to expect from the share of requests that one model serves."""
    if workload.hit_rate is not None:
        return workload.hit_rate
    return expected_hit_rate(_requests(workload, share), workload.ttl)


def hit_rate_with(ttl: Ttl, workload: Workload, share: Fraction = Fraction(1)) -> Decimal | None:
    """The hit rate with another TTL; None if none was given, since it then follows from the request rate.

    A given rate changes in proportion to the expected one, up to what the request rate allows. If it is higher
    already, requests come in bursts and a longer TTL changes nothing.
    """
    if workload.hit_rate is None or ttl == workload.ttl:
        return workload.hit_rate
    requests = _requests(workload, share)
    with_this, with_other = _arrive_in_time(requests, workload.ttl), _arrive_in_time(requests, ttl)
    given = float(workload.hit_rate)
    scaled = given * with_other / with_this
    other = max(given, min(scaled, with_other)) if with_other > with_this else scaled
    # Rounded to a ten-thousandth, so that an unchanged rate equals the given one exactly.
    return workload.hit_rate if abs(other - given) < 0.0001 else Decimal(round(other * 10_000)) / 10_000


def _requests(workload: Workload, share: Fraction) -> Fraction:
    return workload.monthly_requests * workload.turns * share


def _arrive_in_time(requests_a_month: Fraction, ttl: Ttl) -> float:
    lives_a_month = MONTH / LIFE[ttl]
    return 1 - exp(-float(requests_a_month) / lives_a_month)


class Line(NamedTuple):
    """One kind of token on one model, or web searches. `usd_per_mtok` is after batch, steps, speed and region.

    `usd` is exact. `resent`: tokens of earlier turns that later turns of a conversation send again.
    """

    model: Model
    kind: str
    tokens: int
    usd_per_mtok: Decimal
    usd: Decimal
    resent: bool


class _Part(NamedTuple):
    """Turns of a conversation that share one price: their number and the tokens that they send in total.

    `own_tokens`: new input, uncached. `resent_tokens`: earlier turns, uncached. Both exclude the cached prefix.
    """

    turns: int
    own_tokens: int
    resent_tokens: int
    read_again: int
    written_again: int
    prompt_tokens: int


def monthly_lines(workload: Workload, card: RateCard, on: date) -> tuple[Line, ...]:
    """The lines at the prices of the UTC day `on`."""
    lines: list[Line] = []
    for route in workload.routes:
        lines += _route_lines(workload, route, card, on)
    return tuple(_merged(lines))


def total(lines: tuple[Line, ...]) -> Decimal:
    """Their sum in USD, unrounded."""
    return sum((line.usd for line in lines), Decimal(0))


def caches(workload: Workload, model: Model) -> bool:
    """Whether the cached part is long enough; the API ignores shorter prefixes silently."""
    return workload.cached_tokens > 0 and _long_enough(workload.cached_tokens, model)


def monthly_counts(model: Model, lines: tuple[Line, ...]) -> TokenCounts:
    """The month's tokens of one model."""
    counts = dict.fromkeys(("input", "cache_write_5m", "cache_write_1h", "cache_read", "output", "web_search"), 0)
    for line in lines:
        if line.model.id == model.id:
            counts[line.kind] += line.tokens
    return TokenCounts(*counts.values())


def turn_prompts(workload: Workload, model: Model) -> Iterator[int]:
    """The prompt of each turn: the prefix, its own input and all turns before, in tokens of this model."""
    own = workload.input_for(model)
    first, step = workload.prefix_tokens + own, own + workload.output_tokens
    return (first + turn * step for turn in range(workload.turns))


def _route_lines(workload: Workload, route: Route, card: RateCard, on: date) -> list[Line]:
    requests = workload.monthly_requests * route.share
    terms = Terms(
        service_tier="batch" if workload.batch else "standard",
        inference_geo=workload.geo,
        speed="fast" if workload.fast else None,
    )
    lines = []
    for part in _parts(workload, route.model, on):
        kinds = [(_own_counts(workload, route, part, requests), False)]
        if workload.turns > 1:
            kinds.append((_resent_counts(workload, part, requests), True))
        for counts, resent in kinds:
            cost = cost_of(card, route.model.id, counts, terms, on, prompt_tokens=part.prompt_tokens)
            lines += [Line(route.model, c.kind, c.tokens, c.usd_per_mtok, c.usd, resent) for c in cost.lines]
    return lines


def _parts(workload: Workload, model: Model, on: date) -> list[_Part]:
    """The turns, grouped by the price step of their prompts."""
    step = model.rates(on).step
    cached = _cached(workload, model)
    own = workload.prefix_tokens + workload.input_for(model) - cached
    parts: dict[bool, _Part] = {}
    written_before = 0
    for prompt in turn_prompts(workload, model):
        above = step is not None and prompt > step.above_prompt_tokens
        ends_cached = workload.turns_cached and _long_enough(prompt, model)
        tokens = prompt - cached
        part = parts.get(above, _Part(0, 0, 0, 0, 0, prompt))
        parts[above] = _Part(
            part.turns + 1,
            part.own_tokens + (0 if ends_cached else own),
            part.resent_tokens + (0 if ends_cached else tokens - own),
            part.read_again + (written_before if ends_cached else 0),
            part.written_again + (tokens - written_before if ends_cached else 0),
            part.prompt_tokens,
        )
        written_before = tokens if ends_cached else 0
    return list(parts.values())


def _own_counts(workload: Workload, route: Route, part: _Part, conversations: Fraction) -> TokenCounts:
    turns = conversations * part.turns
    cached = turns * _cached(workload, route.model)
    read = _whole(cached * Fraction(hit_rate_of(workload, route.share)))
    counts = TokenCounts(
        uncached_input_tokens=_whole(conversations * part.own_tokens),
        cache_read_input_tokens=read,
        output_tokens=_whole(turns * workload.output_tokens),
        web_search_requests=_whole(turns * Fraction(workload.searches)),
    )
    return _with_writes(counts, workload, _whole(cached) - read)


def _resent_counts(workload: Workload, part: _Part, conversations: Fraction) -> TokenCounts:
    counts = TokenCounts(
        uncached_input_tokens=_whole(conversations * part.resent_tokens),
        cache_read_input_tokens=_whole(conversations * part.read_again),
    )
    return _with_writes(counts, workload, _whole(conversations * part.written_again))


def _cached(workload: Workload, model: Model) -> int:
    """At most the whole input: a text may have fewer tokens here than on the model that the cache was counted for."""
    there = workload.prefix_tokens + workload.input_for(model)
    return min(workload.cached_tokens, there) if caches(workload, model) else 0


def _with_writes(counts: TokenCounts, workload: Workload, written: int) -> TokenCounts:
    if workload.ttl == "1h":
        return counts._replace(cache_creation_1h_input_tokens=written)
    return counts._replace(cache_creation_5m_input_tokens=written)


def _long_enough(prefix: int, model: Model) -> bool:
    return model.min_cacheable_tokens is None or prefix >= model.min_cacheable_tokens


def _merged(lines: list[Line]) -> list[Line]:
    """Merge lines with the same model, kind and price."""
    merged: dict[tuple[str, str, Decimal, bool], Line] = {}
    for line in lines:
        key = (line.model.id, line.kind, line.usd_per_mtok, line.resent)
        found = merged.get(key)
        if found is not None:
            line = found._replace(tokens=found.tokens + line.tokens, usd=found.usd + line.usd)
        merged[key] = line
    return list(merged.values())


def _whole(tokens: Fraction) -> int:
    """Rounds half up, in integers: fractions would take most of an estimate's time."""
    return (2 * tokens.numerator + tokens.denominator) // (2 * tokens.denominator)
