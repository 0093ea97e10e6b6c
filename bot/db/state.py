"""Single values that the bot remembers about itself, in the table `state`."""

from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.db.schema import state


class RememberedStore:
    """Synchronous; asynchronous callers use a thread. Values are JSON."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, key: str) -> Any:
        """The value; None where there is none."""
        with self._engine.connect() as connection:
            return connection.execute(select(state.c.value).where(state.c.key == key)).scalar_one_or_none()

    def put(self, key: str, value: Any) -> None:
        """Keep the value instead of the one before."""
        with self._engine.begin() as connection:
            remember(connection, key, value)


def remember(connection: Connection, key: str, value: Any) -> None:
    """Keep the value instead of the one before, within a transaction; another copy may do so at the same time."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    kept = dialect.insert(state).values(key=key, value=value)
    connection.execute(kept.on_conflict_do_update(index_elements=[state.c.key], set_={"value": kept.excluded.value}))


def locked(connection: Connection, key: str, first: Any) -> Any:
    """The value, or `first` where there was none; no other copy changes it before this transaction ends."""
    query = select(state.c.value).where(state.c.key == key).with_for_update()
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        # A row that is not there cannot be locked: of two copies that begin at once, the second waits here.
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(state).values(key=key, value=first).on_conflict_do_nothing())
        found = connection.execute(query).scalar_one()
    return found
