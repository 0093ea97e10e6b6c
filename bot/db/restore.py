"""Restores a backup in place of an SQLite database, which is kept beside it.

The copy is complete and checked before anything is moved. A kill at any moment leaves a complete database, the old or
the new one: the old write-ahead log is moved away first, since SQLite would apply it to the new one.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from bot.db.backup import BESIDE, BackupError, copy, is_of, partial, revision_of, sync
from bot.db.engine import connect, newest_revision
from bot.db.lease import Lock, LockFile, Timing, lease_state


@dataclass(frozen=True, slots=True)
class Restored:
    """`kept`: the replaced database; None if there was none. `older`: whether the next start migrates."""

    revision: str
    older: bool
    kept: Path | None


def restore(backup: Path, database: Path, now: datetime) -> Restored:
    """Replace the database. Raises `BackupError`, also if a copy of the bot uses it."""
    if not backup.is_file():
        raise BackupError(f"{backup} is no file: name a backup that claude-cost backup has made.")
    if is_of(backup, database):
        raise BackupError(f"{backup} belongs to the database itself: name a backup of it.")
    if not database.parent.is_dir():
        raise BackupError(f"There is no folder {database.parent}: create it, or correct CLAUDE_COST_DATABASE_URL.")
    # Keep a symlink and replace its target.
    database = database.resolve()
    with _stopped(database), partial(database) as made:
        copy(backup, made)
        revision = revision_of(made, backup)
        _release_lease(made)
        sync(made)
        _give_to_owner_of(database if database.exists() else database.parent, made)
        kept = _keep(database, now)
        made.replace(database)
        sync(database.parent)
    return Restored(revision, revision != newest_revision(), kept)


@contextmanager
def _stopped(database: Path) -> Iterator[None]:
    """Hold the lock that a running bot holds."""
    running = BackupError(f"A copy of the bot runs on {database}: stop it, then restore.")
    # Check before taking the lock, since checking the lease checks the lock too.
    if _is_led(database):
        raise running
    lock = LockFile(database)
    try:
        if lock.take() is Lock.HELD_BY_ANOTHER:
            raise running
        yield
    finally:
        lock.release()


def _is_led(database: Path) -> bool:
    """Whether the lease row names a leader, for an unusable lock file.

    False if there is no readable row, as in a damaged database.
    """
    if not database.is_file() or not database.stat().st_size:
        return False
    try:
        engine = connect(str(URL.create("sqlite", database=str(database))))
        try:
            state = lease_state(engine)
        finally:
            engine.dispose()
    except (SQLAlchemyError, sqlite3.Error):
        return False
    return state.owner is not None and not state.dead and state.silent_for <= Timing().term


def _release_lease(made: Path) -> None:
    """Release the lease in the copy, so that the next start need not wait."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(made)) as connection, connection:
        connection.execute("UPDATE lease SET owner = NULL, lock = NULL, renewals = renewals + 1")


def _give_to_owner_of(known: Path, made: Path) -> None:
    """Set the owner, since an administrator may restore what the bot's own user must write."""
    found = known.stat()
    if found.st_uid != os.geteuid():
        with suppress(OSError):
            os.chown(made, found.st_uid, found.st_gid)
    if known.is_file():
        made.chmod(found.st_mode & 0o777)


def _keep(database: Path, now: datetime) -> Path | None:
    """Give the database a second name, which is returned."""
    if not os.path.lexists(database):
        return None
    kept = Path(f"{database}.replaced-{now:%Y%m%dT%H%M%SZ}")
    if os.path.lexists(kept):
        raise BackupError(f"{kept} is there already: wait a second, then restore again.")
    try:
        os.link(database, kept)
    except OSError:  # File systems without links.
        shutil.copy2(database, kept)
    for end in BESIDE:
        with suppress(FileNotFoundError):
            Path(f"{database}{end}").rename(f"{kept}{end}")
    sync(database.parent)
    return kept
