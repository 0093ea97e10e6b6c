"""Saved usage reports, Console exports, results and streams of clients, wrapped lines: read as what they are."""

import json
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.responses import Call
from bot.pricing.tally import Tally
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.logs.calls import read_calls
from bot.usage.logs.moments import moment_in
from bot.usage.logs.streams import records_of
from bot.usage.logs.usage_block import Skipped

DAY = "2026-09-01T00:00:00Z"
USAGE_ROW: dict[str, Any] = {
    "model": "claude-opus-4-6",
    "uncached_input_tokens": 1500,
    "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
    "cache_read_input_tokens": 200,
    "output_tokens": 500,
    "server_tool_use": {"web_search_requests": 10},
    "service_tier": "batch",
    "inference_geo": "us",
}
CONSOLE_HEADER = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count,inference_geo,speed"
)


def read(content: str | object) -> list[Call | Skipped]:
    text = content if isinstance(content, str) else json.dumps(content)
    return list(read_calls(records_of(BytesIO(text.encode()))))


def page(*rows: object, **fields: object) -> dict[str, object]:
    return {"data": list(rows), "has_more": False, "next_page": None, **fields}


def bucket(*results: object) -> dict[str, object]:
    return {"starting_at": DAY, "ending_at": "2026-09-02T00:00:00Z", "results": list(results)}


@pytest.mark.parametrize(
    "content",
    [
        page(bucket(USAGE_ROW)),
        json.dumps(page(bucket(USAGE_ROW)), indent=2),
        bucket(USAGE_ROW),
        page({**USAGE_ROW, "starting_at": DAY, "requests": 128}),
        {**USAGE_ROW, "starting_at": DAY},
    ],
)
def test_a_usage_report_is_read_row_by_row(content: object) -> None:
    (call,) = read(content)
    assert call == Call(
        "claude-opus-4-6",
        TokenCounts(1500, 500, 1000, 200, 500, 10),
        Terms("batch", "us"),
        moment_in(DAY),
        is_sum=True,
    )


def test_pages_and_empty_buckets_come_in_any_number() -> None:
    pages = "\n".join(json.dumps(page(bucket(USAGE_ROW), bucket(), bucket(USAGE_ROW, USAGE_ROW))) for _ in range(3))
    assert len(read(pages)) == 9


def test_a_row_that_does_not_say_its_model_is_named_and_costs_nothing() -> None:
    assert read(page(bucket({**USAGE_ROW, "model": None}))) == [Skipped.NO_MODEL_IN_REPORT]


def test_a_users_day_of_claude_code_is_read_by_model() -> None:
    tokens = {"input": 45, "output": 12, "cache_creation": 23, "cache_read": 87}
    breakdown = [{"model": model, "tokens": tokens} for model in ("claude-opus-4-8", "claude-haiku-4-5")]
    row = {
        "date": DAY,
        "actor": {"type": "user_actor", "email_address": "ann@example.com"},
        "model_breakdown": breakdown,
    }
    found = read(page(row))
    assert [call.model for call in found if isinstance(call, Call)] == ["claude-opus-4-8", "claude-haiku-4-5"]
    assert all(
        isinstance(call, Call)
        and (call.counts, call.user, call.at) == (TokenCounts(45, 23, 0, 87, 12), "ann@example.com", moment_in(DAY))
        for call in found
    )


@pytest.mark.parametrize(
    "content",
    [
        page(bucket({"amount": "123.78912", "currency": "USD", "cost_type": "tokens", "model": "claude-opus-4-6"})),
        page({"amount": "41280.0", "currency": "USD", "starting_at": DAY, "actor": {}, "requests": 128}),
        "usage_date_utc,model,token_type,cost_usd\n2026-06-24,Claude Haiku 4.5,output,6.55\n",
    ],
)
def test_dollars_are_named_as_what_they_are(content: object) -> None:
    assert read(content) == [Skipped.MONEY]


def test_a_call_that_also_says_what_it_cost_is_a_call() -> None:
    cost = {"amount": "0.1", "currency": "USD"}
    (call,) = read({"model": "claude-opus-4-6", "input_tokens": 10, "output_tokens": 7, **cost})
    assert isinstance(call, Call)


def test_the_consoles_usage_export_is_read_with_its_terms() -> None:
    rows = (
        "2026-09-01,claude-sonnet-4-5,k,Default,standard,≤ 200k,10,20,30,40,50,2,not_available,",
        "2026-09-01,claude-opus-4-6,k,Default,batch,> 200k,10,,,,50,0,us,fast",
    )
    first, second = read("\ufeff" + "\r\n".join((CONSOLE_HEADER, *rows)))
    assert isinstance(first, Call)
    assert isinstance(second, Call)
    assert (first.counts, first.at) == (TokenCounts(10, 20, 30, 40, 50, 2), moment_in(DAY))
    assert (first.prompts_to, second.prompts_above) == (200_000, 200_000)
    assert (second.terms, second.counts) == (Terms("batch", "us", "fast"), TokenCounts(10, output_tokens=50))


def test_a_log_as_a_table_is_read_like_one_of_json() -> None:
    (call, cut) = read(
        "ts;model;input_tokens;output_tokens\n2026-09-01;claude-opus-4-6;10;7\n2026-09-01;claude-opus-4-6\n"
    )
    assert call == Call("claude-opus-4-6", TokenCounts(10, output_tokens=7), at=moment_in(DAY))
    assert cut is Skipped.NO_USAGE


def test_rows_of_a_step_above_are_priced_above_it_and_unclear_ones_at_least() -> None:
    """Until April 2026 Sonnet 4.5 cost twice as much in requests of more than 200,000 tokens."""
    row = {**USAGE_ROW, "model": "claude-sonnet-4-5", "service_tier": "standard", "server_tool_use": None}
    row = {**row, "inference_geo": None, "starting_at": "2026-03-01T00:00:00Z"}
    sums = {}
    for context in ("0-200k", "200k-1M", None):
        tally = Tally(load_rate_card(), moment_in(DAY).date())  # type: ignore[union-attr]
        (call,) = read({**row, "context_window": context})
        assert isinstance(call, Call)
        tally.add(call)
        sums[context] = tally.totals()
    input_usd = Decimal(1500 * 3 + 500 * 15) / 1_000_000
    assert sums["200k-1M"].total.usd > sums["0-200k"].total.usd > input_usd
    assert sums[None].total.usd == sums["0-200k"].total.usd
    assert [bool(found.at_least) for found in sums.values()] == [False, False, True]


RESULT = {
    "type": "result",
    "session_id": "s1",
    "total_cost_usd": 0.1,
    "usage": {"input_tokens": 10, "output_tokens": 7},
    "modelUsage": {"claude-opus-4-6": {"inputTokens": 10, "outputTokens": 7, "cacheReadInputTokens": 5, "costUSD": 1}},
}


def test_the_result_of_a_client_counts_where_its_calls_are_nowhere_else() -> None:
    message = {"id": "msg_1", "type": "message", "model": "claude-opus-4-6", "usage": RESULT["usage"]}
    for records, session_sums in (
        ([RESULT], 0),
        ([{"type": "assistant", "message": message, "session_id": "s1"}, RESULT], 1),
    ):
        tally = Tally(load_rate_card(), moment_in(DAY).date())  # type: ignore[union-attr]
        for call in read("\n".join(map(json.dumps, records))):
            assert isinstance(call, Call)
            tally.add(call)
        assert (tally.totals().total.calls, tally.totals().session_sums) == (1, session_sums)


def _events(number: int) -> list[dict[str, Any]]:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}
    message = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-6",
        "usage": usage,
    }
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 310}},
        {"type": "message_stop"},
    ]


@pytest.mark.parametrize(
    "write",
    [
        lambda event: json.dumps(event),
        lambda event: json.dumps({"type": "stream_event", "session_id": "s1", "event": event}),
        lambda event: f"event: {event['type']}\ndata: {json.dumps(event)}\n",
    ],
)
def test_the_last_event_of_a_stream_has_the_counts_of_the_whole_response(write: Any) -> None:
    tally = Tally(load_rate_card(), moment_in(DAY).date())  # type: ignore[union-attr]
    for call in read("\n".join(write(event) for number in (1, 2) for event in _events(number))):
        if isinstance(call, Call):
            tally.add(call)
    found = tally.totals()
    assert (found.total.calls, found.total.counts) == (2, TokenCounts(20, 0, 0, 10, 620))


@pytest.mark.parametrize("name", ["log", "message", "textPayload"])
def test_a_record_that_a_log_collector_wrapped_as_text_is_read(name: str) -> None:
    written = {"model": "claude-opus-4-6", "input_tokens": 10, "output_tokens": 7}
    (call,) = read({name: f"INFO usage {json.dumps(written)}\n", "stream": "stdout", "time": DAY})
    assert call == Call("claude-opus-4-6", TokenCounts(10, output_tokens=7), at=moment_in(DAY))
    assert read({name: 'user said {"hello', "time": DAY}) == [Skipped.NO_USAGE]


NAMES = (
    *("type", "data", "has_more", "results", "starting_at", "model_breakdown", "tokens", "model", "modelUsage"),
    *(
        "usage",
        "message",
        "event",
        "uncached_input_tokens",
        "usage_output_tokens",
        "output_tokens",
        "log",
        "iterations",
    ),
)
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 5, -1, 1.5, "", "x", "result", "message_start", "message_delta", '{"a": 1}', DAY]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6), max_size=4))
def test_whatever_stands_in_the_records_of_a_file_each_is_calls_or_reasons(records: list[dict[str, Any]]) -> None:
    found = list(read_calls(iter(records)))
    assert all(isinstance(one, Call | Skipped) for one in found)
    assert len(found) >= sum(1 for record in records if "data" not in record and "results" not in record)
