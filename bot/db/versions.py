"""Counters that rise with every change of something, so that whoever remembers it knows when to read it anew.

All stores of one database look at them together: one statement tells each whether what it remembers is still right.
"""

import time
from collections.abc import Mapping
from threading import Lock
from typing import Any, Literal
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, select

from bot.db.schema import state
from bot.db.state import locked, remember

ALERTS: Literal["alerts_version"] = "alerts_version"
BUDGETS: Literal["budgets_version"] = "budgets_version"
USAGE: Literal["usage_version"] = "usage_version"
DATA: Literal["data"] = "data"
NAMES: Literal["names_read_at"] = "names_read_at"
LEDGER: Literal["ledger"] = "ledger"

KEYS = (ALERTS, BUDGETS, USAGE, DATA, NAMES, LEDGER)

CHECK_SECONDS = 0.5
"""What another copy of the bot has changed is seen this much later at most; what this one has, at once."""


def bump(connection: Connection, what: Literal["alerts_version", "budgets_version"]) -> None:
    """Count a change, in the transaction that makes it."""
    remember(connection, what, locked(connection, what, 0) + 1)


class Versions:
    """What the database says of them, looked at anew where something may have changed."""

    def __init__(self) -> None:
        self._own = object()
        """Another one after every change of this copy, whichever threads make changes at once."""

        self._known: tuple[object, float, Mapping[str, Any]] | None = None

    def changed(self) -> None:
        """This copy has committed a change."""
        self._own = object()

    def current(self, engine: Engine) -> Mapping[str, Any]:
        """By key; the same value as long as nothing has changed."""
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
    """The one for all stores of this database."""
    with _LOCK:
        found = _OF_ENGINE.get(engine)
        if found is None:
            found = _OF_ENGINE[engine] = Versions()
        return found
