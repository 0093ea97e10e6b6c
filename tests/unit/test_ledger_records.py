"""One record of an application: what becomes of each field, and why a record is refused."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.ledger.model import Dimensions, Event, Outcome
from bot.ledger.records import RefusedRecordError, events_in
from bot.pricing.tokens import Terms, TokenCounts

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
SHORT = {
    "feature": "search",
    "user_id": "ada",
    "model": OPUS,
    "input_tokens": 10,
    "output_tokens": 20,
    "cache_read": 30,
    "cache_create": 40,
}
USAGE = {
    "input_tokens": 1,
    "output_tokens": 2,
    "cache_read_input_tokens": 3,
    "cache_creation_input_tokens": 9,
    "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5},
    "server_tool_use": {"web_search_requests": 6},
    "service_tier": "batch",
    "inference_geo": "us",
    "speed": "fast",
}


def events(**fields: Any) -> list[Event]:
    numbers = count(1)
    return events_in({**SHORT, **fields}, NOW, lambda: f"made-{next(numbers)}")


def event(**fields: Any) -> Event:
    (found,) = events(**fields)
    return found


def refusal(**fields: Any) -> str:
    with pytest.raises(RefusedRecordError) as refused:
        events(**fields)
    return str(refused.value)


def test_a_short_record_is_enough() -> None:
    assert event() == Event("made-1", NOW, Dimensions(OPUS, "search", "ada"), TokenCounts(10, 40, 0, 30, 20, 0))


def test_a_full_record_says_everything() -> None:
    full = event(
        id="msg_1",
        request_id="req_1",
        time="2026-11-20T10:00:00+02:00",
        usage=USAGE,
        workspace="prod",
        key="apikey_1",
        session="s1",
        tags={"team": "core", "pr": 7, "urgent": True, "nothing": None},
        outcome="ok",
        something={"nobody": ["knows"]},
    )
    tags = (("pr", "7"), ("team", "core"), ("urgent", "true"))
    dimensions = Dimensions(OPUS, "search", "ada", tags, "prod", "apikey_1", Terms("batch", "us", "fast"))
    at = datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert full == Event("msg_1", at, dimensions, TokenCounts(1, 4, 5, 3, 2, 6), request_id="req_1", session="s1")


def test_terms_and_searches_may_stand_in_the_record_itself() -> None:
    plain = event(service_tier="priority", inference_geo="us", speed="fast", web_search_requests=2)
    assert plain.dimensions.terms == Terms("priority", "us", "fast")
    assert plain.counts == TokenCounts(10, 40, 0, 30, 20, 2)
    both = event(usage={**USAGE, "speed": None}, speed="standard", service_tier="flex", web_search_requests=99)
    assert both.dimensions.terms == Terms("batch", "us", "standard")
    assert both.counts.web_search_requests == 6


@pytest.mark.parametrize(
    ("time", "hour"),
    [
        ("2026-11-20T08:00:00Z", 8),
        ("2026-11-20T08:00:00", 8),
        ("2026-11-20 08:00:00.5+00:00", 8),
        (1763625600, 8),
        (1763625600.25, 8),
        (1763625600000, 8),
        ("1763625600", 8),
        (None, 12),
        ("", 12),
    ],
)
def test_a_time_is_iso_or_counted_since_1970(time: Any, hour: int) -> None:
    found = event(time=time).at
    assert (found.hour, found.tzinfo) == (hour, UTC)


@pytest.mark.parametrize("time", ["soon", 0, -1, True, [], {}, "1969-01-01", "2026-13-01", 1e30, "12:00"])
def test_a_time_that_cannot_be_read_is_not_taken_for_now(time: Any) -> None:
    assert refusal(time=time) == "the time is no ISO 8601 time since 2023 and no number of seconds since 1970"


def test_a_clock_may_be_wrong_by_a_day_and_no_more() -> None:
    assert event(time=(NOW + timedelta(hours=23)).isoformat()).at == NOW + timedelta(hours=23)
    assert refusal(time=(NOW + timedelta(hours=25)).isoformat()) == "the time is more than a day ahead"
    assert refusal(time=4_000_000_000) == "the time is more than a day ahead"


@pytest.mark.parametrize(
    ("id_", "wanted"),
    [
        ("msg_1", "msg_1"),
        ("chatcmpl-7", "chatcmpl-7"),
        (4711, "4711"),
        (None, "made-1"),
        ("", "made-1"),
        ("x" * 200, "x" * 200),
    ],
)
def test_any_id_of_the_response_is_its_id(id_: Any, wanted: str) -> None:
    assert event(id=id_).id == wanted


@pytest.mark.parametrize("id_", ["x" * 201, "msg_" + "y" * 10_000_000, "a\0b", "a\nb", "\ud800", [], {}, 1.5, True])
@pytest.mark.parametrize("name", ["id", "message_id"])
def test_an_id_that_could_be_mistaken_for_another_is_refused(name: str, id_: Any) -> None:
    assert refusal(**{name: id_}).startswith("id ")


def test_the_id_of_a_response_within_a_record_goes_before_the_records_own() -> None:
    inner = {"type": "message", "id": "msg_2", "model": HAIKU, "usage": USAGE}
    (found,) = events_in({"id": "row-1", "feature": "search", "response": inner}, NOW, str)
    assert (found.id, found.dimensions.model, found.dimensions.feature) == ("msg_2", HAIKU, "search")


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        ("ok", Outcome.OK),
        (None, Outcome.OK),
        ("", Outcome.OK),
        ("error", Outcome.ERROR),
        ("RATE_LIMITED", Outcome.RATE_LIMITED),
        (429, Outcome.RATE_LIMITED),
        ("429", Outcome.RATE_LIMITED),
    ],
)
def test_an_outcome_is_one_of_three(outcome: Any, wanted: Outcome) -> None:
    assert event(outcome=outcome).outcome is wanted


@pytest.mark.parametrize("outcome", ["fine", 500, True, [], {}, 1.5])
def test_another_outcome_is_refused(outcome: Any) -> None:
    assert refusal(outcome=outcome) == "outcome is not ok, error or rate_limited"


@pytest.mark.parametrize("model", ["gpt-5", "openai/o3", "gemini-2.5-pro", "deepseek-chat", "mistral-large"])
def test_a_model_of_another_vendor_is_no_spend_on_claude(model: str) -> None:
    assert refusal(model=model) == "not a Claude model"


@pytest.mark.parametrize("model", ["claude-zeta-9", "my-finetune", "opus", "anthropic/claude-opus-5-5"])
def test_a_model_that_may_be_claudes_counts(model: str) -> None:
    assert event(model=model).dimensions.model == model


@pytest.mark.parametrize("outcome", ["error", "rate_limited"])
@pytest.mark.parametrize(
    "more", [{}, {"usage": None}, {"usage": {}}, {"tags": {"team": "core"}}, {"input_tokens": None}]
)
def test_a_request_that_failed_needs_no_tokens(outcome: str, more: dict[str, Any]) -> None:
    (failed,) = events_in({"model": OPUS, "outcome": outcome, **more}, NOW, lambda: "made")
    assert failed.counts == TokenCounts()
    assert failed.dimensions.model == OPUS


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model": None}, "usage without a model"),
        ({"model": 1.5}, "usage without a model"),
        ({"model": "<synthetic>"}, "a client's own notice (<synthetic>), no call"),
        ({"output_tokens": None}, "usage without both input_tokens and output_tokens"),
        ({"input_tokens": -1}, "a negative token count"),
        ({"input_tokens": 1.5}, "a token count that is not a whole number"),
        ({"input_tokens": True}, "a token count that is not a whole number"),
        ({"input_tokens": "many"}, "a token count that is not a whole number"),
        ({"input_tokens": float("nan")}, "a token count that is not a whole number"),
        ({"input_tokens": 10**10 + 1}, "a token count beyond 10,000,000,000"),
        ({"input_tokens": 10**400}, "a token count beyond 10,000,000,000"),
        ({"web_search_requests": -1}, "a negative token count"),
        ({"web_search_requests": "x"}, "a token count that is not a whole number"),
        ({"usage": []}, "usage is not a JSON object"),
        ({"usage": "10"}, "usage is not a JSON object"),
        ({"usage": {"input_tokens": 1}}, "usage without both input_tokens and output_tokens"),
        ({"usage": {"prompt_tokens": 1}}, "usage that is not in the Claude API's terms"),
        ({"feature": ["a"]}, "feature is neither a text nor a whole number"),
        ({"user_id": {"id": 1}}, "user_id is neither a text nor a whole number"),
        ({"workspace": 1.5}, "workspace is neither a text nor a whole number"),
        ({"key": True}, "key is neither a text nor a whole number"),
        ({"conversation_id": 10**5000}, "a whole number is too long for a name"),
        ({"session": 10**5000}, "a whole number is too long for a name"),
        ({"service_tier": 1}, "service_tier is not a text"),
        ({"usage": {**USAGE, "speed": 80.5}}, "speed is not a text"),
        ({"tags": ["a"]}, "tags are not a JSON object"),
        ({"tags": {str(number): "x" for number in range(21)}}, "more than 20 tags"),
        ({"tags": {"x" * 65: "a"}}, "a tag's name is longer than 64 characters"),
        ({"tags": {" \0": "a"}}, "a tag has no name"),
        ({"tags": {"a": 1.5}}, "a tag is neither a text nor a whole number"),
        ({"tags": {"a": {}}}, "a tag is neither a text nor a whole number"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_one_reason(fields: dict[str, Any], reason: str) -> None:
    assert refusal(**fields) == reason


@pytest.mark.parametrize("value", [None, 1, "x", [], [{}], True, 1.5])
def test_only_objects_are_records(value: Any) -> None:
    with pytest.raises(RefusedRecordError, match=r"^not a JSON object$"):
        events_in(value, NOW, str)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a\0b", "a b"),
        (" a\nb ", "a b"),
        ("\ud800a", "a"),
        ("\u202ea", "a"),
        ("x" * 10_000_000, "x" * 200),
        ("\n", None),
    ],
)
def test_a_name_is_stored_on_one_short_line(name: str, wanted: str | None) -> None:
    found = event(feature=name, user_id=name, workspace=name, key=name, session=name, request_id=name, tags={"t": name})
    names = (*found.dimensions[1:3], *found.dimensions[4:6], found.session, found.request_id)
    assert names == (wanted,) * 6
    assert found.dimensions.tags == ((("t", wanted),) if wanted else ())


@pytest.mark.parametrize(
    ("prompt", "above"), [(100_000, 0), (100_001, 100_000), (200_000, 100_000), (200_001, 200_000)]
)
def test_long_prompts_are_kept_apart(prompt: int, above: int) -> None:
    assert event(input_tokens=prompt - 70).dimensions.prompts_above == above


def test_what_another_model_was_billed_for_is_an_event_of_its_own() -> None:
    def block(kind: str, model: str, tokens: int) -> dict[str, Any]:
        return {"type": kind, "model": model, "input_tokens": tokens, "output_tokens": 1}

    usage = {
        "input_tokens": 10,
        "output_tokens": 1,
        "iterations": [
            block("compaction", OPUS, 200_001),
            block("message", OPUS, 10),
            block("advisor_message", HAIKU, 5),
        ],
    }
    found = events(id="msg_1", usage=usage, outcome="ok")
    assert [(each.id, each.dimensions.model, each.dimensions.prompts_above, each.requests) for each in found] == [
        ("msg_1", OPUS, 0, 1),
        ("msg_1#1", OPUS, 200_000, 0),
        ("msg_1#2", HAIKU, 0, 0),
    ]
    assert [each.counts.uncached_input_tokens for each in found] == [10, 200_001, 5]
    assert {each.dimensions.feature for each in found} == {"search"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("claude-opus-5-5"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    *SHORT,
    *("id", "message_id", "request_id", "time", "timestamp", "usage", "service_tier", "inference_geo", "speed"),
    *("web_search_requests", "workspace", "key", "session", "tags", "outcome", "iterations", "message", "response"),
)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), anything, max_size=8), st.booleans())
def test_whatever_comes_is_stored_as_it_should_be_or_refused_in_one_sentence(fields: Any, short: bool) -> None:
    record = {**SHORT, **fields} if short else fields
    try:
        found = events_in(record, NOW, lambda: "made")
    except RefusedRecordError as refused:
        found, sentence = [], str(refused)
    else:
        sentence = "stored"
    assert 0 < len(sentence) < 100
    for each in found:
        assert each.at.tzinfo is UTC
        assert each.at <= NOW + timedelta(days=1)
        assert all(type(value) is int and 0 <= value < 2**40 for value in each.counts)
        texts = [each.id, *filter(None, (*each.dimensions[:3], *each.dimensions[4:6], *each.dimensions.terms))]
        texts += [text for tag in each.dimensions.tags for text in tag]
        assert all(text.isprintable() and len(text) <= 210 for text in texts)
        assert json.dumps(each.dimensions)
