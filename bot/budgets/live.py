"""Spend up to the present: Anthropic's data, plus what applications have logged since that data ends.

Logged spend is provisional. From the minute in which Anthropic's data ends to the last poll, the larger of both counts:
part of that time may be in the data already, and which logged responses those are is unknown. What was logged after the
last poll cannot be in the data.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from threading import Lock
from typing import Any

import numpy as np

from bot.budgets.budget import Budget, Period, Scope, ScopeKind
from bot.budgets.budget_spend import NamedMover, named_mover
from bot.budgets.snapshot import ROWS_HELD, Snapshot
from bot.budgets.snapshots import Snapshots
from bot.budgets.spend import ZERO, Spend
from bot.budgets.trend import Mover
from bot.budgets.usage_index import LedgerIndex, Numbers
from bot.clock import AFTER_EVERYTHING, DAY, HOUR, MINUTE, floor_hour
from bot.ledger.model import Labels
from bot.usage.model import DEFAULT_WORKSPACE
from bot.usage.store_reads import Names

Reviewed = tuple[Budget, Period]

NEVER = AFTER_EVERYTHING - DAY


class CallNumbers:
    """Maps workspaces and keys of Anthropic's to labels of the ledger, by id or by a unique name.

    Only valid for one index and one set of names.
    """

    def __init__(self, index: LedgerIndex, names: Names) -> None:
        self.index = index
        self.names = names
        self._lock = Lock()
        self._read = 0
        self._numbers: dict[Scope, list[int]] = {}
        self._arrays: dict[Scope, Numbers] = {}
        self._of_labels: dict[tuple[str | None, str | None], tuple[str | None, str | None]] = {}
        self._workspaces = _by_word(names.workspaces)
        self._keys = _by_word(names.keys)

    def of(self, scope: Scope) -> Numbers:
        """The numbers of the ledger's index that count for a scope of Anthropic's usage."""
        if scope.kind in (ScopeKind.ORGANIZATION, ScopeKind.MODEL):
            return self.index.of(scope)
        if scope.kind is ScopeKind.TEAM:
            parts = [self.of(part) for part in scope.parts]
            return np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))
        with self._lock:
            self._catch_up()
            found = self._arrays.get(scope)
            if found is None:
                found = self._arrays[scope] = np.array(self._numbers.get(scope, []), np.int64)
            return found

    def _catch_up(self) -> None:
        until = len(self.index.of_calls)
        for labels, number in self.index.of_calls[self._read : until]:
            called = labels.workspace, labels.key
            found = self._of_labels.get(called)
            if found is None:
                found = self._of_labels[called] = self._ids(labels)
            for kind, value in zip((ScopeKind.WORKSPACE, ScopeKind.KEY), found, strict=True):
                if value is not None:
                    scope = Scope(kind, value)
                    self._numbers.setdefault(scope, []).append(number)
                    self._arrays.pop(scope, None)
        self._read = until

    def _ids(self, labels: Labels) -> tuple[str | None, str | None]:
        """The ids of workspace and key; None if none or an ambiguous one is named."""
        workspace = None if not labels.workspace else self._workspace(labels.workspace)
        key = None
        if labels.key:
            keys = _meant(labels.key, self.names.keys, self._keys)
            if len(keys) > 1 and workspace is not None:
                # Keys of several workspaces may share a name.
                keys = [each for each in keys if self._workspace_of(each) == workspace]
            key = keys[0] if len(keys) == 1 else None
        if not labels.workspace and key in self.names.keys:
            workspace = self._workspace_of(key or "")
        return workspace, key

    def _workspace(self, called: str) -> str | None:
        default_id = self.names.default_id or DEFAULT_WORKSPACE
        if called.casefold() in (DEFAULT_WORKSPACE, default_id.casefold()):
            return DEFAULT_WORKSPACE
        found = _meant(called, self.names.workspaces, self._workspaces)
        return found[0] if len(found) == 1 else None

    def _workspace_of(self, key: str) -> str:
        return self.names.workspace_of_key.get(key, DEFAULT_WORKSPACE)


@dataclass(frozen=True, slots=True)
class LiveSpend:
    """A snapshot of usage, and the snapshot of the ledger at the same moment if anything is logged.

    `since`: logged spend counts from this full minute on. `polled_at`: minute of the last poll, or later; `at_poll`:
    what had been logged by then, None for nothing.
    """

    usage: Snapshot
    logged: Snapshot | None = None
    numbers: CallNumbers | None = None
    since: datetime = AFTER_EVERYTHING
    polled_at: datetime = NEVER
    at_poll: Snapshot | None = None
    memo: dict[Any, Any] = field(default_factory=dict)
    forecasts: dict[Any, Any] = field(default_factory=dict)
    """Forecasts of scopes with provisional spend; the others are cached in the snapshot."""

    def spend(self, scope: Scope, period: Period) -> Spend:
        """Spend from the snapshot plus provisional spend."""
        spend = self.usage.spend(scope, period)
        if self.numbers is None or period.ends_at <= self.since or scope.is_logged:
            return spend
        # Keep the spend it was computed from: another thread may compute the same from a newer bill.
        found = self.memo.get((scope, period))
        if found is None or found[0] is not spend:
            found = self.memo[scope, period] = spend, self._with_provisional(spend, scope, period)
        made: Spend = found[1]
        return made

    @property
    def counted_until(self) -> datetime | None:
        """The newest moment up to which sums count anything."""
        ends = [each.counted_until for each in (self.usage, self.logged) if each is not None]
        return max((end for end in ends if end is not None), default=None)

    def provisional_caller(self, scope: Scope, spend: Spend) -> NamedMover | None:
        """The main caller of provisional spend in a period of the scope; None if there is none."""
        logged, numbers, since = self.logged, self.numbers, spend.provisional_since
        if logged is None or numbers is None or logged.as_of is None or since is None:
            return None
        if since < floor_hour(logged.as_of) - ROWS_HELD:
            return None
        index, units = logged.index, logged.prices.zeros(logged.callers)
        for _, table in logged.rows(since, _end(logged)):
            np.add.at(units, index.caller_of_group.values[table.group], table.units)
        if scope.kind in (ScopeKind.ORGANIZATION, ScopeKind.MODEL):
            inside = index.callers_in(scope, logged.callers)
        else:
            inside = np.isin(index.key_of_caller.values[: logged.callers], numbers.of(scope))
        mine = np.flatnonzero(inside & (units > 0))
        if not len(mine):
            return None
        largest = int(mine[np.argmax(units[mine])])
        # Part of it may be in the report already, which reduces the provisional sum.
        usd = min(logged.prices.usd(int(units[largest])), spend.provisional_usd)
        return named_mover(Mover(*index.callers[largest], usd, None), logged.names, since=since)

    def provisional(self, pairs: Iterable[Reviewed]) -> dict[tuple[str, str], Decimal]:
        """Provisional USD by budget and period, without zeros."""
        if self.numbers is None:
            return {}
        active, numbers = self._active, self.numbers
        found = {}
        for budget, period in pairs:
            if period.ends_at <= self.since:
                continue
            if active is not None and active.isdisjoint(numbers.of(budget.scope).tolist()):
                continue
            usd = self.spend(budget.scope, period).provisional_usd
            if usd:
                found[budget.name, period.key] = usd
        return found

    def _with_provisional(self, spend: Spend, scope: Scope, period: Period) -> Spend:
        if self.logged is None or self.numbers is None:
            return spend
        mine = self.numbers.of(scope)
        begin = max(self.since, period.starts_at)
        if not len(mine):
            return spend
        billed = self.usage.settled_days(scope, begin, period.ends_at)
        logged = self.logged.computed(mine, begin, period.ends_at, billed)
        if not logged.usd:
            return spend
        reported = self.usage.computed(self.usage.index.of(scope), begin, period.ends_at, billed)
        fresh = self._fresh(self.logged, mine, begin, period.ends_at, billed)
        usd = max(ZERO, logged.usd - fresh - reported.usd) + fresh
        if not usd:
            return spend
        return replace(
            spend,
            provisional_usd=usd,
            provisional_since=begin,
            hidden=spend.hidden | logged.hidden,
            assumed=tuple(sorted({*spend.assumed, *logged.assumed})),
        )

    def _fresh(
        self, logged: Snapshot, mine: Numbers, begin: datetime, end: datetime, billed: AbstractSet[date]
    ) -> Decimal:
        """USD logged after the last poll; within the minute of the poll, only what came since."""
        first = max(begin, self.polled_at)
        if first >= end:
            return ZERO
        found = logged.computed(mine, first, end, billed).usd
        until = min(self.polled_at + MINUTE, end)
        if found and self.at_poll is not None and first < until:
            found -= self.at_poll.computed(mine, first, until, billed).usd
        return found

    @property
    def _active(self) -> AbstractSet[int] | None:
        """Numbers of all scopes that have logged anything since; None if `since` is too long ago."""
        logged = self.logged
        if logged is None or logged.as_of is None or self.since < floor_hour(logged.as_of) - ROWS_HELD:
            return None
        found = self.memo.get("active")
        if found is None:
            index = logged.index
            tables = [table for _, table in logged.rows(self.since, _end(logged))]
            groups = np.unique(np.concatenate([np.zeros(0, np.int32), *(table.group for table in tables)]))
            callers = np.unique(index.caller_of_group.values[groups])
            columns: Sequence[Numbers] = [
                index.of(Scope(ScopeKind.ORGANIZATION))[: len(callers)],
                index.key_of_caller.values[callers],
                index.model_of_caller.values[callers],
            ]
            found = self.memo["active"] = frozenset(np.concatenate(columns).tolist())
        made: frozenset[int] = found
        return made


class LiveSource:
    """Adds the current ledger snapshot to a snapshot of Anthropic's usage. `logged`: None if nothing is added."""

    def __init__(self, logged: Snapshots | None) -> None:
        self._logged = logged
        self._numbers: CallNumbers | None = None
        self._last: LiveSpend | None = None
        self._at_poll: _AtPoll | None = None

    def beside(self, usage: Snapshot) -> LiveSpend:
        """Combine; returns the same object while both are the same."""
        last = self._last
        if self._logged is None or usage.as_of is None:
            return LiveSpend(usage)
        logged = self._logged.current()
        if last is not None and last.usage is usage and last.logged is logged:
            return last
        index = logged.index
        at_poll = self._at_poll
        if at_poll is None or (at_poll.serial < usage.serial and at_poll.polled_at != usage.data.polled_at):
            at_poll = self._at_poll = _AtPoll(usage.serial, usage.data.polled_at, logged)
        if logged.as_of is None or not isinstance(index, LedgerIndex):
            return LiveSpend(usage)
        numbers = self._numbers
        if numbers is None or numbers.index is not index or numbers.names is not usage.names:
            numbers = self._numbers = CallNumbers(index, usage.names)
        by_then = at_poll.logged
        if at_poll.polled_at != usage.data.polled_at or by_then.index is not index:
            by_then = logged
        made = LiveSpend(
            usage=usage,
            logged=logged,
            numbers=numbers,
            since=_since(usage, logged, usage.as_of),
            polled_at=_polled_at(usage, logged),
            at_poll=None if by_then.as_of is None else by_then,
        )
        if last is not None:
            made.memo.update(_kept(last, made))
        self._last = made
        return made


def _kept(before: LiveSpend, after: LiveSpend) -> dict[Any, Any]:
    """Cached results that are still right: those of scopes with nothing logged since."""
    logged, was, numbers = after.logged, before.logged, after.numbers
    if logged is None or was is None or numbers is None or logged.as_of is None or numbers is not before.numbers:
        return {}
    if before.usage is not after.usage or (before.since, before.polled_at) != (after.since, after.polled_at):
        return {}
    touched = logged.touched_since(was.serial)
    if touched is None or before.at_poll is not after.at_poll:
        return {}
    found = {}
    # Copy in one go: another thread may add results.
    for key, value in list(before.memo.items()):
        if not isinstance(key, tuple) or not touched.isdisjoint(numbers.of(key[0]).tolist()):
            continue
        # The end of a period may cut an hour that is no longer kept by the minute.
        if key[1].ends_at > logged.as_of or key[1].ends_at == floor_hour(key[1].ends_at):
            found[key] = value
    return found


@dataclass(frozen=True, slots=True)
class _AtPoll:
    """What had been logged when a poll's data was first read."""

    serial: int
    polled_at: datetime | None
    logged: Snapshot


def _polled_at(usage: Snapshot, logged: Snapshot) -> datetime:
    """Minute of the last poll, or the end of its hour if the log is only known by the hour."""
    polled_at = usage.data.polled_at
    if polled_at is None:
        return NEVER
    hour = floor_hour(polled_at)
    return polled_at - (polled_at - hour) % MINUTE if _by_minute(logged, hour) else hour + HOUR


def _since(usage: Snapshot, logged: Snapshot, as_of: datetime) -> datetime:
    """Minute in which Anthropic's data ends, or its hour if either is only known by the hour."""
    hour = floor_hour(as_of)
    by_minute = _by_minute(usage, hour) and _by_minute(logged, hour)
    return as_of - (as_of - hour) % MINUTE if by_minute else hour


def _by_minute(snapshot: Snapshot, hour: datetime) -> bool:
    return hour in snapshot.by_minute or not snapshot.knows(hour)


def _end(logged: Snapshot) -> datetime:
    return max((hour for hour in logged.tables), default=floor_hour(logged.as_of or AFTER_EVERYTHING)) + HOUR


def _by_word(names: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id_, name in names.items():
        found.setdefault(name.casefold(), []).append(id_)
    return found


def _meant(called: str, names: Mapping[str, str], by_word: Mapping[str, Sequence[str]]) -> list[str]:
    """The ids this may mean: the same id, or ids with this name. An unknown text is an id."""
    if called in names:
        return [called]
    return list(by_word.get(called.casefold(), ())) or [called]
