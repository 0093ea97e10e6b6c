"""A lock on a file beside an SQLite database: a sign of life of the process that holds it, and nothing more."""

import os
from enum import Enum, auto
from pathlib import Path

from filelock import lock_descriptor

FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""A link or a pipe in the file's place keeps nobody waiting."""


class Lock(Enum):
    """What became of an attempt to take the lock."""

    TAKEN = auto()
    HELD_BY_ANOTHER = auto()
    UNUSABLE = auto()


class LockFile:
    """The lock goes with the process, however it ends. Not thread-safe.

    `problem`: a clause about why the file cannot be used, after such an attempt. `identity`: of the file that is locked
    now. No other file has it while this one is open, so a file that was deleted and made anew is told apart.
    """

    def __init__(self, database: Path) -> None:
        # Two ways to write one path are one database.
        self.path = Path(f"{database.resolve()}.lock")
        self.identity: str | None = None
        self.problem: str | None = None
        self._descriptor: int | None = None

    def take(self, *, create: bool = True) -> Lock:
        """Try once, without waiting."""
        if self._descriptor is not None:
            return Lock.TAKEN
        descriptor = None
        try:
            descriptor = self._open(create)
            taken = lock_descriptor(descriptor, blocking=False)
            found = os.fstat(descriptor)
        except OSError as error:
            self.problem = error.strerror or type(error).__name__
            _close(descriptor)
            return Lock.UNUSABLE
        self.problem = None
        if not taken:
            _close(descriptor)
            return Lock.HELD_BY_ANOTHER
        self._descriptor = descriptor
        self.identity = f"{found.st_dev}:{found.st_ino}"
        return Lock.TAKEN

    def release(self) -> None:
        """Give the lock back, if it is held. The file stays: another process may have it open."""
        _close(self._descriptor)
        self._descriptor = self.identity = None

    def _open(self, create: bool) -> int:
        try:
            return os.open(self.path, os.O_RDWR | FLAGS | (os.O_CREAT if create else 0), 0o644)
        except PermissionError:
            # The file of another user can be locked all the same, where it can be read.
            return os.open(self.path, os.O_RDONLY | FLAGS)


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
