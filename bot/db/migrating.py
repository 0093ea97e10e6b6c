"""Migrations by Alembic. Imported only when the schema is out of date."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from bot.db.engine import UnknownRevisionError


def upgrade(engine: Engine, revision: str) -> bool:
    """Run the missing migrations up to `revision`. Return whether the database had no tables of the bot before.

    Raises `UnknownRevisionError`, or what SQLAlchemy raises.
    """
    with _configured() as config, _transaction(engine) as connection:
        config.attributes["connection"] = connection
        with _patience(connection), _refused():
            is_new = MigrationContext.configure(connection).get_current_revision() is None
            command.upgrade(config, revision)
    return is_new


def check_known(revision: str) -> None:
    """Raises `UnknownRevisionError` for a revision that this version of the bot does not know."""
    with _configured() as config, _refused():
        ScriptDirectory.from_config(config).get_revision(revision)


def _transaction(engine: Engine) -> AbstractContextManager[Connection]:
    if engine.dialect.name != "sqlite":
        return engine.begin()
    from bot.db.sqlite import rebuilding

    return rebuilding(engine)


@contextmanager
def _configured() -> Iterator[Config]:
    with as_file(files("bot.db.migrations")) as directory:
        config = Config()
        config.set_main_option("script_location", str(directory).replace("%", "%%"))
        yield config


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        if isinstance(error.__cause__, ResolutionError):
            raise UnknownRevisionError(error.__cause__.argument) from None
        raise ValueError(str(error)) from None


@contextmanager
def _patience(connection: Connection) -> Iterator[None]:
    """Lift the statement limits: a migration, and the wait for another copy's, may take longer than any statement."""
    if connection.dialect.name != "postgresql":
        yield
        return
    from bot.db.postgres import without_limits

    with without_limits(connection):
        yield
