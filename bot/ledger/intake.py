"""Take a body of usage records into the ledger, record by record; good ones are stored, rejected ones are named."""

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

import msgspec

from bot.ledger.model import Event, Ledger
from bot.ledger.records import RecordReader, RefusedRecordError
from bot.usage.logs.usage_block import Skipped

MOST_UNPACKED = 32 * 1024 * 1024
MOST_RECORDS = 50_000
MOST_MEMBERS = 100
"""Most gzip members: what follows each one is copied."""
MOST_COMMAS = 1_000_000
"""Most commas of an array that is split at once; each could separate an element."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_SPACE = b" \t\r\n"
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[\[{]|[\]}]|,', re.DOTALL)
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


class BodyError(Exception):
    """A body that is rejected as a whole. The message is one sentence; `status`: HTTP's."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def gunzip(packed: bytes, most: int = MOST_UNPACKED) -> bytes:
    """Decompress gzip, of one or several members. Raises `BodyError`, 413 beyond `most` bytes."""
    unpacked = bytearray()
    rest, members = packed, 0
    while rest:
        members += 1
        if members > MOST_MEMBERS:
            raise BodyError(400, f"The body has more than {MOST_MEMBERS} members of gzip: compress it as a whole.")
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            unpacked += member.decompress(rest, most + 1 - len(unpacked))
        except zlib.error:
            raise BodyError(400, "The body is not gzip, as its Content-Encoding says.") from None
        if len(unpacked) > most:
            raise BodyError(
                413, f"The body is larger than {most // 2**20} MB once it is unpacked: send less at a time."
            )
        if not member.eof:
            raise BodyError(400, "The body breaks off: gzip's end is missing.")
        rest = member.unused_data
    return bytes(unpacked)


def records_of(body: bytes, *, is_lines: bool) -> Iterator[bytes | msgspec.Raw]:
    """The JSON text of each record: elements of an array, lines, or the only value.

    `is_lines`: whether the body is declared as NDJSON; otherwise lines are recognised if the body is no JSON value.
    Raises `BodyError` if the body as a whole cannot be read, or has more than `MOST_RECORDS`.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    begin = body.lstrip(_SPACE)[:1]
    found = _bounded(_records(body, begin, is_lines))
    first = next(found, None)
    if first is None and begin != b"[":
        raise BodyError(400, "The body is empty: send a record, an array of records, or one on each line.")
    return found if first is None else _with(first, found)


def _records(body: bytes, begin: bytes, is_lines: bool) -> Iterator[bytes | msgspec.Raw]:
    if begin == b"[":
        try:
            return iter(_elements(body))
        except msgspec.DecodeError as error:
            if not is_lines:
                raise BodyError(400, f"The body is no JSON array ({_place(error)}).") from None
    elif not is_lines and _is_one_value(body):
        return iter((body,))
    return _lines(body)


def _elements(body: bytes) -> Iterator[bytes | msgspec.Raw]:
    """The elements of an array. Raises `msgspec.DecodeError` if it is not an array."""
    if body.count(b",") <= MOST_COMMAS:
        try:
            return iter(_ELEMENTS.decode(body))
        except RecursionError:
            pass
    return _split(body)


def _split(body: bytes) -> Iterator[bytes]:
    """The elements one after another, however deep and however many.

    Slower than a decoder. Raises `BodyError` at the end of an invalid array; errors within an element show later.
    """
    begin = body.index(b"[") + 1
    depth = 0
    for token in _TOKENS.finditer(body, begin):
        mark = body[token.start()]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
            if depth < 0:
                last = body[begin : token.start()]
                if last.strip(_SPACE):
                    yield last
                if body[token.end() :].strip(_SPACE):
                    break
                return
        elif mark == ord(",") and not depth:
            yield body[begin : token.start()]
            begin = token.end()
    raise BodyError(400, "The body is no JSON array: it breaks off, or goes on after its end.")


def _is_one_value(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except RecursionError:
        return b"\n" not in body.strip(_SPACE)
    except (msgspec.DecodeError, ValueError):
        return False
    return True


def _lines(body: bytes) -> Iterator[bytes]:
    begin = 0
    while begin < len(body):
        end = body.find(b"\n", begin)
        end = len(body) if end < 0 else end
        line = body[begin:end]
        if line.strip(_SPACE):
            yield line
        begin = end + 1


def _bounded(records: Iterator[bytes | msgspec.Raw]) -> Iterator[bytes | msgspec.Raw]:
    for number, record in enumerate(records):
        if number >= MOST_RECORDS:
            raise BodyError(413, f"The body has more than {MOST_RECORDS:,} records: send less at a time.")
        yield record


def _with(first: bytes | msgspec.Raw, rest: Iterator[bytes | msgspec.Raw]) -> Iterator[bytes | msgspec.Raw]:
    yield first
    yield from rest


def _place(error: msgspec.DecodeError) -> str:
    found = re.search(r"byte \d+", str(error))
    return found[0] if found else "it breaks off"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was not stored. `index`: its position in the body, from 0."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Result of one body's records."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class Intake:
    """Stores the records of bodies in a ledger. Several threads may use it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reader = RecordReader()

    def take(self, body: bytes, now: datetime, *, is_gzip: bool, is_lines: bool) -> Taken:
        """Good records are durable on return. Raises `BodyError`, or what the ledger raises."""
        text = gunzip(body) if is_gzip else body
        new_id = _ids(now)
        events: list[Event] = []
        rejected: list[Rejected] = []
        # Split the whole body before looking into it: too many records are rejected at once.
        records = list(records_of(text, is_lines=is_lines))
        for index, record in enumerate(records):
            try:
                events += self._reader.events(record, now, new_id)
            except RefusedRecordError as refused:
                rejected.append(Rejected(index, str(refused)))
        nothing_read = len(rejected) == len(records) and all(each.reason == Skipped.NOT_JSON for each in rejected)
        if records and nothing_read and not is_lines:
            raise BodyError(400, "The body is not JSON.")
        appended = self._ledger.append(events, now)
        return Taken(appended.accepted, appended.duplicates, rejected)


def _ids(now: datetime) -> Callable[[], str]:
    """Ids for records of a body without one: ordered by time, and never reused."""
    prefix = f"own-{int(now.timestamp() * 1000):012x}-{token_hex(8)}"
    given = 0

    def new_id() -> str:
        nonlocal given
        given += 1
        return f"{prefix}-{given}"

    return new_id
