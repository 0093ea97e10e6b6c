"""Open the database: SQLite or PostgreSQL, migrated to the current schema.

`engine.begin()` is for a transaction that writes, `engine.connect()` for one that only reads and waits for no writer.

Error messages do not quote drivers: drivers quote their input, which may hold part of the password when the URL is
malformed. Only known words of the driver are passed on.
"""

import logging
import re
import sqlite3
from dataclasses import dataclass, replace
from importlib.resources import files

from sqlalchemy import URL, Connection, Engine, Table, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from bot.addresses import database_address
from bot.db.sqlite import DatabaseFileError, SqliteEngine, connect_sqlite, fault_at_start, is_damage
from bot.db.timeouts import LIMITS, Limits
from bot.language import tr, tr_noop


class UnknownRevisionError(ValueError):
    """Only a newer version of the bot knows this revision of the schema; the message is the revision."""


_KNOWN = (
    ("has not answered", tr_noop("the server has not answered in time")),
    ("password authentication failed", tr_noop("the server refuses the user or the password")),
    ("no password supplied", tr_noop("the server asks for a password, and the address has none")),
    ("no pg_hba.conf entry", tr_noop("the server's pg_hba.conf does not allow this user from this host")),
    ("certificate verify failed", tr_noop("the server's certificate cannot be verified")),
    ("root certificate file", tr_noop("the file of sslrootcert cannot be read")),
    ("certificate file", tr_noop("the file of sslcert cannot be read")),
    ("private key file", tr_noop("the file of sslkey cannot be read, or its rights are too wide")),
    ("does not support ssl", tr_noop("the server does not support TLS, which sslmode requires")),
    ("invalid sslmode", tr_noop("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")),
    ("weak sslmode", tr_noop("sslmode is too weak for the other options")),
    ("definition of service", tr_noop("the service of the address is in no service file")),
    ("service file", tr_noop("the service file cannot be read")),
    ("invalid connection option", tr_noop("the address has an option that PostgreSQL does not know")),
    ("invalid uri query parameter", tr_noop("the address has an option that PostgreSQL does not know")),
    ("invalid integer value", tr_noop("an option of the address must be a whole number")),
    ("invalid port number", tr_noop("the port is a number from 1 to 65535")),
    ("could not parse network address", tr_noop("hostaddr must be an IP address")),
    ("bad value for", tr_noop("an option of the address has a value that PostgreSQL does not know")),
    ("invalid", tr_noop("an option of the address has a value that PostgreSQL does not know")),
    ("connection refused", tr_noop("connection refused: nothing is listening on that host and port")),
    ("could not translate host name", tr_noop("the host name cannot be resolved")),
    ("name or service not known", tr_noop("the host name cannot be resolved")),
    ("timeout expired", tr_noop("connection timed out")),
    ("timed out", tr_noop("connection timed out")),
    ("network is unreachable", tr_noop("connection failed: the network is unreachable")),
    ("no route to host", tr_noop("connection failed: no route to that host")),
    ("no such file or directory", tr_noop("connection failed: no PostgreSQL is listening on this machine's socket")),
    ("server closed the connection", tr_noop("the server closed the connection")),
    ("terminating connection", tr_noop("the server closed the connection")),
    ("too many c", tr_noop("the server has too many connections already")),
    ("remaining connection slots", tr_noop("the server has too many connections already")),
    ("starting up", tr_noop("the server is starting up")),
    ("shutting down", tr_noop("the server is shutting down")),
    ("permission denied", tr_noop("the user lacks rights in that database")),
    ("must be owner", tr_noop("the user does not own the tables")),
    ("already exists", tr_noop("a table of the same name exists and is not the bot's")),
    ("read-only", tr_noop("the server is read-only")),
)
"""Parts of PostgreSQL's and libpq's messages, in lower case, with the clause shown instead."""

_MISSING = re.compile(r'(database|role) ".*" does not exist', re.DOTALL)
_NO_DIALECT = re.compile(r"Can't load plugin: sqlalchemy\.dialects:([a-z]{1,16}(?:\.[a-z]{1,16})?)")


def reason_of(error: BaseException) -> str:
    """One clause that quotes no part of the URL."""
    cause = getattr(error, "orig", None) or error
    text = str(cause)
    if isinstance(cause, sqlite3.Error):
        # SQLite's messages only name tables.
        return text.strip().splitlines()[0] if text.strip() else type(cause).__name__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if (dialect := _NO_DIALECT.fullmatch(text)) is not None:
        return f"{dialect[1]} is not a kind of database that the bot supports"
    if (missing := _MISSING.search(text)) is not None:
        return f"the {'user' if missing[1] == 'role' else missing[1]} does not exist there"
    lower = text.lower()
    for sign, clause in _KNOWN:
        if sign in lower:
            return clause
    if isinstance(cause, ArgumentError | ValueError | TypeError):
        return "an option of the address cannot be used"
    state = getattr(cause, "sqlstate", None)
    return type(cause).__name__ if not state else f"{type(cause).__name__}, SQLSTATE {state}"


log = logging.getLogger(__name__)

HEAD = "head"
NAME = re.compile(r"v([0-9]{4})_\w+\.py")
"""File name of a migration."""

UNDEFINED_TABLE = "42P01"
"""PostgreSQL's error code."""

UNUSABLE = (ModuleNotFoundError, SQLAlchemyError, OSError, ValueError, TypeError)
"""What SQLAlchemy and the drivers raise for an unusable URL."""


class DatabaseError(Exception):
    """The database cannot be used; the message is one sentence with the remedy."""


class DamagedDatabaseError(DatabaseError):
    """The file is not a complete database. `damage`: a clause that names it, without the remedy."""

    def __init__(self, damage: str) -> None:
        super().__init__(f"{damage}: run claude-cost restore FILE with a backup of it.")
        self.damage = damage


def open_database(url: str) -> Engine:
    """An engine on a database with the current schema. Raises `DatabaseError`."""
    engine = None
    try:
        engine = connect(url)
        if isinstance(engine, SqliteEngine) and (fault := fault_at_start(engine)) is not None:
            engine.dispose()
            raise DamagedDatabaseError(_damage(url, fault))
        migrate(engine)
    except UNUSABLE as error:
        if engine is not None:
            engine.dispose()
        raise _refusal(error, url) from None
    return engine


@dataclass(frozen=True, slots=True)
class SchemaState:
    """`present`: revision of the database, None without the bot's tables. `newest`: this version's."""

    present: str | None
    newest: str


def look_into(url: str, seconds: int) -> tuple[Engine, SchemaState]:
    """An engine on a database as it is, without migrating it. `seconds`: longest wait for a server.

    Raises `DatabaseError`. A missing SQLite file is created, without tables.
    """
    engine = None
    try:
        engine = connect(url, replace(LIMITS, connect=min(LIMITS.connect, seconds)))
        return engine, _schema_state(engine)
    except UNUSABLE as error:
        if engine is not None:
            engine.dispose()
        raise _refusal(error, url) from None


def _schema_state(engine: Engine) -> SchemaState:
    state = SchemaState(_revision(engine), newest_revision())
    if state.present is not None:
        check_revision(state.present)
    return state


def check_revision(revision: str) -> None:
    """Raises `UnknownRevisionError` for a revision of a newer version of the bot."""
    if revision != newest_revision():
        from bot.db.migrating import check_known

        check_known(revision)


def _revision(engine: Engine) -> str | None:
    """Revision of the schema; None without the bot's tables or a version table."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def newest_revision() -> str:
    """The newest revision of this version of the bot, from the file names: `v0007_billed_model.py` is 0007."""
    found = (NAME.match(path.name) for path in files("bot.db.migrations").joinpath("versions").iterdir())
    return max(match[1] for match in found if match is not None)


def _refusal(error: Exception, url: str) -> DatabaseError:
    if is_damage(error):
        return DamagedDatabaseError(_damage(url, reason_of(error)))
    return DatabaseError(_sentence(error))


def _damage(url: str, reason: str) -> str:
    return f"The database file {make_url(url).database} is damaged ({reason})"


def _sentence(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            f"CLAUDE_COST_DATABASE_URL needs the Python package {error.name}: "
            "install claude-cost-bot with its extra postgres."
        )
    if isinstance(error, UnknownRevisionError):
        return (
            "CLAUDE_COST_DATABASE_URL names a database that a newer version of the bot has migrated "
            f"(revision {error}): update the bot, or name another database."
        )
    return (
        f"CLAUDE_COST_DATABASE_URL names a database that cannot be used ({reason_of(error)}): correct it, or its "
        "rights."
    )


def database_problem(error: SQLAlchemyError) -> str:
    """One sentence, with the remedy, for an error of the database while the bot runs."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, DatabaseFileError):
        return str(cause)
    reason = reason_of(error).rstrip(".")
    if getattr(cause, "sqlstate", None) == UNDEFINED_TABLE or reason.startswith("no such table"):
        return tr(
            "The database has lost its tables, so nothing is polled, sent or stored: restore it, or restart the bot, "
            "which creates them and may send the alerts of this period again."
        )
    if is_damage(error):
        return tr(
            "The database is damaged ({reason}), so nothing is polled, sent or stored: stop the bot and run "
            "`claude-cost restore FILE` with a backup.",
            reason=reason,
        )
    if reason.startswith("database is locked"):
        return tr("Another process keeps the database locked: end it, such as a shell in which a transaction is open.")
    return tr("The database fails ({reason}): its server, its disk or its rights need a look.", reason=tr(reason))


def connect(url: str, limits: Limits = LIMITS) -> Engine:
    """An engine, before migrations. Raises `DatabaseError` for a malformed URL."""
    if url.startswith("sqlite"):
        return connect_sqlite(url, limits)
    parsed = _parsed(url)
    # Without the package's extra there is no driver.
    from bot.db.postgres import connect_postgres

    return connect_postgres(parsed, limits)


def connect_again(engine: Engine, limits: Limits) -> Engine:
    """Another engine on the same database, which watches the same file."""
    url = engine.url.render_as_string(hide_password=False)
    return connect_sqlite(url, limits, engine.file) if isinstance(engine, SqliteEngine) else connect(url, limits)


def migrate(engine: Engine, revision: str = HEAD) -> None:
    """Run the missing migrations up to `revision` in one transaction; several copies may start at once."""
    if revision == HEAD and _revision(engine) == newest_revision():
        # Up to date: skip the import of Alembic, which costs time and memory.
        return
    from bot.db.migrating import upgrade

    if upgrade(engine, revision):
        name = engine.url.set(query={}).render_as_string(hide_password=True)
        log.info(
            "the database %s is new: alerts of this period that were sent from another database are sent again", name
        )


def lock_for_writers(connection: Connection, table: Table) -> None:
    """Block other writers of the table until the transaction ends, so that a value read now still holds on write."""
    if connection.dialect.name == "postgresql":
        # SQLite serialises writers anyway.
        connection.execute(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


def _parsed(url: str) -> URL:
    try:
        return database_address(url)
    except ValueError as error:
        # Do not quote the URL: the malformed part may be the password.
        raise DatabaseError(
            f"CLAUDE_COST_DATABASE_URL is not a database address ({error}): special characters of the password are "
            "written as in %40 for @ and %2F for /."
        ) from None
