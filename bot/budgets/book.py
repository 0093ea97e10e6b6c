"""All budgets in force: those that are configured, and those that were set from chat, read afresh at every question."""

import hashlib
from collections.abc import Sequence

from bot.budgets.budget import Budget
from bot.budgets.store import BudgetStore, KeptBudget
from bot.budgets.words import budget_words
from bot.clock import Clock


class BudgetBook:
    """Synchronous; asynchronous callers use a thread.

    A configured budget cannot be changed from chat. It also wins over one of its name that was set there before.
    """

    def __init__(self, configured: Sequence[Budget], store: BudgetStore, clock: Clock) -> None:
        self._configured = tuple(configured)
        self._store = store
        self._clock = clock
        self._in_force: tuple[Sequence[KeptBudget], tuple[Budget, ...]] | None = None

    def in_force(self) -> tuple[Budget, ...]:
        """The configured ones first, then the others by name. Another copy of the bot may have changed the latter."""
        stored, known = self._store.all(), self._in_force
        if known is None or known[0] is not stored:
            kept = [one.budget for one in stored if self.configured(one.budget.name) is None]
            known = self._in_force = stored, (*self._configured, *kept)
        return known[1]

    def kept(self) -> Sequence[KeptBudget]:
        """Those that were set from chat, by name, also where they do not count."""
        return self._store.all()

    def find(self, name: str) -> Budget | None:
        """The one of this name that was set from chat."""
        return next((one.budget for one in self._store.all() if one.budget.name == name), None)

    def configured(self, name: str) -> Budget | None:
        """The one of this name that the environment or the TOML file sets."""
        return next((budget for budget in self._configured if budget.name == name), None)

    def set(self, budget: Budget, seen: str, by: str) -> bool:
        """Keep it. False, and nothing changed, where the one that was `seen` (a `mark_of`) is not there any more."""
        before = self.find(budget.name)
        if self.configured(budget.name) is not None or mark_of(before) != seen:
            return False
        return self._store.set(budget, before, by, self._clock())

    def remove(self, name: str, seen: str, by: str) -> bool:
        """Forget it. False, and nothing changed, where the one that was `seen` (a `mark_of`) is not there any more."""
        before = self.find(name)
        if before is None or mark_of(before) != seen:
            return False
        return self._store.remove(before, by, self._clock())


def mark_of(budget: Budget | None) -> str:
    """One short word by which a budget is recognised as unchanged."""
    return "none" if budget is None else hashlib.sha256(budget_words(budget).encode()).hexdigest()[:16]
