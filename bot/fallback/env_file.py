"""The env file as a target: a managed block between two markers, replaced as a whole; every other line is kept.

A file switches nothing by itself: running processes keep the environment that they were started with.
"""

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot.fallback.target import TargetError

BEGIN = b"# >>> claude-cost: managed by the bot, do not edit >>>"
END = b"# <<< claude-cost <<<"

_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9_./:@,+%=-]*")


NEW_FILE_MODE = 0o600
"""Of a file that the bot makes. One that is there keeps its own rights, so that services of other users may read it."""

LEFT_BEHIND_SECONDS = 60
"""A temporary copy that is older belongs to a writer that was killed, unless it is still locked."""


class EnvFileError(TargetError):
    """The file cannot be read or written; the text is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class EnvFileState:
    """`block`: the lines between the markers, None without a block. `outside`: managed names that other lines set."""

    block: bytes | None
    outside: tuple[str, ...]


class EnvFile:
    """One env file. A symlink is followed, so that what it points to is replaced and the link stays."""

    follows = (
        "A file switches nothing by itself: a service that reads it follows when it restarts or reloads its "
        "environment."
    )

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The path, which is absolute in settings."""
        return str(self.path)

    def holds(self, variables: Mapping[str, str]) -> bool:
        """Whether the file's block already says exactly this. Raises `EnvFileError`."""
        return self.read(variables).block == _lines(variables)

    def read(self, variables: Mapping[str, str]) -> EnvFileState:
        """The block, and which of `variables` lines outside of it set too. Raises `EnvFileError`."""
        content = self._content()
        before, block, after = _split(content, self.path)
        outside = [name for name in variables if _sets(before, name) or _sets(after, name)]
        return EnvFileState(block, tuple(outside))

    def doubts(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        """One sentence where other lines set managed names too. Raises `EnvFileError`."""
        outside = self.read(variables).outside
        if not outside:
            return ()
        listed = ", ".join(outside)
        return (f"Careful: other lines of the file set {listed} too, and services may read those instead.",)

    def write(self, variables: Mapping[str, str]) -> None:
        """Replace the block, or add one at the end. A reader sees the old file or the new one, never a part.

        Keeps the mode bits and, where it may, the owner. Raises `EnvFileError`.
        """
        content = self._content()
        before, _, after = _split(content, self.path)
        if before and not before.endswith(b"\n"):
            before += b"\n"
        whole = before + BEGIN + b"\n" + _lines(variables) + END + b"\n" + after
        try:
            _replace(Path(os.path.realpath(self.path)), whole)
        except OSError as error:
            raise EnvFileError(
                f"{self.path} cannot be written ({error.strerror}): correct the path in CLAUDE_COST_FALLBACK_FILE, "
                "or the rights of its directory."
            ) from error

    def remove_leftovers(self, now: float) -> int:
        """Remove the temporary copies that killed writers have left beside the file; returns how many.

        `now`: seconds of the epoch. Only files of the bot's own name and user go, that are old and that no living
        writer has locked.
        """
        path = Path(os.path.realpath(self.path))
        pattern = re.compile(re.escape(_temporary_prefix(path)) + r"[a-z0-9_]{8}\.tmp")
        try:
            found = [path.parent / name for name in os.listdir(path.parent) if pattern.fullmatch(name)]
        except OSError:
            return 0
        return sum(_removed(leftover, now) for leftover in found)

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise EnvFileError(
                f"{self.path} cannot be read ({error.strerror}): correct CLAUDE_COST_FALLBACK_FILE or its rights."
            ) from error


def _lines(variables: Mapping[str, str]) -> bytes:
    return "".join(f"{name}={_quoted(value)}\n" for name, value in variables.items()).encode()


def _quoted(value: str) -> str:
    if _NEEDS_NO_QUOTES.fullmatch(value):
        return value
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'


def _split(content: bytes, path: Path) -> tuple[bytes, bytes | None, bytes]:
    lines = content.splitlines(keepends=True)
    begins = [index for index, line in enumerate(lines) if line.strip() == BEGIN]
    ends = [index for index, line in enumerate(lines) if line.strip() == END]
    if not begins and not ends:
        return content, None, b""
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise EnvFileError(
            f"{path} has a damaged managed block: remove its marker lines (>>> claude-cost, <<< claude-cost) and what "
            "stands between them."
        )
    begin, end = begins[0], ends[0]
    return b"".join(lines[:begin]), b"".join(lines[begin + 1 : end]), b"".join(lines[end + 1 :])


def _sets(content: bytes, name: str) -> bool:
    return re.search(rb"^[ \t]*(?:export[ \t]+)?" + re.escape(name.encode()) + rb"[ \t]*=", content, re.M) is not None


def _temporary_prefix(path: Path) -> str:
    return f".{path.name}.claude-cost-"


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_temporary_prefix(path), suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            # Tells those who clean up that its writer is alive; it ends with the process.
            with suppress(OSError):  # of file systems without locks
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
            # Only root may give a file away; the group at least may often be kept.
            _keep_group(descriptor, old.st_gid)


def _keep_group(descriptor: int, group: int) -> None:
    try:
        os.fchown(descriptor, -1, group)
    except PermissionError:
        return
