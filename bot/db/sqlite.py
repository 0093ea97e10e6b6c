"""SQLite: readers wait for no writer, and a deleted or replaced database file is noticed."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import OperationalError
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from bot.db.timeouts import KEPT_CONNECTIONS, Limits
from bot.language import Text, tr_lazy
from bot.threads import MOST_CONNECTIONS

WRITES = "claude_cost_writes"
"""Execution option of a connection whose transaction will write."""


CHECK_REFERENCES = "PRAGMA foreign_key_check"

LOOKED_THROUGH = 64 * 2**20
"""Largest database, in bytes, that is checked completely at a start, in about a tenth of a second. The daily backup
checks any size.
"""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DatabaseFileError(sqlite3.OperationalError):
    """The database's file is not the one that was opened; the message is one sentence with the remedy."""


class DatabaseFile:
    """The file that was first opened under this path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, int] | None = None

    def note(self) -> None:
        """Record the current file as the opened one, once."""
        if self._opened is None:
            with suppress(OSError):
                self._opened = self._there()

    def problem(self) -> Text | None:
        """A sentence if the file was deleted or replaced since; None if not, or if that cannot be checked."""
        if self._opened is None:
            return None
        try:
            if self._there() == self._opened:
                return None
        except (FileNotFoundError, NotADirectoryError):
            return tr_lazy(
                "The database file {path} was deleted or moved away while the bot runs, so nothing is polled, sent or "
                "stored: put it back, then restart the bot.",
                path=self.path,
            )
        except OSError:
            return None
        return tr_lazy(
            "The database file {path} was replaced by another one while the bot runs, so nothing is polled, sent or "
            "stored: put it back, then restart the bot.",
            path=self.path,
        )

    def _there(self) -> tuple[int, int]:
        # A descriptor of our own would drop SQLite's locks when it is closed.
        found = os.stat(self.path)
        return found.st_dev, found.st_ino


class SqliteEngine(Engine):
    """`begin()` is for writing and takes the write lock at once; `connect()` is for reading and takes none.

    A transaction that reads first and then writes would fail at once beside another writer instead of waiting.
    """

    file: DatabaseFile

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that may write, committed at its end."""
        with self.connect() as connection:
            connection.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection


def connect_sqlite(url: str, limits: Limits, file: DatabaseFile | None = None) -> SqliteEngine:
    """An engine, before migrations. `file`: of an engine that has already opened the database."""
    parsed = make_url(url)
    if file is None and parsed.database not in (None, "", ":memory:"):
        make_private(Path(str(parsed.database)))
    arguments = {} if "timeout" in parsed.query else {"timeout": limits.busy}
    made = create_engine(
        parsed,
        connect_args=arguments,
        pool_timeout=limits.pool,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=MOST_CONNECTIONS - KEPT_CONNECTIONS,
    )
    engine = SqliteEngine(made.pool, made.dialect, made.url, execution_options=made.get_execution_options())
    engine.file = file or DatabaseFile(Path(str(parsed.database)))

    def refuse_another_file(*_: Any) -> None:
        problem = engine.file.problem()
        if problem is not None:
            raise DatabaseFileError(problem)

    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        # SQLAlchemy's own events begin transactions; sqlite3 would commit behind its back around DDL.
        connection.isolation_level = None
        _write_ahead(connection, limits.busy)
        engine.file.note()
        for pragma in ("foreign_keys = ON", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") == "AUTOCOMMIT":
            return
        if not options.get(WRITES):
            connection.exec_driver_sql("BEGIN")
            return
        problem = engine.file.problem()
        if problem is not None:
            raise OperationalError("BEGIN IMMEDIATE", None, DatabaseFileError(problem))
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "do_connect", refuse_another_file)
    event.listen(engine.pool, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


@contextmanager
def rebuilding(engine: Engine) -> Iterator[Connection]:
    """A transaction in which tables may be rebuilt: references are checked at its end, not when a table is dropped.

    Raises SQLAlchemy's `OperationalError` and changes nothing if a reference has been lost.
    """
    with engine.connect() as connection:
        # Within a transaction SQLite would ignore this.
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.execute("PRAGMA foreign_keys = OFF")
        try:
            connection.execution_options(**{WRITES: True})
            with connection.begin():
                before = connection.exec_driver_sql(CHECK_REFERENCES).all()
                yield connection
                lost = [row for row in connection.exec_driver_sql(CHECK_REFERENCES).all() if row not in before]
                if lost:
                    reason = f"a row of {lost[0][0]} would refer to a row of {lost[0][2]} that is not there"
                    raise OperationalError(CHECK_REFERENCES, None, sqlite3.OperationalError(reason))
        finally:
            raw.execute("PRAGMA foreign_keys = ON")


def fault_at_start(engine: SqliteEngine) -> str | None:
    """What is wrong in a database small enough to check at every start; None if nothing is."""
    with suppress(OSError):
        if engine.file.path.stat().st_size <= LOOKED_THROUGH:
            with engine.connect() as connection:
                found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
            return None if found == "ok" else " ".join(found.split())[:200].rstrip(".")
    return None


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file is not a complete database."""
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF in DAMAGED or "unsupported file format" in str(cause))


def _busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _write_ahead(connection: sqlite3.Connection, seconds: float) -> None:
    # SQLite's own time-out does not apply to this statement while another copy makes the same change to a new file.
    patient = retry(
        retry=retry_if_exception(_busy), wait=wait_fixed(0.05), stop=stop_after_delay(seconds), reraise=True
    )
    patient(connection.execute)("PRAGMA journal_mode = WAL")


PRIVATE = 0o600


def make_private(path: Path) -> None:
    """Create a database file that only the bot's user may read, whatever the umask; SQLite's other files follow it.

    An existing file keeps its mode. If the file cannot be created, the following open reports why.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE))
    except OSError:
        return


def open_to_others(path: Path) -> bool:
    """Whether another user may read or write the file."""
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False
