"""The tables `state` and `audit`: the bot's own values, and who did or tried what.

A counter in `state` rises with every change of its subject, so that a cache knows when to reload. All stores of a
database share one `Versions`, which reads all counters in one statement.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, Literal, Unpack
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.db.schema import audit, state
from bot.log_fields import About, Event, fields

log = logging.getLogger(__name__)


class StateStore:
    """Values of the table `state`, as JSON. `prefix`: of their keys. Synchronous."""

    def __init__(self, engine: Engine, prefix: str = "") -> None:
        self._engine = engine
        self._prefix = prefix

    def get(self, key: str) -> Any:
        """The value of a key; None if it has none."""
        with self._engine.connect() as connection:
            return connection.execute(
                select(state.c.value).where(state.c.key == self._prefix + key)
            ).scalar_one_or_none()

    def put(self, key: str, value: Any) -> None:
        """Replace the value of a key."""
        with self._engine.begin() as connection:
            save_state(connection, self._prefix + key, value)


def save_state(connection: Connection, key: str, value: Any) -> None:
    """Replace the value of a key within a transaction. Other copies may do so at the same time."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    kept = dialect.insert(state).values(key=key, value=value)
    connection.execute(kept.on_conflict_do_update(index_elements=[state.c.key], set_={"value": kept.excluded.value}))


def locked(connection: Connection, key: str, first: Any) -> Any:
    """The value of a key, which becomes `first` if it has none. It stays locked until the transaction ends."""
    query = select(state.c.value).where(state.c.key == key).with_for_update()
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        # A missing row cannot be locked, so insert it: of two copies, the second waits here.
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(state).values(key=key, value=first).on_conflict_do_nothing())
        found = connection.execute(query).scalar_one()
    return found


ALERTS: Literal["alerts_version"] = "alerts_version"
BUDGETS: Literal["budgets_version"] = "budgets_version"
DIGESTS: Literal["digests_version"] = "digests_version"
USAGE: Literal["usage_version"] = "usage_version"
DATA: Literal["data"] = "data"
NAMES: Literal["names_read_at"] = "names_read_at"
LEDGER: Literal["ledger"] = "ledger"
ATTRIBUTION: Literal["attribution"] = "attribution"

KEYS = (ALERTS, BUDGETS, DIGESTS, USAGE, DATA, NAMES, LEDGER, ATTRIBUTION)

CHECK_SECONDS = 0.5
"""Most seconds until a change of another copy is seen. This copy's own changes are seen at once."""


def bump(connection: Connection, what: Literal["alerts_version", "budgets_version", "digests_version"]) -> None:
    """Raise a counter, in the transaction of the change."""
    save_state(connection, what, locked(connection, what, 0) + 1)


class Versions:
    """The counters of a database, read again once one may have changed. Thread-safe."""

    def __init__(self) -> None:
        self._own = object()
        """Replaced at every change of this copy, so that concurrent changes need no lock."""

        self._known: tuple[object, float, Mapping[str, Any]] | None = None

    def changed(self) -> None:
        """Note that this copy has committed a change."""
        self._own = object()

    def current(self, engine: Engine) -> Mapping[str, Any]:
        """The counters by key; the same object while nothing has changed."""
        own, known = self._own, self._known
        if known is not None and known[0] is own and time.monotonic() - known[1] < CHECK_SECONDS:
            return known[2]
        at = time.monotonic()
        query = select(state.c.key, state.c.value).where(state.c.key.in_(KEYS))
        with engine.connect() as connection:
            found: Mapping[str, Any] = {row.key: row.value for row in connection.execute(query)}
        if known is not None and known[2] == found:
            found = known[2]
        self._known = own, at, found
        return found


_OF_ENGINE: WeakKeyDictionary[Engine, Versions] = WeakKeyDictionary()
_LOCK = Lock()


def versions_of(engine: Engine) -> Versions:
    """The `Versions` that all stores of this database share."""
    with _LOCK:
        found = _OF_ENGINE.get(engine)
        if found is None:
            found = _OF_ENGINE[engine] = Versions()
        return found


Outcome = Literal["done", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class _Entry:
    actor: str
    action: str
    outcome: Outcome
    detail: str
    shown: About


_ENTRIES: ContextVar[list[_Entry]] = ContextVar("_ENTRIES")


@contextmanager
def audited(engine: Engine) -> Iterator[Connection]:
    """A transaction that may `keep` entries in the audit trail. Once committed, each is also a line of the log."""
    entries: list[_Entry] = []
    before = _ENTRIES.set(entries)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        _ENTRIES.reset(before)
    for entry in entries:
        _log(entry)


def keep(
    connection: Connection,
    at: datetime,
    actor: str,
    action: str,
    outcome: Outcome,
    detail: str,
    **shown: Unpack[About],
) -> None:
    """Add an entry, within `audited`. `actor`: a Slack user id, or `BOT`. `shown`: further fields of its log line.

    Raises `LookupError` outside of `audited`.
    """
    _ENTRIES.get().append(_Entry(actor, action, outcome, detail, shown))
    _insert(connection, at, actor, action, outcome, detail)


def keep_refusal(connection: Connection, at: datetime, actor: str, action: str, detail: str) -> None:
    """Add an entry for a refusal, which is logged where it is made."""
    _insert(connection, at, actor, action, "refused", detail)


def _insert(connection: Connection, at: datetime, actor: str, action: str, outcome: Outcome, detail: str) -> None:
    entry = {"at": at, "actor": actor, "action": action, "outcome": outcome, "detail": detail}
    connection.execute(insert(audit).values(entry))


OF_ALERTS = "alert "
"""Prefix of the actions that are steps of alerts."""


def _log(entry: _Entry) -> None:
    if entry.action.startswith(OF_ALERTS):
        step = entry.action.removeprefix(OF_ALERTS)
        more = fields(event=Event.TRANSITION, status=step, user=entry.actor, **entry.shown)
        log.info("alert %s: %s by %s", entry.detail, step, entry.actor, extra=more)
        return
    action, by, outcome, reason = entry.action, entry.actor, entry.outcome, entry.detail
    more = fields(event=Event.CHANGE, user=by, action=action, outcome=outcome, reason=reason, **entry.shown)
    log.info("%s by %s: %s, %s", action, by, outcome, reason, extra=more)


BOT = "claude-cost"
"""The actor of automatic changes. No id of a Slack user has this form."""


@dataclass(frozen=True, slots=True)
class Person:
    """A Slack user, as identified by a request.

    `teams`, `enterprises`: workspaces and organizations in the request, including the user's own. An id is only unique
    within its workspace or organization.
    """

    id: str
    teams: frozenset[str] = frozenset()
    enterprises: frozenset[str] = frozenset()
