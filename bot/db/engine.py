"""Opening the database: SQLite or PostgreSQL, brought to the present schema by migrations.

Of either, `engine.begin()` is for a transaction that writes and `engine.connect()` for one that only reads, which waits
for no writer.
"""

import logging
import re
from dataclasses import dataclass, replace
from importlib.resources import files

from sqlalchemy import URL, Connection, Engine, Table, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bot.addresses import database_address
from bot.db.database_reasons import UnknownRevisionError, reason_of
from bot.db.sqlite import DatabaseFileError, SqliteEngine, connect_sqlite
from bot.db.timeouts import LIMITS, Limits

log = logging.getLogger(__name__)

HEAD = "head"
NAME = re.compile(r"v([0-9]{4})_\w+\.py")
"""Of a migration's file."""

UNDEFINED_TABLE = "42P01"
"""PostgreSQL's code."""

UNUSABLE = (ModuleNotFoundError, SQLAlchemyError, OSError, ValueError, TypeError)
"""What SQLAlchemy and the drivers raise for an address that they cannot use."""


class DatabaseError(Exception):
    """The database cannot be used; the text is one sentence with the remedy."""


def open_database(url: str) -> Engine:
    """An engine on a database that has the present schema. Raises `DatabaseError`."""
    engine = None
    try:
        engine = connect(url)
        migrate(engine)
    except UNUSABLE as error:
        if engine is not None:
            engine.dispose()
        raise DatabaseError(_sentence(error)) from None
    return engine


@dataclass(frozen=True, slots=True)
class SchemaState:
    """`present`: the database's revision, None where it has no tables of the bot. `newest`: this version's."""

    present: str | None
    newest: str


def look_into(url: str, seconds: int) -> tuple[Engine, SchemaState]:
    """An engine on a database as it is: nothing is migrated, and no server is waited for longer than `seconds`.

    Raises `DatabaseError`. An SQLite file that is not there is made, without tables.
    """
    engine = None
    try:
        engine = connect(url, replace(LIMITS, connect=min(LIMITS.connect, seconds)))
        return engine, _schema_state(engine)
    except UNUSABLE as error:
        if engine is not None:
            engine.dispose()
        raise DatabaseError(_sentence(error)) from None


def _schema_state(engine: Engine) -> SchemaState:
    state = SchemaState(_revision(engine), _newest_revision())
    if state.present not in (None, state.newest):
        from bot.db.migrating import check_known

        check_known(state.present)
    return state


def _revision(engine: Engine) -> str | None:
    """The revision of the database's schema; None where it has no tables of the bot, or none that says so."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _newest_revision() -> str:
    """Of this version of the bot, by the names of its migrations: `v0007_billed_model.py` is 0007."""
    found = (NAME.match(path.name) for path in files("bot.db.migrations").joinpath("versions").iterdir())
    return max(match[1] for match in found if match is not None)


def _sentence(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            f"CLAUDE_COST_DATABASE_URL needs the Python package {error.name}: "
            "install claude-cost-bot with its extra postgres."
        )
    if isinstance(error, UnknownRevisionError):
        return (
            "CLAUDE_COST_DATABASE_URL names a database that a newer version of the bot has written "
            f"(revision {error}): update the bot, or name another database."
        )
    return (
        f"CLAUDE_COST_DATABASE_URL names a database that cannot be used ({reason_of(error)}): correct it, or its "
        "rights."
    )


def database_problem(error: SQLAlchemyError) -> str:
    """One sentence, with the remedy, for what the database raised while the bot runs."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, DatabaseFileError):
        return str(cause)
    reason = reason_of(error).rstrip(".")
    if getattr(cause, "sqlstate", None) == UNDEFINED_TABLE or reason.startswith("no such table"):
        return (
            "The database has lost its tables, so nothing is polled, sent or stored: restore it, or restart the bot, "
            "which makes them anew and may send the alerts of this period again."
        )
    if reason.startswith("database is locked"):
        return "Another process keeps the database locked: end it, such as a shell in which a transaction is open."
    return f"The database fails ({reason}): its server, its disk or its rights need a look."


def connect(url: str, limits: Limits = LIMITS) -> Engine:
    """An engine, before migrations. Raises `DatabaseError` for what is no address."""
    if url.startswith("sqlite"):
        return connect_sqlite(url, limits)
    parsed = _parsed(url)
    # Without the package's extra there is no driver.
    from bot.db.postgres import connect_postgres

    return connect_postgres(parsed, limits)


def connect_again(engine: Engine, limits: Limits) -> Engine:
    """Another engine on the same database, which misses the same file."""
    url = engine.url.render_as_string(hide_password=False)
    return connect_sqlite(url, limits, engine.file) if isinstance(engine, SqliteEngine) else connect(url, limits)


def migrate(engine: Engine, revision: str = HEAD) -> None:
    """Run the migrations up to `revision` that are missing, in one transaction; several copies may start at once."""
    if revision == HEAD and _revision(engine) == _newest_revision():
        # Nothing to do: Alembic, which costs time and memory, is not imported.
        return
    from bot.db.migrating import upgrade

    if upgrade(engine, revision):
        name = engine.url.set(query={}).render_as_string(hide_password=True)
        log.info("the database %s is new: alerts of this period that another one has sent are sent again", name)


def lock_for_writers(connection: Connection, table: Table) -> None:
    """Until the transaction ends nobody else changes the table: what is read now still holds when it is written."""
    if connection.dialect.name == "postgresql":
        # SQLite's writers wait for each other anyway.
        connection.execute(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


def _parsed(url: str) -> URL:
    try:
        return database_address(url)
    except ValueError as error:
        # The address is not quoted: whatever is wrong with it may be a part of the password.
        raise DatabaseError(
            f"CLAUDE_COST_DATABASE_URL is no address of a database ({error}): special characters of the password are "
            "written as in %40 for @ and %2F for /."
        ) from None
