"""Spend of a period: billed if Anthropic's report has settled, otherwise computed from usage and the rate card."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from bot.budgets.budget import Scope, ScopeKind
from bot.clock import DAY
from bot.pricing.card import RateCard
from bot.pricing.cost import Cost, Hidden, cost_of
from bot.pricing.model_ids import family_in, spelled
from bot.usage.model import DayUsage

ZERO = Decimal(0)

SETTLED_AFTER = DAY
"""A day's bill is final this long after the day has ended."""

COMPUTED_COST_TYPES = frozenset({"tokens", "web_search"})
"""Cost types that usage explains too; the others (code execution, session usage) are only in the cost report."""


@dataclass(frozen=True, slots=True)
class PricedUsage:
    """One row of usage with its cost."""

    usage: DayUsage
    cost: Cost


@dataclass(frozen=True, slots=True)
class Computed:
    """USD of tokens at list prices. `hidden`, `assumed`: as in `Spend`."""

    usd: Decimal
    hidden: frozenset[Hidden] = frozenset()
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spend:
    """USD of a scope in a period. `total_usd` is the sum of its four parts.

    `report_only_usd`: cost types that only the cost report has, on days that are not billed. `hidden`: why the true
    figure may be higher. `assumed`: models that are not in the rate card, priced by assumption. `provisional_usd`: what
    applications have logged since `provisional_since` beyond Anthropic's data. `attributed`: all of it is
    `report_only_usd`, as Anthropic itself attributes it, after discounts, before credits.
    """

    billed_usd: Decimal
    billed_days: int
    computed_usd: Decimal
    report_only_usd: Decimal
    hidden: frozenset[Hidden]
    assumed: tuple[str, ...]
    provisional_usd: Decimal = ZERO
    provisional_since: datetime | None = None
    attributed: bool = False

    @property
    def at_least(self) -> bool:
        """Whether the true figure may be higher."""
        return bool(self.hidden)

    @property
    def total_usd(self) -> Decimal:
        return self.billed_usd + self.computed_usd + self.report_only_usd + self.provisional_usd


def sum_of(spends: Sequence[Spend]) -> Spend:
    """Sum of several without overlap. `billed_days`: the largest of them."""
    return Spend(
        billed_usd=sum((spend.billed_usd for spend in spends), ZERO),
        billed_days=max((spend.billed_days for spend in spends), default=0),
        computed_usd=sum((spend.computed_usd for spend in spends), ZERO),
        report_only_usd=sum((spend.report_only_usd for spend in spends), ZERO),
        hidden=frozenset[Hidden]().union(*(spend.hidden for spend in spends)),
        assumed=tuple(sorted({model for spend in spends for model in spend.assumed})),
    )


def price_usage(usage: Iterable[DayUsage], card: RateCard) -> list[PricedUsage]:
    """Price each row at the rates of its day, as a sum of requests."""
    return [
        PricedUsage(row, cost_of(card, row.model, row.counts, row.terms, row.day, prompt_tokens=row.prompt_tokens))
        for row in usage
    ]


def in_scope(scope: Scope, row: DayUsage, card: RateCard) -> bool:
    """Whether a row of usage counts for a budget of this scope. A model scope is an id in any spelling, or a family."""
    if scope.kind is ScopeKind.ORGANIZATION:
        return True
    if scope.kind is ScopeKind.TEAM:
        return any(in_scope(part, row, card) for part in scope.parts)
    if scope.kind is ScopeKind.WORKSPACE:
        return row.workspace_id == scope.value
    if scope.kind is ScopeKind.KEY:
        return row.api_key_id == scope.value
    return row.model == scope.value or same_model(scope.value or "", row.model, card)


def same_model(wanted: str, model_id: str, card: RateCard) -> bool:
    """Whether a model id is the wanted id, both in any spelling, or of the wanted family.

    A model that is not in the card matches if both spellings name the same family and version.
    """
    family = card.index.family(wanted)
    model = card.find(model_id)
    if family is not None:
        # An unknown id is priced as some model, but its family only follows from its name.
        return (family_in(model_id) if model is None else model.family) == family
    if model is not None:
        return model is card.find(wanted)
    name = spelled(model_id).name
    return name is not None and name == spelled(wanted).name


def is_settled(day: date, report_read_at: datetime | None) -> bool:
    """Whether the bill of a UTC day was final when the cost report was read."""
    return report_read_at is not None and _starts_at(day) + DAY + SETTLED_AFTER <= report_read_at


def _starts_at(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
