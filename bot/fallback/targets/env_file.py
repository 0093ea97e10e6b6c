"""The env file as a target: a managed block between two markers; every other line is kept.

A rename onto a mount point fails with EBUSY (rename(2)). Writing in place is not atomic: a reader may see a part.

A file switches nothing by itself: running processes keep the environment that they were started with.
"""

import errno
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot.fallback.targets.base import TargetError
from bot.fallback.targets.env_text import (
    BEGIN,
    DOCKER,
    DOTENV,
    END,
    EnvText,
    block_of,
    not_read_by,
    read_env_text,
    sets,
    unfinished_line,
)
from bot.language import tr, tr_lazy, tr_noop
from bot.listed import comma_list


def write_in_place(path: Path, content: bytes) -> None:
    """Overwrite an existing file under a lock, and restore the old content on failure. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # File systems without locks.
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
    """Whether something is mounted at exactly this path. Linux only; False if that cannot be determined."""
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return False
    # The fifth field; blanks and backslashes of a path are octal numbers there (proc_pid_mountinfo(5)).
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


__all__ = ["BEGIN", "END", "EnvFile", "EnvFileError", "EnvFileState"]

NEW_FILE_MODE = 0o600
"""Mode of a file that the bot creates. An existing file keeps its own, so that services of other users may read it."""

IN_PLACE = tr_noop("the file is written in place, since it alone is mounted or its directory cannot be written")
CANNOT_REPLACE = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS)

LEFT_BEHIND_SECONDS = 60
"""A temporary copy older than this belongs to a writer that was killed, unless it is still locked."""


class EnvFileError(TargetError):
    """The file cannot be read or written; the message is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class EnvFileState:
    """`block`: the lines between the markers, None without a block. `outside`: managed names that other lines set."""

    block: bytes | None
    outside: tuple[str, ...]


class EnvFile:
    """One env file. A symlink is followed: its target is replaced and the link stays."""

    follows = tr_noop(
        "A file switches nothing by itself: a service that reads it follows when it restarts or reloads its "
        "environment."
    )

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The path, absolute in settings."""
        return str(self.path)

    def holds(self, variables: Mapping[str, str]) -> bool:
        """Whether the file's block already has exactly this. Raises `EnvFileError`."""
        return self._text().block == block_of(variables)

    def read(self, variables: Mapping[str, str]) -> EnvFileState:
        """The block, and those of `variables` that lines outside of it set too. Raises `EnvFileError`."""
        text = self._text()
        outside = [name for name in variables if sets(text.before, name) or sets(text.after, name)]
        return EnvFileState(text.block, tuple(outside))

    def doubts(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        """A sentence for each reason why a service may not read what is written. Raises `EnvFileError`."""
        found = []
        outside = self.read(variables).outside
        if outside:
            listed = comma_list(outside)
            found.append(
                tr(
                    "Careful: other lines of the file set {names} too, and services may read those instead.",
                    names=listed,
                )
            )
        unfinished = unfinished_line(self._text().before)
        if unfinished is not None:
            line, lack = unfinished
            found.append(
                tr(
                    "Careful: line {line} of the file {lack}, so that a shell reads the bot's block as a part of it.",
                    line=line,
                    lack=tr(lack),
                )
            )
        for reader in (DOCKER, DOTENV):
            names = [name for name, value in variables.items() if reader in not_read_by(value)]
            if names:
                found.append(
                    tr(
                        "Careful: {names} must be quoted, which {reader} does not read as a shell does.",
                        names=comma_list(names),
                        reader=reader,
                    )
                )
        if self.in_place():
            found.append(
                tr(
                    "Careful: {in_place}, so that a service may read half of it while it is written: give the bot the "
                    "directory, not the file alone.",
                    in_place=tr(IN_PLACE),
                )
            )
        return tuple(found)

    def write(self, variables: Mapping[str, str]) -> None:
        """Replace the block, or add one at the end. A reader sees the old file or the new one, never a part.

        Keeps the mode bits and, if permitted, the owner. If the file cannot be replaced, because it is itself mounted
        or its directory is read-only, it is written in place. Raises `EnvFileError`.
        """
        whole = self._text().with_block(variables)
        path = Path(os.path.realpath(self.path))
        try:
            try:
                _replace(path, whole)
            except OSError as error:
                if error.errno not in CANNOT_REPLACE or not os.access(path, os.F_OK):
                    raise
                write_in_place(path, whole)
        except OSError as error:
            if error.errno == errno.EROFS:
                raise EnvFileError(
                    tr_lazy(
                        "{path} cannot be written, as it is mounted read-only: mount the directory writable.",
                        path=self.path,
                    )
                ) from error
            raise EnvFileError(
                tr_lazy(
                    "{path} cannot be written ({error}): correct the path in CLAUDE_COST_FALLBACK_FILE, or the rights "
                    "of its directory.",
                    path=self.path,
                    error=error.strerror,
                )
            ) from error

    def in_place(self) -> bool:
        """Whether the file can be written but not replaced."""
        path = Path(os.path.realpath(self.path))
        if not os.access(path, os.W_OK):
            return False
        return is_mount_point(path) or not os.access(path.parent, os.W_OK | os.X_OK)

    def remove_leftovers(self, now: float) -> int:
        """Remove temporary copies left beside the file by killed writers; returns how many.

        `now`: seconds since the epoch. Only removes old files of the bot's own name and user that no living writer has
        locked.
        """
        path = Path(os.path.realpath(self.path))
        pattern = re.compile(re.escape(_temporary_prefix(path)) + r"[a-z0-9_]{8}\.tmp")
        try:
            found = [path.parent / name for name in os.listdir(path.parent) if pattern.fullmatch(name)]
        except OSError:
            return 0
        return sum(_removed(leftover, now) for leftover in found)

    def _text(self) -> EnvText:
        try:
            return read_env_text(_content(self.path))
        except FileNotFoundError:
            return EnvText(b"", None, b"")
        except OSError as error:
            raise EnvFileError(
                tr_lazy(
                    "{path} cannot be read ({error}): correct CLAUDE_COST_FALLBACK_FILE or its rights.",
                    path=self.path,
                    error=error.strerror,
                )
            ) from error
        except ValueError as error:
            raise EnvFileError(tr_lazy("{path} {clause}.", path=self.path, clause=error)) from None


def _content(path: Path) -> bytes:
    """The bytes of a regular file. A pipe or a device, which might block forever, is a ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        kind = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            raise ValueError("is a pipe or a device and no file: name a file in CLAUDE_COST_FALLBACK_FILE")
        return file.read()


def _temporary_prefix(path: Path) -> str:
    return f".{path.name}.claude-cost-"


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_temporary_prefix(path), suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            # Shows clean-ups that the writer is alive; released when the process ends.
            with suppress(OSError):  # File systems without locks.
                fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            _keep_rights(path, file.fileno())
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _removed(leftover: Path, now: float) -> bool:
    try:
        descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        status = os.fstat(descriptor)
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
        if not ours or now - status.st_mtime < LEFT_BEHIND_SECONDS:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        leftover.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _keep_rights(path: Path, descriptor: int) -> None:
    try:
        old = path.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, NEW_FILE_MODE)
        return
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError:
            # Only root may change the owner; changing only the group often works.
            _keep_group(descriptor, old.st_gid)


def _keep_group(descriptor: int, group: int) -> None:
    try:
        os.fchown(descriptor, -1, group)
    except PermissionError:
        return
