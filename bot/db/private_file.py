"""Files that only the bot's own user may read, whatever the umask is."""

import os
from pathlib import Path

PRIVATE = 0o600


def make_private(path: Path) -> None:
    """Make an empty file for the database where none is; SQLite gives the files beside it the same rights.

    What is there already keeps its rights. Where it cannot be made, whoever opens it says why.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE))
    except OSError:
        return


def open_to_others(path: Path) -> bool:
    """Whether another user may read or write the file."""
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False
