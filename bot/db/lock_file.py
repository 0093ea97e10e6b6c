"""A lock on a file beside an SQLite database: it shows that the process which holds it is alive."""

import os
from enum import Enum, auto
from pathlib import Path

from filelock import lock_descriptor

FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Do not follow a link or block on a pipe in the file's place."""


class Lock(Enum):
    """The outcome of an attempt to take the lock."""

    TAKEN = auto()
    HELD_BY_ANOTHER = auto()
    UNUSABLE = auto()


class LockFile:
    """The lock ends with the process, however that ends. Not thread-safe.

    `problem`: a clause about why the file cannot be used, after a failed attempt. `identity`: of the file that is
    locked now. No other file has it while this one is open, so a deleted and recreated file is recognised.
    """

    def __init__(self, database: Path) -> None:
        # Two spellings of one path are one database.
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
        """Release the lock, if held. The file stays: another process may have it open."""
        _close(self._descriptor)
        self._descriptor = self.identity = None

    def _open(self, create: bool) -> int:
        try:
            return os.open(self.path, os.O_RDWR | FLAGS | (os.O_CREAT if create else 0), 0o644)
        except PermissionError:
            # A readable file of another user can be locked too.
            return os.open(self.path, os.O_RDONLY | FLAGS)


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
