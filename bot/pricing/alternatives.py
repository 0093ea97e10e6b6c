"""The same workload done otherwise: other models, batch, with and without cache; and how to reach a goal."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from bot.pricing.card import Model, RateCard
from bot.pricing.monthly_cost import caches, monthly_lines, total
from bot.pricing.tokens import same_text
from bot.pricing.workload import Workload, all_on


@dataclass(frozen=True, slots=True)
class Alternative:
    """One other way. `models`: their ids. `batch_usd`: the same in batches, where `monthly_usd` is not that already.

    `same_text_usd`: for the same text, where these models make other counts of it than the tokens given.
    """

    label: str
    models: tuple[str, ...]
    monthly_usd: Decimal
    batch_usd: Decimal | None
    same_text_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Routing:
    """Which share of the requests has to move to the cheaper model to reach the goal.

    `share`: 0 where the goal is met already; None where even all of them would not do.
    """

    to: Model
    target_usd: Decimal
    share: Decimal | None
    usd_if_all_move: Decimal


def alternatives_to(workload: Workload, card: RateCard, on: date) -> tuple[Alternative, ...]:
    """The cheapest first."""
    models = [route.model for route in workload.routes]
    if workload.compared_with is not None:
        models.append(workload.compared_with)
    models += [card.newest(family) for family in card.families()]
    found: dict[str, Alternative] = {}
    for routes in {model.id: all_on(model) for model in models}.values():
        if routes == workload.routes:
            continue
        other = replace(workload, routes=routes)
        _add(found, _way(other, workload, card, on, _name(other)))
    if workload.batch:
        _add(found, _way(replace(workload, batch=False), workload, card, on, f"{_name(workload)}, at once"))
    elif workload.turns == 1:
        _add(found, _way(replace(workload, batch=True), workload, card, on, f"{_name(workload)}, batch"))
    if any(caches(workload, route.model) for route in workload.routes):
        bare = replace(workload, cached_tokens=0, hit_rate=None)
        _add(found, _way(bare, workload, card, on, f"{_name(workload)}, no caching"))
    if workload.turns > 1:
        label = f"{_name(workload)}, resent turns cached"
        _add(found, _way(workload, workload, card, on, label, resent_cached=True))
    return tuple(sorted(found.values(), key=lambda way: (way.monthly_usd, way.label)))


def same_text_as(workload: Workload, counted_with: int) -> Workload:
    """A workload on one model with the tokens that it makes of text which another tokenizer counted."""
    model = workload.routes[0].model
    if model.tokenizer == counted_with:
        return workload

    def scaled(tokens: int) -> int:
        return same_text(tokens, counted_with, model.tokenizer)

    return replace(
        workload,
        input_tokens=scaled(workload.input_tokens),
        output_tokens=scaled(workload.output_tokens),
        cached_tokens=scaled(workload.cached_tokens),
    )


def routing_to_goal(workload: Workload, card: RateCard, on: date) -> Routing | None:
    """None without a goal."""
    if workload.goal is None:
        return None
    goal = workload.goal
    here = total(monthly_lines(workload, card, on))
    there = total(monthly_lines(_same_work(replace(workload, routes=all_on(goal.to)), workload), card, on))
    if here <= goal.usd:
        share: Decimal | None = Decimal(0)
    elif there > goal.usd:
        share = None
    else:
        share = (here - goal.usd) / (here - there)
    return Routing(goal.to, goal.usd, share, there)


def _way(
    other: Workload, asked: Workload, card: RateCard, on: date, label: str, *, resent_cached: bool = False
) -> Alternative:
    text = _same_work(other, asked)
    if _counted_with(asked) is None:
        # The input is counted anew for each model, so there is no second figure.
        other = text
    if other.batch and asked.batch:
        label += ", batch"
    model = other.routes[0].model
    if not resent_cached and len(other.routes) == 1 and other.cached_tokens and not caches(other, model):
        label += ", too short to be cached there"
    # Each turn would wait up to a day for the answer to the one before it: nobody is offered that.
    offered = not (other.batch or asked.batch or other.turns > 1)
    return Alternative(
        label=label,
        models=tuple(route.model.id for route in other.routes),
        monthly_usd=_usd(other, card, on, resent_cached),
        batch_usd=_usd(replace(other, batch=True), card, on, resent_cached) if offered else None,
        same_text_usd=None if text is other else _usd(text, card, on, resent_cached),
    )


def _same_work(other: Workload, asked: Workload) -> Workload:
    """`other`, a workload on other models, with the tokens that they make of the same text."""
    if len(other.routes) != 1:
        return other
    counted_with = _counted_with(asked)
    if counted_with is not None:
        return same_text_as(other, counted_with)
    if asked.model is None:
        return other
    # The answers are the same text as the asked model's.
    answer = same_text(asked.output_tokens, asked.model.tokenizer, other.routes[0].model.tokenizer)
    return replace(other, output_tokens=answer)


def _usd(workload: Workload, card: RateCard, on: date, resent_cached: bool) -> Decimal:
    return total(monthly_lines(workload, card, on, resent_cached=resent_cached))


def _counted_with(workload: Workload) -> int | None:
    """The tokenizer that counted the tokens, where all the models share one and no text was given."""
    generations = {route.model.tokenizer for route in workload.routes}
    given = workload.text is None and not workload.counted
    return generations.pop() if len(generations) == 1 and given else None


def _name(workload: Workload) -> str:
    return " and ".join(route.model.name for route in workload.routes)


def _add(found: dict[str, Alternative], way: Alternative) -> None:
    found.setdefault(way.label, way)
