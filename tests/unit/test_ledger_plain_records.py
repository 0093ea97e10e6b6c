"""The fast way of reading a usual record: it says what the thorough way says, of every record."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.ledger.model import Event
from bot.ledger.records import RecordReader, RefusedRecordError, events_in, value_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
USUAL = {"model": "claude-opus-5-5", "input_tokens": 10, "output_tokens": 1}
numbers = st.sampled_from([0, 1, 5, 150_000, 10**10, 10**10 + 1, -1, 1.0, 1.5, "7", None, True])
names = st.sampled_from(["a", "search", "", " x ", "a\0b", "a\nb", "y" * 201, 7, None, ["a"], {"a": 1}, True])
times = st.sampled_from(
    [
        *("2026-11-20T10:00:00Z", "2026-11-20T10:00:00+09:00", "2026-11-20 10:00", "2027-01-01", "1763625600"),
        *(1763625600, 1763625600.5, 1763625600000, "soon", "", 0, None, True),
    ]
)
lifetimes = {"ephemeral_5m_input_tokens": numbers, "ephemeral_1h_input_tokens": numbers}
usages = st.fixed_dictionaries(
    {},
    optional={
        "input_tokens": numbers,
        "output_tokens": numbers,
        "cache_creation_input_tokens": numbers,
        "cache_read_input_tokens": numbers,
        "cache_creation": st.none() | st.fixed_dictionaries({}, optional=lifetimes),
        "server_tool_use": st.none() | st.fixed_dictionaries({}, optional={"web_search_requests": numbers}),
        "service_tier": names,
        "speed": names,
        "inference_geo": names,
        "iterations": st.sampled_from([None, [], [{"type": "message", "input_tokens": 1, "output_tokens": 1}]]),
    },
)
records = st.fixed_dictionaries(
    {
        "model": names | st.sampled_from(["claude-opus-5-5", "<synthetic>"]),
        "input_tokens": numbers,
        "output_tokens": numbers,
    },
    optional={
        **dict.fromkeys(("feature", "user_id", "workspace", "key", "session", "request_id"), names),
        **dict.fromkeys(("id", "message_id", "service_tier", "speed", "inference_geo", "outcome", "other"), names),
        **dict.fromkeys(("cache_read", "cache_create", "web_search_requests"), numbers),
        **dict.fromkeys(("time", "timestamp"), times),
        "usage": st.none() | usages,
        "tags": st.none() | st.dictionaries(st.sampled_from(["team", "pr", "", "z" * 65]), names, max_size=3),
    },
)


def read(reader: RecordReader, text: bytes) -> list[Event] | str:
    try:
        return reader.events(text, NOW, lambda: "made")
    except RefusedRecordError as refused:
        return str(refused)


def thorough(text: bytes) -> list[Event] | str:
    try:
        return events_in(value_of(text), NOW, lambda: "made")
    except RefusedRecordError as refused:
        return str(refused)


READER = RecordReader()
"""One for all examples: what it remembers of some must be right for others."""


@given(st.lists(records, min_size=1, max_size=3))
@settings(max_examples=300)
@example([{**USUAL, "usage": {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 9}}])
def test_the_fast_way_reads_what_the_thorough_way_reads(some: list[dict[str, Any]]) -> None:
    for record in some:
        text = json.dumps(record).encode()
        for _ in range(2):
            assert read(READER, text) == thorough(text)


LABELS = ("feature", "user_id", "workspace", "key", "service_tier", "inference_geo", "speed")


@pytest.mark.parametrize("changed", LABELS)
def test_every_label_keeps_records_apart(changed: str) -> None:
    for value in ("a", "b", None):
        block = {"input_tokens": 2, "output_tokens": 3, changed: value}
        for place in ({changed: value}, {"usage": block} if changed in LABELS[4:] else {}):
            text = json.dumps({**USUAL, **place}).encode()
            assert read(READER, text) == read(READER, text) == thorough(text)
