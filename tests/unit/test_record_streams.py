"""Files that are one document, or values behind each other: read piece by piece, and read on behind what is damaged."""

import json
import tracemalloc
from collections.abc import Iterator
from io import BytesIO, RawIOBase
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.usage import json_values
from bot.usage.record_streams import records_of
from bot.usage.usage_block import Skipped

RECORD = {"model": "claude-opus-4-6", "note": "x" * 300, "usage": {"input_tokens": 10, "output_tokens": 7}}


def read(content: str | bytes) -> list[Any]:
    return list(records_of(BytesIO(content if isinstance(content, bytes) else content.encode())))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value goes over the edge of a piece."""
    monkeypatch.setattr(json_values, "PIECE", 37)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, min_size=1, max_size=3)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("indent", [None, 1])
def test_a_value_may_lie_across_the_pieces_that_are_read(indent: int | None) -> None:
    @given(st.lists(objects, min_size=2, max_size=5))
    def check(some: list[dict[str, Any]]) -> None:
        assert read(json.dumps(some, indent=indent, ensure_ascii=False)) == some
        assert read("\n".join(json.dumps(one, indent=2, ensure_ascii=False) for one in some)) == some

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


def test_an_object_too_long_to_hold_is_unwrapped_or_read_without_its_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "LONGEST_VALUE", 1_000)
    monkeypatch.setattr(json_values, "PIECE", 100)
    assert read(json.dumps({"meta": {"page": 1}, "data": [RECORD] * 9}, indent=1)) == [RECORD] * 9
    long = {**RECORD, "tags": ["x" * 50] * 100}
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
