"""Files and folders → the JSON records in them, one at a time. Nothing but the line at hand is kept in memory."""

import codecs
import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from bot.usage.records import records_in, records_of_document
from bot.usage.usage_block import Record, Skipped

SUFFIXES = (".jsonl", ".json", ".ndjson")
"""The files that are read of a folder. A file that is named itself may be called anything."""

STANDARD_INPUT = "-"

LONGEST = 64 * 1024 * 1024
"""Bytes of one line, and of a file that is one JSON document: these are held in memory as a whole."""

END = b""
"""What comes after the last line; no line is that empty."""

Advance = Callable[[int], object]
"""Told after each read how many bytes it was."""


class UnreadableError(Exception):
    """A file or folder that cannot be read; the text is one sentence that names it."""


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A file to read; `size` in bytes, 0 where nobody knows beforehand. `path` None is standard input."""

    path: Path | None
    size: int

    def records(self, advance: Advance = lambda read: None) -> Iterator[Record | Skipped]:
        """Its records, and for each line that has none the reason. Raises `UnreadableError`."""
        try:
            with nullcontext(sys.stdin.buffer) if self.path is None else self.path.open("rb") as stream:
                yield from records_of(stream, advance)
        except OSError as error:
            raise UnreadableError(_cannot_read(str(self.path or "standard input"), error)) from None


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to read, in the order of the names; `unreadable`: one sentence for each folder or file in it
    that cannot be looked at."""

    files: tuple[RecordFile, ...]
    unreadable: tuple[str, ...]


def find_files(paths: Sequence[str]) -> Found:
    """The files of these paths, folders with all that is in them, each file once however often it is reached.

    Raises `UnreadableError` for a path that does not exist or cannot be looked at; `-` is standard input.
    """
    search = _Search()
    for path in paths:
        if path == STANDARD_INPUT:
            search.standard_input()
        else:
            search.named(Path(path))
    return Found(tuple(search.files), tuple(search.unreadable))


class _Search:
    def __init__(self) -> None:
        self.files: list[RecordFile] = []
        self.unreadable: list[str] = []
        self._seen: set[tuple[int, int]] = set()

    def standard_input(self) -> None:
        if all(file.path is not None for file in self.files):
            self.files.append(RecordFile(None, 0))

    def named(self, path: Path) -> None:
        try:
            status = path.stat()
        except FileNotFoundError:
            raise UnreadableError(f"There is no file or folder {path}; check the name.") from None
        except OSError as error:
            raise UnreadableError(_cannot_read(str(path), error)) from None
        if not stat.S_ISDIR(status.st_mode):
            self._take(path, status)
        elif self._is_new(status):
            try:
                entries = _entries(path)
            except OSError as error:
                raise UnreadableError(_cannot_read(str(path), error)) from None
            self._inside(path, entries)

    def _inside(self, folder: Path, entries: list[str]) -> None:
        for name in entries:
            path = folder / name
            try:
                status = path.stat()
                if stat.S_ISDIR(status.st_mode):
                    if self._is_new(status):
                        self._inside(path, _entries(path))
                # Only ordinary files: a named pipe in a folder would wait for ever for somebody to write to it.
                elif stat.S_ISREG(status.st_mode) and name.lower().endswith(SUFFIXES):
                    self._take(path, status)
            except OSError as error:
                # A link to nothing or to itself, or a file that has just been removed: there is nothing to read.
                if error.errno not in (errno.ENOENT, errno.ELOOP):
                    self.unreadable.append(_cannot_read(str(path), error))

    def _take(self, path: Path, status: os.stat_result) -> None:
        if self._is_new(status):
            self.files.append(RecordFile(path, status.st_size))

    def _is_new(self, status: os.stat_result) -> bool:
        identity = status.st_dev, status.st_ino
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True


def _entries(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def _cannot_read(name: str, error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    return f"Cannot read {name}: {reason[:1].lower()}{reason[1:]}."


def records_of(stream: BinaryIO, advance: Advance = lambda read: None) -> Iterator[Record | Skipped]:
    """The records of JSON lines, or of one JSON document of at most `LONGEST` bytes, told apart by content.

    Empty lines are nothing. A file that begins like a document and does not turn out to be one is read as lines.
    """
    lines = _lines(stream, advance)
    first = next(lines, END)
    if first == END:
        return
    value = _parsed(first)
    if value is Skipped.NOT_JSON and first is not None and _begins_document(first):
        rest = stream.read(max(0, LONGEST - len(first))) + stream.readline(LONGEST)
        values = _document(first + rest) if len(first) + len(rest) <= LONGEST else None
        if values is not None:
            advance(len(rest))
            yield from _records_of_values(values)
            return
        lines = chain(_lines(BytesIO(rest), advance), lines)
    second = next(lines, END)
    if second == END:
        yield from _records_of_values([value])
        return
    for line_value in chain((value, _parsed(second)), map(_parsed, lines)):
        if isinstance(line_value, Skipped):
            yield line_value
        else:
            yield from records_in(line_value)


def _lines(stream: BinaryIO, advance: Advance) -> Iterator[bytes | None]:
    """The lines that are not empty; None for one that is too long, which is read over in pieces."""
    while line := stream.readline(LONGEST + 1):
        advance(len(line))
        if len(line) <= LONGEST or line.endswith(b"\n"):
            if not line.isspace():
                yield line
            continue
        while not line.endswith(b"\n"):
            line = stream.readline(LONGEST)
            advance(len(line))
            if not line:
                break
        yield None


def _parsed(line: bytes | None) -> Any:
    """The JSON value of a line, or the reason why there is none."""
    if line is None:
        return Skipped.TOO_LONG
    try:
        return json.loads(line.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError:
        return Skipped.NOT_UTF8
    except (ValueError, RecursionError):
        return Skipped.NOT_JSON


def _document(text: bytes) -> list[Any] | None:
    """The values of a text that is one JSON value, or several behind each other; None where it is neither."""
    try:
        rest = text.removeprefix(codecs.BOM_UTF8).decode()
        decoder, values, position = json.JSONDecoder(), [], 0
        while position < len(rest):
            if rest[position].isspace():
                position += 1
                continue
            value, position = decoder.raw_decode(rest, position)
            values.append(value)
    except (ValueError, RecursionError):
        return None
    return values


def _records_of_values(values: list[Any]) -> Iterator[Record | Skipped]:
    for value in values:
        if isinstance(value, Skipped):
            yield value
        else:
            yield from records_of_document(value) if len(values) == 1 else records_in(value)


def _begins_document(line: bytes) -> bool:
    return line.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"[", b"{")
