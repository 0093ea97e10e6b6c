"""The body of a request → the JSON texts of its records, one by one, without ever holding more of it. Pure."""

import re
import zlib
from collections.abc import Iterator

import msgspec

MOST_UNPACKED = 32 * 1024 * 1024
MOST_RECORDS = 50_000
MOST_MEMBERS = 100
"""Of gzip: what comes after each is copied."""
MOST_COMMAS = 1_000_000
"""In an array that is split at once; each could be one of that many elements."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_SPACE = b" \t\r\n"
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[\[{]|[\]}]|,', re.DOTALL)
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


class BodyError(Exception):
    """A body of which nothing is taken. The text is one sentence; `status`: HTTP's."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def gunzip(packed: bytes, most: int = MOST_UNPACKED) -> bytes:
    """What was compressed with gzip, in one or several members. Raises `BodyError`, 413 beyond `most` bytes."""
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

    `is_lines`: whether the body is said to be NDJSON; otherwise lines are recognised where the body is no JSON value.
    Raises `BodyError` where the body as a whole cannot be read, or has more than `MOST_RECORDS`.
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
    """The elements of an array. Raises `msgspec.DecodeError` where it is none."""
    if body.count(b",") <= MOST_COMMAS:
        try:
            return iter(_ELEMENTS.decode(body))
        except RecursionError:
            pass
    return _split(body)


def _split(body: bytes) -> Iterator[bytes]:
    """The elements one after another, however deep one is and however many there are.

    Slower than a decoder. Raises `BodyError` at the end of what is no array; what is wrong in an element shows there.
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
