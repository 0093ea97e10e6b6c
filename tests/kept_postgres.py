"""One PostgreSQL database for many tests, put back to what the migrations have made of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from bot.db.engine import open_database

OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SCHEMA = """
SELECT md5(string_agg(concat_ws(' ', attrelid::regclass, attname, atttypid, attnotnull), ',' ORDER BY attrelid, attnum))
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND attnum > 0
"""
WITH_ROWS = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
"""


@dataclass(slots=True)
class KeptDatabase:
    """A PostgreSQL database that belongs to one process of tests. `url`: its address."""

    url: str
    _schema: str = ""
    _first: tuple[str, ...] = ()

    def renew(self) -> None:
        """Cut every connection, and leave the present schema with the rows that migrations put there."""
        with self._connected() as connection:
            connection.execute(text(OTHERS))
            connection.execute(text(f"ALTER DATABASE {make_url(self.url).database} RESET ALL"))
            if not self._schema or connection.scalar(text(SCHEMA)) != self._schema:
                self._migrate(connection)
                return
            used = connection.scalars(text(WITH_ROWS)).all()
            connection.execute(text(f"TRUNCATE {', '.join(used)} RESTART IDENTITY CASCADE"))
            for table in self._first:
                connection.execute(text(f"INSERT INTO {table} SELECT * FROM first.{table}"))

    def _migrate(self, connection: Connection) -> None:
        for schema in ("public", "first"):
            connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        open_database(self.url).dispose()
        self._first = tuple(connection.scalars(text(WITH_ROWS)))
        for table in self._first:
            connection.execute(text(f"CREATE TABLE first.{table} AS TABLE {table}"))
        self._schema = str(connection.scalar(text(SCHEMA)))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            yield connection
