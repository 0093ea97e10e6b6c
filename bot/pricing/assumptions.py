"""What the figures of an estimate assume, and background that does not change them, as sentences."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from math import ceil

from bot.amounts import usd
from bot.language import ntr, tr, tr_noop
from bot.listed import comma_list, joined_by_and, sentences
from bot.pricing.alternatives import same_text_as
from bot.pricing.card import Model, RateCard
from bot.pricing.monthly_cost import (
    OLD_TOKENIZER,
    Lang,
    Route,
    Ttl,
    Warmth,
    Workload,
    break_even,
    caches,
    monthly_lines,
    token_range,
    total,
    turn_prompts,
    warmth,
)

BATCH_REQUESTS = 100_000
BATCH_BYTES = 256_000_000
"""Limits of one message batch (platform.claude.com, Batch processing)."""

TOLERATED_HITS = Decimal("0.05")
MOSTLY = Decimal("0.8")

BYTES_A_TOKEN = 4
"""English text; other scripts have more bytes and fewer characters per token."""

CHARACTERS: dict[Lang, str] = {
    "en": tr_noop("{number} English characters"),
    "ja": tr_noop("{number} Japanese characters"),
}

WARM: dict[Ttl, str] = {
    "5m": tr_noop("every {gap}, which keeps a 5-minute cache warm"),
    "1h": tr_noop("every {gap}, which keeps a one-hour cache warm"),
}
COLD: dict[Ttl, str] = {
    "5m": tr_noop("only every {gap}, so a 5-minute cache has gone by then: expect misses"),
    "1h": tr_noop("only every {gap}, so a one-hour cache has gone by then: expect misses"),
}
BETWEEN: dict[Ttl, str] = {
    "5m": tr_noop("every {gap} on average, so a 5-minute cache has gone for some of them"),
    "1h": tr_noop("every {gap} on average, so a one-hour cache has gone for some of them"),
}
"""Mean gap between requests and its effect on the cache: continues `one comes`."""


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
        listed = [
            tr("{number} for {model}", number=f"{counts[route.model.id]:,}", model=route.model.name)
            for route in workload.routes
        ]
        yield tr(
            "Anthropic's token count of the prompt: {counts}; the other models' figures are for the same prompt.",
            counts=joined_by_and(listed),
        )
    if workload.turns > 1:
        yield _turn_note(workload)
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
        yield tr("Fast mode has rate limits of its own, which the Console shows; a change of speed loses the cache.")
    if workload.searches:
        yield tr(
            "A web search costs {usd}, in batches too; what it finds is further input, for in=.",
            usd=usd(card.web_search_usd),
        )
    if workload.per != "month":
        yield tr("A month has 30 days.")
    yield tr("Output includes thinking tokens.")


def prices_note(card: RateCard) -> str:
    """The date of the prices."""
    return tr("List prices checked on {day}, USD without tax.", day=card.checked_on.isoformat())


def _retirement(model: Model, today: date) -> Iterator[str]:
    if model.retires is not None and model.retires >= today:
        day = model.retires.isoformat()
        yield tr("{model} retires on {day}: plan with a newer model.", model=model.name, day=day)


def _fast_ends(model: Model, today: date) -> Iterator[str]:
    ends = model.rates(today).fast_until
    if ends is not None and ends >= today:
        yield tr("Fast mode of {model} ends on {day}.", model=model.name, day=ends.isoformat())


def _text_notes(workload: Workload, card: RateCard, today: date) -> Iterator[str]:
    text = workload.text
    assert text is not None
    by_tokenizer = {route.model.tokenizer: route.model for route in reversed(workload.routes)}
    counts = []
    for tokenizer, model in by_tokenizer.items():
        fewest, most = token_range(text, tokenizer)
        counts.append(
            tr(
                "{number} tokens for {model} ({least} to {most} by content)",
                number=f"{workload.input_for(model):,}",
                model=model.name,
                least=f"{fewest:,}",
                most=f"{most:,}",
            )
        )
    bounds = []
    for extreme in (0, 1):
        tokens = max(token_range(text, tokenizer)[extreme] for tokenizer in by_tokenizer)
        sized = workload._replace(text=None, input_tokens=max(tokens, workload.cached_tokens))
        bounds.append(usd(total(monthly_lines(sized, card, today))))
    characters = tr(CHARACTERS[text.lang], number=f"{text.chars:,}")
    yield tr("{characters} are about {counts}.", characters=characters, counts=joined_by_and(counts))
    yield tr(
        "So the month costs between {least} and {most}; the other models' figures are for the same text.",
        least=bounds[0],
        most=bounds[1],
    )


def _turn_note(workload: Workload) -> str:
    last = max(turn_prompts(workload, workload.routes[0].model))
    if not workload.prefix_tokens:
        return tr(
            "in and out are what each turn adds; each turn sends the turns before it again, so that the last of "
            "{turns} has a prompt of {last} tokens.",
            turns=workload.turns,
            last=f"{last:,}",
        )
    return tr(
        "in and out are what each turn adds; each turn sends the turns before it again, so that the last of "
        "{turns} has a prompt of {last} tokens, after a prefix of {prefix} tokens.",
        turns=workload.turns,
        last=f"{last:,}",
        prefix=f"{workload.prefix_tokens:,}",
    )


def _hit_rate_note(workload: Workload, route: Route) -> Iterator[str]:
    """The assumed hit rate; or a warning that the given one is unlikely at this request rate."""
    if not caches(workload, route.model):
        return
    only = len(workload.routes) == 1
    state = warmth(workload, route.share)
    likely, pace, model = f"{state.hit_rate:.0%}", _pace(state, workload), route.model.name
    if workload.hit_rate is None and only:
        yield tr(
            "Assumed hit rate: {rate}, for requests at random times. One comes {pace}.",
            rate=likely,
            pace=pace,
        )
    elif workload.hit_rate is None:
        yield tr(
            "Assumed hit rate on {model}: {rate}, for requests at random times. One comes {pace}.",
            model=model,
            rate=likely,
            pace=pace,
        )
    elif workload.hit_rate > state.hit_rate + TOLERATED_HITS:
        if only:
            yield tr("Requests at random times would hit in {rate} only: one comes {pace}.", rate=likely, pace=pace)
        else:
            yield tr(
                "Requests at random times would hit on {model} in {rate} only: one comes {pace}.",
                model=model,
                rate=likely,
                pace=pace,
            )


def _pace(state: Warmth, workload: Workload) -> str:
    gap = _duration(state.gap)
    if state.hit_rate >= MOSTLY:
        return tr(WARM[workload.ttl], gap=gap)
    if state.hit_rate <= 1 - MOSTLY:
        return tr(COLD[workload.ttl], gap=gap)
    return tr(BETWEEN[workload.ttl], gap=gap)


def _cache_details(workload: Workload, route: Route, today: date) -> Iterator[str]:
    model = route.model
    if not caches(workload, model):
        return
    if model.min_cacheable_tokens is None:
        yield tr("The shortest prompt that {model} caches is not known here.", model=model.name)
    rate = break_even(model, workload.ttl, today, max(turn_prompts(workload, model)))
    yield tr("Caching pays on {model} from a hit rate of {rate} on.", model=model.name, rate=f"{float(rate):.1%}")


def _step_notes(workload: Workload, model: Model, today: date) -> Iterator[str]:
    step = model.rates(today).step
    if step is not None and max(turn_prompts(workload, model)) > step.above_prompt_tokens:
        yield tr(
            "{model} costs the higher price for prompts above {tokens} tokens, for the whole request.",
            model=model.name,
            tokens=f"{step.above_prompt_tokens:,}",
        )


def _batch_note(workload: Workload) -> str:
    requests = workload.monthly_requests * workload.turns
    longest = max(workload.input_for(route.model) for route in workload.routes)
    batches = max(ceil(requests / BATCH_REQUESTS), ceil(requests * longest * BYTES_A_TOKEN / BATCH_BYTES))
    notes = [
        ntr(
            "Batch halves every token price and needs {number} batch a month (at most {most} requests or 256 MB "
            "each); what is not finished within 24 hours expires unbilled.",
            "Batch halves every token price and needs about {number} batches a month (at most {most} requests or "
            "256 MB each); what is not finished within 24 hours expires unbilled.",
            max(batches, workload.turns),
            most=f"{BATCH_REQUESTS:,}",
        )
    ]
    if workload.cached_tokens:
        notes.append(tr("Cache hits are best effort there."))
    if workload.turns > 1:
        notes.append(tr("Each turn waits for the answer to the one before it."))
    return sentences(notes)


def _tokenizer_notes(workload: Workload, card: RateCard, today: date) -> Iterator[str]:
    if workload.text is not None or workload.counted:
        return
    newer = [route.model for route in workload.routes if route.model.tokenizer != OLD_TOKENIZER]
    if not newer:
        yield tr(
            "in and out are taken as tokens: models from Opus 4.7 on make about 30% more of the same text, which is "
            "counted in wherever models are compared."
        )
    elif len(workload.routes) == 1:
        older = total(monthly_lines(same_text_as(workload, OLD_TOKENIZER), card, today))
        yield tr(
            "in and out are taken as {model}'s own tokens; if they were counted with Sonnet 4.6, Haiku 4.5 or "
            "older, the same text has about 30% more here: about {usd}.",
            model=newer[0].name,
            usd=usd(older),
        )
    else:
        yield tr(
            "in and out are taken as tokens of each model; {models} make about 30% more of the same text.",
            models=comma_list([model.name for model in newer]),
        )


def _duration(gap: timedelta) -> str:
    seconds = gap.total_seconds()
    if seconds < 120:
        return tr("{number} s", number=f"{seconds:.1f}")
    if seconds < 7200:
        return tr("{number} min", number=f"{seconds / 60:.0f}")
    return tr("{number} h", number=f"{seconds / 3600:.0f}")
