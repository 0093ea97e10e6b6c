"""What a planned workload would do to the budgets: where each would end with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from bot.budgets.budget import Budget, PeriodKind, RaisedLimit, ScopeKind
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.spend import same_model
from bot.clock import DAY
from bot.pricing.card import RateCard
from bot.pricing.monthly_cost import DAYS_IN_MONTH

DAYS_OF = {PeriodKind.DAY: 1, PeriodKind.WEEK: 7, PeriodKind.MONTH: DAYS_IN_MONTH}


@dataclass(frozen=True, slots=True)
class Planned:
    """One budget with the workload added, in USD. `expected_usd`: by the forecast, None where none is known.

    `stale_at`: when this was drawn, where the data, as of `as_of`, was stale then. `raised`: that limit, where it is.

    `whole_usd`: what the workload adds to a whole period. `added_usd`: to what is left of the one that runs.
    """

    budget: str
    period: PeriodKind
    whole_usd: Decimal
    added_usd: Decimal
    expected_usd: Decimal | None
    limit_usd: Decimal
    as_of: datetime
    stale_at: datetime | None = None
    raised: tuple[RaisedLimit, ...] = ()

    @property
    def total_usd(self) -> Decimal | None:
        """Where the running period would end: as expected, and with the workload from now on."""
        return None if self.expected_usd is None else self.expected_usd + self.added_usd


def planned(
    budgets: Iterable[Budget],
    spends: Sequence[BudgetSpend],
    monthly_usd: Mapping[str, Decimal],
    card: RateCard,
    now: datetime,
) -> tuple[Planned, ...]:
    """The budgets that a workload would touch. `monthly_usd`: what 30 days of it cost on each model id.

    Which workspace and key it will use is not known yet, so budgets of those are left out.
    """
    by_name = {spend.budget: spend for spend in spends}
    found = []
    for budget in budgets:
        monthly = sum((usd for model, usd in monthly_usd.items() if _touches(budget, model, card)), Decimal(0))
        limit = budget.highest_usd
        spend = by_name.get(budget.name)
        if monthly and limit is not None and spend is not None:
            whole = monthly * DAYS_OF[budget.period] / DAYS_IN_MONTH
            left = monthly * _days(budget.period_at(now).left(now)) / DAYS_IN_MONTH
            raised = tuple(each for each in spend.raised if each.usd == limit)
            known = spend.as_of, spend.stale_at, raised
            found.append(Planned(budget.name, budget.period, whole, left, spend.expected_usd, limit, *known))
    return tuple(found)


def touched(budgets: Iterable[Budget], monthly_usd: Mapping[str, Decimal], card: RateCard) -> list[Budget]:
    """The budgets of which `planned` has anything to say."""
    return [budget for budget in budgets if any(_touches(budget, model, card) for model in monthly_usd)]


def _days(stretch: timedelta) -> Decimal:
    return Decimal(stretch // timedelta.resolution) / (DAY // timedelta.resolution)


def _touches(budget: Budget, model_id: str, card: RateCard) -> bool:
    scope = budget.scope
    if scope.kind is ScopeKind.MODEL:
        return same_model(scope.value or "", model_id, card)
    return scope.kind is ScopeKind.ORGANIZATION
