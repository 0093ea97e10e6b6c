"""Rows of usage into the database, many at a time: a row costs the driver alone a fifth of a built statement."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from bot.clock import floor_hour
from bot.store.schema import usage
from bot.store.usage_days import COUNTS, DIMENSIONS, Counts, Dimensions

ROWS_AT_ONCE = 2_000
"""Few enough that nothing else waits for them to be brought into the driver's form."""

COLUMNS = ("hour", "starts_at", *DIMENSIONS, *COUNTS)

Row = tuple[datetime, Dimensions, Counts]
"""The start of a bucket, dimensions and counts."""


def insert_usage(connection: Connection, rows: Iterable[Row]) -> None:
    """Add these rows; their hours are in `usage_hours` already."""
    place = "%s" if connection.dialect.name == "postgresql" else "?"
    statement = f"INSERT INTO usage ({', '.join(COLUMNS)}) VALUES ({', '.join([place] * len(COLUMNS))})"
    values = _values(connection, rows)
    while some := list(islice(values, ROWS_AT_ONCE)):
        connection.exec_driver_sql(statement, some)


def _values(connection: Connection, rows: Iterable[Row]) -> Iterator[tuple[Any, ...]]:
    dialect = connection.dialect
    bound: Callable[[datetime], Any] | None = usage.c.starts_at.type.dialect_impl(dialect).bind_processor(dialect)
    if bound is None:
        raise TypeError("times are stored as they are given")
    times: dict[datetime, tuple[Any, Any]] = {}
    for starts_at, dimensions, counts in rows:
        found = times.get(starts_at)
        if found is None:
            found = times[starts_at] = (bound(floor_hour(starts_at)), bound(starts_at))
        yield (*found, *dimensions, *counts)
