"""Usage records on disk until the bot has them: files of JSON lines in one directory, shared by processes.

The directory belongs to one user and one bot.

A file is written by one process, which holds a lock on it, and once complete is sent by whoever gets the lock. The
locks of a killed process are released, so that another one sends what it left.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

ENDING = ".ndjson"
FILE_BYTES = 256 * 1024
"""Size at which a file is complete; one file is one request to the bot."""
PARTS = 8
"""Fewest files in a full directory, so that dropping the oldest loses little."""


class SpoolRefusedError(OSError):
    """The directory may not be used."""


class Taken:
    """A file locked by this process, and its complete lines. A last line without an end was torn by a kill."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor
        *self.lines, self.torn = _read(descriptor).split(b"\n")

    def delete(self) -> None:
        """Delete the file: the bot has the lines, or they are given up."""
        with suppress(OSError):
            os.unlink(self._path)
        self.keep()

    def keep(self) -> None:
        """Leave the file for the next attempt, by any process."""
        # Forget it before closing: a child forked in between must not close the reused descriptor.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _let_go(descriptor)

    def forget(self) -> None:
        """Close the file in a forked child; the parent keeps its lock."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)


class Spool:
    """A directory in `parent`, created with mode 0700, of this user and the bot at `address`.

    `longest`: bytes of all files together; beyond, the oldest are dropped. `add` raises OSError if the disk does.
    """

    def __init__(self, parent: Path, address: str, longest: int) -> None:
        user = os.geteuid() if sys.platform != "win32" else "own"
        self.directory = parent / f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{user}"
        self._longest = longest
        self._file_bytes = max(1, min(FILE_BYTES, longest // PARTS))
        self._reset()

    def after_fork(self) -> None:
        """In a forked child: the parent keeps its files and their locks."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        if self._taken is not None:
            self._taken.forget()
        self._reset()

    def _reset(self) -> None:
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._size = 0
        self._files = 0
        self._taken: Taken | None = None
        self._writing = threading.Lock()

    def add(self, lines: Sequence[bytes]) -> int:
        """Write lines, given without line feeds; returns how many older ones were dropped to make room."""
        with self._writing:
            if self._descriptor is not None and not os.fstat(self._descriptor).st_nlink:
                # Somebody deleted the file, and perhaps the directory.
                self._complete()
            for start, end in self._portions(lines):
                data = b"".join(line + b"\n" for line in lines[start:end])
                self._append(data)
            return self._trim()

    def close_file(self) -> None:
        """Complete the current file, so that it can be taken."""
        with self._writing:
            self._complete()

    def take(self) -> Taken | None:
        """The oldest complete file that is not locked; None if there is none. One at a time."""
        for path in self._listed():
            if (taken := _taken(path)) is not None:
                self._taken = taken
                return taken
        return None

    def _portions(self, lines: Sequence[bytes]) -> Iterator[tuple[int, int]]:
        """Slices of lines that fit into one file each; a line longer than a file gets its own."""
        start, size = 0, self._size
        for number, line in enumerate(lines):
            if size and size + len(line) >= self._file_bytes:
                if number > start:
                    yield start, number
                start, size = number, 0
            size += len(line) + 1
        yield start, len(lines)

    def _append(self, data: bytes) -> None:
        if self._size and self._size + len(data) > self._file_bytes:
            self._complete()
        if self._descriptor is None:
            self._begin()
        assert self._descriptor is not None
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            # The disk is full: remove what was written of these lines; the caller still has them.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def _begin(self) -> None:
        _private(self.directory)
        self._files += 1
        name = f"{time.time_ns():020d}-{os.getpid()}-{self._files}{ENDING}"
        path = self.directory / name
        # Use another name until it is locked, so that nobody takes it in between.
        new = self.directory / (name + ".new")
        descriptor = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _lock(descriptor)
            os.rename(new, path)
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                os.unlink(new)
            raise
        self._descriptor, self._path, self._size = descriptor, path, 0

    def _complete(self) -> None:
        descriptor = self._descriptor
        self._descriptor, self._path, self._size = None, None, 0
        if descriptor is not None:
            _let_go(descriptor)

    def _trim(self) -> int:
        """Drop the oldest files until the rest is small enough; skip files locked by another process."""
        sizes = {path: _size(path) for path in self._listed()}
        total, dropped = sum(sizes.values()), 0
        for path, size in sizes.items():
            if total <= self._longest:
                break
            if path == self._path:
                self._complete()
            if (taken := _taken(path)) is None:
                continue
            dropped += len(taken.lines)
            taken.delete()
            total -= size
        return dropped

    def _listed(self) -> list[Path]:
        """All files, oldest first."""
        try:
            names = os.listdir(self.directory)
        except OSError:
            # Missing or unusable, which `add` reports.
            return []
        return [self.directory / name for name in sorted(names) if name.endswith(ENDING)]


def _private(directory: Path) -> None:
    """Create the directory for this user only. Raises SpoolRefusedError if it is another user's or open to others."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode):
        raise SpoolRefusedError(errno.ENOTDIR, "it is no directory")
    if sys.platform != "win32" and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
        raise SpoolRefusedError(errno.EACCES, "others may open it")


def _locked(path: Path) -> int | None:
    """A locked descriptor of an existing file; None if another process has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    try:
        _lock(descriptor)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _taken(path: Path) -> Taken | None:
    """A locked file; None if another process has it, or it cannot be read."""
    descriptor = _locked(path)
    if descriptor is None:
        return None
    try:
        return Taken(path, descriptor)
    except OSError:
        _let_go(descriptor)
        return None


def _lock(descriptor: int) -> None:
    """Raises OSError if another process has it. Without locks two processes may send a file: the bot counts it once."""
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _let_go(descriptor: int) -> None:
    with suppress(OSError):
        if sys.platform != "win32":
            # A child forked meanwhile shares the lock, which closing here alone would not release.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    with suppress(OSError):
        os.close(descriptor)


def _read(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
