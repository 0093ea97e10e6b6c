"""What has to be said beside an estimate: assumptions, limits, and one sentence of advice."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from math import ceil

from bot.money import usd
from bot.pricing.alternatives import Alternative, same_text_as
from bot.pricing.caching import break_even, warmth
from bot.pricing.card import Model, RateCard
from bot.pricing.monthly_cost import caches, monthly_lines, total, turn_prompts
from bot.pricing.text_tokens import OLD_TOKENIZER, RULES, token_range
from bot.pricing.workload import Route, Workload

LONGEST_PROMPT = 1_000_000
"""The largest context window of any model (platform.claude.com, 2026)."""

BATCH_REQUESTS = 100_000
BATCH_BYTES = 256_000_000
"""Limits of one message batch (platform.claude.com, Batch processing)."""

BYTES_A_TOKEN = 4
"""English text; other scripts take more bytes and fewer characters."""

WORTH_A_PROTOTYPE = Decimal("0.5")


def notes_on(workload: Workload, card: RateCard, today: date) -> Iterator[str]:
    """The notes, the most surprising ones first."""
    for route in workload.routes:
        yield from _retirement(route.model, today)
    if workload.text is not None:
        yield from _text_notes(workload, card, today)
    if workload.counted:
        counts = dict(workload.counted)
        listed = " and ".join(f"{counts[r.model.id]:,} for {r.model.name}" for r in workload.routes)
        yield f"Anthropic's token count of the prompt: {listed}; the other models' figures are for the same prompt."
    if workload.turns > 1:
        yield from _turn_notes(workload)
    if max(max(turn_prompts(workload, route.model)) for route in workload.routes) > LONGEST_PROMPT:
        yield f"No model reads a prompt of more than {LONGEST_PROMPT:,} tokens: such requests fail."
    for route in workload.routes:
        yield from _cache_notes(workload, route, today)
        yield from _step_notes(workload, route.model, today)
    if workload.cached_tokens and workload.hit_rate is None:
        yield (
            "A hit rate of 100% is assumed, which leaves out the first write and every one after a pause; hit=95% "
            "counts misses as writes."
        )
    if workload.batch:
        yield _batch_note(workload)
    if workload.per != "month":
        yield "A month has 30 days."
    yield from _tokenizer_notes(workload, card, today)
    yield "Output includes thinking tokens."
    yield f"List prices checked on {card.checked_on.isoformat()}, USD without tax."


def recommendation(workload: Workload, here: Decimal, alternatives: Sequence[Alternative], card: RateCard) -> str:
    """One sentence of advice."""
    bare = next((way for way in alternatives if ", no caching" in way.label), None)
    if bare is not None and bare.monthly_usd < here:
        return f"Leave caching out at this hit rate: that saves {usd(here - bare.monthly_usd)} a month."
    haiku = card.newest("haiku")
    small = None if workload.model is haiku else next((way for way in alternatives if way.models == (haiku.id,)), None)
    if here == 0:
        return "There is nothing to pay for."
    if small is not None:
        there = small.monthly_usd if small.same_text_usd is None else small.same_text_usd
        about = "" if small.same_text_usd is None else "about "
        if there <= here * (1 - WORTH_A_PROTOTYPE):
            return (
                f"Build the first version on {haiku.name}: {about}{usd(there)} a month instead of {usd(here)}; move up "
                "where its answers are not good enough."
            )
    resent = next((way for way in alternatives if "resent turns cached" in way.label), None)
    if resent is not None and resent.monthly_usd < here:
        return f"Cache the resent turns: that saves {usd(here - resent.monthly_usd)} a month."
    if not workload.batch and workload.turns == 1:
        return "If nobody waits for the answers, send them in batches, which halves the price."
    return "This is near the cheapest way there is; shorter answers save the most from here."


def _retirement(model: Model, today: date) -> Iterator[str]:
    if model.retires is not None:
        verb = "was retired" if model.retires < today else "retires"
        yield f"{model.name} {verb} on {model.retires.isoformat()}: plan with a newer model."


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
        sized = replace(workload, text=None, input_tokens=max(tokens, workload.cached_tokens))
        bounds.append(usd(total(monthly_lines(sized, card, today))))
    yield f"{text.chars:,} {RULES[text.lang].name} characters are about {' and '.join(counts)}."
    yield f"So the month costs between {bounds[0]} and {bounds[1]}; the other models' figures are for the same text."


def _turn_notes(workload: Workload) -> Iterator[str]:
    model = workload.routes[0].model
    last = max(turn_prompts(workload, model))
    yield (
        "in and out are what each turn adds; each turn sends the turns before it again, so that the last of "
        f"{workload.turns} has a prompt of {last:,} tokens."
    )


def _cache_notes(workload: Workload, route: Route, today: date) -> Iterator[str]:
    model = route.model
    if not workload.cached_tokens:
        return
    if not caches(workload, model):
        yield (
            f"Nothing is cached on {model.name}: it caches prompts from {model.min_cacheable_tokens:,} tokens on, and "
            f"cached={workload.cached_tokens} is below that."
        )
        return
    if model.min_cacheable_tokens is None:
        yield f"The shortest prompt that {model.name} caches is not known here."
    rate = break_even(model, workload.ttl, today, workload.input_for(model))
    yield f"Caching pays on {model.name} from a hit rate of {float(rate):.1%} on."
    state = warmth(workload, route.share)
    life = "one-hour" if workload.ttl == "1h" else "5-minute"
    if state.warm:
        yield f"At an even rate a request comes every {_duration(state.gap)}, which keeps a {life} cache warm."
    else:
        yield (
            f"At an even rate a request comes only every {_duration(state.gap)}, so a {life} cache has gone by then: "
            "expect misses."
        )


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
            "in and out are taken as tokens: models from Opus 4.7 on make about 30% more of the same text, which the "
            "other models' second figure is for."
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
