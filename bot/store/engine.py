"""Opening the database: SQLite or PostgreSQL, brought to the present schema by migrations."""

import sqlite3
from importlib.resources import as_file, files
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

BUSY_SECONDS = 15


class DatabaseError(Exception):
    """The database cannot be used; the text is one sentence with the remedy."""


def open_database(url: str) -> Engine:
    """An engine on a database that has the present schema. Raises `DatabaseError`."""
    try:
        engine = connect(url)
        migrate(engine)
    except ModuleNotFoundError as error:
        raise DatabaseError(
            f"CLAUDE_COST_DATABASE_URL needs the Python package {error.name}: "
            "install claude-cost-bot with its extra postgres."
        ) from None
    except (SQLAlchemyError, CommandError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise DatabaseError(
            f"CLAUDE_COST_DATABASE_URL names a database that cannot be used ({reason}): correct it, or its rights."
        ) from None
    return engine


def connect(url: str) -> Engine:
    """An engine, before migrations."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def migrate(engine: Engine) -> None:
    """Run the migrations that are missing; several copies may start at once."""
    with as_file(files("bot.store.migrations")) as directory, engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(directory))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _prepare_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    # SQLAlchemy's own events begin transactions; sqlite3 would commit behind its back around DDL.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "foreign_keys = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Any) -> None:
    # A transaction that reads first and writes then would fail at once beside another writer instead of waiting.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
