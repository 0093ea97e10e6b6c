"""Which of several copies on one database polls and delivers: the one that holds the lease.

Both kinds end with the process that holds them, however it ends.
"""

import threading
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

ADVISORY_KEY = 0x636C_636F_7374
"""The advisory lock's number in PostgreSQL; any constant does as long as it stays the same."""


class Lease(Protocol):
    """Never waits for another copy. Several threads may ask at once."""

    def acquire(self) -> bool:
        """Whether this copy holds the lease now."""
        ...

    def release(self) -> None: ...

    def held(self) -> bool:
        """Whether this copy held the lease when it last looked. No I/O."""
        ...

    def predecessor_alive(self) -> bool:
        """Whether the copy that held the lease before this one may still be at work. No I/O."""
        ...


class FileLease:
    """For SQLite: a lock on a file beside the database."""

    def __init__(self, database: Path) -> None:
        # Two ways to write one path are one database.
        self._lock = FileLock(f"{database.resolve()}.lock", thread_local=False)
        self._one_thread = threading.Lock()

    def acquire(self) -> bool:
        with self._one_thread:
            if self._lock.is_locked:
                return True
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                return False
            return True

    def release(self) -> None:
        with self._one_thread:
            self._lock.release()

    def held(self) -> bool:
        return self._lock.is_locked

    def predecessor_alive(self) -> bool:
        """Never: the lock is freed by the end of its process."""
        return False


class AdvisoryLease:
    """For PostgreSQL: an advisory lock, held by a connection that is kept open for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._one_thread = threading.Lock()

    def acquire(self) -> bool:
        with self._one_thread:
            if self._connection is not None:
                if self._alive(self._connection):
                    return True
                self._drop()
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_KEY}).scalar_one():
                    self._connection = connection
                    return True
            finally:
                if self._connection is None:
                    connection.close()
            return False

    def release(self) -> None:
        with self._one_thread:
            self._drop()

    def held(self) -> bool:
        return self._connection is not None

    def predecessor_alive(self) -> bool:
        """May be: the lock is freed by the end of its connection."""
        return True

    def _drop(self) -> None:
        if self._connection is not None:
            # Closing the session frees the lock; giving it back to the pool would not.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    @staticmethod
    def _alive(connection: Connection) -> bool:
        try:
            connection.execute(text("SELECT 1"))
        except OperationalError:
            return False
        return True


def lease_for(engine: Engine) -> Lease:
    """The kind of lease that fits the database."""
    if engine.dialect.name == "sqlite":
        return FileLease(Path(str(engine.url.database)))
    return AdvisoryLease(engine)
