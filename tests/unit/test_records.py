"""One recorded JSON object: the call in it, or why there is none."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.responses import Call, Part
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.logs.records import call_in
from bot.usage.logs.streams import DAMAGED, LONGEST, NotReadError, records_of
from bot.usage.logs.usage_block import Skipped

BLOCK: dict[str, Any] = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 20,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "output_tokens": 7,
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 9},
    "service_tier": "batch",
    "inference_geo": "us",
    "speed": "fast",
}
COUNTS = TokenCounts(10, 100, 200, 20, 7, 2)
RESPONSE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-6",
    "content": [{"type": "tool_use", "input": {"usage": {"input_tokens": 1, "output_tokens": 1}}}],
    "usage": BLOCK,
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def call(record: Mapping[str, Any]) -> Call:
    found = call_in(record)
    assert isinstance(found, Call), found
    return found


def plain(**fields: Any) -> dict[str, Any]:
    return {"model": "claude-opus-4-6", "input_tokens": 10, "output_tokens": 7, **fields}


def test_a_log_record_is_read_by_its_own_names() -> None:
    found = call(
        {
            "feature": "search",
            "user_id": 42,
            "model": "claude-sonnet-4-6",
            "input_tokens": 1000,
            "output_tokens": 200,
            "cache_read": 30,
            "cache_create": 4,
            "ts": "2026-03-01T12:00:00Z",
        }
    )
    assert found == Call(
        model="claude-sonnet-4-6",
        counts=TokenCounts(1000, 4, 0, 30, 200),
        at=NOON,
        feature="search",
        user="42",
        unsplit=4,
    )


def test_a_stored_response_has_counts_terms_and_its_id() -> None:
    found = call(RESPONSE)
    assert found.counts == COUNTS
    assert found.terms == Terms("batch", "us", "fast")
    assert found.response == "msg_1"
    assert found.at is None


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: {"response": inner},
        lambda inner: {"custom_id": "a", "result": {"type": "succeeded", "message": inner}},
        lambda inner: {"log": {"entry": {"http": {"body": inner}}}},
        lambda inner: {"events": [{"type": "request"}, {"type": "response", "body": inner}]},
    ],
)
def test_a_response_is_found_wherever_a_record_carries_it(wrap: Any) -> None:
    assert call(wrap(RESPONSE)) == call(RESPONSE)


def test_of_two_blocks_the_one_with_lifetimes_counts_and_only_that_one() -> None:
    """An application keeps the block as the API sent it beside its own version of it."""
    found = call(
        {
            "timestamp": "2026-03-01T12:00:00+00:00",
            "cell_id": {"task_name": "draft_email"},
            "model_id": "claude-opus-4-6",
            "usage": {"input_tokens": 10, "output_tokens": 7, "cache_creation_input_tokens": 300},
            "usage_raw": BLOCK,
        }
    )
    assert found.counts == COUNTS
    assert (found.at, found.feature) == (NOON, "draft_email")


def test_iterations_repeat_the_block_and_count_nothing() -> None:
    repeated = {**BLOCK, "iterations": [{**BLOCK, "type": "message"}]}
    assert call({**RESPONSE, "usage": repeated}) == call(RESPONSE)
    halves = [{"type": "message", "input_tokens": 5, "output_tokens": output} for output in (3, 4)]
    whole = {"input_tokens": 10, "output_tokens": 7, "iterations": halves}
    found = call({**RESPONSE, "usage": whole})
    assert (found.counts, found.outside) == (TokenCounts(10, output_tokens=7), ())
    assert found.inside == tuple(Part("claude-opus-4-6", TokenCounts(5, output_tokens=output)) for output in (3, 4))


def test_compaction_and_advice_are_outside_of_the_counts_since_the_block_leaves_them_out() -> None:
    iterations = [
        {"type": "compaction", "input_tokens": 55_196, "output_tokens": 125},
        {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 2518, "output_tokens": 22},
        {**BLOCK, "type": "message"},
    ]
    found = call({**RESPONSE, "usage": {**BLOCK, "iterations": iterations}})
    assert found.counts == COUNTS
    assert found.outside == (
        Part("claude-opus-4-6", TokenCounts(55_196, output_tokens=125)),
        Part("claude-opus-4-8", TokenCounts(2518, output_tokens=22)),
    )


SMALL = {"input_tokens": 100, "output_tokens": 5}


@pytest.mark.parametrize(
    ("iterations", "outside"),
    [
        # A refused attempt on another model, and the one that served and that the counts are of.
        (
            [
                {"type": "message", "model": "claude-fable-5", **SMALL},
                {"type": "fallback_message", "model": "claude-opus-4-6", **BLOCK},
            ],
            [Part("claude-fable-5", TokenCounts(100, output_tokens=5))],
        ),
        # The counts are of the message; the fallback came besides.
        (
            [{"type": "message", **BLOCK}, {"type": "fallback_message", "model": "claude-haiku-4-5", **SMALL}],
            [Part("claude-haiku-4-5", TokenCounts(100, output_tokens=5))],
        ),
        # A kind of tomorrow, without a model of its own.
        (
            [{"type": "message", **BLOCK}, {"type": "review", **SMALL}],
            [Part("claude-opus-4-6", TokenCounts(100, output_tokens=5))],
        ),
        ([{"type": "review", **BLOCK}], []),
        # Plain messages repeat the counts even where they do not sum up to them.
        ([{"type": "message", **SMALL}, {"type": "message", **SMALL}], []),
        ([{**BLOCK, "type": "message", "output_tokens": 3}], []),
    ],
)
def test_iterations_that_the_counts_leave_out_are_distinguished_from_repeated_ones(
    iterations: list[Any], outside: list[Part]
) -> None:
    found = call({**RESPONSE, "usage": {**BLOCK, "iterations": iterations}})
    assert (found.counts, list(found.outside), found.odd) == (COUNTS, outside, 0)


@pytest.mark.parametrize(
    "odd", [None, "message", 5, [], {}, {"type": "compaction"}, {"type": "message", **SMALL, "output_tokens": -1}]
)
def test_an_odd_iteration_is_counted_and_costs_nobody_the_call(odd: object) -> None:
    advice = {"type": "advisor_message", "model": "claude-opus-4-8", **SMALL}
    found = call({**RESPONSE, "usage": {**BLOCK, "iterations": [advice, odd, {**BLOCK, "type": "message"}]}})
    assert (found.counts, found.odd) == (COUNTS, 1)
    assert found.outside == (Part("claude-opus-4-8", TokenCounts(100, output_tokens=5)),)
    assert call({**RESPONSE, "usage": {**BLOCK, "iterations": odd or "none"}}).counts == COUNTS


def test_claudes_own_block_within_a_frameworks_counts_since_the_frameworks_input_holds_the_cache() -> None:
    own = {"input_tokens": 100, "cache_read_input_tokens": 2000, "output_tokens": 50}
    usage = {"input_tokens": 2100, "cache_read_tokens": 2000, "output_tokens": 50, "details": own}
    assert call({"model_name": "claude-sonnet-5", "usage": usage}).counts == TokenCounts(100, 0, 0, 2000, 50)
    raw = {"model": "claude-sonnet-5", "input_tokens": 2100, "output_tokens": 50, "response": {"raw_usage": own}}
    assert call(raw).counts == TokenCounts(100, 0, 0, 2000, 50)


def test_input_that_holds_the_cache_is_recognised_where_the_block_itself_proves_it() -> None:
    usage = {"input_tokens": 2100, "cache_read_tokens": 2000, "output_tokens": 50}
    assert call(plain(**usage, uncached_input_tokens=100)).counts == TokenCounts(100, 0, 0, 2000, 50)
    assert call(plain(**usage, uncached_input_tokens=90)).counts == TokenCounts(2100, 0, 0, 2000, 50)
    assert call(plain(**usage)).counts == TokenCounts(2100, 0, 0, 2000, 50)


def test_a_write_without_a_lifetime_is_a_five_minute_one() -> None:
    found = call(plain(cache_creation_input_tokens=300))
    assert (found.counts.cache_creation_5m_input_tokens, found.counts.cache_creation_1h_input_tokens) == (300, 0)
    split = call(plain(cache_creation_input_tokens=300, cache_creation={"ephemeral_1h_input_tokens": 120}))
    assert (split.counts.cache_creation_5m_input_tokens, split.counts.cache_creation_1h_input_tokens) == (180, 120)


def test_lifetimes_in_flat_names_are_read_too() -> None:
    found = call(plain(cache_creation_input_tokens=300, cache_creation_5m=100, cache_creation_1h=200))
    assert (found.counts.cache_creation_5m_input_tokens, found.counts.cache_creation_1h_input_tokens) == (100, 200)


def test_null_counts_are_none_and_whole_floats_are_whole_numbers() -> None:
    found = call(plain(cache_read_input_tokens=None, server_tool_use=None, cache_creation=None, input_tokens=10.0))
    assert found.counts == TokenCounts(10, output_tokens=7)


def test_counts_written_as_text_are_counts() -> None:
    assert call(plain(input_tokens="10", cache_read="20")).counts == TokenCounts(10, 0, 0, 20, 7)


def test_a_transcript_line_has_its_request_id_outside_of_the_message() -> None:
    found = call(
        {
            "type": "assistant",
            "timestamp": "2026-03-01T12:00:00.000Z",
            "sessionId": "s",
            "requestId": "req_1",
            "message": RESPONSE,
        }
    )
    assert (found.response, found.session, found.at) == ("msg_1", "s", NOON)


def test_a_progress_line_reports_a_sub_agents_call_at_that_calls_time() -> None:
    line = {"type": "assistant", "timestamp": "2026-03-01T12:00:00Z", "requestId": "req_2", "message": RESPONSE}
    found = call(
        {
            "type": "progress",
            "timestamp": "2026-03-02T00:00:01Z",
            "sessionId": "s",
            "data": {"type": "agent_progress", "message": line, "normalizedMessages": [line, line]},
        }
    )
    assert (found.response, found.session, found.at) == ("msg_1", "s", NOON)


def test_what_a_tool_returned_is_not_a_call() -> None:
    line = {"type": "user", "sessionId": "s", "model": "claude-opus-4-6", "toolUseResult": {"usage": BLOCK}}
    assert call_in(line) is Skipped.NO_USAGE


def test_a_transcript_of_pi_counts_its_calls_of_the_claude_api_alone() -> None:
    usage = {"input": 3, "output": 191, "cacheRead": 5, "cacheWrite": 1684, "cost": {"input": 9e-06, "output": 0.1}}
    message = {"role": "assistant", "api": "anthropic-messages", "model": "claude-sonnet-4-5", "usage": usage}
    assert call({"type": "message", "message": message}).counts == TokenCounts(3, 1684, 0, 5, 191)
    assert call_in({"type": "message", "message": {**message, "api": "openai-responses"}}) is Skipped.FOREIGN


def test_the_model_may_stand_with_the_request_beside_the_response() -> None:
    record = {"request": {"model": "claude-opus-4-6"}, "response": {"usage": BLOCK}}
    assert call(record).model == "claude-opus-4-6"
    two = {"a": {"model": "claude-opus-4-6"}, "b": {"model": "claude-haiku-4-5"}, "c": {"usage": BLOCK}}
    assert call_in(two) is Skipped.NO_MODEL


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"id": "msg_1", **plain()}, "msg_1"),
        ({"id": "row-7", **plain()}, None),
        ({"id": 7, "request_id": "r", **plain()}, None),
        ({"request_id": "r", **plain()}, None),
        ({"message_id": "m", "request_id": "r", **plain()}, "m"),
        ({"message": {"id": "m", "model": "claude-opus-4-6", "usage": BLOCK}, "requestId": "r"}, "m"),
        ({"id": "session-9", "model": "claude-opus-4-6", "usage": BLOCK}, None),
        ({"id": "m", "type": "message", "model": "claude-opus-4-6", "usage": BLOCK}, "m"),
    ],
)
def test_an_id_counts_only_where_it_names_a_response(record: Mapping[str, Any], expected: object) -> None:
    """A row, a session and a team's own request have ids as well, and several calls may share those."""
    assert call(record).response == expected


@pytest.mark.parametrize("name", ["timestamp", "ts", "time", "created_at"])
def test_the_time_of_a_record_has_one_of_many_names(name: str) -> None:
    assert call(plain(**{name: "2026-03-01T12:00:00Z"})).at == NOON


def test_a_name_of_a_time_without_one_gives_way_to_the_next() -> None:
    assert call(plain(timestamp="yesterday")).at is None
    assert call(plain(timestamp="yesterday", created_at="2026-03-01T12:00:00Z")).at == NOON


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, Skipped.NO_USAGE),
        ({"type": "user", "message": {"role": "user", "content": "hello"}}, Skipped.NO_USAGE),
        (plain(input_tokens=-1), Skipped.NEGATIVE),
        (plain(cache_read=-1), Skipped.NEGATIVE),
        (plain(input_tokens=1.5), Skipped.NOT_WHOLE),
        (plain(input_tokens="ten"), Skipped.NOT_WHOLE),
        (plain(input_tokens="-10"), Skipped.NOT_WHOLE),
        (plain(input_tokens="²"), Skipped.NOT_WHOLE),
        (plain(input_tokens="9" * 5000), Skipped.NOT_WHOLE),
        (plain(output_tokens=True), Skipped.NOT_WHOLE),
        (plain(output_tokens=float("nan")), Skipped.NOT_WHOLE),
        (plain(output_tokens=float("inf")), Skipped.NOT_WHOLE),
        (plain(cache_read=10**11), Skipped.BEYOND_BELIEF),
        (plain(output_tokens=1e300), Skipped.BEYOND_BELIEF),
        ({"model": "claude-opus-4-6", "input_tokens": 10}, Skipped.INCOMPLETE),
        (plain(output_tokens=None), Skipped.INCOMPLETE),
        ({"type": "message_delta", "usage": {"output_tokens": 15}}, Skipped.INCOMPLETE),
        ({"input_tokens": 10, "output_tokens": 7}, Skipped.NO_MODEL),
        ({"model": "m", "usage": {"prompt_tokens": 10, "completion_tokens": 7}}, Skipped.FOREIGN),
        ({"model": "m", "usage": {**plain(), "input_tokens_details": {"cached_tokens": 5}}}, Skipped.FOREIGN),
        ({"turns": [RESPONSE, RESPONSE]}, Skipped.SEVERAL),
        ({**RESPONSE, "model": "<synthetic>"}, Skipped.SYNTHETIC),
    ],
)
def test_a_record_that_cannot_be_counted_says_why(record: Mapping[str, Any], reason: Skipped) -> None:
    assert call_in(record) is reason


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["usage", "model", "input_tokens", "output_tokens", "id", "ts", "iterations", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["usage", "model", "message", "input_tokens", "output_tokens"]), JSON_VALUES))
def test_whatever_stands_in_a_record_it_is_a_call_or_a_reason(record: dict[str, Any]) -> None:
    found = call_in(record)
    assert isinstance(found, Call | Skipped)
    if isinstance(found, Call):
        assert found.counts.prompt_tokens >= 0
        assert found.model


@given(st.binary(max_size=200))
def test_whatever_stands_in_a_file_each_line_is_a_record_or_a_reason(content: bytes) -> None:
    with suppress(NotReadError, *DAMAGED, OSError):
        for found in records_of(BytesIO(content)):
            assert isinstance(found, dict | Skipped)


@given(st.text(max_size=100))
def test_whatever_stands_in_a_text_it_is_records_or_reasons_and_never_an_error(content: str) -> None:
    for found in records_of(BytesIO(content.encode("utf-8", "replace"))):
        assert isinstance(found, dict | Skipped)


def test_lines_that_are_no_records_are_named_and_empty_ones_are_nothing() -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n  \nnot json\n"text"\n\xff\xfe\n{"b":\n[{"c": 3}, 4]\n' + b"[" * 100_000
    assert list(records_of(BytesIO(content))) == [
        {"a": 1},
        Skipped.NOT_JSON,
        Skipped.NOT_AN_OBJECT,
        Skipped.NOT_UTF8,
        Skipped.NOT_JSON,
        {"c": 3},
        Skipped.NOT_AN_OBJECT,
        Skipped.NOT_JSON,
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_is_one_record_or_a_list_of_records_or_a_wrapping_of_such_a_list(indent: int | None) -> None:
    def read(value: object) -> list[object]:
        return list(records_of(BytesIO(json.dumps(value, indent=indent).encode())))

    assert read(RESPONSE) == [RESPONSE]
    assert read([RESPONSE, 5, {"a": 1}]) == [RESPONSE, Skipped.NOT_AN_OBJECT, {"a": 1}]
    assert read({"data": [RESPONSE, plain()], "has_more": False}) == [RESPONSE, plain()]


def test_several_indented_values_behind_each_other_are_several_records() -> None:
    content = "\n".join(json.dumps(record, indent=2) for record in (RESPONSE, plain()))
    assert list(records_of(BytesIO(content.encode()))) == [RESPONSE, plain()]


def test_a_broken_first_line_costs_that_line_alone() -> None:
    content = b'{"cut": "off\n' + json.dumps(plain()).encode() + b"\n" + json.dumps(RESPONSE).encode() + b"\n"
    assert list(records_of(BytesIO(content))) == [Skipped.NOT_JSON, plain(), RESPONSE]


def test_a_line_that_is_too_long_is_read_over() -> None:
    long = b"x" * (LONGEST + 1)
    short = json.dumps(plain()).encode()
    assert list(records_of(BytesIO(b"\n".join((short, long, short))))) == [plain(), Skipped.TOO_LONG, plain()]
    assert list(records_of(BytesIO(b"\n".join((long, short, long))))) == [Skipped.TOO_LONG, plain(), Skipped.TOO_LONG]


def test_every_byte_is_reported_to_the_progress_bar_once() -> None:
    for content in (b'{"a": 1}\n{"b": 2}', b'{\n"a": 1\n}\n', b'{"cut\n{"b": 2}\n\n{"c": 3}', b""):
        reported: list[int] = []
        assert all(records_of(BytesIO(content), reported.append))
        assert sum(reported) == len(content)
