"""Budgets that were set from chat, and who set them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Row, delete, insert, select

from bot.budgets.budget import CHAT, Budget, parse_scope
from bot.budgets.period import PeriodKind, Weekday
from bot.budgets.words import budget_words
from bot.db.audit import keep
from bot.db.engine import lock_for_writers
from bot.db.schema import budgets
from bot.db.state import BUDGETS, bump, versions_of

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
    )
    return KeptBudget(budget, row.set_by, row.set_at)
