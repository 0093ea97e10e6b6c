"""The calendar, changes of budgets, the greeting and requests to admins, killed before and after each of their commits.

Nothing is half done: a change comes with its history, its announcement and its audit entry, or not at all; and an
interrupted change happens once when it is tried again.
"""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.databases import migrate_by_copy
from tests.scenario.store_mortal import DEEDS

ROOT = Path(__file__).resolve().parents[2]


class Mortal:
    """The process that forks those that die."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def live(self, deed: str, file: Path, fatal: int | None = None, *, after: bool = False) -> dict[str, Any]:
        """Do a deed in a process, which dies at a commit; how it ended, and how many commits it had."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        life = {"deed": deed, "url": f"sqlite:///{file}", "fatal": fatal, "after": after}
        self._process.stdin.write(json.dumps(life) + "\n")
        self._process.stdin.flush()
        heard: dict[str, Any] = json.loads(self._process.stdout.readline())
        return heard


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Mortal]:
    warm = f"sqlite:///{tmp_path / 'warm.db'}"
    migrate_by_copy(warm)
    command = [sys.executable, "-m", "tests.scenario.store_mortal", warm]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Mortal(process)
        assert process.stdin is not None
        process.stdin.close()


def stored(file: Path) -> dict[str, list[Any]]:
    """Everything in the database."""
    with closing(sqlite3.connect(file)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: list(connection.execute(f"SELECT * FROM {name}")) for name in names}


def test_a_kill_at_any_commit_leaves_all_of_a_change_or_nothing(mortal: Mortal, tmp_path: Path) -> None:
    before = tmp_path / "before.db"
    migrate_by_copy(f"sqlite:///{before}")
    for number, deed in enumerate(DEEDS):
        whole = _copied(before, tmp_path / f"{number}.db")
        lived = mortal.live(deed, whole)
        assert lived["ended"] == 0, deed
        assert lived["commits"] > 0, deed
        wanted = stored(whole)
        assert wanted != stored(before), deed
        for commit in range(1, lived["commits"] + 1):
            for after in (False, True):
                file = _copied(before, tmp_path / "killed.db")
                killed = mortal.live(deed, file, commit, after=after)
                assert killed["ended"] == -signal.SIGKILL, (deed, commit, after)
                if commit == 1 and not after:
                    assert stored(file) == stored(before), (deed, commit)
                if stored(file) != wanted:
                    assert mortal.live(deed, file)["ended"] == 0, (deed, commit, after)
                assert stored(file) == wanted, (deed, commit, after)
        before = whole


def _copied(file: Path, to: Path) -> Path:
    for end in ("-wal", "-shm"):
        Path(f"{to}{end}").unlink(missing_ok=True)
    # What is still in the log of a killed process belongs to the file.
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(file, to)
    return to
