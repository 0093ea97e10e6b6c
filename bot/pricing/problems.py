"""Why requests of a workload fail, and which of its options have no effect, in sentences."""

from collections.abc import Iterator
from datetime import date

from bot.language import tr
from bot.pricing.card import Model
from bot.pricing.monthly_cost import Workload, caches, turn_prompts


def failures(workload: Workload, today: date) -> tuple[str, ...]:
    """Why requests fail on the UTC day `today`, one sentence per reason; empty if they work."""
    return tuple(reason for route in workload.routes for reason in _failures_on(route.model, workload, today))


def without_effect(workload: Workload, today: date) -> Iterator[str]:
    """Options that have no effect, though the requests work."""
    for route in workload.routes:
        model = route.model
        if workload.cached_tokens and not caches(workload, model):
            yield tr(
                "Nothing is cached on {model}: it caches prompts from {least} tokens on, and cached={cached} is below "
                "that.",
                model=model.name,
                least=f"{model.min_cacheable_tokens:,}",
                cached=workload.cached_tokens,
            )
        if workload.fast and not model.runs_fast(today):
            ended = model.rates(today).fast_until
            if ended is None:
                yield tr("Fast mode of {model} is not sold: this is the price at standard speed.", model=model.name)
            else:
                yield tr(
                    "Fast mode of {model} ended on {day}: this is the price at standard speed.",
                    model=model.name,
                    day=ended.isoformat(),
                )


def _failures_on(model: Model, workload: Workload, today: date) -> Iterator[str]:
    if model.retires is not None and model.retires < today:
        yield tr(
            "{model} was retired on {day}, so requests fail: plan with a newer model.",
            model=model.name,
            day=model.retires.isoformat(),
        )
    prompt, answer = max(turn_prompts(workload, model)), workload.output_tokens
    window, most = model.context_window, model.max_output
    if window is not None and prompt > window:
        yield tr(
            "{model} reads at most {window} tokens, and this prompt has {prompt}: such requests fail.",
            model=model.name,
            window=f"{window:,}",
            prompt=f"{prompt:,}",
        )
    if most is not None and answer > most:
        yield tr(
            "{model} answers with at most {most} tokens, so out={answer} cannot be reached.",
            model=model.name,
            most=f"{most:,}",
            answer=answer,
        )
    elif window is not None and prompt <= window < prompt + answer:
        yield tr(
            "Prompt and answer have {together} tokens, and the context window of {model} holds {window}: the answer is "
            "cut off.",
            together=f"{prompt + answer:,}",
            model=model.name,
            window=f"{window:,}",
        )
    if workload.geo == "us" and not model.us_inference:
        yield tr(
            "{model} does not take geo=us: Anthropic refuses such requests (HTTP 400).",
            model=model.name,
        )
