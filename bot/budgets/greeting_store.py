"""The greeting of a new installation in its channel.

Whether a database is new is decided before its first poll and stored, so upgrades and restarts never post a greeting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Literal

from pydantic import TypeAdapter
from sqlalchemy import Engine, select

from bot.budgets.budget import Budget, PeriodKind
from bot.db.schema import notices
from bot.db.state import StateStore, locked, save_state
from bot.notify.queue_store import insert_notice
from bot.usage.model import DataState


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedBudget:
    """A budget as the greeting names it. `limits_usd`: reported limits, rising."""

    name: str
    scope: str
    period: PeriodKind
    limits_usd: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """The watched budgets, and who may change them. `admins`: ids of Slack users and user groups."""

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


KEY = "greeting"
DUE, POSTED, NOT_NEW = "due", "posted", "not new"
"""Stored states. `DUE`: waits for the first successful poll."""


class Greeter:
    """Synchronous. `data_state`, `budgets`: current values. `admins`: ids."""

    name = "the greeting"

    def __init__(
        self,
        engine: Engine,
        data_state: Callable[[], DataState],
        budgets: Callable[[], Sequence[Budget]],
        admins: Sequence[str],
    ) -> None:
        self._engine = engine
        self._data_state = data_state
        self._budgets = budgets
        self._admins = tuple(admins)
        self._settled = False

    def prepare(self) -> None:
        """Before a poll: record whether this database has never polled and never posted."""
        if self._settled:
            return
        stored = StateStore(self._engine).get(KEY)
        if stored is None:
            new = not self._is_used()
            with self._engine.begin() as connection:
                stored = locked(connection, KEY, DUE if new else NOT_NEW)
        self._settled = stored != DUE

    def look(self, now: datetime, mode: str) -> int:
        """Post the greeting if it is due; returns how many were posted."""
        if self._settled or self._data_state().as_of is None:
            return 0
        greeting = Greeting(at=now, budgets=tuple(map(watched, self._budgets())), admins=self._admins)
        with self._engine.begin() as connection:
            due = locked(connection, KEY, NOT_NEW) == DUE
            if due:
                save_state(connection, KEY, POSTED)
                content = _adapter().dump_python(greeting, mode="json")
                insert_notice(connection, "post", greeting.incident, content, now)
        self._settled = True
        return int(due)

    def _is_used(self) -> bool:
        if self._data_state().as_of is not None:
            return True
        with self._engine.connect() as connection:
            return connection.execute(select(notices.c.id).limit(1)).first() is not None


@cache
def _adapter() -> TypeAdapter[Greeting]:
    return TypeAdapter(Greeting)
