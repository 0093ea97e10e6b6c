"""Effect of a planned workload on budgets: the expected end of each with it."""

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
    """One budget with the workload added, USD. `expected_usd`: by the forecast, None if unknown.

    `stale_at`: when this was drawn, if the data (of `as_of`) was stale then. `raised`: that limit, if it is raised.
    `whole_usd`: cost of the workload in a whole period. `added_usd`: in the rest of the running one.
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
        """Expected end of the running period with the workload from now on."""
        return None if self.expected_usd is None else self.expected_usd + self.added_usd


def planned(
    budgets: Iterable[Budget],
    spends: Sequence[BudgetSpend],
    monthly_usd: Mapping[str, Decimal],
    card: RateCard,
    now: datetime,
) -> tuple[Planned, ...]:
    """The budgets that a workload would touch. `monthly_usd`: cost of 30 days of it by model id.

    Its workspace and key are not known yet, so budgets of those are left out.
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
    """The budgets that `planned` reports on."""
    return [budget for budget in budgets if any(_touches(budget, model, card) for model in monthly_usd)]


def _days(stretch: timedelta) -> Decimal:
    return Decimal(stretch // timedelta.resolution) / (DAY // timedelta.resolution)


def _touches(budget: Budget, model_id: str, card: RateCard) -> bool:
    scope = budget.scope
    if scope.kind is ScopeKind.MODEL:
        return same_model(scope.value or "", model_id, card)
    return scope.kind is ScopeKind.ORGANIZATION
