"""Finds files of usage records, by content and not by name."""

import errno
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from bot.usage.logs.streams import Advance, Take
    from bot.usage.logs.usage_block import Record, Skipped

SUFFIXES = (".jsonl", ".json", ".ndjson")
"""Suffixes that are always read in a folder; other files are read if their beginning contains usage."""

STANDARD_INPUT = "-"

LONGEST_SHOWN = 300
"""Longest path in a message, in characters."""

SNIFFED = 64 * 1024
"""Bytes of a file's beginning that are searched for usage."""

BACKUPS = (".bak", ".orig", ".old", ".tmp", ".swp", ".part", "~")
"""Leftovers of editors and downloads."""

DOCUMENTS = (".md", ".rst", ".html", ".py", ".ipynb", ".js", ".ts", ".tsx", ".go", ".rs", ".java", ".rb", ".toml")
"""Prose and source code, where usage is an example."""

ROTATED = re.compile(r"\.([0-9]{1,6})(?:\.(?:gz|bz2|xz))?$")
"""Endings of names of rotated logs."""

UNSEARCHED_FOLDERS = frozenset({".git", "node_modules", ".venv", "__pycache__"})


class UnreadableError(Exception):
    """A file or folder that cannot be read; the text is one sentence that names it."""


class RecordFile(NamedTuple):
    """A file to read and its state when found. Without both, standard input."""

    path: str | None = None
    status: os.stat_result | None = None

    @property
    def size(self) -> int:
        """Size in bytes; 0 if unknown beforehand."""
        return 0 if self.status is None else self.status.st_size

    @property
    def name(self) -> str:
        return self.path or "standard input"

    def records(self, advance: "Advance", take: "Take") -> "Iterator[Record | Skipped]":
        """Its records apart from the lines that `take` takes, and a reason for each line without a record.

        Raises `UnreadableError`.
        """
        from bot.usage.logs.streams import records_of

        with self.opened() as stream:
            yield from records_of(stream, advance, take)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Its bytes. Errors while reading are raised as `UnreadableError` too."""
        from bot.usage.logs.streams import DAMAGED, NotReadError

        try:
            if self.path is None:
                if sys.stdin is None:
                    raise UnreadableError("Cannot read standard input: it is closed.")
                yield sys.stdin.buffer
            else:
                with open(self.path, "rb", buffering=0) as stream:
                    yield stream
        except NotReadError as error:
            raise UnreadableError(f"Cannot read {self.name}: {error}.") from None
        except DAMAGED:
            raise UnreadableError(
                f"Cannot read {self.name} to its end: the compressed file is damaged or breaks off."
            ) from None
        except OSError as error:
            raise UnreadableError(_cannot_read(self.name, error)) from None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A skipped file of a folder; `reason` is a clause."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """What can be read, sorted by name. `unreadable`: one sentence for each folder or file that is inaccessible or
    seems to hold usage in an unsupported form. `left_out`: other skipped files.
    """

    files: tuple[RecordFile, ...]
    unreadable: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def find_files(paths: Sequence[str]) -> Found:
    """The files at these paths, folders recursively, each file once.

    Raises `UnreadableError` for a path that is missing or inaccessible; `-` is standard input.
    """
    search = _Search()
    for path in paths:
        if path == STANDARD_INPUT:
            search.standard_input()
        else:
            search.named(str(Path(path)))
    return Found(tuple(search.files), tuple(search.unreadable), tuple(search.left_out))


def in_order(files: Iterable[RecordFile]) -> list[RecordFile]:
    """The files in the order in which they were written, since a running total continues from one to the next. Of files
    with the same time, as after copying, the oldest of a rotation (`app.jsonl.2.gz`, `app.jsonl.1`, `app.jsonl`) is
    first.
    """
    return sorted(
        files, key=lambda file: (0 if file.status is None else file.status.st_mtime_ns, -_rotation(file.name))
    )


def _rotation(name: str) -> int:
    found = ROTATED.search(os.path.basename(name))
    return int(found[1]) if found else 0


class _Search:
    def __init__(self) -> None:
        self.files: list[RecordFile] = []
        self.unreadable: list[str] = []
        self.left_out: list[LeftOut] = []
        self._seen: set[tuple[int, int]] = set()

    def standard_input(self) -> None:
        if all(file.path is not None for file in self.files):
            self.files.append(RecordFile())

    def named(self, path: str) -> None:
        try:
            status = os.stat(path)
            if not stat.S_ISDIR(status.st_mode):
                # Always read a file that the user names.
                if self._is_new(status):
                    self.files.append(RecordFile(path, status))
            elif self._is_new(status):
                self._inside(path, sorted(os.listdir(path)))
        except FileNotFoundError:
            raise UnreadableError(f"There is no file or folder {path}; check the name.") from None
        except (OSError, ValueError) as error:
            raise UnreadableError(_cannot_read(path, error)) from None

    def _inside(self, folder: str, names: list[str]) -> None:
        # An explicit stack: folders may be nested deeper than Python's recursion limit.
        waiting = [_within(folder, name) for name in reversed(names)]
        while waiting:
            path = waiting.pop()
            try:
                status = os.stat(path)
                if not stat.S_ISDIR(status.st_mode):
                    self._consider(path, status)
                elif os.path.basename(path) in UNSEARCHED_FOLDERS:
                    self.left_out.append(LeftOut(path, "a folder of tools"))
                elif self._is_new(status):
                    waiting.extend(_within(path, name) for name in sorted(os.listdir(path), reverse=True))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    self.left_out.append(LeftOut(path, "a link to nothing"))
                else:
                    self.unreadable.append(_cannot_read(path, error))

    def _consider(self, path: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            # Opening a named pipe would block forever.
            self.left_out.append(LeftOut(path, "no ordinary file"))
            return
        if (status.st_dev, status.st_ino) in self._seen:
            return
        name = os.path.basename(path).lower()
        if not name.endswith(SUFFIXES):
            reason = self._against(path, name)
            if reason is not None:
                self._seen.add((status.st_dev, status.st_ino))
                if reason:
                    self.left_out.append(LeftOut(path, reason))
                return
        if self._is_new(status):
            self.files.append(RecordFile(path, status))

    def _against(self, path: str, name: str) -> str | None:
        """Why a file with another name is skipped; empty if `unreadable` says so, None if it is read."""
        if name.endswith(DOCUMENTS):
            return "a text or source code"
        from bot.usage.logs.streams import DAMAGED, NotReadError, holds_usage, opened

        try:
            with open(path, "rb", buffering=0) as stream:
                head = stream.read(SNIFFED)
            reader = opened(BytesIO(head))
            content = reader.peek(SNIFFED)
        except NotReadError as error:
            if any(suffix in name for suffix in (*SUFFIXES, ".log", ".csv")):
                self.unreadable.append(f"Cannot read {path}: {error}.")
                return ""
            return str(error)
        except DAMAGED:
            return None  # reading it reports the reason
        has_usage = holds_usage(content)
        if name.endswith(BACKUPS):
            if has_usage:
                self.unreadable.append(f"{path} is not read: by its name it is a copy; name it itself if it is none.")
                return ""
            return "a copy"
        if has_usage:
            return None
        if not content:
            return "empty"
        return "no text" if b"\x00" in content else "no usage in its beginning"

    def _is_new(self, status: os.stat_result) -> bool:
        identity = status.st_dev, status.st_ino
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True


def _within(folder: str, name: str) -> str:
    return name if folder == "." else os.path.join(folder, name)


def _cannot_read(name: str, error: Exception) -> str:
    reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
    if len(name) > LONGEST_SHOWN:
        name = f"{name[: LONGEST_SHOWN // 2]}…{name[-LONGEST_SHOWN // 2 :]}"
    return f"Cannot read {name}: {reason[:1].lower()}{reason[1:]}."
