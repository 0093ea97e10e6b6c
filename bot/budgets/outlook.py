"""What the last 24 hours say: the pace to the end of the period, who moved, what a mode would save."""

from collections.abc import Iterable, Iterator, Sequence
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
WHOLE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Usage from `starts_at` to `ends_at` and the share of it that counts.

    Older usage is kept by the hour, and the last 24 hours seldom begin with one: of the hour in which they do, the
    share that lies in them counts, as if its usage were spread evenly.
    """

    starts_at: datetime
    ends_at: datetime
    share: Decimal


@dataclass(frozen=True, slots=True)
class RecentWindow:
    """The last 24 hours and the 24 hours before, each as the stretches that it is put together from."""

    last: tuple[Stretch, ...]
    before: tuple[Stretch, ...]

    @property
    def known_from(self) -> datetime:
        """The first hour that belongs to the last 24 hours, at least in part."""
        return self.last[0].starts_at


@dataclass(frozen=True, slots=True)
class RecentUsage:
    """A row of recent usage and what it counts with, in USD."""

    priced: PricedUsage
    share: Decimal

    @property
    def usd(self) -> Decimal:
        return self.priced.cost.usd * self.share


@dataclass(frozen=True, slots=True)
class Recent:
    """The usage of the last 24 hours and of the 24 hours before, and how much of the first is known at all."""

    last: Sequence[RecentUsage]
    before: Sequence[RecentUsage]
    covered: timedelta


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
    """The 24 hours up to `as_of`, and the 24 hours before those."""
    border = floor_hour(as_of - DAY)
    inside = _seconds(border + HOUR - (as_of - DAY)) / _seconds(HOUR)
    return RecentWindow(
        last=(Stretch(border, border + HOUR, inside), Stretch(border + HOUR, as_of, WHOLE)),
        before=(
            Stretch(border - DAY, border - DAY + HOUR, inside),
            Stretch(border - DAY + HOUR, border, WHOLE),
            Stretch(border, border + HOUR, WHOLE - inside),
        ),
    )


def pace(spent_usd: Decimal, recent_usd: Decimal, covered: timedelta, left: timedelta) -> Decimal | None:
    """Spend at the end of the period if the last 24 hours go on, USD; None with less than 6 hours of data."""
    return None if covered < LEAST_FOR_PACE else spent_usd + _carried(recent_usd, covered, left)


def saving(
    mode: str, ceiling: str, recent: Recent, scope: Scope, period: Period, as_of: datetime, card: RateCard
) -> Saving | None:
    """The last 24 hours under the mode's ceiling, carried to the end of the period; None without data for a pace."""
    if recent.covered < LEAST_FOR_PACE:
        return None
    saved = ZERO
    for row in _in_scope(recent.last, scope, card):
        saved += row.usd - _cost_under(ceiling, row.priced, card) * row.share
    return Saving(mode, ceiling, _carried(saved, recent.covered, period.left(as_of)))


def _carried(usd: Decimal, covered: timedelta, left: timedelta) -> Decimal:
    # Multiplied before it is divided: the mean alone may have no end as a decimal.
    return usd * _seconds(left) / _seconds(covered)


def _seconds(span: timedelta) -> Decimal:
    return Decimal(span // timedelta.resolution) / 1_000_000


def _in_scope(rows: Iterable[RecentUsage], scope: Scope, card: RateCard) -> Iterator[RecentUsage]:
    return (row for row in rows if in_scope(scope, row.priced.usage, card))


def is_dearer(model_id: str, than: str, on: date, card: RateCard) -> bool:
    """Whether a service on this model moves, where the other one is the ceiling."""
    return _rank(card, model_id, on) > _rank(card, than, on)


def _cost_under(ceiling: str, row: PricedUsage, card: RateCard) -> Decimal:
    usage = row.usage
    if not is_dearer(usage.model, ceiling, usage.day, card):
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
