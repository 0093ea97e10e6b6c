"""Statements that are compiled once in a process instead of once for each engine.

A bot compiles about a hundred statements, which takes longer than what most tests do with them, and nearly every test
opens a database of its own. SQLAlchemy keeps what it has compiled by dialect; here all dialects of one kind of database
are equal.
"""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.util import LRUCache

MOST_STATEMENTS = 2_000

COMPILED: LRUCache[Any, Any] = LRUCache(MOST_STATEMENTS)


class _Equal(Dialect):
    """A dialect that equals every other one of its class that has seen the same version of the server."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.server_version_info == self.server_version_info

    def __hash__(self) -> int:
        return hash(type(self))

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        engine.update_execution_options(compiled_cache=COMPILED)


class Sqlite(_Equal, SQLiteDialect_pysqlite):
    supports_statement_cache = True


class Postgres(_Equal, PGDialect_psycopg):
    supports_statement_cache = True


def register() -> None:
    """For all engines that are made from now on."""
    registry.register("sqlite", __name__, Sqlite.__name__)
    registry.register("postgresql.psycopg", __name__, Postgres.__name__)
