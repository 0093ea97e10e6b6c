"""Writing a file that cannot be replaced: one that alone is mounted into a container, or whose directory is closed.

A rename onto a mount point fails with EBUSY (rename(2)). Writing in place is not atomic: a reader may see a part.
"""

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path


def write_in_place(path: Path, content: bytes) -> None:
    """Overwrite an existing file under a lock, and put the old content back where that fails. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # of file systems without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        old = _all(descriptor)
        try:
            _overwrite(descriptor, content)
        except OSError:
            with suppress(OSError):
                _overwrite(descriptor, old)
            raise
    finally:
        os.close(descriptor)


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted at exactly this path. Linux only; False where that cannot be known."""
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return False
    # The fifth field; blanks and backslashes of a path stand there as octal numbers (proc_pid_mountinfo(5)).
    points = (line.split(b" ")[4] for line in mounts.splitlines() if line.count(b" ") >= 4)
    return os.fsencode(path) in {re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), point) for point in points}


def _all(descriptor: int) -> bytes:
    parts = []
    position = 0
    while part := os.pread(descriptor, 1 << 16, position):
        parts.append(part)
        position += len(part)
    return b"".join(parts)


def _overwrite(descriptor: int, content: bytes) -> None:
    position = 0
    while position < len(content):
        position += os.pwrite(descriptor, content[position:], position)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)
