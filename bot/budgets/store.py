"""All budgets in force: configured ones, and those set from chat, with who set them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Row, delete, insert, select

from bot.budgets.budget import CHAT, Budget, PeriodKind, RaisedLimit, Weekday, parse_scope
from bot.budgets.change_store import HistoryEntry, HistoryStore, budget_from, find_change, mark_undone, record_change
from bot.budgets.owners import Teams
from bot.budgets.parsing import BudgetWordsError, budget_words
from bot.budgets.raise_store import RaiseStore, close_of
from bot.budgets.raises import next_change, with_raises
from bot.clock import AFTER_EVERYTHING, Clock
from bot.db.engine import lock_for_writers
from bot.db.schema import budgets
from bot.db.state import BUDGETS, audited, bump, keep, versions_of

ACTION = "budget"
"""Their name in the audit trail."""

Undo = Literal["done", "already", "changed", "unknown"]
"""Result of a click on Undo. `changed`: the budget was changed since. `unknown`: no such change."""


ChannelOf = Callable[[Budget], str | None]


def _main_channel(budget: Budget) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class KeptBudget:
    """A budget with the Slack user id of whoever last set it."""

    budget: Budget
    set_by: str
    set_at: datetime


class BudgetStore:
    """Synchronous; asynchronous callers use a thread. Every change has its audit entry in the same transaction.

    `channel_of`: the budget's own channel, in which its changes are announced.
    """

    def __init__(self, engine: Engine, channel_of: ChannelOf = _main_channel) -> None:
        self._engine = engine
        self._channel_of = channel_of
        self._versions = versions_of(engine)
        self._known: tuple[int, tuple[KeptBudget, ...]] | None = None
        self.history = HistoryStore(engine)

    def all(self) -> tuple[KeptBudget, ...]:
        """All stored budgets by name; the same object while none has changed."""
        version, known = self._versions.current(self._engine).get(BUDGETS, 0), self._known
        if known is None or known[0] != version:
            with self._engine.connect() as connection:
                rows = connection.execute(select(budgets).order_by(budgets.c.name))
                known = self._known = version, tuple(_kept(row) for row in rows)
        return known[1]

    def set(self, budget: Budget, before: Budget | None, by: str, now: datetime) -> bool:
        """Store it. Returns False and changes nothing if the stored one is no longer `before`."""
        with audited(self._engine) as connection:
            if _present(connection, budget.name) != before:
                return False
            self._write(connection, budget.name, before, budget, by, now)
        self._versions.changed()
        return True

    def remove(self, before: Budget, by: str, now: datetime) -> bool:
        """Remove it. Returns False and changes nothing if the stored one is no longer `before`."""
        with audited(self._engine) as connection:
            if _present(connection, before.name) != before:
                return False
            self._write(connection, before.name, before, None, by, now)
        self._versions.changed()
        return True

    def undo(self, change_id: int, by: str, now: datetime) -> tuple[Undo, str]:
        """Undo a change once, if nothing was changed since. Also returns the budget's name."""
        with audited(self._engine) as connection:
            lock_for_writers(connection, budgets)
            row = find_change(connection, change_id)
            if row is None:
                return "unknown", ""
            if row.undone_by is not None:
                return "already", row.budget
            try:
                before, after = budget_from(row.before), budget_from(row.after)
            except BudgetWordsError:
                return "unknown", row.budget
            if _present(connection, row.budget) != after:
                return "changed", row.budget
            mark_undone(connection, row, by, now)
            self._write(connection, row.budget, after, before, by, now)
        self._versions.changed()
        return "done", row.budget

    def _write(
        self, connection: Connection, name: str, before: Budget | None, after: Budget | None, by: str, now: datetime
    ) -> None:
        """Replace a budget together with its audit entry, its line of history and its announcement."""
        _replace(connection, name, after, by, now)
        was = "new" if before is None else budget_words(before)
        will = "removed" if after is None else budget_words(after)
        keep(connection, now, by, ACTION, "done", f"{was} -> {will}", budget=name)
        concerned = after or before
        channel = None if concerned is None else self._channel_of(concerned)
        record_change(connection, name, before, after, by, now, channel)
        bump(connection, BUDGETS)


def _replace(connection: Connection, name: str, after: Budget | None, by: str, now: datetime) -> None:
    connection.execute(delete(budgets).where(budgets.c.name == name))
    if after is not None:
        connection.execute(
            insert(budgets).values(
                name=after.name,
                scope=str(after.scope),
                period=after.period,
                zone=after.zone.key,
                week_starts=after.week_starts,
                soft_usd=after.soft_usd,
                hard_usd=after.hard_usd,
                thresholds=list(after.thresholds),
                team=after.team,
                channel=after.channel,
                owners=list(after.owners),
                mention=None if after.mention is None else list(after.mention),
                set_by=by,
                set_at=now,
            )
        )
    else:
        close_of(connection, name, by, now)


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


@dataclass(frozen=True, slots=True)
class _InForce:
    """The budgets, made at `made_at` from these; valid until the next raise begins or ends."""

    stored: Sequence[KeptBudget]
    raises: Mapping[str, Sequence[RaisedLimit]]
    made_at: datetime
    until: datetime
    budgets: tuple[Budget, ...]

    def holds(self, stored: Sequence[KeptBudget], raises: Mapping[str, Sequence[RaisedLimit]], now: datetime) -> bool:
        """Whether they are still valid."""
        if self.stored is not stored:
            return False
        return self.raises is raises and self.made_at <= now < self.until if raises else not self.raises


class Budgets:
    """Synchronous; asynchronous callers use a thread.

    A configured budget cannot be changed from chat. It wins over one with its name that was set there before. `teams`:
    provide what budgets do not set. `raises`: of limits, wherever the budget is set.
    """

    def __init__(
        self,
        configured: Sequence[Budget],
        store: BudgetStore,
        clock: Clock,
        teams: Teams | None = None,
        raises: RaiseStore | None = None,
    ) -> None:
        self.teams = teams or Teams()
        self._configured = tuple(map(self.teams.completed, configured))
        self._store = store
        self._clock = clock
        self._raises = raises
        self._in_force: _InForce | None = None

    def in_force(self) -> tuple[Budget, ...]:
        """Configured budgets first, then the others by name, with the limits in force now.

        Another copy of the bot may have changed them. The same object while nothing has changed.
        """
        now, stored, known = self._clock(), self._store.all(), self._in_force
        raises = {} if self._raises is None else self._raises.limits(now)
        if known is None or not known.holds(stored, raises, now):
            kept = [self.teams.completed(one.budget) for one in stored if self.configured(one.budget.name) is None]
            found = tuple(with_raises(each, raises.get(each.name, ()), now) for each in (*self._configured, *kept))
            changes = [at for each in raises.values() if (at := next_change(each, now)) is not None]
            known = self._in_force = _InForce(stored, raises, now, min(changes, default=AFTER_EVERYTHING), found)
        return known.budgets

    def effective(self, name: str) -> Budget | None:
        """The budget in force with this name, wherever it is set, with the limits in force now."""
        return next((budget for budget in self.in_force() if budget.name == name), None)

    def kept(self) -> Sequence[KeptBudget]:
        """Budgets set from chat, by name, including those that a configured one overrides."""
        return self._store.all()

    def find(self, name: str) -> Budget | None:
        """The budget with this name that was set from chat."""
        return next((one.budget for one in self._store.all() if one.budget.name == name), None)

    def configured(self, name: str) -> Budget | None:
        """The budget with this name from the environment or the TOML file."""
        return next((budget for budget in self._configured if budget.name == name), None)

    def version(self, name: str) -> str:
        """A short word that shows whether a budget was changed since, even back and forth."""
        version, newest = _version_of(self.find(name)), self._store.history.newest_id(name)
        return f"{version}.{newest}" if newest else version

    def set(self, budget: Budget, seen: str, by: str) -> bool:
        """Store it. Returns False and changes nothing if the version `seen` is outdated."""
        before = self.find(budget.name)
        if self.configured(budget.name) is not None or self.version(budget.name) != seen:
            return False
        return self._store.set(budget, before, by, self._clock())

    def remove(self, name: str, seen: str, by: str) -> bool:
        """Remove it. Returns False and changes nothing if the version `seen` is outdated."""
        before = self.find(name)
        if before is None or self.version(name) != seen:
            return False
        return self._store.remove(before, by, self._clock())

    def undo(self, change_id: int, by: str) -> tuple[Undo, str]:
        """Undo a change made in chat, once. Also returns the budget's name."""
        return self._store.undo(change_id, by, self._clock())

    def history(self, name: str | None) -> list[HistoryEntry]:
        """The newest changes of one budget, or of all; newest first."""
        return self._store.history.newest(name)


def _version_of(budget: Budget | None) -> str:
    """A short word that identifies an unchanged budget."""
    return "none" if budget is None else hashlib.sha256(budget_words(budget).encode()).hexdigest()[:16]
