"""What a new installation says of itself in its channel."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from bot.budgets.budget import Budget, PeriodKind


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedBudget:
    """A budget as the greeting names it. `limits_usd`: what is reported, rising."""

    name: str
    scope: str
    period: PeriodKind
    limits_usd: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What is watched, and who may change it. `admins`: ids of Slack users and user groups."""

    kind: Literal["greeting"] = "greeting"
    at: datetime
    budgets: tuple[WatchedBudget, ...]
    admins: tuple[str, ...]

    @property
    def incident(self) -> str:
        """The visible id."""
        return self.kind


def watched(budget: Budget) -> WatchedBudget:
    """A budget as the greeting names it."""
    limits = tuple(limit.usd for limit in budget.limits())
    return WatchedBudget(name=budget.name, scope=str(budget.scope), period=budget.period, limits_usd=limits)
