"""Copies of the database: whole or not there at all, private, and of a version that can use them."""

import os
import resource
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from bot.db.backup import BackupError, DamagedError, back_up, check, copy_of_day, daily, last_good
from bot.db.engine import DamagedDatabaseError, DatabaseError, connect, migrate, newest_revision, open_database
from bot.db.lease import Lease
from bot.db.restore import restore
from bot.db.schema import audit
from tests.databases import NOW, migrate_by_copy

TODAY = date(2026, 11, 20)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "claude-cost.db"
    migrate_by_copy(f"sqlite:///{path}")
    return path


def note(database: Path, *details: str) -> None:
    engine = open_database(f"sqlite:///{database}")
    entry = {"at": NOW, "actor": "U1", "action": "test", "outcome": "done"}
    with engine.begin() as connection:
        connection.execute(insert(audit), [{**entry, "detail": detail} for detail in details])
    engine.dispose()


def noted(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        found = [row[0] for row in connection.execute("SELECT detail FROM audit ORDER BY id")]
    connection.close()
    return found


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_backup_is_one_private_file_with_everything_that_was_committed(database: Path, tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{database}")
    with engine.begin() as writing:
        # Still in the write-ahead log, and beside an open transaction.
        note_of = {"at": NOW, "actor": "U1", "action": "test", "outcome": "done", "detail": "committed"}
        writing.execute(insert(audit).values(note_of))
    with engine.begin() as writing:
        writing.execute(insert(audit).values({**note_of, "detail": "not committed"}))
        made = back_up(database, tmp_path / "backup.db")
        writing.rollback()
    engine.dispose()
    assert (made.revision, made.size) == (newest_revision(), made.path.stat().st_size)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert noted(made.path) == ["committed"]
    assert files(tmp_path) == {"claude-cost.db", "backup.db"}


def test_a_file_that_is_there_is_replaced_only_by_force(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    target.write_text("something else", encoding="utf-8")
    with pytest.raises(BackupError, match=r"is there already.*--force"):
        back_up(database, target)
    assert target.read_text(encoding="utf-8") == "something else"
    back_up(database, target, force=True)
    assert check(target) == newest_revision()
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["claude-cost.db", "claude-cost.db-wal", "claude-cost.db.lock", "link.db"])
def test_the_databases_own_files_are_no_target(database: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "link.db").symlink_to(database)
    with pytest.raises(BackupError, match=r"belongs to the database itself"):
        back_up(database, tmp_path / name, force=True)
    with pytest.raises(BackupError, match=r"belongs to the database itself|is no file"):
        restore(tmp_path / name, database, NOW)
    assert noted(database) == []


@pytest.mark.parametrize("target", ["folder", "missing/backup.db", "/dev/null"])
def test_what_is_no_place_for_a_file_is_named(database: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BackupError, match=r"is no file|cannot be written \(No such file"):
        back_up(database, tmp_path / target, force=True)


def test_a_full_disk_leaves_no_half_of_a_backup(database: Path, tmp_path: Path) -> None:
    note(database, *["x" * 1000] * 300)
    (tmp_path / "backups").mkdir()
    program = (
        "import resource, sys; from pathlib import Path; from bot.db.backup import back_up, BackupError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: back_up(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except BackupError as error: print(error)\n"
    )
    words = [sys.executable, "-c", program, str(database), str(tmp_path / "backups" / "one.db")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert "cannot be copied" in done.stdout
    assert "space on the disk" in done.stdout
    assert files(tmp_path / "backups") == set()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_killed_backup_leaves_no_backup_and_the_next_one_clears_away(database: Path, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    program = (
        "import os, signal, sys; from pathlib import Path; import bot.db.backup as backup\n"
        "copied = backup.revision_of\n"
        "def killed(made, shown): os.kill(os.getpid(), signal.SIGKILL)\n"
        "backup.revision_of = killed\n"
        "backup.back_up(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    target = tmp_path / "backups" / "one.db"
    done = subprocess.run([sys.executable, "-c", program, str(database), str(target)], timeout=60, check=False)
    assert done.returncode == -9
    [left] = files(tmp_path / "backups")
    assert left.endswith(".partial")
    back_up(database, target)
    assert files(tmp_path / "backups") == {"one.db"}


def test_another_backup_in_the_making_is_left_alone(database: Path, tmp_path: Path) -> None:
    from bot.db.backup import partial

    with partial(tmp_path / "other.db") as made:
        back_up(database, tmp_path / "backup.db")
        assert made.exists()


def test_each_day_has_one_backup_and_only_the_newest_stay(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    (tmp_path / "mine.db").touch()
    for day in range(5):
        assert copy_of_day(database, folder, TODAY + timedelta(days=day), 3) is not None
        assert copy_of_day(database, folder, TODAY + timedelta(days=day), 3) is None
    (folder / "mine.db").touch()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in daily(folder)] == [f"claude-cost-2026-11-{day}.db" for day in (24, 23, 22)]
    assert (folder / "mine.db").exists()


def test_the_last_good_backup_is_the_newest_that_can_be_used(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    for day in range(3):
        copy_of_day(database, folder, TODAY + timedelta(days=day), 9)
    newest, middle, oldest = daily(folder)
    assert last_good(folder) == newest
    newest.write_bytes(newest.read_bytes()[:5000])
    with sqlite3.connect(middle) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert last_good(folder) == oldest
    assert files(folder) == {newest.name, middle.name, oldest.name}
    assert last_good(tmp_path / "nowhere") is None


def test_a_damaged_database_makes_no_backup_and_pushes_no_good_one_out(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    note(database, *["x" * 1000] * 50)
    copy_of_day(database, folder, TODAY, 1)
    data = bytearray(database.read_bytes())
    # Deep inside, where a start does not check.
    data[-4096 * 3 : -4096] = os.urandom(4096 * 2)
    database.write_bytes(data)
    with pytest.raises(DamagedError, match="is damaged"):
        copy_of_day(database, folder, TODAY + timedelta(days=1), 1)
    assert last_good(folder) == folder / "claude-cost-2026-11-20.db"


def test_a_restored_database_is_the_backups_and_the_one_before_it_is_kept(database: Path, tmp_path: Path) -> None:
    note(database, "before")
    backup = back_up(database, tmp_path / "backup.db").path
    note(database, "after")
    database.chmod(0o640)
    restored = restore(backup, database, NOW)
    assert restored.kept == tmp_path / "claude-cost.db.replaced-20261120T120000Z"
    assert (restored.revision, restored.older) == (newest_revision(), False)
    assert noted(database) == ["before"]
    assert noted(restored.kept) == ["before", "after"]
    assert database.stat().st_mode & 0o777 == 0o640
    open_database(f"sqlite:///{database}").dispose()


def test_what_a_killed_bot_left_in_its_log_is_not_put_into_the_restored_database(
    database: Path, tmp_path: Path
) -> None:
    backup = back_up(database, tmp_path / "backup.db").path
    program = (
        "import os, sys, sqlite3\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('PRAGMA journal_mode = WAL')\n"
        "connection.execute(\"INSERT INTO audit VALUES (1, '2026-11-20', 'U1', 'a', 'done', 'in the log')\")\n"
        "connection.commit(); os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(database)], timeout=60, check=True)
    assert (tmp_path / "claude-cost.db-wal").stat().st_size
    kept = restore(backup, database, NOW).kept
    assert noted(database) == []
    assert kept is not None
    assert noted(kept) == ["in the log"]


def test_restore_makes_a_database_where_there_is_none(database: Path, tmp_path: Path) -> None:
    note(database, "one")
    (tmp_path / "new").mkdir()
    restored = restore(database, tmp_path / "new" / "claude-cost.db", NOW)
    assert restored.kept is None
    assert noted(tmp_path / "new" / "claude-cost.db") == ["one"]


def test_nothing_is_restored_while_a_copy_of_the_bot_runs(database: Path, tmp_path: Path) -> None:
    backup = back_up(database, tmp_path / "backup.db").path
    engine = open_database(f"sqlite:///{database}")
    lease = Lease(engine)
    assert lease.acquire()
    (tmp_path / "claude-cost.db.lock").unlink()
    with pytest.raises(BackupError, match="A copy of the bot runs"):
        restore(backup, database, NOW)
    lease.release()
    engine.dispose()
    assert restore(backup, database, NOW).kept


def test_the_next_start_does_not_wait_for_the_copy_that_ran_during_the_backup(database: Path, tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{database}")
    lease = Lease(engine)
    assert lease.acquire()
    backup = back_up(database, tmp_path / "backup.db").path
    lease.release()
    engine.dispose()
    (tmp_path / "claude-cost.db.lock").unlink()
    restore(backup, database, NOW)
    engine = open_database(f"sqlite:///{database}")
    lease = Lease(engine)
    assert lease.acquire()
    lease.release()
    engine.dispose()


def test_an_older_backup_is_restored_and_migrated_and_a_newer_one_is_refused(database: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    engine = connect(f"sqlite:///{old}")
    migrate(engine, "0009")
    engine.dispose()
    restored = restore(old, database, NOW)
    assert (restored.revision, restored.older) == ("0009", True)
    open_database(f"sqlite:///{database}").dispose()
    assert check(database) == newest_revision()
    with sqlite3.connect(old) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(BackupError, match=r"newer version of claude-cost.*update claude-cost first"):
        restore(old, database, datetime(2027, 1, 1, tzinfo=UTC))
    assert check(database) == newest_revision()


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\0" + bytes(200)])
def test_what_is_no_backup_replaces_nothing(database: Path, tmp_path: Path, content: bytes) -> None:
    note(database, "kept")
    wrong = tmp_path / "wrong.db"
    wrong.write_bytes(content)
    with pytest.raises(BackupError, match=r"has no tables of claude-cost|is damaged|cannot be used"):
        restore(wrong, database, NOW)
    assert noted(database) == ["kept"]
    assert files(tmp_path) <= {"claude-cost.db", "claude-cost.db.lock", "wrong.db"}


# Byte 18 may mark the file as read-only, which has its own message.
@given(place=st.integers(0, 99).filter(lambda place: place != 18), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_header_is_named_or_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "claude-cost.db"
    migrate_by_copy(f"sqlite:///{path}")
    note(path, "here")
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)
    said = refusal_of(path)
    if said is None:
        note(path, "and now")
        assert noted(path) == ["here", "and now"]
    else:
        assert said.startswith(f"The database file {path} is damaged (") or "CLAUDE_COST_DATABASE_URL" in said


def refusal_of(path: Path) -> str | None:
    try:
        open_database(f"sqlite:///{path}").dispose()
    except DatabaseError as error:
        return str(error)
    return None


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_truncated_database_is_named(database: Path, share: float) -> None:
    data = database.read_bytes()
    database.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DamagedDatabaseError, match=r"is damaged .*claude-cost restore FILE"):
        open_database(f"sqlite:///{database}")
