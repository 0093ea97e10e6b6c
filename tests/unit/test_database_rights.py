"""The database's files: only for the bot's own user, whatever the umask is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.db.engine import open_database
from bot.db.sqlite import open_to_others


@pytest.fixture
def generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("generous_umask")
def test_a_new_database_and_the_files_beside_it_are_private(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/cost.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM alerts")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    engine.dispose()
    assert modes == {"cost.db": 0o600, "cost.db-wal": 0o600, "cost.db-shm": 0o600}
    assert not open_to_others(tmp_path / "cost.db")


def test_a_database_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "cost.db"
    open_database(f"sqlite:///{path}").dispose()
    path.chmod(0o644)
    open_database(f"sqlite:///{path}").dispose()
    assert path.stat().st_mode & 0o777 == 0o644
    assert open_to_others(path)
