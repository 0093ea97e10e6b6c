"""Notes beside an estimate: its assumptions and background."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from math import ceil

from bot.money import usd
from bot.pricing.alternatives import same_text_as
from bot.pricing.caching import Warmth, break_even, warmth
from bot.pricing.card import Model, RateCard
from bot.pricing.monthly_cost import caches, monthly_lines, total, turn_prompts
from bot.pricing.workload import OLD_TOKENIZER, RULES, Route, Workload, token_range

BATCH_REQUESTS = 100_000
BATCH_BYTES = 256_000_000
"""Limits of one message batch (platform.claude.com, Batch processing)."""

TOLERATED_HITS = Decimal("0.05")
MOSTLY = Decimal("0.8")

BYTES_A_TOKEN = 4
"""English text; other scripts take more bytes and fewer characters."""


def assumptions_on(workload: Workload, card: RateCard, today: date) -> Iterator[str]:
    """What the figures assume, the most surprising first."""
    for route in workload.routes:
        yield from _retirement(route.model, today)
        if workload.fast:
            yield from _fast_ends(route.model, today)
    if workload.text is not None:
        yield from _text_notes(workload, card, today)
    if workload.counted:
        counts = dict(workload.counted)
        listed = " and ".join(f"{counts[r.model.id]:,} for {r.model.name}" for r in workload.routes)
        yield f"Anthropic's token count of the prompt: {listed}; the other models' figures are for the same prompt."
    if workload.turns > 1:
        yield from _turn_notes(workload)
    for route in workload.routes:
        yield from _hit_rate_note(workload, route)
        yield from _step_notes(workload, route.model, today)
    yield from _tokenizer_notes(workload, card, today)


def details_on(workload: Workload, card: RateCard, today: date) -> Iterator[str]:
    """Background that changes no figure."""
    for route in workload.routes:
        yield from _cache_details(workload, route, today)
    if workload.batch:
        yield _batch_note(workload)
    if workload.fast:
        yield "Fast mode has rate limits of its own, which the Console shows; a change of speed loses the cache."
    if workload.searches:
        yield f"A web search costs {usd(card.web_search_usd)}, in batches too; what it finds is further input, for in=."
    if workload.per != "month":
        yield "A month has 30 days."
    yield "Output includes thinking tokens."


def prices_note(card: RateCard) -> str:
    """The date of the prices."""
    return f"List prices checked on {card.checked_on.isoformat()}, USD without tax."


def _retirement(model: Model, today: date) -> Iterator[str]:
    if model.retires is not None and model.retires >= today:
        yield f"{model.name} retires on {model.retires.isoformat()}: plan with a newer model."


def _fast_ends(model: Model, today: date) -> Iterator[str]:
    ends = model.rates(today).fast_until
    if ends is not None and ends >= today:
        yield f"Fast mode of {model.name} ends on {ends.isoformat()}."


def _text_notes(workload: Workload, card: RateCard, today: date) -> Iterator[str]:
    text = workload.text
    assert text is not None
    by_tokenizer = {route.model.tokenizer: route.model for route in reversed(workload.routes)}
    counts = []
    for tokenizer, model in by_tokenizer.items():
        fewest, most = token_range(text, tokenizer)
        counts.append(f"{workload.input_for(model):,} tokens for {model.name} ({fewest:,} to {most:,} by content)")
    bounds = []
    for extreme in (0, 1):
        tokens = max(token_range(text, tokenizer)[extreme] for tokenizer in by_tokenizer)
        sized = workload._replace(text=None, input_tokens=max(tokens, workload.cached_tokens))
        bounds.append(usd(total(monthly_lines(sized, card, today))))
    yield f"{text.chars:,} {RULES[text.lang].name} characters are about {' and '.join(counts)}."
    yield f"So the month costs between {bounds[0]} and {bounds[1]}; the other models' figures are for the same text."


def _turn_notes(workload: Workload) -> Iterator[str]:
    model = workload.routes[0].model
    last = max(turn_prompts(workload, model))
    prefix = f", after a prefix of {workload.prefix_tokens:,} tokens" if workload.prefix_tokens else ""
    yield (
        "in and out are what each turn adds; each turn sends the turns before it again, so that the last of "
        f"{workload.turns} has a prompt of {last:,} tokens{prefix}."
    )


def _hit_rate_note(workload: Workload, route: Route) -> Iterator[str]:
    """The assumed hit rate; or a warning that the given one is unlikely at this request rate."""
    if not caches(workload, route.model):
        return
    on = "" if len(workload.routes) == 1 else f" on {route.model.name}"
    state = warmth(workload, route.share)
    likely = f"{state.hit_rate:.0%}"
    if workload.hit_rate is None:
        yield f"Assumed hit rate{on}: {likely}, for requests at random times. One comes {_pace(state, workload)}."
    elif workload.hit_rate > state.hit_rate + TOLERATED_HITS:
        yield f"Requests at random times would hit{on} in {likely} only: one comes {_pace(state, workload)}."


def _pace(state: Warmth, workload: Workload) -> str:
    gap, life = _duration(state.gap), "one-hour" if workload.ttl == "1h" else "5-minute"
    if state.hit_rate >= MOSTLY:
        return f"every {gap}, which keeps a {life} cache warm"
    if state.hit_rate <= 1 - MOSTLY:
        return f"only every {gap}, so a {life} cache has gone by then: expect misses"
    return f"every {gap} on average, so a {life} cache has gone for some of them"


def _cache_details(workload: Workload, route: Route, today: date) -> Iterator[str]:
    model = route.model
    if not caches(workload, model):
        return
    if model.min_cacheable_tokens is None:
        yield f"The shortest prompt that {model.name} caches is not known here."
    rate = break_even(model, workload.ttl, today, max(turn_prompts(workload, model)))
    yield f"Caching pays on {model.name} from a hit rate of {float(rate):.1%} on."


def _step_notes(workload: Workload, model: Model, today: date) -> Iterator[str]:
    step = model.rates(today).step
    if step is not None and max(turn_prompts(workload, model)) > step.above_prompt_tokens:
        yield (
            f"{model.name} costs the higher price for prompts above {step.above_prompt_tokens:,} tokens, for the "
            "whole request."
        )


def _batch_note(workload: Workload) -> str:
    requests = workload.monthly_requests * workload.turns
    longest = max(workload.input_for(route.model) for route in workload.routes)
    batches = max(ceil(requests / BATCH_REQUESTS), ceil(requests * longest * BYTES_A_TOKEN / BATCH_BYTES))
    batches = max(batches, workload.turns)
    needs = "needs 1 batch a month" if batches == 1 else f"needs about {batches:,} batches a month"
    return (
        f"Batch halves every token price and {needs} (at most {BATCH_REQUESTS:,} requests or 256 MB each); what is "
        "not finished within 24 hours expires unbilled."
        + (" Cache hits are best effort there." if workload.cached_tokens else "")
        + (" Each turn waits for the answer to the one before it." if workload.turns > 1 else "")
    )


def _tokenizer_notes(workload: Workload, card: RateCard, today: date) -> Iterator[str]:
    if workload.text is not None or workload.counted:
        return
    newer = [route.model for route in workload.routes if route.model.tokenizer != OLD_TOKENIZER]
    if not newer:
        yield (
            "in and out are taken as tokens: models from Opus 4.7 on make about 30% more of the same text, which is "
            "counted in wherever models are compared."
        )
    elif len(workload.routes) == 1:
        older = total(monthly_lines(same_text_as(workload, OLD_TOKENIZER), card, today))
        yield (
            f"in and out are taken as {newer[0].name}'s own tokens; if they were counted with Sonnet 4.6, Haiku 4.5 or "
            f"older, the same text has about 30% more here: about {usd(older)}."
        )
    else:
        names = ", ".join(model.name for model in newer)
        yield f"in and out are taken as tokens of each model; {names} make about 30% more of the same text."


def _duration(gap: timedelta) -> str:
    seconds = gap.total_seconds()
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
