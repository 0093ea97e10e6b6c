"""What the last 24 hours say: the pace to the end of the period, who moved, what a mode would save."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from bot.budgets.budget import Scope
from bot.budgets.period import Period
from bot.budgets.spend import ZERO, PricedUsage, in_scope
from bot.clock import DAY, HOUR, floor_hour
from bot.pricing.card import RateCard
from bot.pricing.cost import cost_of
from bot.pricing.tokens import TokenCounts, same_text
from bot.usage.source import DayUsage

LEAST_FOR_PACE = timedelta(hours=6)
MOST_MOVERS = 3


@dataclass(frozen=True, slots=True)
class Recent:
    """The usage of the last day and of the day before, and how much time the first of them really covers."""

    last: Sequence[PricedUsage]
    before: Sequence[PricedUsage]
    covered: timedelta


@dataclass(frozen=True, slots=True)
class RecentWindow:
    """Where `Recent` begins and ends: [`before_from`, `last_from`) and [`last_from`, `until`)."""

    before_from: datetime
    last_from: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Mover:
    """Dollars of one (model, workspace, key) in the last 24 hours; `before_usd` is None where it is new."""

    model: str
    workspace_id: str
    api_key_id: str | None
    usd: Decimal
    before_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Saving:
    """What a mode would save until the end of the period, in USD; below zero where it would cost more."""

    mode: str
    model: str
    usd: Decimal


def recent_window(as_of: datetime) -> RecentWindow:
    """The last 24 hours up to `as_of`, begun at a full hour because older usage is kept by the hour."""
    last_from = floor_hour(as_of - DAY)
    return RecentWindow(last_from - DAY, last_from, as_of)


def pace(
    spent_usd: Decimal, recent: Recent, scope: Scope, period: Period, as_of: datetime, card: RateCard
) -> Decimal | None:
    """Spend at the end of the period if the last 24 hours go on, USD; None with less than 6 hours of data."""
    if recent.covered < LEAST_FOR_PACE:
        return None
    usd = sum((row.cost.usd for row in recent.last if in_scope(scope, row.usage, card)), ZERO)
    return spent_usd + _carried(usd, recent.covered, period.left(as_of))


def movers(recent: Recent, scope: Scope, card: RateCard) -> tuple[Mover, ...]:
    """The three largest by dollars of the last 24 hours, the largest first."""
    last = _by_caller(recent.last, scope, card)
    before = _by_caller(recent.before, scope, card)
    largest = sorted(last.items(), key=lambda item: (-item[1], str(item[0])))[:MOST_MOVERS]
    return tuple(Mover(*caller, usd, before.get(caller)) for caller, usd in largest if usd > 0)


def saving(
    mode: str, ceiling: str, recent: Recent, scope: Scope, period: Period, as_of: datetime, card: RateCard
) -> Saving | None:
    """The last 24 hours under the mode's ceiling, carried to the end of the period; None without data for a pace."""
    if recent.covered < LEAST_FOR_PACE:
        return None
    saved = ZERO
    for row in recent.last:
        if in_scope(scope, row.usage, card):
            saved += row.cost.usd - _cost_under(ceiling, row, card)
    return Saving(mode, ceiling, _carried(saved, recent.covered, period.left(as_of)))


def _carried(usd: Decimal, covered: timedelta, left: timedelta) -> Decimal:
    return usd / Decimal(covered // timedelta(seconds=1)) * Decimal(left // timedelta(seconds=1))


def _by_caller(rows: Sequence[PricedUsage], scope: Scope, card: RateCard) -> dict[tuple[str, str, str | None], Decimal]:
    totals: dict[tuple[str, str, str | None], Decimal] = {}
    for row in rows:
        if in_scope(scope, row.usage, card):
            caller = (row.usage.model, row.usage.workspace_id, row.usage.api_key_id)
            totals[caller] = totals.get(caller, ZERO) + row.cost.usd
    return totals


def _cost_under(ceiling: str, row: PricedUsage, card: RateCard) -> Decimal:
    usage = row.usage
    if _rank(card, usage.model, usage.day) <= _rank(card, ceiling, usage.day):
        return row.cost.usd
    counts = _retokenized(usage, ceiling, card)
    return cost_of(card, ceiling, counts, usage.terms, usage.day, prompt_tokens=None).usd


def _rank(card: RateCard, model_id: str, on: date) -> tuple[Decimal, Decimal]:
    rates = card.resolve(model_id, on).rates
    return rates.output, rates.input


def _retokenized(usage: DayUsage, ceiling: str, card: RateCard) -> TokenCounts:
    now = card.resolve(usage.model, usage.day).model.tokenizer
    then = card.resolve(ceiling, usage.day).model.tokenizer

    def scaled(tokens: int) -> int:
        return same_text(tokens, now, then)

    counts = usage.counts
    return replace(
        counts,
        uncached_input_tokens=scaled(counts.uncached_input_tokens),
        cache_creation_5m_input_tokens=scaled(counts.cache_creation_5m_input_tokens),
        cache_creation_1h_input_tokens=scaled(counts.cache_creation_1h_input_tokens),
        cache_read_input_tokens=scaled(counts.cache_read_input_tokens),
        output_tokens=scaled(counts.output_tokens),
    )


def covered_hours(window: RecentWindow, hours_with_data: int) -> timedelta:
    """How much of the last 24 hours has been read: the whole window, or less on a young database."""
    return min(window.until - window.last_from, hours_with_data * HOUR)
