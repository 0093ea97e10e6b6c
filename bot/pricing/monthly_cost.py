"""What a workload costs in a month of 30 days, line by line."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from bot.pricing.caching import hit_rate_of
from bot.pricing.card import Model, RateCard
from bot.pricing.cost import cost_of
from bot.pricing.tokens import Terms, TokenCounts
from bot.pricing.workload import Route, Workload


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


def failures(workload: Workload, today: date) -> tuple[str, ...]:
    """Why requests fail on the UTC day `today`, one sentence per reason; empty if they work."""
    return tuple(reason for route in workload.routes for reason in _failures_on(route.model, workload, today))


def without_effect(workload: Workload, today: date) -> Iterator[str]:
    """Options that have no effect, though the requests work."""
    for route in workload.routes:
        model = route.model
        if workload.cached_tokens and not caches(workload, model):
            yield (
                f"Nothing is cached on {model.name}: it caches prompts from {model.min_cacheable_tokens:,} tokens on, "
                f"and cached={workload.cached_tokens} is below that."
            )
        if workload.fast and not model.runs_fast(today):
            ended = model.rates(today).fast_until
            since = "" if ended is None else f" ended on {ended.isoformat()}"
            yield f"Fast mode of {model.name}{since or ' is not sold'}: this is the price at standard speed."


def _failures_on(model: Model, workload: Workload, today: date) -> Iterator[str]:
    if model.retires is not None and model.retires < today:
        yield f"{model.name} was retired on {model.retires.isoformat()}, so requests fail: plan with a newer model."
    prompt, answer = max(turn_prompts(workload, model)), workload.output_tokens
    window, most = model.context_window, model.max_output
    if window is not None and prompt > window:
        yield f"{model.name} reads at most {window:,} tokens, and this prompt has {prompt:,}: such requests fail."
    if most is not None and answer > most:
        yield f"{model.name} answers with at most {most:,} tokens, so out={answer} cannot be reached."
    elif window is not None and prompt <= window < prompt + answer:
        yield (
            f"Prompt and answer have {prompt + answer:,} tokens, and the context window of {model.name} holds "
            f"{window:,}: the answer is cut off."
        )
    if workload.geo == "us" and not model.us_inference:
        yield f"{model.name} does not take geo=us: Anthropic refuses such requests (HTTP 400)."
