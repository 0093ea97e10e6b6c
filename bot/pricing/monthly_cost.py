"""What one way of doing a workload costs in a month of 30 days, line by line."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor

from bot.pricing.card import Model, RateCard
from bot.pricing.cost import cost_of
from bot.pricing.tokens import Terms, TokenCounts
from bot.pricing.workload import Route, Workload


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of token on one model. `usd_per_mtok` is after batch and steps, `usd` exact.

    `resent`: what a conversation's later turns send again of the turns before them.
    """

    model: Model
    kind: str
    tokens: int
    usd_per_mtok: Decimal
    usd: Decimal
    resent: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of a conversation's turns that have one price: how many, and what they send beside their own input."""

    turns: int
    resent_tokens: int
    cached_again: int
    written_again: int
    prompt_tokens: int


def monthly_lines(workload: Workload, card: RateCard, on: date, *, resent_cached: bool = False) -> tuple[Line, ...]:
    """The lines at the prices of the UTC day `on`.

    `resent_cached`: each turn of a conversation writes what is new to the cache and reads the turns before from it.
    """
    lines: list[Line] = []
    for route in workload.routes:
        lines += _route_lines(workload, route, card, on, resent_cached)
    return tuple(_merged(lines))


def total(lines: tuple[Line, ...]) -> Decimal:
    """Their sum in USD, unrounded."""
    return sum((line.usd for line in lines), Decimal(0))


def caches(workload: Workload, model: Model) -> bool:
    """Whether the cached part is cached at all: prefixes below the model's minimum silently are not."""
    return workload.cached_tokens > 0 and _long_enough(workload.cached_tokens, model)


def monthly_counts(model: Model, lines: tuple[Line, ...]) -> TokenCounts:
    """The month's tokens of one model, as the lines have them."""
    counts = dict.fromkeys(("input", "cache_write_5m", "cache_write_1h", "cache_read", "output"), 0)
    for line in lines:
        if line.model.id == model.id:
            counts[line.kind] += line.tokens
    return TokenCounts(*counts.values())


def turn_prompts(workload: Workload, model: Model) -> Iterator[int]:
    """The prompt of each turn: its own input and all turns before, in tokens of this model."""
    own, step = workload.input_for(model), workload.input_for(model) + workload.output_tokens
    return (own + turn * step for turn in range(workload.turns))


def _route_lines(workload: Workload, route: Route, card: RateCard, on: date, resent_cached: bool) -> list[Line]:
    requests = workload.monthly_requests * route.share
    terms = Terms(service_tier="batch" if workload.batch else "standard")
    lines = []
    for part in _parts(workload, route.model, on, resent_cached):
        for counts, resent in (
            (_own_counts(workload, route.model, requests * part.turns), False),
            (_resent_counts(workload, part, requests), True),
        ):
            cost = cost_of(card, route.model.id, counts, terms, on, prompt_tokens=part.prompt_tokens)
            lines += [Line(route.model, c.kind, c.tokens, c.usd_per_mtok, c.usd, resent) for c in cost.lines]
    return lines


def _parts(workload: Workload, model: Model, on: date, resent_cached: bool) -> list[_Part]:
    """The turns, apart by the price step that their prompts reach."""
    step = model.rates(on).step
    own = workload.input_for(model)
    parts: dict[bool, _Part] = {}
    before = 0
    for prompt in turn_prompts(workload, model):
        above = step is not None and prompt > step.above_prompt_tokens
        resent, read, written = prompt - own, 0, 0
        if resent_cached and _long_enough(prompt, model):
            read = before if _long_enough(before, model) else 0
            written = resent - read
        part = parts.get(above, _Part(0, 0, 0, 0, prompt))
        parts[above] = _Part(
            part.turns + 1,
            part.resent_tokens + resent - read - written,
            part.cached_again + read,
            part.written_again + written,
            part.prompt_tokens,
        )
        before = resent
    return list(parts.values())


def _own_counts(workload: Workload, model: Model, requests: Fraction) -> TokenCounts:
    cached = workload.cached_tokens if caches(workload, model) else 0
    touched = _whole(requests * cached)
    read = _whole(requests * cached * Fraction(1 if workload.hit_rate is None else workload.hit_rate))
    counts = TokenCounts(
        uncached_input_tokens=_whole(requests * (workload.input_for(model) - cached)),
        cache_read_input_tokens=read,
        output_tokens=_whole(requests * workload.output_tokens),
    )
    return _with_writes(counts, workload, touched - read)


def _resent_counts(workload: Workload, part: _Part, conversations: Fraction) -> TokenCounts:
    counts = TokenCounts(
        uncached_input_tokens=_whole(conversations * part.resent_tokens),
        cache_read_input_tokens=_whole(conversations * part.cached_again),
    )
    return _with_writes(counts, workload, _whole(conversations * part.written_again))


def _with_writes(counts: TokenCounts, workload: Workload, written: int) -> TokenCounts:
    if workload.ttl == "1h":
        return replace(counts, cache_creation_1h_input_tokens=written)
    return replace(counts, cache_creation_5m_input_tokens=written)


def _long_enough(prefix: int, model: Model) -> bool:
    return model.min_cacheable_tokens is None or prefix >= model.min_cacheable_tokens


def _merged(lines: list[Line]) -> list[Line]:
    """Lines of one model, kind and price become one."""
    merged: dict[tuple[str, str, Decimal, bool], Line] = {}
    for line in lines:
        key = (line.model.id, line.kind, line.usd_per_mtok, line.resent)
        found = merged.get(key)
        if found is not None:
            line = replace(found, tokens=found.tokens + line.tokens, usd=found.usd + line.usd)
        merged[key] = line
    return list(merged.values())


def _whole(tokens: Fraction) -> int:
    return floor(tokens + Fraction(1, 2))
