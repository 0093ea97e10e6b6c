"""What the last 24 hours say: who moved, and what they would have cost under a mode."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from bot.budgets.budget import Scope
from bot.budgets.spend import ZERO, PricedUsage, in_scope
from bot.clock import DAY, HOUR, floor_hour
from bot.pricing.card import RateCard
from bot.pricing.cost import cost_of
from bot.pricing.tokens import TokenCounts, same_text
from bot.usage.model import DayUsage

LEAST_KNOWN = timedelta(hours=6)
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
    """Dollars of one (model, workspace, key) in the last 24 hours; `before_usd` is None without any before."""

    model: str
    workspace_id: str
    api_key_id: str | None
    usd: Decimal
    before_usd: Decimal | None


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


def usd_of(recent: Recent, scope: Scope, card: RateCard) -> Decimal:
    """The last 24 hours of the scope; nothing with less than 6 hours of data."""
    if recent.covered < LEAST_KNOWN:
        return ZERO
    return sum((row.usd for row in _in_scope(recent.last, scope, card)), ZERO)


def usd_under(ceiling: str, recent: Recent, scope: Scope, card: RateCard) -> Decimal:
    """What the last 24 hours of the scope would have cost with this model as the ceiling."""
    return sum(
        (_cost_under(ceiling, row.priced, card) * row.share for row in _in_scope(recent.last, scope, card)), ZERO
    )


def _seconds(span: timedelta) -> Decimal:
    return Decimal(span // timedelta.resolution) / 1_000_000


def _in_scope(rows: Iterable[RecentUsage], scope: Scope, card: RateCard) -> Iterator[RecentUsage]:
    return (row for row in rows if in_scope(scope, row.priced.usage, card))


def costs_more(model_id: str, than: str, on: date, card: RateCard) -> bool:
    """Whether a service on this model moves, where the other one is the ceiling."""
    return _rank(card, model_id, on) > _rank(card, than, on)


def _cost_under(ceiling: str, row: PricedUsage, card: RateCard) -> Decimal:
    usage = row.usage
    if not costs_more(usage.model, ceiling, usage.day, card):
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
    return counts._replace(
        uncached_input_tokens=scaled(counts.uncached_input_tokens),
        cache_creation_5m_input_tokens=scaled(counts.cache_creation_5m_input_tokens),
        cache_creation_1h_input_tokens=scaled(counts.cache_creation_1h_input_tokens),
        cache_read_input_tokens=scaled(counts.cache_read_input_tokens),
        output_tokens=scaled(counts.output_tokens),
    )
