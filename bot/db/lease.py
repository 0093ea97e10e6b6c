"""The lease: a row of the database that decides which copy of the bot polls and decides.

The owner renews the row. A renewal lasts `Timing.hold` seconds from its begin. Another copy takes the row when it has
seen no renewal for `Timing.term` seconds, which is longer. Each copy measures by its own monotonic clock, so their
clocks need not agree. An owner that is frozen or cut off loses the lease before another copy can take it.

Beside an SQLite database the owner also locks a file. If its lock is free, the owner is dead, and the next copy does
not wait for the term. A held lock proves nothing, and without a usable file only the row counts. PostgreSQL has no
equivalent, since a cut connection does not mean a dead process.
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import lock_descriptor
from sqlalchemy import Connection, Engine, Row, func, insert, select, type_coerce, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bot.clock import seconds_since_boot
from bot.db.engine import connect_again, database_problem
from bot.db.schema import UTCDateTime, lease
from bot.db.sqlite import SqliteEngine
from bot.db.timeouts import LEASE_LIMITS, Limits

FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags of `os.open`: follow no link, and do not block on a pipe, in the place of the file."""


class Lock(Enum):
    """The outcome of an attempt to take the lock."""

    TAKEN = auto()
    HELD_BY_ANOTHER = auto()
    UNUSABLE = auto()


class LockFile:
    """The lock on a file beside an SQLite database. It ends with the process, however that ends. Not thread-safe.

    `problem`: why the file could not be used at the last attempt, as a clause. `identity`: device and inode of the
    locked file, by which a deleted and recreated file is recognised.
    """

    def __init__(self, database: Path) -> None:
        # Two spellings of one path are one database.
        self.path = Path(f"{database.resolve()}.lock")
        self.identity: str | None = None
        self.problem: str | None = None
        self._descriptor: int | None = None

    def take(self, *, create: bool = True) -> Lock:
        """Try to lock the file, without waiting. `create`: whether to create it."""
        if self._descriptor is not None:
            return Lock.TAKEN
        descriptor = None
        try:
            descriptor = self._open(create)
            taken = lock_descriptor(descriptor, blocking=False)
            found = os.fstat(descriptor)
        except OSError as error:
            self.problem = error.strerror or type(error).__name__
            _close(descriptor)
            return Lock.UNUSABLE
        self.problem = None
        if not taken:
            _close(descriptor)
            return Lock.HELD_BY_ANOTHER
        self._descriptor = descriptor
        self.identity = f"{found.st_dev}:{found.st_ino}"
        return Lock.TAKEN

    def release(self) -> None:
        """Release the lock, if held. The file stays: another process may have it open."""
        _close(self._descriptor)
        self._descriptor = self.identity = None

    def _open(self, create: bool) -> int:
        try:
            return os.open(self.path, os.O_RDWR | FLAGS | (os.O_CREAT if create else 0), 0o644)
        except PermissionError:
            # A file of another user can be locked too, if it is readable.
            return os.open(self.path, os.O_RDONLY | FLAGS)


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


log = logging.getLogger(__name__)

NEXT = lease.c.renewals + 1

Monotonic = Callable[[], float]
"""Seconds that never go back."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of the lease, in seconds.

    `renew`: between two renewals of the owner. `look`: between two attempts of a standby copy. `hold`: how long a
    renewal lasts. `term`: how long a standby copy waits for a renewal before it takes over. A frozen owner is replaced
    after `term` and two `look`s at the latest.
    """

    renew: float = 3
    look: float = 2
    hold: float = 10
    term: float = 15


@dataclass(frozen=True, slots=True)
class Owner:
    """The copy that holds the lease, for people. `since`: by the database's clock."""

    host: str | None
    pid: int | None
    version: str | None
    since: datetime | None

    def __str__(self) -> str:
        return f"host {self.host}, process {self.pid}, version {self.version}"


@dataclass(frozen=True, slots=True)
class _Seen:
    """The row when this copy first saw its newest change. `at`: seconds by this copy's monotonic clock."""

    owner: str | None
    renewals: int
    at: float


class Lease:
    """This copy's view of the lease. Thread-safe.

    `acquire` and `release` do I/O within `LEASE_LIMITS` and never wait for another copy. `held` reads memory only:
    check it before each action that only one copy may take. Such an action may still be under way when another copy
    takes over, since a request to Slack lasts longer than the difference between `hold` and `term`: see
    `previous_may_live`.
    """

    def __init__(
        self,
        engine: Engine,
        timing: Timing | None = None,
        now: Monotonic = seconds_since_boot,
        limits: Limits = LEASE_LIMITS,
    ) -> None:
        self.timing = timing or Timing()
        self._now = now
        self._token = secrets.token_hex(16)
        self._file = engine.file if isinstance(engine, SqliteEngine) else None
        self._lock = None if self._file is None else LockFile(self._file.path)
        # An engine of its own, so that no other work of this process delays a renewal.
        self._engine = connect_again(engine, limits)
        self._connection: Connection | None = None
        self._one_thread = threading.Lock()
        self._owns_row = False
        self._renewed: float | None = None
        self._seen: _Seen | None = None
        self.problem: str | None = None
        """Why the last attempt did not reach the row, as a sentence; None if it did."""
        self.lock_problem: str | None = None
        """What an unusable lock file means, as a sentence; None if it is usable."""
        self.other: Owner | None = None
        """The other copy that held the lease at the last attempt."""
        self.other_is_alive = False
        """Whether that copy has renewed the lease since this one first looked."""
        self.previous_may_live = False
        """Whether the owner before may still be making calls, since it only stopped renewing.

        False if it released the lease or is known to be dead.
        """

    def acquire(self) -> bool:
        """Renew the lease, or take it if it is free. Returns whether this copy holds it."""
        with self._one_thread:
            began = self._now()
            gone = None if self._file is None else self._file.problem()
            if gone is not None:
                self._lose(str(gone))
                return False
            try:
                won = self._renew() or self._take()
            except SQLAlchemyError as error:
                self._disconnect()
                # The owner may have been unable to renew as well, so start to wait anew.
                self._seen = None
                self.problem = database_problem(error)
                return self.held()
            self.problem = None
            if won:
                self._renewed, self.other, self.other_is_alive = began, None, False
            else:
                self._lose(None)
            return self.held()

    def held(self) -> bool:
        """Whether this copy holds the lease now. No I/O."""
        renewed = self._renewed
        return renewed is not None and 0 <= self._now() - renewed < self.timing.hold

    def silent_for(self) -> float:
        """Seconds since this copy last saw the row change; 0 if it has not looked."""
        seen = self._seen
        return 0 if seen is None else self._now() - seen.at

    def release(self) -> None:
        """Release the lease, if held, and close the connection."""
        with self._one_thread:
            owned, self._owns_row, self._renewed = self._owns_row, False, None
            try:
                if owned:
                    self._free_row()
            except SQLAlchemyError as error:
                log.warning("the lease was not released; other copies wait for its term: %s", database_problem(error))
            finally:
                self._disconnect()
                if self._lock is not None:
                    self._lock.release()

    def _free_row(self) -> None:
        free = update(lease).where(lease.c.owner == self._token).values(owner=None, renewals=NEXT, lock=None)
        try:
            self._execute(free)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The connection was cut while it was idle; the server may accept a new one.
            self._disconnect()
            self._execute(free)

    def _renew(self) -> bool:
        if not self._owns_row:
            return False
        if self._lock is not None:
            self._try_lock(self._lock)
        values = {"renewals": NEXT, "renewed_at": func.now(), "lock": self._lock.identity if self._lock else None}
        self._owns_row = self._execute(update(lease).where(lease.c.owner == self._token).values(values)) == 1
        return self._owns_row

    def _take(self) -> bool:
        row = self._look()
        over = self.silent_for() >= self.timing.term
        lock = None if self._lock is None else self._try_lock(self._lock)
        if row.owner == self._token:
            # This copy took it, and the response was lost.
            proven = not self.previous_may_live
        elif row.owner is None:
            # The lock may still be held: by an owner that is just releasing, an older version, or a frozen one.
            proven = lock is not Lock.HELD_BY_ANOTHER
        else:
            proven = self._lock is not None and lock is Lock.TAKEN and row.lock == self._lock.identity
            self.other = Owner(row.host, row.pid, row.version, row.since)
            self.other_is_alive = self.other_is_alive or lock is Lock.HELD_BY_ANOTHER
        if not proven and not over and row.owner != self._token:
            return False
        self.previous_may_live = not proven
        own = {
            "owner": self._token,
            "renewals": NEXT,
            "lock": self._lock.identity if self._lock else None,
            "host": socket.gethostname()[:255],
            "pid": os.getpid(),
            "version": version("claude-cost-bot"),
            "since": func.now(),
            "renewed_at": func.now(),
        }
        unchanged = (lease.c.owner.is_not_distinct_from(row.owner), lease.c.renewals == row.renewals)
        self._owns_row = self._execute(update(lease).where(*unchanged).values(own)) == 1
        return self._owns_row

    def _look(self) -> Row[Any]:
        with self._connected() as connection:
            row = connection.execute(select(lease)).one_or_none()
            if row is None:
                connection.execute(insert(lease).values(id=1, renewals=0))
                row = connection.execute(select(lease)).one()
        seen = self._seen
        if seen is None or (seen.owner, seen.renewals) != (row.owner, row.renewals):
            self.other_is_alive = seen is not None and row.owner is not None
            self._seen = _Seen(row.owner, row.renewals, self._now())
        return row

    def _lose(self, problem: str | None) -> None:
        self._owns_row, self._renewed, self.previous_may_live, self.problem = False, None, False, problem
        if self._lock is not None:
            self._lock.release()

    def _try_lock(self, lock: LockFile) -> Lock:
        result = lock.take()
        known = self.lock_problem
        self.lock_problem = None if lock.problem is None else lock_sentence(lock, self.timing)
        if self.lock_problem is not None and known is None:
            log.warning("%s", self.lock_problem)
        return result

    def _execute(self, statement: Any) -> int:
        with self._connected() as connection:
            return connection.execute(statement).rowcount

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        yield self._connection
        # The database commits each statement by itself; this ends SQLAlchemy's transaction.
        self._connection.rollback()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The lease, for people. `silent_for`: seconds since the last renewal, by the database's clock.

    `dead`: whether the owner's process is known to have ended. `lock_problem`: as in `Lease`.
    """

    owner: Owner | None
    silent_for: float
    dead: bool
    lock_problem: str | None


def lease_state(engine: Engine, timing: Timing | None = None) -> LeaseState:
    """Read the lease without taking it and without creating a file. Raises `SQLAlchemyError`."""
    with engine.connect() as connection:
        found = connection.execute(select(lease, type_coerce(func.now(), UTCDateTime).label("now"))).one_or_none()
    lock = LockFile(engine.file.path) if isinstance(engine, SqliteEngine) else None
    result, identity, problem = None, None, None
    if lock is not None:
        result, identity = lock.take(create=False), lock.identity
        lock.release()
        if lock.problem is not None and os.path.lexists(lock.path):
            problem = lock_sentence(lock, timing or Timing())
    if found is None or found.owner is None:
        return LeaseState(None, 0, False, problem)
    dead = result is Lock.TAKEN and found.lock == identity
    silent_for = (found.now - found.renewed_at).total_seconds() if found.renewed_at else 0
    return LeaseState(Owner(found.host, found.pid, found.version, found.since), silent_for, dead, problem)


def lock_sentence(lock: LockFile, timing: Timing) -> str:
    """A sentence about the consequence of an unusable lock file, with the remedy."""
    return (
        f"The lock file {lock.path} cannot be used ({lock.problem}): after a crash the next copy waits "
        f"{timing.term:g} s before it polls. Delete it, or correct its owner and its rights."
    )
