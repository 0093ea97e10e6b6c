"""A database of every version that there was, with a row in every table, becomes one of this version with its rows."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, Boolean, Date, DateTime, Engine, Integer, MetaData, insert, inspect, text
from sqlalchemy.types import TypeEngine

from bot.db.engine import NAME, connect, migrate, open_database
from bot.db.schema import metadata

THEN = datetime(2026, 11, 20, 12, tzinfo=UTC)

REVISIONS = sorted(
    found[1]
    for path in files("bot.db.migrations").joinpath("versions").iterdir()
    if (found := NAME.match(path.name)) is not None
)

Rows = Mapping[str, Mapping[str, str]]
"""Rows by table and column."""

MEANT: Mapping[str, Any] = {
    "level": "soft",
    "limit_kind": "soft",
    "limit_usd": "400",
    "facts": {"kind": "of another version"},
    "words": "day channel=C1",
}
"""Values of columns that a migration reads."""

CHANGES = {("alerts", "kind"), ("notices", "about"), ("state", "value")}
"""Columns that a migration rewrites, covered by other tests."""


ORDER = [table.name for table in metadata.sorted_tables]
"""Tables in order of their references."""


def value(name: str, kind: TypeEngine[Any]) -> Any:
    """Every id is 1 and every hour the same, so that references hold."""
    if name in MEANT:
        return MEANT[name]
    if name.endswith("usd") or name == "usd_per_hour":
        return "12.5"
    for of, made in ((JSON, []), (Boolean, True), (DateTime, THEN), (Date, THEN.date()), (Integer, 1)):
        if isinstance(kind, of):
            return made
    return name[: getattr(kind, "length", None) or 8]


def filled(engine: Engine) -> Rows:
    """Put a row into every table that has none; return what each holds."""
    held = rows(engine)
    new = MetaData()
    new.reflect(engine, only=sorted(set(names(engine)) - held.keys()), resolve_fks=False)
    with engine.begin() as connection:
        for table in sorted(new.tables.values(), key=lambda table: place(table.name)):
            # PostgreSQL counts ids itself.
            given = [column for column in table.columns if column.server_default is None or column.name != "id"]
            row = {column.name: value(column.name, column.type) for column in given}
            connection.execute(insert(table).values(row))
    return rows(engine)


def place(table: str) -> int:
    return ORDER.index(table) if table in ORDER else len(ORDER)


def names(engine: Engine) -> list[str]:
    return [name for name in inspect(engine).get_table_names() if name != "alembic_version"]


def rows(engine: Engine) -> Rows:
    """The first row of each table that has one, as text."""
    found = {}
    with engine.connect() as connection:
        for name in names(engine):
            row = connection.execute(text(f'SELECT * FROM "{name}" LIMIT 1')).mappings().first()
            if row is not None:
                found[name] = {column: str(row[column]) for column in row}
    return found


def same(before: Rows, after: Rows) -> None:
    for table, row in before.items():
        if table == "outside_notices":
            continue
        assert table in after
        kept = {name: was for name, was in row.items() if name in after[table] and (table, name) not in CHANGES}
        assert {name: after[table][name] for name in kept} == kept, table


@pytest.fixture(scope="module")
def of_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty SQLite file of every version, by its revision."""
    folder = tmp_path_factory.mktemp("versions")
    growing = folder / "growing.db"
    for revision in REVISIONS:
        engine = connect(f"sqlite:///{growing}")
        migrate(engine, revision)
        engine.dispose()
        shutil.copyfile(growing, folder / revision)
    return folder


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_every_version_keeps_its_rows(revision: str, of_versions: Path, tmp_path: Path) -> None:
    file = tmp_path / "claude-cost.db"
    shutil.copyfile(of_versions / revision, file)
    url = f"sqlite:///{file}"
    old = connect(url)
    before = filled(old)
    old.dispose()
    engine = open_database(url)
    same(before, rows(engine))
    engine.dispose()


def test_a_database_that_has_lived_through_every_version_keeps_its_rows(empty_database_url: str) -> None:
    """Step by step, a row in every table from the version on that made it."""
    engine = connect(empty_database_url)
    before: Rows = {}
    for revision in REVISIONS:
        migrate(engine, revision)
        same(before, rows(engine))
        before = filled(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert {*rows(engine)} == {*metadata.tables}
    engine.dispose()
