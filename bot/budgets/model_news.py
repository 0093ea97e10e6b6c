"""Announcements about models in use: retirements, successors and price changes. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from bot.budgets.budget import ScopeKind
from bot.budgets.day_parts import parts_of
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO
from bot.budgets.trend import retokenized
from bot.clock import DAY, HOUR, floor_hour
from bot.pricing.card import Model, RateCard, Rates
from bot.pricing.cost import cost_of
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.model import DayUsage

IN_USE_FOR = 14 * DAY
"""A model used within this time is in use."""

NEAR = timedelta(days=60)
"""Retirements within this time are shown."""

AHEAD = timedelta(days=30)
"""Price changes within this time are shown."""

PRICES = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output", "fast_input", "fast_output")
"""Fields of `Rates` in display order."""

Tokens = Mapping[tuple[str, Terms], TokenCounts]
"""Tokens by model id, in any spelling, and terms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """`last_day`: the last UTC day on which the model answers. `usd`: cost of its usage of `days` days at today's
    prices.

    `successor`: the newest model of its family, with the cost of the same usage there; None if there is none.
    """

    model: str
    name: str
    last_day: date
    successor: str | None
    usd: Decimal
    successor_usd: Decimal | None
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPrice:
    """USD per million tokens; None: no such price before or after. `kind`: one of `PRICES`."""

    kind: str
    before: Decimal | None
    after: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """`first_day`: first UTC day of the new prices. `usd_before`, `usd_after`: cost of the usage of `days` days at
    both.
    """

    model: str
    name: str
    first_day: date
    prices: tuple[ChangedPrice, ...]
    usd_before: Decimal
    usd_after: Decimal
    days: int


def stretch_in_use(as_of: datetime) -> tuple[datetime, datetime]:
    """The hours in which a model must be used to be in use; the last is the running one."""
    end = floor_hour(as_of) + HOUR
    return end - IN_USE_FOR, end


def models_in_use(snapshot: Snapshot, since: datetime, until: datetime) -> dict[str, Model]:
    """Models of the rate card with tokens in these hours, by id."""
    card, found = snapshot.card, dict[str, Model]()
    numbers = {number: model for id_, _, number in snapshot.index.ids(ScopeKind.MODEL) if (model := card.find(id_))}
    for part in parts_of(since, until):
        counts = snapshot.day(part.day).counts
        for number, model in numbers.items():
            if model.id not in found and number < len(counts) and counts[number].any():
                found[model.id] = model
    return found


def retiring(models: Iterable[Model], on: date, within: timedelta = NEAR) -> list[Model]:
    """Models whose announced last day is at most `within` away; nearest first."""
    found = [(each.retires, each.id, each) for each in models if each.retires and on <= each.retires <= on + within]
    return [model for *_, model in sorted(found, key=lambda each: each[:2])]


def repriced(models: Iterable[Model], first: date, last: date) -> list[tuple[Model, Rates, Rates]]:
    """Models whose prices change on a day from `first` to `last`, both included, with the prices before and after."""
    return [
        (model, before, after)
        for model in models
        for before, after in zip(model.price, model.price[1:], strict=False)
        if first <= after.valid_from <= last and _amounts(before) != _amounts(after)
    ]


def retirement_of(model: Model, tokens: Tokens, days: int, card: RateCard, on: date) -> Retirement:
    """`model`: one with an announced last day. `tokens`: usage of the last `days` days, of any models."""
    if model.retires is None:
        raise ValueError(f"no last day of {model.id} is announced")
    successor = successor_of(model, card, on)
    rows = list(_rows(model, tokens, card, on))
    after = None
    if successor is not None:
        moved = (
            cost_of(card, successor.id, retokenized(row, successor.id, card), row.terms, on, prompt_tokens=None).usd
            for row in rows
        )
        after = sum(moved, ZERO)
    return Retirement(
        model=model.id,
        name=model.name,
        last_day=model.retires,
        successor=None if successor is None else successor.name,
        usd=sum((_usd(row, card, on) for row in rows), ZERO),
        successor_usd=after,
        days=days,
    )


def successor_of(model: Model, card: RateCard, on: date) -> Model | None:
    """The newest model of the family that outlives it; None if there is none."""
    later = [
        each
        for each in card.models.values()
        if each.family == model.family
        and each.released <= on
        and each.released > model.released
        and (each.retires is None or (model.retires is not None and each.retires > model.retires))
    ]
    return max(later, key=lambda each: (each.released, each.id), default=None)


def price_change_of(
    model: Model, before: Rates, after: Rates, tokens: Tokens, days: int, card: RateCard
) -> PriceChange:
    """`before`, `after`: successive prices of the model. `tokens`: as in `retirement_of`."""
    last, first = after.valid_from - DAY, after.valid_from
    rows = list(_rows(model, tokens, card, first))
    changed = [
        ChangedPrice(kind=kind, before=was, after=will)
        for kind in PRICES
        if (was := getattr(before, kind)) != (will := getattr(after, kind))
    ]
    return PriceChange(
        model=model.id,
        name=model.name,
        first_day=first,
        prices=tuple(changed),
        usd_before=sum((_usd(row, card, last) for row in rows), ZERO),
        usd_after=sum((_usd(row, card, first) for row in rows), ZERO),
        days=days,
    )


def _rows(model: Model, tokens: Tokens, card: RateCard, on: date) -> Iterator[DayUsage]:
    for (id_, terms), counts in tokens.items():
        if card.find(id_) is model:
            yield DayUsage(on, id_, "", None, terms, counts)


def _usd(row: DayUsage, card: RateCard, on: date) -> Decimal:
    return cost_of(card, row.model, row.counts, row.terms, on, prompt_tokens=None).usd


def _amounts(rates: Rates) -> tuple[object, ...]:
    return (*(getattr(rates, kind) for kind in PRICES), rates.step)
