"""Reads the JSON records in a file, one at a time; the form is recognized by content.

JSON lines, consecutive values, one array or one document that wraps lists; as UTF-8 or UTF-16, compressed with gzip,
bzip2 or xz; CSV tables. Memory stays flat: only the current line or value is held.
"""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, TypeAlias

import msgspec

from bot.usage.logs.json_values import BrokenError, values_of
from bot.usage.logs.records import records_in, records_of_document
from bot.usage.logs.usage_block import Record, Skipped

_decoded = msgspec.json.Decoder().decode

LONGEST = 64 * 1024 * 1024
"""Longest line in bytes, held in memory as a whole."""

BUFFER = 256 * 1024

if TYPE_CHECKING:
    Reader: TypeAlias = io.BufferedReader[Any]
else:
    Reader = io.BufferedReader

END = b""
"""Marks the end of the lines."""

Advance = Callable[[int], object]
"""Called after each read with the number of bytes."""

UTF16 = {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b'{\x00"\x00': "utf-16-le",
    b'\x00{\x00"': "utf-16-be",
}
"""First bytes of UTF-16, with a byte order mark or of JSON without one."""

GZIP, BZIP2, XZ, ZSTANDARD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"

TABLES = (
    {"model", "input_tokens", "output_tokens"},
    {"model", "uncached_input_tokens", "output_tokens"},
    {"model_version", "usage_output_tokens"},
    {"model", "token_type", "cost_usd"},
)
"""Columns that identify a table of usage: a log as CSV, and the Console's exports of usage and of cost."""

SIGN_OF_USAGE = re.compile(
    rb'\\?"(?:input_tokens|output_tokens|cacheRead|inputTokens|inputTokenCount|prompt_tokens)\\?"\s*:'
)

NOT_READ = {
    ZSTANDARD: "it is compressed with Zstandard; unpack it with unzstd",
    b"PK\x03\x04": "it is a zip archive; unpack it",
    b"7z\xbc\xaf": "it is a 7-Zip archive; unpack it",
    b"SQLite format 3\x00": "it is an SQLite database; export its table as JSON lines",
    b"PAR1": "it is a Parquet file; export it as JSON lines",
    b"\x04\x22\x4d\x18": "it is compressed with LZ4; unpack it with unlz4",
}
"""First bytes of formats that are recognized but not supported, with the remedy."""

MOST_LAYERS = 3
"""Most compression layers of a file: each may expand a thousandfold."""

DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)
"""Raised by reading a damaged compressed file, apart from ordinary file errors."""


class NotReadError(Exception):
    """A recognized but unsupported format; the message is a clause that names the remedy."""


class _Counted(io.RawIOBase):
    """A stream that reports its progress."""

    def __init__(self, stream: BinaryIO, advance: Advance) -> None:
        self._stream = stream
        self._advance = advance
        reads_into = isinstance(stream, io.BufferedIOBase | io.FileIO)
        self._into: Callable[[Any], int] = stream.readinto if reads_into else self._copied  # type: ignore[attr-defined]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._into(buffer)
        self._advance(size)
        return size

    def _copied(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


class _Recoded(io.RawIOBase):
    """A text stream as UTF-8."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = self._text.read(BUFFER).encode("utf-8", "replace")
        content, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(content)] = content
        return len(content)


def opened(stream: BinaryIO, advance: Advance = lambda read: None) -> Reader:
    """The stream unpacked and as UTF-8. Raises `NotReadError`."""
    return _opened(stream, advance)[0]


def _opened(stream: BinaryIO, advance: Advance) -> tuple[Reader, bytes]:
    """The stream, and the beginning that was read with it."""
    reader: Reader = io.BufferedReader(_Counted(stream, advance), BUFFER)
    for _ in range(MOST_LAYERS + 1):
        beginning = reader.peek(16)
        head = beginning[:512]
        unpacked = _unpacked(reader, head)
        if unpacked is None:
            break
        reader = unpacked
    else:
        raise NotReadError(f"it is compressed more than {MOST_LAYERS} times; unpack it")
    for magic, reason in NOT_READ.items():
        if head.startswith(magic):
            raise NotReadError(reason)
    if head[257:262] == b"ustar":
        raise NotReadError("it is a tar archive; unpack it")
    encoding = next((name for begin, name in UTF16.items() if head.startswith(begin)), None)
    if encoding is not None:
        text = io.TextIOWrapper(reader, encoding, errors="replace", newline="")
        recoded = io.BufferedReader(_Recoded(text), BUFFER)
        return recoded, recoded.peek(16)
    return reader, beginning


def _unpacked(reader: Reader, head: bytes) -> Reader | None:
    unpacked: Any
    if head.startswith(GZIP):
        unpacked = gzip.GzipFile(fileobj=reader, mode="rb")
    elif head.startswith(BZIP2) and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        unpacked = bz2.BZ2File(reader)
    elif head.startswith(XZ):
        unpacked = lzma.LZMAFile(reader)  # noqa: SIM115 - its owner closes the file below it
    else:
        return None
    return io.BufferedReader(unpacked, BUFFER)


Through = Callable[[Reader], io.RawIOBase]
"""A filter of the unpacked content."""

Take = Callable[[list[bytes]], list[bytes]]
"""Takes the lines it can read itself; returns the others."""


def all_of(lines: list[bytes]) -> list[bytes]:
    """A `Take` that takes none."""
    return lines


def records_of(
    stream: BinaryIO,
    advance: Advance = lambda read: None,
    take: Take = all_of,
    through: Through | None = None,
) -> Iterator[Record | Skipped]:
    """The records of a stream, apart from the lines that `take` takes. Empty lines are ignored.

    Raises `NotReadError`, OSError, and `DAMAGED`.

    Content that begins like a document but is not one is read as lines.
    """
    reader, beginning = _opened(stream, advance)
    if through is not None:
        reader = io.BufferedReader(through(reader), BUFFER)
        beginning = reader.peek(16)
    if begins_array(beginning):
        yield from _document(reader, b"")
        return
    lines = _lines(reader)
    first = next(lines, END)
    if first == END:
        return
    if first is not None and first.startswith(b"{") and not take([first]):
        yield from _lines_left(reader, take)
        return
    if first is not None and (table := table_of(first)) is not None:
        yield from table(lines)
        return
    value = parsed(first)
    if value is Skipped.NOT_JSON and first is not None and first.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{":
        yield from _document(reader, first)
        return
    second = next(lines, END)
    if second == END:
        yield from (value,) if isinstance(value, Skipped) else records_of_document(value)
        return
    yield from _records_of_lines((value,))
    # Yield only now, since `take` may read lines in order.
    yield from _records_of_lines(map(parsed, (None,) if second is None else take([second])))
    yield from _lines_left(reader, take)


def _lines_left(reader: Reader, take: Take) -> Iterator[Record | Skipped]:
    """Records of the remaining lines, apart from those that `take` takes."""
    for lines in _batches(reader):
        if lines is None:
            yield Skipped.TOO_LONG
        else:
            yield from _records_of_lines(map(parsed, filter(_holds_anything, take(lines))))


def _holds_anything(line: bytes) -> bool:
    return bool(line) and not line.isspace()


def _records_of_lines(values: Iterable[Any]) -> Iterator[Record | Skipped]:
    for value in values:
        if isinstance(value, dict | Skipped):
            yield value
        else:
            yield from records_in(value)


def _document(reader: Reader, first: bytes) -> Iterator[Record | Skipped]:
    """Records of values that are not one per line. Damage is reported once, and reading continues after it."""
    while True:
        try:
            for value, is_alone in values_of(reader, first):
                yield from records_of_document(value) if is_alone else records_in(value)
        except BrokenError as broken:
            if broken.found_any:
                yield Skipped.CUT_OFF
                if not broken.rest:
                    return
                first = broken.rest
                continue
            rest: Reader = io.BufferedReader(_Chained(broken.rest, reader), BUFFER)
            yield from _records_of_lines(map(parsed, _lines(rest)))
        return


class _Chained(io.RawIOBase):
    """Bytes that were read already, followed by the stream."""

    def __init__(self, first: bytes, stream: Reader) -> None:
        self._first = io.BytesIO(first)
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._first.read(len(buffer)) or self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _lines(stream: Reader, longest: int = LONGEST) -> Iterator[bytes | None]:
    """The non-empty lines; None for one that is too long, which is skipped in pieces."""
    while line := stream.readline(longest + 1):
        if len(line) <= longest or line.endswith(b"\n"):
            if not line.isspace():
                yield line
            continue
        while not line.endswith(b"\n"):
            line = stream.readline(longest)
            if not line:
                break
        yield None


def _batches(stream: Reader, buffer: int = BUFFER, longest: int = LONGEST) -> Iterator[list[bytes] | None]:
    """Lines without their ends, in batches as read; None for one that is too long."""
    begun: list[bytes] = []
    size = 0
    while piece := stream.read1(buffer):
        lines = piece.split(b"\n")
        rest = lines.pop()
        if lines:
            size += len(lines[0])
            if size > longest:
                yield None
                del lines[0]
            elif begun:
                lines[0] = b"".join((*begun, lines[0]))
            yield lines
            begun.clear()
            size = 0
        size += len(rest)
        if size > longest:
            begun.clear()
        elif rest:
            begun.append(rest)
    if size > longest:
        yield None
    elif size:
        yield [b"".join(begun)]


def parsed(line: bytes | None) -> Any:
    """The JSON value of a line, or the reason why there is none."""
    if line is None:
        return Skipped.TOO_LONG
    try:
        # Everything it reads, it reads like `json`, which accepts more.
        return _decoded(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError:
        return Skipped.NOT_UTF8
    except (ValueError, RecursionError):
        return _parsed_within(line)


def _parsed_within(line: bytes) -> Any:
    """The value of a line with extra text: a byte order mark, NULs of a crash, a logger's prefix."""
    try:
        text = line.removeprefix(codecs.BOM_UTF8).strip(b"\x00 \t\r\n").decode()
    except UnicodeDecodeError:
        return Skipped.NOT_UTF8
    begin = text.find('{"')
    try:
        if begin >= 0 and text.endswith("}"):
            return json.loads(text[begin:])
        return json.loads(text)
    except (ValueError, RecursionError):
        return Skipped.NOT_JSON


def begins_array(head: bytes) -> bool:
    """Whether the first value is an array, and the first lines are not values of one line each."""
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] != b"[":
        return False
    first, end, others = head.removeprefix(codecs.BOM_UTF8).lstrip().partition(b"\n")
    second = others.lstrip().partition(b"\n")[0].rstrip()
    return not end or second in (b"{", b"[") or not isinstance(parsed(first), list)


def holds_usage(beginning: bytes) -> bool:
    """Whether the first lines of a file have usage in a supported form."""
    first, *others = beginning.split(b"\n")
    if table_of(first) is not None:
        return True
    if SIGN_OF_USAGE.search(beginning) is None:
        return False
    if beginning.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"["):
        return True
    return any(isinstance(parsed(line), dict) for line in (first, *others) if SIGN_OF_USAGE.search(line))


Table = Callable[[Iterator[bytes | None]], Iterator[Record | Skipped]]


def table_of(header: bytes) -> Table | None:
    """How to read a CSV table whose first line names columns of usage or cost."""
    try:
        text = header.removeprefix(codecs.BOM_UTF8).decode().strip()
    except UnicodeDecodeError:
        return None
    if text[:1] in ("{", "["):
        return None
    delimiter = max(",;\t", key=text.count)
    names = cells_of(text, delimiter)
    if not any(columns <= set(names) for columns in TABLES):
        return None

    def read(lines: Iterator[bytes | None]) -> Iterator[Record | Skipped]:
        for line in lines:
            if line is None:
                yield Skipped.TOO_LONG
                continue
            # A cell with a line break only loses its own row.
            cells = cells_of(line.decode("utf-8", "replace").rstrip("\r\n"), delimiter)
            yield {name: cell for name, cell in zip(names, cells, strict=False) if cell != ""}

    return read


def cells_of(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []
