"""What of a workload cannot work: a model that is gone, a prompt or an answer that is too long."""

from collections.abc import Iterator
from datetime import date

from bot.pricing.card import Model
from bot.pricing.monthly_cost import caches, turn_prompts
from bot.pricing.workload import Workload


def failures(workload: Workload, today: date) -> tuple[str, ...]:
    """Why requests fail on the UTC day `today`, one sentence for each reason; empty where they work."""
    return tuple(reason for route in workload.routes for reason in _failures_on(route.model, workload, today))


def without_effect(workload: Workload, today: date) -> Iterator[str]:
    """What was asked for and does nothing, though the requests work."""
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
