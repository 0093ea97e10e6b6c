"""Roll-ups: tokens by UTC day and dimensions, kept beside the rows of usage and equal to their sums.

Tokens are rolled up, not dollars, so that a corrected price still corrects history. Settled hours are one row an hour
for each combination of dimensions already: what is rolled up by the hour is the table `usage` itself.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, Date, Select, and_, cast, delete, func, insert, literal, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.db.schema import TOKENS, usage, usage_days

DIMENSIONS = ("model", "workspace_id", "api_key_id", "service_tier", "inference_geo", "speed")
COUNTS = TOKENS

Dimensions = tuple[str | None, ...]
"""Model, workspace, key, service tier, region and speed of a row."""

Counts = tuple[int, ...]
"""The counts of a row, in the order of `TokenCounts`."""

NONE_AT_ALL: Counts = (0, 0, 0, 0, 0, 0)

DayChanges = Mapping[tuple[date, Dimensions], Counts]
"""By how much each sum has changed."""


def change_days(connection: Connection, changes: DayChanges) -> None:
    """Add the changes to the sums, in the transaction that changes the rows. A sum of nothing is not kept."""
    changed = sorted((day, _texts(dimensions), counts) for (day, dimensions), counts in changes.items() if any(counts))
    if not changed:
        return
    columns = ("day", *DIMENSIONS, *COUNTS)
    rows = [dict(zip(columns, (day, *texts, *counts), strict=True)) for day, texts, counts in changed]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    added = dialect.insert(usage_days)
    sums = {name: usage_days.c[name] + added.excluded[name] for name in COUNTS}
    keys = [usage_days.c.day, *(usage_days.c[name] for name in DIMENSIONS)]
    connection.execute(added.on_conflict_do_update(index_elements=keys, set_=sums), rows)
    fallen = sorted({day for day, _, counts in changed if min(counts) < 0})
    if fallen:
        nothing = (usage_days.c[name] == 0 for name in COUNTS)
        connection.execute(delete(usage_days).where(usage_days.c.day.in_(fallen), *nothing))


def rebuild_days(connection: Connection) -> None:
    """Rebuild all sums from the rows."""
    connection.execute(delete(usage_days))
    columns = ["day", *DIMENSIONS, *COUNTS]
    connection.execute(insert(usage_days).from_select(columns, _sums(connection)))


def wrong_days(connection: Connection) -> list[date]:
    """UTC days on which a sum differs from its rows, the oldest first; none on an intact database."""
    rows, kept = _sums(connection).subquery("summed"), usage_days.alias("kept")
    same = and_(rows.c.day == kept.c.day, *(rows.c[name] == kept.c[name] for name in DIMENSIONS))
    differ = or_(kept.c.day.is_(None), *(rows.c[name] != kept.c[name] for name in COUNTS))
    missing = select(rows.c.day).select_from(rows.outerjoin(kept, same)).where(differ)
    no_rows = select(kept.c.day).select_from(kept.outerjoin(rows, same)).where(rows.c.day.is_(None))
    found = connection.execute(missing.union(no_rows)).scalars()
    return sorted({_date(day) for day in found})


def day_of_hour(connection: Connection, hour: ColumnElement[object]) -> ColumnElement[object]:
    """The UTC day of a column of hours."""
    if connection.dialect.name == "postgresql":
        return cast(func.timezone("UTC", hour), Date)
    return func.date(hour)


def _sums(connection: Connection) -> Select[*tuple[Any, ...]]:
    day = day_of_hour(connection, usage.c.hour).label("day")
    dimensions = [func.coalesce(usage.c[name], literal("")).label(name) for name in DIMENSIONS]
    counts = [func.sum(usage.c[name]).label(name) for name in COUNTS]
    grouped = select(day, *dimensions, *counts).group_by(day, *dimensions)
    return grouped.having(or_(*(func.sum(usage.c[name]) != 0 for name in COUNTS)))


def _texts(dimensions: Iterable[str | None]) -> tuple[str, ...]:
    # A primary key holds no NULL: what is not there is empty.
    return tuple(value or "" for value in dimensions)


def _date(day: object) -> date:
    return day if isinstance(day, date) else date.fromisoformat(str(day))
