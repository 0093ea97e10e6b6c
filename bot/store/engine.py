"""Opening the database: SQLite or PostgreSQL, brought to the present schema by migrations."""

import sqlite3
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from bot.addresses import database_address
from bot.store.database_reasons import reason_of
from bot.store.private_file import make_private

BUSY_SECONDS = 15

UNUSABLE = (ModuleNotFoundError, SQLAlchemyError, CommandError, OSError, ValueError, TypeError)
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
        engine = connect(url if url.startswith("sqlite") else _impatient(url, seconds))
        return engine, _schema_state(engine)
    except UNUSABLE as error:
        if engine is not None:
            engine.dispose()
        raise DatabaseError(_sentence(error)) from None


def _impatient(url: str, seconds: int) -> str:
    parsed = _parsed(url)
    if "connect_timeout" in parsed.query:
        return url
    return parsed.update_query_dict({"connect_timeout": str(seconds)}).render_as_string(hide_password=False)


def _schema_state(engine: Engine) -> SchemaState:
    with as_file(files("bot.store.migrations")) as directory, engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(directory).replace("%", "%%"))
        script = ScriptDirectory.from_config(config)
        present = MigrationContext.configure(connection).get_current_revision()
        if present is not None:
            # Raises for a revision that only a newer version knows.
            script.get_revision(present)
        return SchemaState(present, str(script.get_current_head()))


def _sentence(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            f"CLAUDE_COST_DATABASE_URL needs the Python package {error.name}: "
            "install claude-cost-bot with its extra postgres."
        )
    if isinstance(error.__cause__, ResolutionError):
        return (
            "CLAUDE_COST_DATABASE_URL names a database that a newer version of the bot has written "
            f"(revision {error.__cause__.argument}): update the bot, or name another database."
        )
    return (
        f"CLAUDE_COST_DATABASE_URL names a database that cannot be used ({reason_of(error)}): correct it, or its "
        "rights."
    )


def connect(url: str) -> Engine:
    """An engine, before migrations. Raises `DatabaseError` for what is no address."""
    if not url.startswith("sqlite"):
        return create_engine(_parsed(url), pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    if engine.url.database not in (None, "", ":memory:"):
        make_private(Path(str(engine.url.database)))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def migrate(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to `revision` that are missing, in one transaction; several copies may start at once."""
    with as_file(files("bot.store.migrations")) as directory, engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(directory).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


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


def _prepare_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    # SQLAlchemy's own events begin transactions; sqlite3 would commit behind its back around DDL.
    connection.isolation_level = None
    _write_ahead(connection)
    for pragma in ("foreign_keys = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


# SQLite's own time-out does not hold for this statement while another copy makes the same change to a new file.
@retry(retry=retry_if_exception(_busy), wait=wait_fixed(0.05), stop=stop_after_delay(BUSY_SECONDS), reraise=True)
def _write_ahead(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_immediate(connection: Any) -> None:
    # A transaction that reads first and writes then would fail at once beside another writer instead of waiting.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
