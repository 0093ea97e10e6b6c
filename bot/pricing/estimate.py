"""What a workload would cost in a month of 30 days: the lines, what they assume, and what would make it cheaper.

Changes that keep the models come first, largest saving first, because the answers stay the same. Answers of another
model have to be tried first, so other models come last, one line each.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from typing import NamedTuple

from bot.amounts import cents_of, in_cents, usd
from bot.pricing.alternatives import (
    COMMON_SHARE,
    Alternative,
    Change,
    Routing,
    alternatives_to,
    routing_to_goal,
    same_text_as,
)
from bot.pricing.card import Model, RateCard
from bot.pricing.monthly_cost import (
    OLD_TOKENIZER,
    RULES,
    Line,
    Route,
    Warmth,
    Workload,
    break_even,
    caches,
    failures,
    monthly_counts,
    monthly_lines,
    token_range,
    total,
    turn_prompts,
    warmth,
    without_effect,
)
from bot.pricing.throughput import Fit, Limits, Pool, fit, load_of

MOST_LINES = 3
LEAST_SHARE = Decimal("0.005")
"""A smaller saving is below the precision of an estimate."""

MINUTES = {"5m": "5 minutes", "1h": "1 hour"}


class Advice(NamedTuple):
    """One change of the workload. `monthly_usd` is for the same text; `saves_usd` against what was asked for.

    `with_more`: a further change and what the month costs with both, where that is cheaper still. `models`: the ids of
    other models; empty where the models stay.
    """

    what: str
    monthly_usd: Decimal
    saves_usd: Decimal
    here_usd: Decimal
    with_more: tuple[str, Decimal] | None
    models: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """`Send in batches: $675.00, saves $675.00 (-50%)`."""
        # Rounded so that cost and saving add up to the cost of the asked workload.
        [saves] = in_cents(cents_of(self.here_usd) - cents_of(self.monthly_usd), [self.saves_usd])
        line = f"{self.what}: {usd(self.monthly_usd)}, saves {usd(saves)} ({self._less(self.monthly_usd)})"
        if self.with_more is None:
            return line
        more, amount = self.with_more
        return f"{line}; {more}: {usd(amount)} ({self._less(amount)})"

    def _less(self, amount: Decimal) -> str:
        return f"{((amount / self.here_usd - 1) * 100).quantize(Decimal(1), ROUND_HALF_UP):+}%"


def advice_on(asked: Workload, here: Decimal, ways: Sequence[Alternative], *, runs: bool) -> tuple[Advice, ...]:
    """`runs`: whether the asked requests work at all.

    Returns only changes that work and save; of two that exclude each other (two TTLs of the cache), the cheaper one."""
    if not here:
        return ()
    cheaper = [way for way in ways if way.works and here - way.compared_usd >= here * LEAST_SHARE]
    cheaper.sort(key=lambda way: way.compared_usd)
    same = _by_change([way for way in cheaper if "model" not in way.changes])
    others = [way for way in cheaper if way.changes == {"model"}]
    shown = same[: MOST_LINES - (1 if others else 0)]
    others = others[: MOST_LINES - len(shown)]
    kept = [_same_models(way, asked, here, shown) for way in shown]
    return (*kept, *(_other_model(way, asked, here, can_share=runs and way is others[0]) for way in others))


def _by_change(ways: Sequence[Alternative]) -> list[Alternative]:
    """The cheapest way of each change, the cheapest change first."""
    best: dict[Change, Alternative] = {}
    for way in ways:
        best.setdefault(min(way.changes), way)
    return list(best.values())


def _same_models(way: Alternative, asked: Workload, here: Decimal, ways: Sequence[Alternative]) -> Advice:
    """Add to the first line what caching and batches save together."""
    more = None
    caching = next((other for other in ways if "caching" in other.changes), None)
    together = None if caching is None else caching.compared_batch_usd
    if way is ways[0] and way.changes & {"batch", "caching"} and together is not None and together < way.compared_usd:
        more = ("in batches too, where hits are best effort" if way is caching else "with the caching below", together)
    return Advice(_what(way, asked), way.compared_usd, here - way.compared_usd, here, more, ())


def _other_model(way: Alternative, asked: Workload, here: Decimal, *, can_share: bool) -> Advice:
    more = None
    if can_share and asked.model is not None:
        more = ("with half of the requests there", (here + way.compared_usd) / 2)
    return Advice(_what(way, asked), way.compared_usd, here - way.compared_usd, here, more, way.models)


def _what(way: Alternative, asked: Workload) -> str:
    if "model" in way.changes:
        return way.label.removesuffix(", batch") + ("" if way.same_text_usd is None else ", same text")
    if "caching" in way.changes:
        return _caching(way, asked)
    if "batch" in way.changes:
        slower = "at standard speed, " if asked.fast else ""
        return f"Send in batches, {slower}results within 24 hours"
    return "Run at standard speed"


def _caching(way: Alternative, asked: Workload) -> str:
    work = way.workload
    if work.turns_cached:
        return "Cache the conversation, with a breakpoint at the end of each prompt"
    if not work.cached_tokens:
        return "Leave caching out"
    if any(caches(asked, route.model) for route in asked.routes):
        hits = "" if work.hit_rate is None else f", at a hit rate of {_percent(work.hit_rate)}"
        return f"Cache for {MINUTES[work.ttl]} instead (ttl={work.ttl}{hits})"
    assumed = f"if {_percent(Decimal(COMMON_SHARE.numerator) / COMMON_SHARE.denominator)} of it is always the same"
    ttl = "" if work.ttl == "5m" else f" ttl={work.ttl}"
    return (
        f"Cache the prompt (cached={work.cached_tokens}{ttl}), {assumed} and {_percent(work.hit_rate or Decimal(0))} "
        "find it there"
    )


def _percent(share: Decimal) -> str:
    return f"{(share * 100).quantize(Decimal('0.1'), ROUND_HALF_UP).normalize():f}%"


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


USUAL_PEAK = Decimal(10)
"""Default ratio of the busiest minute to the average minute; the result states it."""


class Estimate(NamedTuple):
    """Dollars are exact and unrounded. `alternatives`: cheapest first for the same text, including more expensive ones.

    `problems`: why requests fail, and which options have no effect. `advice`: what would make it cheaper.
    `assumptions`: what the figures assume; `details`: background. `rates_checked`: the day of the
    prices.
    """

    workload: Workload
    monthly_usd: Decimal
    lines: tuple[Line, ...]
    alternatives: tuple[Alternative, ...]
    routing: Routing | None
    fit: Fit
    advice: tuple[Advice, ...]
    problems: tuple[str, ...]
    assumptions: tuple[str, ...]
    details: tuple[str, ...]
    rates_checked: date

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, the most surprising first."""
        return (*self.problems, *self.assumptions, *self.details)

    @property
    def recommendation(self) -> str:
        """The first advice as one sentence, or a sentence that there is none."""
        if self.monthly_usd == 0:
            return "There is nothing to pay for."
        if self.advice:
            return f"{self.advice[0].sentence}."
        if self.problems:
            return "No other way that works is cheaper."
        return "This is near the cheapest way there is; shorter answers save the most from here."

    def usd_on(self, model: Model) -> Decimal:
        """The part of the month's dollars that goes to one model."""
        return total(tuple(line for line in self.lines if line.model.id == model.id))


def estimate(
    workload: Workload, card: RateCard, today: date, measured: Mapping[Pool, Limits] | None = None
) -> Estimate:
    """The cost of `workload` at the prices of the UTC day `today`. `measured`: the organization's own rate limits."""
    lines = monthly_lines(workload, card, today)
    usd = total(lines)
    alternatives = alternatives_to(workload, card, today)
    failing = failures(workload, today)
    loads = [
        load_of(
            route.model,
            workload.monthly_requests * route.share * workload.turns,
            monthly_counts(route.model, lines),
            batch=workload.batch,
        )
        for route in workload.routes
    ]
    return Estimate(
        workload=workload,
        monthly_usd=usd,
        lines=lines,
        alternatives=alternatives,
        routing=routing_to_goal(workload, card, today),
        fit=fit(loads, usd, workload.peak or USUAL_PEAK, measured),
        advice=advice_on(workload, usd, alternatives, runs=not failing),
        problems=(*failing, *without_effect(workload, today)),
        assumptions=tuple(assumptions_on(workload, card, today)),
        details=(*details_on(workload, card, today), prices_note(card)),
        rates_checked=card.checked_on,
    )
