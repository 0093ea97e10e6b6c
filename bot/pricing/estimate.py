"""What a workload would cost in a month of 30 days, line by line, and what would make it cheaper."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import floor

from bot.pricing.card import Model, RateCard
from bot.pricing.cost import Cost, CostLine, cost_of
from bot.pricing.tokens import Terms, TokenCounts, same_text
from bot.pricing.workload import Workload

OLD_TOKENIZER, NEW_TOKENIZER = 1, 2


@dataclass(frozen=True, slots=True)
class Alternative:
    """The same token counts done otherwise. `same_text_usd`: where the model counts the same text differently."""

    label: str
    model: str
    monthly_usd: Decimal
    same_text_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Dollars are exact and unrounded. `alternatives`: the cheapest first. `rates_checked`: the day of the prices."""

    workload: Workload
    monthly_usd: Decimal
    lines: tuple[CostLine, ...]
    alternatives: tuple[Alternative, ...]
    notes: tuple[str, ...]
    rates_checked: date


def estimate(workload: Workload, card: RateCard, today: date) -> Estimate:
    """The cost of `workload` at the prices of the UTC day `today`."""
    cost = _cost(workload, card, today)
    return Estimate(
        workload=workload,
        monthly_usd=cost.usd,
        lines=cost.lines,
        alternatives=_alternatives(workload, card, today),
        notes=tuple(_notes(workload, card, today)),
        rates_checked=card.checked_on,
    )


def caches(workload: Workload) -> bool:
    """Whether anything is cached: shorter prefixes than the model's minimum silently are not."""
    least = workload.model.min_cacheable_tokens
    return workload.cached_tokens > 0 and (least is None or workload.cached_tokens >= least)


def _cost(workload: Workload, card: RateCard, on: date) -> Cost:
    terms = Terms(service_tier="batch" if workload.batch else "standard")
    counts = _monthly_counts(workload)
    return cost_of(card, workload.model.id, counts, terms, on, prompt_tokens=workload.input_tokens)


def _monthly_counts(workload: Workload) -> TokenCounts:
    requests = workload.monthly_requests
    cached = workload.cached_tokens if caches(workload) else 0
    touched = _whole(requests * cached)
    read = _whole(requests * cached * Fraction(1 if workload.hit_rate is None else workload.hit_rate))
    written = touched - read
    return TokenCounts(
        uncached_input_tokens=_whole(requests * (workload.input_tokens - cached)),
        cache_creation_5m_input_tokens=written if workload.ttl == "5m" else 0,
        cache_creation_1h_input_tokens=written if workload.ttl == "1h" else 0,
        cache_read_input_tokens=read,
        output_tokens=_whole(requests * workload.output_tokens),
    )


def _whole(tokens: Fraction) -> int:
    return floor(tokens + Fraction(1, 2))


def _alternatives(workload: Workload, card: RateCard, on: date) -> tuple[Alternative, ...]:
    others = [replace(workload, model=model) for model in _newest_models(card) if model.id != workload.model.id]
    if not workload.batch:
        others.append(replace(workload, batch=True))
    if caches(workload):
        others.append(replace(workload, cached_tokens=0, hit_rate=None))
    found = [_alternative(other, workload, card, on) for other in others]
    return tuple(sorted(found, key=lambda alternative: (alternative.monthly_usd, alternative.label)))


def _newest_models(card: RateCard) -> list[Model]:
    return [card.newest(family) for family in card.families()]


def _alternative(other: Workload, asked: Workload, card: RateCard, on: date) -> Alternative:
    label = other.model.name
    if other.batch:
        label += ", batch"
    if caches(asked) and not caches(other):
        label += ", no caching" if not other.cached_tokens else ", too short to be cached there"
    text = _same_text(other, asked.model.tokenizer)
    return Alternative(
        label=label,
        model=other.model.id,
        monthly_usd=_cost(other, card, on).usd,
        same_text_usd=None if text is other else _cost(text, card, on).usd,
    )


def _same_text(workload: Workload, counted_with: int) -> Workload:
    """The workload with the tokens that its model makes of text which was counted with another tokenizer."""
    read_with = workload.model.tokenizer
    if read_with == counted_with:
        return workload
    return replace(
        workload,
        input_tokens=same_text(workload.input_tokens, counted_with, read_with),
        output_tokens=same_text(workload.output_tokens, counted_with, read_with),
        cached_tokens=same_text(workload.cached_tokens, counted_with, read_with),
    )


def _notes(workload: Workload, card: RateCard, today: date) -> list[str]:
    model = workload.model
    notes = []
    if model.retires is not None:
        verb = "was retired" if model.retires < today else "retires"
        notes.append(f"{model.name} {verb} on {model.retires.isoformat()}: plan with a newer model.")
    if workload.per != "month":
        notes.append("A month has 30 days.")
    notes += _cache_notes(workload)
    step = model.rates(today).step
    if step is not None and workload.input_tokens > step.above_prompt_tokens:
        notes.append(f"Prompts above {step.above_prompt_tokens:,} tokens cost the higher price, for the whole request.")
    if workload.batch:
        notes.append("Batch halves every token price; results come within 24 hours, or the request expires unbilled.")
    notes.append(_tokenizer_note(workload, card, today))
    notes.append("Output includes thinking tokens.")
    notes.append(f"List prices checked on {card.checked_on.isoformat()}, USD without tax.")
    return notes


def _cache_notes(workload: Workload) -> list[str]:
    if not workload.cached_tokens:
        return []
    model = workload.model
    if not caches(workload):
        return [
            f"Nothing is cached: {model.name} caches prompts from {model.min_cacheable_tokens:,} tokens on, and "
            f"cached={workload.cached_tokens} is below that."
        ]
    notes = []
    if model.min_cacheable_tokens is None:
        notes.append(f"The shortest prompt that {model.name} caches is not known here.")
    if workload.hit_rate is None:
        notes.append(
            "A hit rate of 100% is assumed, which leaves out the first write and every one after a pause; "
            "hit=95% counts misses as writes."
        )
    return notes


def _tokenizer_note(workload: Workload, card: RateCard, on: date) -> str:
    model = workload.model
    if model.tokenizer == OLD_TOKENIZER:
        return (
            "in and out are taken as tokens: models from Opus 4.7 on make about 30% more of the same text, which the "
            "other models' second figure is for."
        )
    usd = _cost(_same_text(workload, OLD_TOKENIZER), card, on).usd.quantize(Decimal("0.01"), ROUND_HALF_UP)
    return (
        f"in and out are taken as {model.name}'s own tokens; if they were counted with Sonnet 4.6, Haiku 4.5 or older, "
        f"the same text has about 30% more here: about ${usd:,}."
    )
