"""Counters that rise with every change of something, so that whoever remembers it knows when to read it anew."""

import time
from typing import Literal

from sqlalchemy import Connection, select

from bot.store.remembered import remember
from bot.store.schema import state

Versioned = Literal["alerts_version", "budgets_version"]

CHECK_SECONDS = 0.5
"""What another copy of the bot has changed is seen this much later at most; what this one has, at once."""


def bump(connection: Connection, what: Versioned) -> None:
    """Count a change, in the transaction that makes it."""
    remember(connection, what, version(connection, what) + 1)


def version(connection: Connection, what: Versioned) -> int:
    """How many changes there were."""
    found = connection.execute(select(state.c.value).where(state.c.key == what)).scalar_one_or_none()
    return 0 if found is None else int(found)


class LastCheck:
    """When was looked last for changes of others. `own`: how many changes were made here."""

    def __init__(self) -> None:
        self._at = float("-inf")
        self._own = -1

    def is_due(self, own: int) -> bool:
        """Whether to look again."""
        return own != self._own or time.monotonic() - self._at >= CHECK_SECONDS

    def done(self, own: int) -> None:
        """Looked, as of that many changes."""
        self._at, self._own = time.monotonic(), own
