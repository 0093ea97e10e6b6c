"""Stores raises: a step, its notice, its audit entry and its line of history are one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, Row, func, insert, or_, select, update

from bot.budgets.budget import Budget, LimitKind, RaisedLimit
from bot.budgets.change_store import record_raise
from bot.budgets.raises import REQUEST_LASTS, Raise, RaiseState
from bot.clock import DAY, Clock
from bot.db.engine import lock_for_writers
from bot.db.schema import raises
from bot.db.state import BOT, BUDGETS, Outcome, audited, bump, keep, versions_of
from bot.log_fields import About
from bot.notify.model import Action
from bot.notify.queue_store import insert_in_one_channel

ACTION = "raise"
"""Its name in the audit trail."""

STILL_KNOWN = 4 * DAY
"""Longer than a period is reviewed after its end."""

REFUSED = (RaiseState.DECLINED, RaiseState.EXPIRED, RaiseState.VOID)

Facts = Mapping[str, Sequence[RaisedLimit]]
"""Recent and current raises by budget."""


class NotPossibleError(Exception):
    """A click that changes nothing. `present`: the current raise; None if there is none."""

    def __init__(self, present: Raise | None) -> None:
        super().__init__("the raise is at another step")
        self.present = present


class RaiseStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._versions = versions_of(engine)
        self._known: tuple[int, tuple[Raise, ...], Facts] | None = None

    def recent(self, now: datetime) -> tuple[Raise, ...]:
        """Raises that wait for an admin, are in force or recently were; the same object while none has changed."""
        return self._read(now)[1]

    def limits(self, now: datetime) -> Facts:
        """The same raises, as the budgets show them."""
        return self._read(now)[2]

    def _read(self, now: datetime) -> tuple[int, tuple[Raise, ...], Facts]:
        version, known = self._versions.current(self._engine).get(BUDGETS, 0), self._known
        if known is None or known[0] != version:
            ends_at = func.coalesce(raises.c.ended_at, raises.c.until)
            in_force = raises.c.starts_at.is_not(None) & (ends_at > now - STILL_KNOWN)
            waits = raises.c.state.in_((RaiseState.ASKED, RaiseState.ACTIVE))
            with self._engine.connect() as connection:
                rows = connection.execute(select(raises.c.facts).where(or_(waits, in_force)).order_by(raises.c.id))
                found = tuple(map(_adapter().validate_python, rows.scalars()))
            limits: dict[str, list[RaisedLimit]] = {}
            for each in found:
                if each.raised is not None:
                    limits.setdefault(each.budget, []).append(each.raised)
            known = self._known = version, found, limits
        return known

    def find(self, raise_id: int) -> Raise | None:
        """A raise at its current step."""
        with self._engine.connect() as connection:
            return _found(connection, raise_id)

    def add(self, asked: Raise) -> Raise:
        """Store a raise that is requested, or in force from now on; returns it with its id."""
        with audited(self._engine) as connection:
            lock_for_writers(connection, raises)
            if asked.state is RaiseState.ACTIVE:
                _replace_others(connection, asked, asked.asked_at)
            kept = insert(raises).values(
                budget=asked.budget,
                limit_kind=asked.limit,
                base_usd=asked.base_usd,
                usd=asked.usd,
                until=asked.until,
                asked_by=asked.asked_by,
                asked_at=asked.asked_at,
                expires_at=asked.expires_at,
                reason=asked.reason,
                state=asked.state,
                facts={},
            )
            raise_id = int(connection.execute(kept.returning(raises.c.id)).scalar_one())
            found = replace(asked, raise_id=raise_id)
            _take(connection, found, asked.asked_by, asked.asked_at, "post")
        self._versions.changed()
        return found

    def step(
        self,
        raise_id: int,
        state: RaiseState,
        by: str | None,
        now: datetime,
        judged: Callable[[Raise], RaiseState | None] = lambda found: None,
        spent_usd: Decimal | None = None,
    ) -> Raise:
        """Bring a raise to its next step. `by`: None for time. `judged`: returns a step to take instead, if any.

        Raises `NotPossibleError` if it is not at the step before.
        """
        needed = RaiseState.ACTIVE if state in (RaiseState.ENDED, RaiseState.CANCELLED) else RaiseState.ASKED
        with audited(self._engine) as connection:
            lock_for_writers(connection, raises)
            found = _found(connection, raise_id)
            if found is None or found.state is not needed:
                raise NotPossibleError(found)
            state = judged(found) or state
            after = _after(found, state, by, now)
            if spent_usd is not None:
                after = replace(after, spent_usd=spent_usd)
            if state is RaiseState.ACTIVE:
                _replace_others(connection, after, now)
            _take(connection, after, by or BOT, now, "update")
            if state is RaiseState.ENDED:
                _notify(connection, after, "broadcast", now)
        self._versions.changed()
        return after


def close_of(connection: Connection, budget: str, by: str, now: datetime) -> None:
    """Close open raises of a removed budget, in the same transaction."""
    lock_for_writers(connection, raises)
    for found in _open(connection, budget):
        state = RaiseState.VOID if found.state is RaiseState.ASKED else RaiseState.CANCELLED
        _take(connection, _after(found, state, by, now), by, now, "update")


def _after(found: Raise, state: RaiseState, by: str | None, now: datetime) -> Raise:
    if state is RaiseState.ACTIVE:
        return replace(found, state=state, approved_by=by, starts_at=now)
    ended_at = None if found.starts_at is None else min(now, found.until)
    return replace(found, state=state, closed_by=by, ended_at=ended_at)


def _replace_others(connection: Connection, newer: Raise, now: datetime) -> None:
    for found in _open(connection, newer.budget):
        if found.limit is newer.limit and found.state is RaiseState.ACTIVE and found.raise_id != newer.raise_id:
            by = newer.approved_by or newer.asked_by
            _take(connection, _after(found, RaiseState.REPLACED, by, now), by, now, "update")


def _open(connection: Connection, budget: str) -> list[Raise]:
    states = (RaiseState.ASKED, RaiseState.ACTIVE)
    query = select(raises.c.facts).where(raises.c.budget == budget, raises.c.state.in_(states)).order_by(raises.c.id)
    return [_adapter().validate_python(facts) for facts in connection.execute(query).scalars().all()]


def _found(connection: Connection, raise_id: int) -> Raise | None:
    row: Row[Any] | None = connection.execute(select(raises.c.facts).where(raises.c.id == raise_id)).one_or_none()
    return None if row is None else _adapter().validate_python(row.facts)


def _take(connection: Connection, found: Raise, by: str, now: datetime, action: Action) -> None:
    """Store a step with its notice, audit entry and line of history."""
    connection.execute(
        update(raises)
        .where(raises.c.id == found.raise_id)
        .values(
            state=found.state,
            starts_at=found.starts_at,
            ended_at=found.ended_at,
            approved_by=found.approved_by,
            facts=_adapter().dump_python(found, mode="json"),
        )
    )
    _notify(connection, found, action, now)
    record_raise(connection, found, by, now)
    outcome: Outcome = "refused" if found.state in REFUSED else "done"
    until = f"{found.until:%Y-%m-%d %H:%M} UTC"
    detail = f"{found.budget} {found.limit} {found.base_usd:f} -> {found.usd:f} until {until} {found.state}"
    shown: About = {"incident": found.about, "budget": found.budget}
    keep(connection, now, by, ACTION, outcome, f"{detail}: {found.reason}", **shown)
    bump(connection, BUDGETS)


def _notify(connection: Connection, found: Raise, action: Action, now: datetime) -> None:
    facts = _adapter().dump_python(found, mode="json")
    insert_in_one_channel(connection, action, found.about, facts, now, found.channel, raise_id=found.raise_id)


@cache
def _adapter() -> TypeAdapter[Raise]:
    return TypeAdapter(Raise)


@dataclass(frozen=True, slots=True)
class Wish:
    """A request: a limit of a budget raised to `usd` until then. `with_period`: see `Raise`."""

    budget: Budget
    limit: LimitKind
    usd: Decimal
    until: datetime
    with_period: bool
    reason: str


class Raises:
    """Synchronous; asynchronous callers use a thread. Callers check permissions.

    `find`: the budget with this name, as in force. `spent`: its spend in its present period, USD. `channel_of`: the
    budget's own channel.
    """

    def __init__(
        self,
        store: RaiseStore,
        find: Callable[[str], Budget | None],
        spent: Callable[[Budget, datetime], Decimal | None],
        clock: Clock,
        channel_of: Callable[[Budget], str | None] = lambda budget: None,
    ) -> None:
        self.channel_of = channel_of
        self._store = store
        self._find = find
        self._spent = spent
        self._clock = clock

    def ask(self, wish: Wish, by: str) -> Raise:
        """Ask the channel's admins."""
        return self._store.add(self._wished(wish, by, RaiseState.ASKED))

    def start(self, wish: Wish, by: str) -> Raise:
        """Raise the limit at once: `by` is an admin."""
        wished = self._wished(wish, by, RaiseState.ACTIVE)
        return self._store.add(replace(wished, starts_at=wished.asked_at, approved_by=by))

    def approve(self, raise_id: int, by: str) -> Raise:
        """Raise the limit as requested; close a request that has expired or whose limit has changed.

        Raises `NotPossibleError`.
        """
        now = self._clock()

        def judged(found: Raise) -> RaiseState | None:
            if now >= found.expires_at:
                return RaiseState.EXPIRED
            return None if self._stands(found) else RaiseState.VOID

        return self._store.step(raise_id, RaiseState.ACTIVE, by, now, judged)

    def decline(self, raise_id: int, by: str) -> Raise:
        """Close a request. Raises `NotPossibleError`."""
        now = self._clock()
        return self._store.step(
            raise_id,
            RaiseState.DECLINED,
            by,
            now,
            lambda found: RaiseState.EXPIRED if now >= found.expires_at else None,
        )

    def cancel(self, raise_id: int, by: str) -> Raise:
        """End a raise early. Raises `NotPossibleError`."""
        now = self._clock()
        return self._store.step(
            raise_id,
            RaiseState.CANCELLED,
            by,
            now,
            lambda found: RaiseState.ENDED if now >= found.until else None,
        )

    def expire(self) -> None:
        """End raises whose time is over, and close requests that nobody answered in time."""
        now = self._clock()
        for each in self._store.recent(now):
            state = self._due(each, now)
            if state is None:
                continue
            budget = self._find(each.budget) if state is RaiseState.ENDED and not each.with_period else None
            spent_usd = None if budget is None else self._spent(budget, now)
            try:
                self._store.step(each.raise_id, state, None, now, spent_usd=spent_usd)
            except NotPossibleError:
                # Another copy or a click was faster.
                continue

    def _due(self, each: Raise, now: datetime) -> RaiseState | None:
        if each.state is RaiseState.ASKED:
            if now >= each.expires_at:
                return RaiseState.EXPIRED
            return None if self._stands(each) else RaiseState.VOID
        if each.state is not RaiseState.ACTIVE:
            return None
        if now >= each.until:
            return RaiseState.ENDED
        # A clock set far back would prolong it; a removed budget has no limits.
        return RaiseState.CANCELLED if self._find(each.budget) is None else None

    def _stands(self, asked: Raise) -> bool:
        """Whether the limit in question is still the same."""
        budget = self._find(asked.budget)
        if budget is None or _base(budget, asked.limit) != asked.base_usd:
            return False
        hard_usd = budget.hard_usd
        return asked.limit is LimitKind.HARD or hard_usd is None or asked.usd < hard_usd

    def _wished(self, wish: Wish, by: str, state: RaiseState) -> Raise:
        now = self._clock()
        return Raise(
            raise_id=0,
            budget=wish.budget.name,
            limit=wish.limit,
            base_usd=_base(wish.budget, wish.limit) or wish.usd,
            usd=wish.usd,
            until=wish.until,
            with_period=wish.with_period,
            asked_by=by,
            asked_at=now,
            expires_at=min(now + REQUEST_LASTS, wish.until),
            reason=wish.reason,
            state=state,
            spent_usd=self._spent(wish.budget, now),
            channel=self.channel_of(wish.budget),
        )


def _base(budget: Budget, kind: LimitKind) -> Decimal | None:
    """The limit without raises."""
    return next((each.base_usd for each in budget.raises if each.kind is kind), budget.limit(kind))
