"""All budgets in force: those that are configured, and those that were set from chat, with who set them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Row, delete, insert, select

from bot.budgets.budget import CHAT, Budget, PeriodKind, Weekday, parse_scope
from bot.budgets.owners import Teams
from bot.budgets.parsing import budget_words
from bot.clock import Clock
from bot.db.engine import lock_for_writers
from bot.db.schema import budgets
from bot.db.state import BUDGETS, bump, keep, versions_of

ACTION = "budget"
"""What the audit trail calls it."""


@dataclass(frozen=True, slots=True)
class KeptBudget:
    """A budget with the Slack user id of whoever set it last."""

    budget: Budget
    set_by: str
    set_at: datetime


class BudgetStore:
    """Synchronous; asynchronous callers use a thread. Every change has its audit entry in the same transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._versions = versions_of(engine)
        self._known: tuple[int, tuple[KeptBudget, ...]] | None = None

    def all(self) -> tuple[KeptBudget, ...]:
        """Every kept budget by name; the same value as long as none has changed."""
        version, known = self._versions.current(self._engine).get(BUDGETS, 0), self._known
        if known is None or known[0] != version:
            with self._engine.connect() as connection:
                rows = connection.execute(select(budgets).order_by(budgets.c.name))
                known = self._known = version, tuple(_kept(row) for row in rows)
        return known[1]

    def set(self, budget: Budget, before: Budget | None, by: str, now: datetime) -> bool:
        """Keep it. False, and nothing changed, where the one of this name is not `before` any more."""
        with self._engine.begin() as connection:
            if _present(connection, budget.name) != before:
                return False
            connection.execute(delete(budgets).where(budgets.c.name == budget.name))
            connection.execute(
                insert(budgets).values(
                    name=budget.name,
                    scope=str(budget.scope),
                    period=budget.period,
                    zone=budget.zone.key,
                    week_starts=budget.week_starts,
                    soft_usd=budget.soft_usd,
                    hard_usd=budget.hard_usd,
                    thresholds=list(budget.thresholds),
                    team=budget.team,
                    channel=budget.channel,
                    owners=list(budget.owners),
                    mention=None if budget.mention is None else list(budget.mention),
                    set_by=by,
                    set_at=now,
                )
            )
            was = "new" if before is None else budget_words(before)
            keep(connection, now, by, ACTION, "done", f"{was} -> {budget_words(budget)}")
            bump(connection, BUDGETS)
        self._versions.changed()
        return True

    def remove(self, before: Budget, by: str, now: datetime) -> bool:
        """Forget it. False, and nothing changed, where the one of this name is not `before` any more."""
        with self._engine.begin() as connection:
            if _present(connection, before.name) != before:
                return False
            connection.execute(delete(budgets).where(budgets.c.name == before.name))
            keep(connection, now, by, ACTION, "done", f"{budget_words(before)} -> removed")
            bump(connection, BUDGETS)
        self._versions.changed()
        return True


def _present(connection: Connection, name: str) -> Budget | None:
    lock_for_writers(connection, budgets)
    row = connection.execute(select(budgets).where(budgets.c.name == name)).one_or_none()
    return None if row is None else _kept(row).budget


def _kept(row: Row[Any]) -> KeptBudget:
    budget = Budget(
        name=row.name,
        scope=parse_scope(row.scope),
        period=PeriodKind(row.period),
        zone=ZoneInfo(row.zone),
        soft_usd=row.soft_usd,
        hard_usd=row.hard_usd,
        origin=CHAT,
        week_starts=Weekday(row.week_starts),
        thresholds=tuple(row.thresholds),
        team=row.team,
        channel=row.channel,
        owners=tuple(row.owners),
        mention=None if row.mention is None else tuple(row.mention),
    )
    return KeptBudget(budget, row.set_by, row.set_at)


class BudgetBook:
    """Synchronous; asynchronous callers use a thread.

    A configured budget cannot be changed from chat. It also wins over one of its name that was set there before.
    `teams`: what budgets in force take from those that they belong to.
    """

    def __init__(
        self, configured: Sequence[Budget], store: BudgetStore, clock: Clock, teams: Teams | None = None
    ) -> None:
        self.teams = teams or Teams()
        self._configured = tuple(map(self.teams.completed, configured))
        self._store = store
        self._clock = clock
        self._in_force: tuple[Sequence[KeptBudget], tuple[Budget, ...]] | None = None

    def in_force(self) -> tuple[Budget, ...]:
        """The configured ones first, then the others by name. Another copy of the bot may have changed the latter."""
        stored, known = self._store.all(), self._in_force
        if known is None or known[0] is not stored:
            kept = [self.teams.completed(one.budget) for one in stored if self.configured(one.budget.name) is None]
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
