"""Effects of a mode on services: which models they may use, and what a cheaper model costs otherwise. Pure.

`claude_cost_client.ceiling` decides the same inside the applications; `tests/contract/test_client.py` compares the two.

Sources: platform.claude.com, model pages, prompt caching and model deprecations, read until September 2026; lengths and
dates are in the rate card, which says when it was checked.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from bot.budgets.trend import RecentUsage, costs_more
from bot.clock import DAY
from bot.mode import CHAIN_VARIABLE, MODE_VARIABLE, MODEL_VARIABLE, NORMAL
from bot.pricing.card import Model, RateCard
from bot.pricing.model_ids import spelled
from bot.pricing.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most expensive model that services may use. `model`: None if the mode sets none.

    `mode_chain`: the mode's own chain, from the ceiling down. `whole_chain`: the team's chain, most expensive first.
    """

    model: str | None
    mode_chain: tuple[str, ...]
    whole_chain: tuple[str, ...]

    def permits(self, model: str, card: RateCard) -> bool:
        """Whether a model is the ceiling or no more expensive, in any spelling.

        The team's chains decide first. For a model in neither, the newest list prices do: it stays if neither its input
        nor its output costs more. A model that is not in the rate card counts as more expensive.
        """
        if self.model is None:
            return True
        own, ceiling = _key(model, card), _key(self.model, card)
        if own == ceiling or own in {_key(each, card) for each in self.mode_chain}:
            return True
        whole = [_key(each, card) for each in self.whole_chain]
        if own in whole and ceiling in whole:
            return whole.index(own) > whole.index(ceiling)
        return _costs_no_more(own, ceiling, card)


def ceiling_from(variables: Mapping[str, str], whole_chain: Sequence[str]) -> Ceiling:
    """The ceiling that a mode's variables set. `whole_chain`: the team's model ids, most expensive first."""
    if variables.get(MODE_VARIABLE, NORMAL) == NORMAL:
        # Services use their own default then, whatever else is set.
        return Ceiling(None, (), tuple(whole_chain))
    words = (part.strip() for part in variables.get(CHAIN_VARIABLE, "").split(","))
    return Ceiling(
        variables.get(MODEL_VARIABLE) or None, tuple(dict.fromkeys(word for word in words if word)), tuple(whole_chain)
    )


def _key(model: str, card: RateCard) -> str:
    """The same text for all spellings of a model; a bare family is its newest model."""
    family = card.index.family(model)
    if family is not None:
        return card.index.newest(family)
    return card.index.find(model) or spelled(model).name or model


def _costs_no_more(own: str, ceiling: str, card: RateCard) -> bool:
    one, other = card.models.get(own), card.models.get(ceiling)
    if one is None or other is None:
        return False
    rates, limit = one.rates(date.max), other.rates(date.max)
    return rates.input <= limit.input and rates.output <= limit.output


SOON = timedelta(days=60)
"""A retirement nearer than this is shown."""

OTHER_OPTIONS_FROM = 5
"""From this generation on, thinking and tool_choice have other options."""


@dataclass(frozen=True, slots=True)
class Consequences:
    """Effects with display names of models; fields that do not apply are empty.

    `model`: the one to move to. `retokenized`: moving models whose text has about 30 % more tokens there.
    `cached_tokens`: what moving models read from their caches in 24 hours, which start cold. `cached_from`: shortest
    cacheable prompt there, if a moving model that caches accepts shorter ones. `options`: moving models whose thinking
    and tool_choice options differ. `retires`: its last day, or the earliest possible one.
    """

    model: str
    retokenized: tuple[str, ...] = ()
    cached_tokens: int = 0
    cached_from: int | None = None
    options: tuple[str, ...] = ()
    retires: date | None = None
    may_retire: date | None = None


def consequences(ceiling: str, usage: Sequence[RecentUsage], card: RateCard, on: date) -> Consequences | None:
    """Effects for the usage of 24 hours under this ceiling on this day; None if the model is not in the rate card."""
    target = card.find(ceiling)
    if target is None:
        return None
    moving = [row for row in usage if costs_more(row.priced.usage.model, ceiling, row.priced.usage.day, card)]
    models = {model.id: model for row in moving if (model := card.find(row.priced.usage.model)) is not None}
    caching = {row.priced.usage.model for row in moving if _caches(row.priced.usage.counts)}
    cachers = [model for id_ in caching if (model := card.find(id_)) is not None]
    return Consequences(
        model=target.name,
        retokenized=_names(model for model in models.values() if model.tokenizer < target.tokenizer),
        cached_tokens=sum(int(row.priced.usage.counts.cache_read_input_tokens * row.share) for row in moving),
        cached_from=_cached_from(target, cachers),
        options=_names(model for model in models.values() if _other_options(model, target)),
        retires=target.retires if target.retires is not None and target.retires - on <= SOON else None,
        may_retire=_may_retire(target, on),
    )


def unrestrained_until(changes: Sequence[tuple[datetime, bool]], now: datetime) -> datetime | None:
    """End of the newest 24 hours in which no mode restricted the team; None for now.

    `changes`: every change of the mode, oldest first: its time, and whether the mode sets a ceiling.
    """
    ends = [*(at for at, _ in changes), now][1:]
    stretches = [(at, end) for (at, held), end in zip(changes, ends, strict=True) if held]
    until = now
    for begin, end in reversed(stretches):
        if end > until - DAY:
            until = min(until, begin)
    return None if until == now else until


def _names(models: Iterable[Model]) -> tuple[str, ...]:
    return tuple(sorted({model.name for model in models}))


def _caches(counts: TokenCounts) -> bool:
    return bool(
        counts.cache_read_input_tokens + counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens
    )


def _cached_from(target: Model, cachers: Iterable[Model]) -> int | None:
    least = target.min_cacheable_tokens
    if least is None:
        return None
    shorter = any(model.min_cacheable_tokens is not None and model.min_cacheable_tokens < least for model in cachers)
    return least if shorter else None


def _other_options(model: Model, target: Model) -> bool:
    return (_generation(model) >= OTHER_OPTIONS_FROM) != (_generation(target) >= OTHER_OPTIONS_FROM)


def _generation(model: Model) -> int:
    found = re.search(r"\d+", model.id)
    return 0 if found is None else int(found[0])


def _may_retire(target: Model, on: date) -> date | None:
    day = target.retires_not_before
    return day if target.retires is None and day is not None and day - on <= SOON else None
