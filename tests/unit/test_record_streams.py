"""Files that are one document, or values behind each other: read piece by piece, and read on behind what is damaged."""

import bz2
import gzip
import json
import lzma
import tracemalloc
from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO, RawIOBase
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.usage.logs import streams
from bot.usage.logs.json_values import LONGEST_VALUE, values_of
from bot.usage.logs.streams import MOST_LAYERS, NotReadError, records_of
from bot.usage.logs.usage_block import Skipped

RECORD = {"model": "claude-opus-4-6", "note": "x" * 300, "usage": {"input_tokens": 10, "output_tokens": 7}}


def read(content: str | bytes) -> list[Any]:
    return list(records_of(BytesIO(content if isinstance(content, bytes) else content.encode())))


def in_small_pieces(content: str) -> list[Any]:
    """Every value goes over the edge of a piece."""
    found: list[Any] = []
    for value, _ in values_of(BufferedReader(BytesIO(content.encode())), b"", piece=37):
        found += value if isinstance(value, list) else [value]
    return found


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, min_size=1, max_size=3)


@pytest.mark.parametrize("indent", [None, 1])
def test_a_value_may_lie_across_the_pieces_that_are_read(indent: int | None) -> None:
    @given(st.lists(objects, min_size=2, max_size=5))
    def check(some: list[dict[str, Any]]) -> None:
        assert in_small_pieces(json.dumps(some, indent=indent, ensure_ascii=False)) == some
        assert in_small_pieces("\n".join(json.dumps(one, indent=2, ensure_ascii=False) for one in some)) == some

    check()


def test_of_a_document_that_breaks_off_all_before_is_read_and_the_cause_is_named() -> None:
    whole = json.dumps([RECORD] * 5, indent=1)
    assert read(whole[:-200]) == [*[RECORD] * 4, Skipped.CUT_OFF]
    behind_each_other = "\n".join([json.dumps(RECORD, indent=1)] * 5)
    assert read(behind_each_other[:-200]) == [*[RECORD] * 4, Skipped.CUT_OFF]


def test_what_is_damaged_in_the_middle_costs_itself_alone() -> None:
    pretty = json.dumps(RECORD, indent=1)
    assert read("\n".join((pretty, pretty[:100] + "\n!!", pretty, pretty))) == [
        *(RECORD, Skipped.CUT_OFF, RECORD, RECORD),
    ]


def test_an_object_too_long_to_hold_is_unwrapped_or_read_without_its_lists() -> None:
    many = LONGEST_VALUE // len(json.dumps(RECORD)) + 1
    assert read(json.dumps({"meta": {"page": 1}, "data": [RECORD] * many}, indent=1)) == [RECORD] * many
    long = {**RECORD, "tags": ["x" * 1000] * (4 * LONGEST_VALUE // 1000)}
    assert read(json.dumps(long, indent=1)) == [RECORD]


class _Repeated(RawIOBase):
    """A file that is made while it is read, so that only the reader's memory is measured."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        self._rest = self._rest or next(self._parts, b"")
        content, self._rest = self._rest[:size], self._rest[size:]
        return content


@pytest.mark.parametrize(("first", "between", "last"), [("", "\n", ""), ("[\n", ",\n", "\n]")])
def test_memory_is_flat_in_the_length_of_a_document(first: str, between: str, last: str) -> None:
    def peak(number: int) -> int:
        pretty = json.dumps(RECORD, indent=2)
        parts = (f"{first if index == 0 else between}{pretty}".encode() for index in range(number))

        def content() -> Iterator[bytes]:
            yield from parts
            yield last.encode() or b"\n"

        tracemalloc.start()
        try:
            assert sum(1 for _ in records_of(cast("BinaryIO", _Repeated(content())))) == number
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(4_000) < peak(1_000) * 1.5


@pytest.mark.parametrize("first", ["[]", '[{"a": 1}]', "\n [ ] \r", "\ufeff[1, 2]"])
def test_lines_behind_a_line_that_is_an_array_are_read_one_by_one(first: str) -> None:
    found = read(f'{first}\nrubbish\n{{"b": 2}}\n{{"c"\n[]\n\n[{{"d": 3}}]\n')
    kept = [one for one in found if one not in ({"a": 1}, Skipped.NOT_AN_OBJECT)]
    assert kept == [Skipped.NOT_JSON, {"b": 2}, Skipped.NOT_JSON, {"d": 3}]


@pytest.mark.parametrize("second", ["{", "["])
def test_a_value_of_several_lines_may_follow_an_array_of_one(second: str) -> None:
    value = json.dumps(RECORD if second == "{" else [RECORD], indent=2)
    assert read(f"[]\n{value}\n{value}") == [RECORD, RECORD]


@given(
    st.lists(st.sampled_from([b"", b" ", b"x", b"yy" * 4, b"zzz" * 9, b"\r"]), max_size=12),
    st.sampled_from([b"", b"\n"]),
    st.integers(1, 9),
)
def test_lines_are_the_same_read_one_by_one_or_many_at_a_time(lines: list[bytes], end: bytes, buffer: int) -> None:
    content = b"\n".join(lines) + end

    def reader() -> Any:
        return BufferedReader(BytesIO(content), 2)

    batches = list(streams._batches(reader(), buffer, longest=9))
    one_by_one = [None if line is None else line.rstrip(b"\n") for line in streams._lines(reader(), longest=9)]
    many = [line for batch in batches for line in ([None] if batch is None else batch)]
    assert [line for line in many if line is None or line.strip()] == one_by_one


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_whoever_takes_lines_sees_all_of_a_file_of_lines_that_is_packed(pack: Callable[[bytes], bytes]) -> None:
    lines = [json.dumps({**RECORD, "number": number}).encode() for number in range(2_000)]
    taken: list[bytes] = []

    def take(some: list[bytes]) -> list[bytes]:
        odd = [line for line in some if b'"number": 7,' in line]
        taken.extend(line.strip() for line in some if line and line not in odd)
        return odd

    lines[9:9] = [b'{"number": 7, "a": 1}']
    found = list(records_of(BytesIO(pack(b"\n".join(lines) + b"\n")), take=take))
    assert found == [{"number": 7, "a": 1}]
    assert taken == lines[:9] + lines[10:]


PACKERS: list[Callable[[bytes], bytes]] = [gzip.compress, bz2.compress, lzma.compress]


@pytest.mark.parametrize("inner", PACKERS)
@pytest.mark.parametrize("outer", PACKERS)
def test_what_is_packed_twice_is_read(inner: Callable[[bytes], bytes], outer: Callable[[bytes], bytes]) -> None:
    assert read(outer(inner(json.dumps(RECORD).encode()))) == [RECORD]


@pytest.mark.parametrize("pack", PACKERS)
def test_what_is_packed_again_and_again_is_refused_in_one_clause(pack: Callable[[bytes], bytes]) -> None:
    content = json.dumps(RECORD).encode()
    for _ in range(MOST_LAYERS):
        content = pack(content)
    assert read(content) == [RECORD]
    with pytest.raises(NotReadError, match="compressed more than 3 times"):
        read(pack(content))


def test_a_bomb_of_one_endless_line_takes_no_memory() -> None:
    packed = gzip.compress(b"x" * 80_000_000, compresslevel=1)
    tracemalloc.start()
    try:
        assert all(isinstance(found, Skipped) for found in read(packed))
        assert tracemalloc.get_traced_memory()[1] < 150_000_000
    finally:
        tracemalloc.stop()
