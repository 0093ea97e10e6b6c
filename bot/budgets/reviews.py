"""All budgets in force: those that count Anthropic's usage, and those that count what applications log."""

from collections.abc import Collection, Sequence
from datetime import datetime

from bot.budgets.account import Detail, Spending
from bot.budgets.budget import LOGGED, Budget, Scope
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.period import Period
from bot.budgets.prospects import Prospect, prospects
from bot.budgets.review import Agenda, BudgetReview
from bot.budgets.scopes import Unmatched


class Reviews:
    """Two reviews, each of a snapshot of its own, asked as one. Synchronous; asynchronous callers use a thread."""

    def __init__(self, usage: BudgetReview, logged: BudgetReview) -> None:
        self.usage = usage
        self.logged = logged

    def of(self, scope: Scope) -> BudgetReview:
        """The one whose snapshot counts what the scope means."""
        return self.logged if scope.kind in LOGGED else self.usage

    def is_stale(self, now: datetime) -> bool:
        """Whether Anthropic's data is stale; what applications log never is."""
        return self.usage.is_stale(now)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """As of a review."""
        return (*self.usage.budgets, *self.logged.budgets)

    def unmatched(self) -> list[Unmatched]:
        """As of a review."""
        return [*self.usage.unmatched(), *self.logged.unmatched()]

    def scope_of(self, scope: Scope) -> Scope:
        """As of a review. Raises `NoMatchError`."""
        return self.of(scope).scope_of(scope)

    def spend(self, now: datetime, detail: Detail = Detail.ALL) -> list[BudgetSpend]:
        """As of a review."""
        return [*self.usage.spend(now, detail), *self.logged.spend(now, detail)]

    def spend_by_name(self, names: Collection[str], now: datetime) -> dict[str, BudgetSpend]:
        """As of a review."""
        return self.usage.spend_by_name(names, now) | self.logged.spend_by_name(names, now)

    def spending(self, now: datetime) -> Spending:
        """As of a review."""
        return self.usage.spending(now) + self.logged.spending(now)

    def spend_against(self, budget: Budget, now: datetime, detail: Detail = Detail.ALL) -> BudgetSpend | None:
        """As of a review."""
        return self.of(budget.scope).spend_against(budget, now, detail)

    def present(self, now: datetime) -> Sequence[tuple[Budget, Period]]:
        """As of a review."""
        return (*self.usage.present(now), *self.logged.present(now))

    def prospects(self, asked: Sequence[tuple[Budget, Period]], now: datetime) -> list[Prospect]:
        """Those of both reviews, for the budgets in force with periods that run."""
        return [
            prospect
            for review in (self.usage, self.logged)
            for prospect in prospects(review, now, [pair for pair in asked if self.of(pair[0].scope) is review])
        ]

    def agendas(self, now: datetime) -> tuple[Agenda, Agenda]:
        """The same values as long as nothing of them begins, ends or is set otherwise."""
        return self.usage.agenda(now), self.logged.agenda(now)
