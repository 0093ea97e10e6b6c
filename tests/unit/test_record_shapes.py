"""Records read by their shape come to what the general way makes of them; records of any other shape are left to it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.ledger.events_of_call import events_of_call, labels_in
from bot.ledger.record_shapes import RecordShapes
from bot.usage.logs.calls import CallReader
from bot.usage.logs.streams import parsed

AT = datetime(2026, 11, 1, tzinfo=UTC)

TEXTS = st.sampled_from(
    ["", " ", "a", " b ", "msg_01", "claude-opus-4-5", "ok", "error", "result", "message", "x" * 201]
)
TIMES = st.sampled_from(["2026-11-01T10:00:00Z", "never", "", 1_790_000_000, 0, 1.5e9])
COUNTS = st.sampled_from([0, 1, 7, 150_000, None, -1, 10**11, "5", 2.0, True])
USUAL_COUNTS = st.integers(0, 250_000)
ANYTHING = st.one_of(TEXTS, TIMES, COUNTS, st.just([]), st.just({"input_tokens": 1, "output_tokens": 2}))

COUNT_NAMES = (
    "input_tokens",
    "output_tokens",
    "cache_read",
    "cache_create",
    "cache_write_1h",
    "cache_read_input_tokens",
)
TEXT_NAMES = (
    "id",
    "message_id",
    "request_id",
    "requestId",
    "model",
    "model_id",
    "session",
    "sessionId",
    "feature",
    "user",
)
OTHER_NAMES = ("service_tier", "speed", "workspace", "key", "outcome", "type", "role", "uncached_input_tokens", "data")
PARTS: st.SearchStrategy[dict[str, int] | None] = st.one_of(
    st.just({}),
    st.just({"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}),
    st.just({"web_search_requests": 2}),
    st.just({"input_tokens": 5}),
    st.none(),
)
TAGS = st.dictionaries(st.sampled_from(["team", "pr", "user", "feature", "input", "model"]), TEXTS, max_size=2)


def some(names: tuple[str, ...], values: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), values, max_size=most)


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


NAMED = st.builds(
    merged,
    st.builds(lambda model: {"model": model}, TEXTS),
    some(TEXT_NAMES, TEXTS),
    some(OTHER_NAMES, TEXTS, 2),
    some(("time", "ts", "timestamp"), TIMES, 2),
    st.one_of(st.just({}), st.builds(lambda tags: {"tags": tags}, TAGS)),
    some((*TEXT_NAMES, *OTHER_NAMES, "tags", "content", "metadata"), ANYTHING, 1),
)
COUNTED = st.builds(
    merged,
    st.builds(lambda one, other: {"input_tokens": one, "output_tokens": other}, USUAL_COUNTS, USUAL_COUNTS),
    some(COUNT_NAMES, USUAL_COUNTS),
    some(COUNT_NAMES, COUNTS, 1),
    some(("cache_creation", "server_tool_use"), PARTS, 2),
    some(("service_tier", "speed", "iterations", "id", "model"), TEXTS, 1),
)
RECORDS = st.one_of(
    st.builds(merged, NAMED, COUNTED),
    st.builds(lambda named, block: {**named, "usage": block}, NAMED, COUNTED),
    st.builds(lambda named, block: {**named, "usage": block, "cost_usd": 1.5}, NAMED, some(COUNT_NAMES, ANYTHING)),
)

SHAPES = RecordShapes()
"""One for all examples: what an earlier record of the same shape was must not matter."""


@given(RECORDS)
def test_a_record_read_by_its_shape_is_what_the_general_way_reads(record: dict[str, Any]) -> None:
    found = SHAPES.read(record)
    if found is None:
        return
    (call,) = CallReader().calls(record)
    labels = labels_in(record)
    assert found.call() == call
    assert found.labels == labels
    (event,) = events_of_call(call, "id", AT, labels)
    assert (event.dimensions, event.counts) == (found.dimensions, found.counts)


FLAT = {"time": "2026-11-01T10:00:00Z", "model": "claude-opus-4-5", "input_tokens": 10, "output_tokens": 5}
BLOCK = {"input_tokens": 10, "output_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 3}}


@pytest.mark.parametrize(
    "record",
    [
        FLAT,
        {**FLAT, "id": "msg_1", "feature": "search", "user_id": "u1", "tags": {"team": "t"}, "cache_read": 8},
        {**FLAT, "session_id": "s", "cost_usd": 0.5, "ok": True, "outcome": "error", "workspace": "w"},
        {"ts": 1_790_000_000, "model": "claude-haiku-4-5", "usage": BLOCK, "request_id": "req_1", "id": "r"},
        {"id": "msg_2", "type": "message", "role": "assistant", "model": "m", "content": [{"a": 1}], "usage": BLOCK},
    ],
)
def test_the_usual_records_of_applications_have_a_usual_shape(record: dict[str, Any]) -> None:
    assert RecordShapes().read(record) is not None


@pytest.mark.parametrize(
    "record",
    [
        {**FLAT, "usage": BLOCK},
        {**FLAT, "prompt_tokens": 10},
        {**FLAT, "input_tokens": 1.5},
        {**FLAT, "model": "<synthetic>"},
        {**FLAT, "metadata": {"feature": "search"}},
        {"type": "assistant", "message": {"model": "m", "usage": BLOCK}},
        {"model": "m", "usage": {**BLOCK, "iterations": [{"type": "message"}]}},
    ],
)
def test_any_other_record_is_left_to_the_general_way(record: dict[str, Any]) -> None:
    assert RecordShapes().read(record) is None


@pytest.mark.parametrize(
    "text", ["{}", "1e400", "NaN", '"\\ud800"', "[" * 200 + "]" * 200, "1" * 100, '"\\udc00\\ud800"']
)
def test_a_line_is_read_as_json_reads_it(text: str) -> None:
    assert repr(parsed(text.encode())) == repr(json.loads(text))
