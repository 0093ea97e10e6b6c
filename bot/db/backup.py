"""Copies of an SQLite database: made while the bot runs, checked, and renamed into place only when complete.

A backup is one file, readable by its user only. A copy in the making has its own name (`PARTIAL`) and is locked by its
process, so that leftovers of a killed process are recognised and removed by the next backup.
"""

import os
import re
import shlex
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from filelock import lock_descriptor
from sqlalchemy import make_url

from bot.db.engine import (
    DamagedDatabaseError,
    DatabaseError,
    UnknownRevisionError,
    check_revision,
    newest_revision,
)
from bot.db.sqlite import is_damage

PARTIAL = ".claude-cost-"
PARTIAL_END = ".partial"

DAILY = re.compile(r"claude-cost-(\d{4}-\d{2}-\d{2})\.db")
"""Name of a daily backup in the backup folder."""

KEPT_BACKUPS = 7
"""Daily backups to keep."""

BUSY_SECONDS = 5
BESIDE = ("-wal", "-shm")
"""Suffixes of the files that SQLite keeps beside a database."""


class BackupError(Exception):
    """There is no backup, or it is unusable; the message is one sentence with the remedy."""


class DamagedError(BackupError):
    """The database to copy is damaged."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A complete copy. `revision`: of its schema. `size`: in bytes."""

    path: Path
    revision: str
    size: int


def sqlite_file(url: str) -> Path | None:
    """File of a database URL; None for PostgreSQL. Raises nothing for a URL that settings accept."""
    return Path(str(make_url(url).database)) if url.startswith("sqlite") else None


def back_up(database: Path, target: Path, *, force: bool = False) -> Copied:
    """Copy a database to a file that appears once it is complete. `force`: replace a file. Raises `BackupError`."""
    if not database.is_file():
        raise BackupError(f"There is no database at {database} yet: start the bot, which makes it.")
    if is_of(target, database):
        raise BackupError(f"{target} belongs to the database itself: name another file.")
    if target.is_dir() or (target.exists() and not target.is_file()):
        raise BackupError(f"{target} is no file: name one, such as claude-cost-backup.db.")
    if os.path.lexists(target) and not force:
        raise BackupError(f"{target} is there already: name another file, or replace it with --force.")
    with partial(target) as made:
        copy(database, made)
        revision = revision_of(made, database)
        _appear(made, target, force=force)
    return Copied(target, revision, target.stat().st_size)


def copy_of_day(database: Path, folder: Path, day: date, keep: int) -> Path | None:
    """Make this day's backup, or return None if it exists; then delete all but the newest `keep`.

    Raises `BackupError`; older backups are kept then.
    """
    target = folder / f"claude-cost-{day.isoformat()}.db"
    if target.exists():
        return None
    _make_folder(folder)
    back_up(database, target)
    for path in daily(folder)[keep:]:
        with suppress(OSError):
            path.unlink()
    return target


def daily(folder: Path) -> list[Path]:
    """Daily backups in a folder, newest first."""
    with suppress(OSError):
        return sorted((path for path in folder.iterdir() if DAILY.fullmatch(path.name)), reverse=True)
    return []


def last_good(folder: Path) -> Path | None:
    """The newest complete backup in the folder that this version can use."""
    for path in daily(folder):
        with suppress(BackupError):
            check(path)
            return path
    return None


def with_backup(error: DamagedDatabaseError, folder: Path | None) -> DatabaseError:
    """The same error, with the last good backup in its remedy."""
    if folder is None:
        remedy = (
            "run claude-cost restore FILE with a backup of it (CLAUDE_COST_BACKUP_FOLDER, which is not set, keeps some)"
        )
    elif (found := last_good(folder)) is not None:
        remedy = f"run claude-cost restore {shlex.quote(str(found))}, the last good backup"
    else:
        remedy = f"run claude-cost restore FILE with a backup of it; {folder} has no good one"
    return DatabaseError(f"{error.damage}: {remedy}.")


def check(path: Path) -> str:
    """Revision of a file's schema. Raises `BackupError` unless the file is complete and of this version or an older
    one.
    """
    try:
        # Immutable: SQLite writes nothing beside it.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            _refuse_damage(connection, path)
    except sqlite3.Error as error:
        raise DamagedError(f"{path} cannot be used ({reason(error)}): name another backup.") from None
    return revision_of(path, path)


def copy(source: Path, made: Path) -> None:
    """Copy a database that others may be writing to. `made` becomes one complete file. Raises `BackupError`."""
    try:
        with closing(_opened(source)) as read, closing(_opened(made, create=True)) as written:
            read.backup(written)
            # One file, without files beside it.
            written.execute("PRAGMA journal_mode = DELETE").fetchall()
            _refuse_damage(written, source)
    except sqlite3.Error as error:
        if is_damage(error):
            raise DamagedError(f"{source} is damaged ({reason(error)}): restore a backup of it.") from None
        raise BackupError(
            f"{source} cannot be copied to {made.parent} ({reason(error)}): correct the path, its rights, or the "
            "space on the disk."
        ) from None


def _refuse_damage(connection: sqlite3.Connection, path: Path) -> None:
    found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    if found != "ok":
        raise DamagedError(f"{path} is damaged ({' '.join(found.split())[:200].rstrip('.')}): restore a backup of it.")


def revision_of(made: Path, shown: Path) -> str:
    """Revision of a complete copy's schema. `shown`: the file to name in errors. Raises `BackupError`."""
    try:
        with closing(sqlite3.connect(f"{made.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        rows = []
    if len(rows) != 1:
        raise BackupError(f"{shown} has no tables of claude-cost: name a backup, or the database itself.")
    revision = str(rows[0][0])
    try:
        check_revision(revision)
    except UnknownRevisionError:
        raise BackupError(
            f"{shown} was made by a newer version of claude-cost (schema {revision}, this one knows "
            f"{newest_revision()}): update claude-cost first."
        ) from None
    return revision


def is_of(path: Path, database: Path) -> bool:
    """Whether the path is the database, or one of its files."""
    own, named = database.resolve(), path.resolve()
    return named == own or named in [Path(f"{own}{end}") for end in (*BESIDE, "-journal", ".lock")]


def reason(error: sqlite3.Error) -> str:
    """SQLite's own clause, which quotes no value."""
    return str(error).strip().rstrip(".") or type(error).__name__


@contextmanager
def partial(target: Path) -> Iterator[Path]:
    """A new private file beside the target, removed at the end if it is still there. Raises `BackupError`."""
    _tidy(target.parent)
    try:
        descriptor, name = tempfile.mkstemp(PARTIAL_END, PARTIAL, target.parent)
    except OSError as error:
        raise BackupError(
            f"{target.parent} cannot be written ({error.strerror}): correct the path, or the rights of the folder."
        ) from None
    made = Path(name)
    try:
        with suppress(OSError):
            lock_descriptor(descriptor, blocking=False)
        yield made
    except OSError as error:
        raise BackupError(
            f"{target} cannot be written ({error.strerror}): correct its rights, or free space."
        ) from None
    finally:
        for path in (made, *(Path(f"{made}{end}") for end in (*BESIDE, "-journal"))):
            with suppress(OSError):
                path.unlink()
        os.close(descriptor)


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _appear(made: Path, target: Path, *, force: bool) -> None:
    sync(made)
    if force:
        made.replace(target)
    else:
        try:
            # Unlike a rename, a link never replaces what another process has made meanwhile.
            os.link(made, target)
        except FileExistsError:
            raise BackupError(f"{target} is there already: name another file, or replace it with --force.") from None
        except OSError:  # File systems without links.
            made.rename(target)
    sync(target.parent)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise BackupError(f"The folder of backups {folder} cannot be made ({error.strerror}): correct it.") from None


def _tidy(folder: Path) -> None:
    """Remove leftovers of killed processes, whose locks are free."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(PARTIAL) and path.name.endswith(PARTIAL_END):
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            if lock_descriptor(descriptor, blocking=False):
                path.unlink()
        finally:
            os.close(descriptor)


def _opened(path: Path, *, create: bool = False) -> sqlite3.Connection:
    mode = "rwc" if create or os.access(path, os.W_OK) else "ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", timeout=BUSY_SECONDS, uri=True)
