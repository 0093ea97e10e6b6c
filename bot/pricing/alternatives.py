"""Other ways to run the same workload: other models, batches, other caching; and how to reach a target cost."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from operator import itemgetter
from typing import Literal, NamedTuple, get_args

from bot.language import tr
from bot.listed import joined_by_and
from bot.pricing.card import Model, RateCard
from bot.pricing.monthly_cost import (
    Route,
    Ttl,
    Workload,
    all_on,
    caches,
    expected_hit_rate,
    hit_rate_with,
    monthly_lines,
    total,
)
from bot.pricing.problems import failures
from bot.pricing.tokens import same_text

Change = Literal["batch", "caching", "speed", "model"]
"""How an alternative differs from the asked workload."""

COMMON_SHARE = Fraction(9, 10)
"""Assumed share of a prompt that repeats in every request, if nothing was said about caching."""

MOST_ASSUMED_HITS = Decimal("0.99")
"""Some entries are always rewritten, so do not promise more for a cache that does not exist yet."""


class Alternative(NamedTuple):
    """One alternative. `name`: its label without what it shares with the asked workload. `models`: their ids.

    `batch_usd`: the same in batches, if `monthly_usd` is not that already. `same_text_usd`: for the same text, if these
    models count it differently. `workload`: the alternative itself, for the same text. `works`: whether its requests
    succeed.
    """

    label: str
    name: str
    models: tuple[str, ...]
    monthly_usd: Decimal
    batch_usd: Decimal | None
    same_text_usd: Decimal | None
    changes: frozenset[Change]
    workload: Workload
    same_text_batch_usd: Decimal | None
    works: bool

    @property
    def compared_usd(self) -> Decimal:
        """USD for the same text: the figure to compare with the asked workload."""
        return self.monthly_usd if self.same_text_usd is None else self.same_text_usd

    @property
    def compared_batch_usd(self) -> Decimal | None:
        """The same in batches."""
        return self.batch_usd if self.same_text_batch_usd is None else self.same_text_batch_usd


class Routing(NamedTuple):
    """The share of requests that has to move to the cheaper model to reach the target.

    `share`: 0 if the target is met already; None if moving all requests is not enough.
    """

    to: Model
    target_usd: Decimal
    share: Decimal | None
    usd_if_all_move: Decimal


def alternatives_to(workload: Workload, card: RateCard, on: date) -> tuple[Alternative, ...]:
    """Cheapest first for the same text. Models that cannot do the work are left out, unless they were named."""
    ways = [*_same_models(workload, card, on), *_other_models(workload, card, on)]
    found: dict[str, Alternative] = {}
    for way in ways:
        found.setdefault(way.label, way)
    return tuple(sorted(found.values(), key=lambda way: (way.compared_usd, way.label)))


def same_text_as(workload: Workload, counted_with: int) -> Workload:
    """A workload on one model, with its tokens converted from another model's tokenizer."""
    model = workload.routes[0].model
    if model.tokenizer == counted_with:
        return workload

    def scaled(tokens: int) -> int:
        return same_text(tokens, counted_with, model.tokenizer)

    return workload._replace(
        input_tokens=scaled(workload.input_tokens),
        output_tokens=scaled(workload.output_tokens),
        prefix_tokens=scaled(workload.prefix_tokens),
        cached_tokens=scaled(workload.cached_tokens),
    )


def routing_to_goal(workload: Workload, card: RateCard, on: date) -> Routing | None:
    """None without a target."""
    if workload.goal is None:
        return None
    goal = workload.goal
    here = total(monthly_lines(workload, card, on))
    there = total(monthly_lines(_same_work(_moved(workload, goal.to, on), workload), card, on))
    if here <= goal.usd:
        share: Decimal | None = Decimal(0)
    elif there > goal.usd:
        share = None
    else:
        share = (here - goal.usd) / (here - there)
    return Routing(goal.to, goal.usd, share, there)


def _same_models(asked: Workload, card: RateCard, on: date) -> Iterator[Alternative]:
    name = _name(asked)
    if asked.batch:
        yield _way(asked._replace(batch=False), asked, card, on, tr("{way}, at once", way=name), {"batch"})
    elif asked.turns == 1:
        way = _way(asked._replace(batch=True, fast=False), asked, card, on, tr("{way}, batch", way=name), {"batch"})
        yield way._replace(changes=way.changes | {"speed"}) if asked.fast else way
    if asked.fast and any(route.model.runs_fast(on) for route in asked.routes):
        yield _way(asked._replace(fast=False), asked, card, on, tr("{way}, standard speed", way=name), {"speed"})
    for label, other in _other_caching(asked, asked):
        yield _way(other, asked, card, on, tr("{before}, {after}", before=name, after=label), {"caching"})


def _other_models(asked: Workload, card: RateCard, on: date) -> Iterator[Alternative]:
    named = [route.model for route in asked.routes]
    if asked.compared_with is not None:
        named.append(asked.compared_with)
    newest = [card.newest(family) for family in card.families()]
    seen: set[tuple[Decimal, Decimal, Decimal | None]] = set()
    for model in {model.id: model for model in (*named, *newest)}.values():
        other = _moved(asked, model, on)
        if other.routes == asked.routes:
            continue
        label = tr("{way}, standard speed", way=model.name) if asked.fast and not other.fast else model.name
        way = _way(other, asked, card, on, label, {"model"})
        figures = (way.monthly_usd, way.compared_usd, way.batch_usd)
        if model not in named and (not way.works or (figures in seen and way.monthly_usd)):
            continue
        seen.add(figures)
        yield way
        variants = [
            (_usd(_same_work(variant, asked), card, on), how, variant) for how, variant in _other_caching(other, asked)
        ]
        least, how, variant = min(variants, key=itemgetter(0), default=(way.compared_usd, "", other))
        if least < way.compared_usd:
            both = tr("{before}, {after}", before=label, after=how)
            yield _way(variant, asked, card, on, both, {"model", "caching"})


def _moved(asked: Workload, model: Model, on: date) -> Workload:
    """All of it on another model, at standard speed if that has no fast mode."""
    return asked._replace(routes=all_on(model), fast=asked.fast and model.runs_fast(on))


def _other_caching(work: Workload, asked: Workload) -> Iterator[tuple[str, Workload]]:
    """Caching what is not cached, for another lifetime, or nothing; each with its label, in the tokens of `asked`."""
    ttls: tuple[Ttl, ...] = get_args(Ttl)
    cached = any(caches(work, route.model) for route in work.routes)
    if work.turns > 1:
        yield tr("resent turns cached"), work._replace(turns_cached=True)
    if cached:
        yield tr("no caching"), work._replace(cached_tokens=0, hit_rate=None)
        for ttl in ttls:
            if ttl != work.ttl:
                rates = [hit_rate_with(ttl, work, route.share) for route in work.routes]
                given = [rate for rate in rates if rate is not None]
                yield f"ttl={ttl}", work._replace(ttl=ttl, hit_rate=min(given) if given else None)
    elif not work.cached_tokens and work.turns == 1:
        common = int(min(asked.input_for(route.model) for route in asked.routes) * COMMON_SHARE)
        if common and all(caches(work._replace(cached_tokens=common), route.model) for route in work.routes):
            for ttl in ttls:
                label = _cached_label(common, ttl)
                rate = min(_assumed_hits(work, route, ttl) for route in work.routes)
                yield label, work._replace(cached_tokens=common, ttl=ttl, hit_rate=rate)


def _cached_label(tokens: int, ttl: Ttl) -> str:
    if ttl == "1h":
        return tr("{tokens} tokens cached for an hour", tokens=f"{tokens:,}")
    return tr("{tokens} tokens cached", tokens=f"{tokens:,}")


def _assumed_hits(work: Workload, route: Route, ttl: Ttl) -> Decimal:
    return min(MOST_ASSUMED_HITS, expected_hit_rate(work.monthly_requests * route.share, ttl))


def _way(
    other: Workload, asked: Workload, card: RateCard, on: date, label: str, changes: set[Change] | frozenset[Change]
) -> Alternative:
    text = _same_work(other, asked)
    if _counted_with(asked) is None:
        # The input is counted per model already, so there is no second figure.
        other = text
    name = label
    if other.batch and asked.batch:
        label = tr("{way}, batch", way=label)
    model = other.routes[0].model
    if len(other.routes) == 1 and other.cached_tokens and not caches(other, model):
        label = tr("{way}, too short to be cached there", way=label)
        name = label
    plain = _priced(other, card, on)
    same = plain if text is other else _priced(text, card, on)
    # Not offered: each turn would wait up to a day for the answer to the previous one.
    offered = not (other.batch or asked.batch or other.turns > 1)
    return Alternative(
        label=label,
        name=name,
        models=tuple(route.model.id for route in other.routes),
        monthly_usd=plain.usd,
        batch_usd=plain.in_batches_usd if offered else None,
        same_text_usd=None if same is plain else same.usd,
        changes=frozenset(changes),
        workload=text,
        same_text_batch_usd=same.in_batches_usd if offered and same is not plain else None,
        works=not failures(text, on),
    )


class _Priced(NamedTuple):
    """A workload's USD, and those of the same in batches: every token price is cut, searches are not."""

    usd: Decimal
    in_batches_usd: Decimal


def _priced(work: Workload, card: RateCard, on: date) -> _Priced:
    lines = monthly_lines(work, card, on)
    usd = total(lines)
    slow = lines if not work.fast else monthly_lines(work._replace(fast=False), card, on)
    searches = total(tuple(line for line in slow if line.kind == "web_search"))
    return _Priced(usd, (total(slow) - searches) * card.batch_factor + searches)


def _same_work(other: Workload, asked: Workload) -> Workload:
    """`other`, a workload on other models, with the tokens that they make of the same text."""
    if len(other.routes) != 1:
        return other
    counted_with = _counted_with(asked)
    if counted_with is not None:
        return same_text_as(other, counted_with)
    if asked.model is None or other.model is asked.model:
        return other
    # The input is counted for each model already; the answers are the same text as the asked model's.
    return same_text_as(other, asked.model.tokenizer)._replace(input_tokens=other.input_tokens)


def _usd(workload: Workload, card: RateCard, on: date) -> Decimal:
    return total(monthly_lines(workload, card, on))


def _counted_with(workload: Workload) -> int | None:
    """The tokenizer that counted the tokens, if all models share one and no text was given."""
    generations = {route.model.tokenizer for route in workload.routes}
    given = workload.text is None and not workload.counted
    return generations.pop() if len(generations) == 1 and given else None


def _name(workload: Workload) -> str:
    return joined_by_and([route.model.name for route in workload.routes])
