"""History of budget changes: what changed and by whom, each announced once in the budget's channel."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from bot.budgets.budget import Budget
from bot.budgets.parsing import budget_of, budget_words, split_budget_words
from bot.budgets.raises import Raise, RaiseState
from bot.db.schema import budget_changes
from bot.notify.queue_store import insert_in_one_channel

SET, CHANGED, REMOVED = "set", "changed", "removed"
OF_BUDGETS = (SET, CHANGED, REMOVED)
"""Actions that change the budget itself. All others are states of a raise."""

RAISED = "raised"
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetChange:
    """A change of a budget as announced in the channel. `before`, `after`: words of the budget, None for none.

    `undone_by`: who undid it.
    """

    kind: Literal["budget_change"] = "budget_change"
    change_id: int
    budget: str
    by: str
    at: datetime
    before: str | None
    after: str | None
    undone_by: str | None = None
    undone_at: datetime | None = None

    @property
    def about(self) -> str:
        """The visible id."""
        return f"{self.budget}/change/{self.change_id}"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One row of the history. `action`: one of `OF_BUDGETS`, `raised`, or what became of a raise."""

    at: datetime
    budget: str
    by: str
    action: str
    before: str | None
    after: str | None
    reason: str
    undone_by: str | None


class HistoryStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(self, budget: str | None, most: int = MOST_SHOWN) -> list[HistoryEntry]:
        """The newest changes of one budget, or of all; newest first."""
        query = select(budget_changes).order_by(budget_changes.c.id.desc()).limit(most)
        if budget is not None:
            query = query.where(budget_changes.c.budget == budget)
        with self._engine.connect() as connection:
            return [
                HistoryEntry(row.at, row.budget, row.by, row.action, row.before, row.after, row.reason, row.undone_by)
                for row in connection.execute(query)
            ]

    def newest_id(self, budget: str) -> int:
        """Id of the budget's newest change; shows whether it was changed since, even back and forth. 0 before the
        first.
        """
        query = select(func.max(budget_changes.c.id)).where(
            budget_changes.c.budget == budget, budget_changes.c.action.in_(OF_BUDGETS)
        )
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one() or 0


def record_change(
    connection: Connection,
    name: str,
    before: Budget | None,
    after: Budget | None,
    by: str,
    now: datetime,
    channel: str | None = None,
) -> None:
    """Store a change and announce it, in the transaction that makes it. `channel`: the budget's own."""
    was, will = (None if budget is None else budget_words(budget) for budget in (before, after))
    action = SET if was is None else REMOVED if will is None else CHANGED
    change_id = _insert(connection, name, by, now, action, was, will)
    change = BudgetChange(change_id=change_id, budget=name, by=by, at=now, before=was, after=will)
    _notify(connection, change, "post", now, channel)


def record_raise(connection: Connection, raised: Raise, by: str, now: datetime) -> None:
    """Store a step of a raise, which its own message announces."""
    action = RAISED if raised.state is RaiseState.ACTIVE else raised.state.value
    was, will = f"{raised.limit}={raised.base_usd:f}", f"{raised.limit}={raised.usd:f} until={raised.until.isoformat()}"
    _insert(connection, raised.budget, by, now, action, was, will, raised.reason)


def find_change(connection: Connection, change_id: int) -> Row[Any] | None:
    """A change of a budget itself; None if there is none."""
    query = select(budget_changes).where(budget_changes.c.id == change_id, budget_changes.c.action.in_(OF_BUDGETS))
    return connection.execute(query).one_or_none()


def mark_undone(connection: Connection, row: Row[Any], by: str, now: datetime) -> None:
    """Record that a change was undone and update its message, in the transaction that undoes it."""
    values = {"undone_by": by, "undone_at": now}
    connection.execute(update(budget_changes).where(budget_changes.c.id == row.id).values(**values))
    change = BudgetChange(change_id=row.id, budget=row.budget, by=row.by, at=row.at, before=row.before, after=row.after)
    _notify(connection, replace(change, undone_by=by, undone_at=now), "update", now)


def budget_from(words: str | None) -> Budget | None:
    """The budget of stored words; None without any. Raises `BudgetWordsError` if this version cannot read them."""
    return None if words is None else budget_of(*split_budget_words(words))


def _insert(
    connection: Connection,
    budget: str,
    by: str,
    now: datetime,
    action: str,
    before: str | None,
    after: str | None,
    reason: str = "",
) -> int:
    values = {"budget": budget, "by": by, "at": now, "action": action, "before": before, "after": after}
    kept = insert(budget_changes).values(**values, reason=reason).returning(budget_changes.c.id)
    return int(connection.execute(kept).scalar_one())


def _notify(
    connection: Connection,
    change: BudgetChange,
    action: Literal["post", "update"],
    now: datetime,
    channel: str | None = None,
) -> None:
    facts = _adapter().dump_python(change, mode="json")
    insert_in_one_channel(connection, action, change.about, facts, now, channel, budget_change_id=change.change_id)


@cache
def _adapter() -> TypeAdapter[BudgetChange]:
    return TypeAdapter(BudgetChange)
