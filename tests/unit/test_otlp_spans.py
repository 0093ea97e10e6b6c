"""Spans of GenAI instrumentations become events of the ledger, to the token, each call once."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from bot.ledger.model import Event, Outcome
from bot.ledger.otlp.attributes import Passed
from bot.ledger.otlp.ingest import Taken
from bot.pricing.tokens import Terms, TokenCounts
from tests.databases import open_migrated
from tests.otlp import NOW, NOW_NS, SECOND, MemoryLedger, ingest, record, span, traces
from tests.otlp import logs as log_request

MODEL = "claude-sonnet-4-6"
ANTHROPIC = {"gen_ai.provider.name": "anthropic", "gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL}
COUNTS = TokenCounts(100, 20, 0, 300, 50)


class Receiver:
    """Takes requests in the JSON form into a ledger."""

    def __init__(self, engine: Engine) -> None:
        self.ledger = MemoryLedger()
        self._ingest = ingest(engine, self.ledger)

    def take(self, request: dict[str, Any], signal: Any = "traces") -> Taken:
        return self._ingest.take(signal, json.dumps(request).encode(), NOW, is_json=True)

    def event(self, attributes: dict[str, Any], resource: dict[str, Any] | None = None, **fields: Any) -> Event:
        taken = self.take(traces(span(attributes, **fields), resource=resource))
        assert (taken.rejected, taken.sentence) == (0, "")
        return self.ledger.only

    @property
    def events(self) -> list[Event]:
        return list(self.ledger.events.values())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One database for all: no test here sends metrics, the only thing that it would remember."""
    path: Path = tmp_path_factory.mktemp("otlp") / "claude-cost.db"
    engine = open_migrated(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def receiver(store: Engine) -> Receiver:
    return Receiver(store)


@pytest.mark.parametrize(
    "names",
    [
        ("gen_ai.usage.{}", "input_tokens", "output_tokens", "cache_read.input_tokens", "cache_write.input_tokens"),
        ("gen_ai.usage.{}", "input_tokens", "output_tokens", "cache_read.input_tokens", "cache_creation.input_tokens"),
        (
            "gen_ai.usage.{}",
            "prompt_tokens",
            "completion_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        ),
        ("gen_ai.usage.{}", "input_tokens", "output_tokens", "input_tokens.cached", "input_tokens.cache_write"),
        ("gen_ai.usage.{}", "input_tokens", "output_tokens", "details.cache_read_tokens", "details.cache_write_tokens"),
        ("llm.token_count.{}", "prompt", "completion", "prompt_details.cache_read", "prompt_details.cache_write"),
        (
            "llm.usage.{}",
            "prompt_tokens",
            "completion_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        ),
        (
            "llm.anthropic.usage.{}",
            *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        ),
    ],
    ids=["now", "former", "openllmetry", "sentry", "pydantic-ai", "openinference", "llm.usage", "llm.anthropic.usage"],
)
def test_every_name_of_the_counts_is_read_and_the_prompt_holds_the_cache(
    receiver: Receiver, names: tuple[str, ...]
) -> None:
    prefix, *rest = names
    counts = dict(zip((prefix.format(name) for name in rest), (420, 50, 300, 20), strict=True))
    assert receiver.event(ANTHROPIC | counts).counts == COUNTS


def test_old_and_new_names_together_count_once(receiver: Receiver) -> None:
    attributes = ANTHROPIC | {
        "gen_ai.usage.input_tokens": 420,
        "gen_ai.usage.prompt_tokens": 420,
        "llm.token_count.prompt": 420,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.completion_tokens": 50,
        "gen_ai.usage.cache_write.input_tokens": 20,
        "gen_ai.usage.cache_creation.input_tokens": 20,
        "gen_ai.usage.cache_creation_input_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "llm.token_count.prompt_details.cache_read": 300,
    }
    assert receiver.event(attributes).counts == COUNTS


@pytest.mark.parametrize(
    "more", [{"gen_ai.usage.input_tokens": 100}, {"gen_ai.usage.input_tokens": 400, "gen_ai.usage.total_tokens": 770}]
)
def test_an_emitter_that_leaves_cached_tokens_out_is_known_by_its_figures(
    receiver: Receiver, more: dict[str, int]
) -> None:
    cached = {"gen_ai.usage.cache_read.input_tokens": 300, "gen_ai.usage.cache_write.input_tokens": 20}
    event = receiver.event(ANTHROPIC | cached | {"gen_ai.usage.output_tokens": 50} | more)
    assert event.counts.uncached_input_tokens == more["gen_ai.usage.input_tokens"]


def test_the_official_client_reports_lifetimes_tier_workspace_and_compaction(receiver: Receiver) -> None:
    attributes = ANTHROPIC | {
        "gen_ai.response.id": "msg_01A",
        "gen_ai.response.model": "claude-opus-4-8",
        "gen_ai.usage.input_tokens": 420,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_write.input_tokens": 20,
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 5,
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 15,
        "gen_ai.usage.output_tokens": 50,
        "anthropic.response.service_tier": "batch",
        "anthropic.workspace.id": "wrkspc_01",
        "anthropic.request.id": "req_011",
        "anthropic.usage.compaction.input_tokens": 5000,
        "anthropic.usage.compaction.output_tokens": 700,
        "gen_ai.conversation.id": "talk-1",
    }
    receiver.take(traces(span(attributes), scope="com.anthropic.sdk.python"))
    call, compaction = receiver.events
    assert call.id == "msg_01A"
    assert call.counts == TokenCounts(100, 5, 15, 300, 50)
    assert call.dimensions.model == "claude-opus-4-8"
    assert call.dimensions.terms == Terms("batch")
    assert (call.dimensions.workspace, call.request_id, call.session) == ("wrkspc_01", "req_011", "talk-1")
    assert (compaction.id, compaction.requests) == ("msg_01A#1", 0)
    assert compaction.counts == TokenCounts(uncached_input_tokens=5000, output_tokens=700)


def test_the_application_and_the_platform_report_a_call_once(receiver: Receiver) -> None:
    usage = {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2, "gen_ai.response.id": "msg_01A"}
    receiver.take(traces(span(ANTHROPIC | usage), scope="com.anthropic.sdk.python"))
    platform = {"service.name": "claude-platform"}
    inner = span(ANTHROPIC | usage, spanId="aaaaaaaaaaaaaaaa", parentSpanId="eee19b7ec3c1b174")
    taken = receiver.take(traces(inner, resource=platform, scope="com.anthropic.claude-platform"))
    assert (taken.accepted, taken.duplicates) == (0, 1)
    assert receiver.ledger.counts == TokenCounts(9, output_tokens=2)


def test_a_span_without_an_id_sent_again_counts_once(receiver: Receiver) -> None:
    request = traces(span(ANTHROPIC | {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2}))
    first, second = receiver.take(request), receiver.take(request)
    assert (first.accepted, second.accepted, second.duplicates) == (1, 0, 1)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5"}, Passed.NOT_CLAUDE),
        ({"gen_ai.request.model": "my-finetune"}, Passed.NOT_CLAUDE),
        ({"gen_ai.provider.name": "aws.bedrock", "gen_ai.request.model": MODEL}, Passed.BILLED_ELSEWHERE),
        ({"gen_ai.system": "gcp.vertex_ai", "gen_ai.request.model": MODEL}, Passed.BILLED_ELSEWHERE),
        ({"gen_ai.request.model": "us.anthropic.claude-sonnet-4-6-v1:0"}, Passed.BILLED_ELSEWHERE),
        ({"gen_ai.request.model": "claude-sonnet-4-5@20250929"}, Passed.BILLED_ELSEWHERE),
        ({"llm.provider": "google", "llm.system": "anthropic", "llm.model_name": MODEL}, Passed.BILLED_ELSEWHERE),
        (ANTHROPIC | {"gen_ai.operation.name": "invoke_agent"}, Passed.SUM_OF_CALLS),
        (
            {"openinference.span.kind": "CHAIN", "llm.provider": "anthropic", "llm.model_name": MODEL},
            Passed.SUM_OF_CALLS,
        ),
        ({"traceloop.span.kind": "workflow", "gen_ai.request.model": MODEL}, Passed.SUM_OF_CALLS),
        ({"model": "<synthetic>"}, Passed.SYNTHETIC),
    ],
)
def test_what_anthropic_does_not_bill_is_passed_over_with_its_reason(
    receiver: Receiver, attributes: dict[str, str], reason: Passed
) -> None:
    taken = receiver.take(traces(span(attributes | {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2})))
    assert receiver.events == []
    assert (taken.rejected, +taken.passed) == (0, {reason.value: 1})


@pytest.mark.parametrize("provider", ["anthropic", "anthropic.messages", "Anthropic"])
def test_a_model_that_is_not_known_yet_counts_where_anthropic_provides_it(receiver: Receiver, provider: str) -> None:
    attributes = {"gen_ai.system": provider, "gen_ai.request.model": "my-alias", "gen_ai.usage.output_tokens": 2}
    assert receiver.event(attributes).dimensions.model == "my-alias"


def test_spans_that_report_no_call_are_neither_counted_nor_refused(receiver: Receiver) -> None:
    assert receiver.take(traces(span({"http.request.method": "POST"}), span({}))) == Taken(0, 0, 0, "", Counter())


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        (ANTHROPIC | {"gen_ai.usage.input_tokens": -5}, "1 spans are not counted: a negative token count (1)."),
        (
            ANTHROPIC | {"gen_ai.usage.output_tokens": "many"},
            "1 spans are not counted: a token count that is not a whole number (1).",
        ),
        (
            ANTHROPIC | {"gen_ai.usage.output_tokens": 10**15},
            "1 spans are not counted: a token count beyond 10,000,000,000 (1).",
        ),
        (
            {"gen_ai.system": "anthropic", "gen_ai.usage.output_tokens": 5},
            "1 spans are not counted: usage without a model (1).",
        ),
    ],
)
def test_a_call_that_cannot_be_counted_is_refused_and_the_others_count(
    receiver: Receiver, attributes: dict[str, Any], sentence: str
) -> None:
    good = span(ANTHROPIC | {"gen_ai.usage.output_tokens": 2}, spanId="aaaaaaaaaaaaaaaa")
    taken = receiver.take(traces(span(attributes), good))
    assert (taken.rejected, taken.sentence) == (1, sentence)
    assert receiver.ledger.counts.output_tokens == 2


def test_who_spent_it_comes_from_the_span_and_the_resource(receiver: Receiver) -> None:
    resource = {
        "service.name": "support",
        "service.instance.id": "7f3c",
        "team": "search",
        "cost.centre": 4711,
        "deployment.environment.name": "prod",
        "process.pid": 4711,
        "host.id": "a1b2",
        "telemetry.sdk.name": "opentelemetry",
        "os.type": "linux",
        "k8s.pod.name": "support-7f",
    }
    attributes = ANTHROPIC | {
        "gen_ai.usage.output_tokens": 2,
        "user.id": "u-1",
        "session.id": "s-1",
        "gen_ai.agent.name": "triage",
        "claude_cost.tag.pull_request": 12,
    }
    event = receiver.event(attributes, resource)
    assert event.dimensions.feature == "support"
    assert (event.dimensions.user_id, event.session) == ("u-1", "s-1")
    assert event.dimensions.tags == (
        ("agent", "triage"),
        ("cost.centre", "4711"),
        ("environment", "prod"),
        ("pull_request", "12"),
        ("team", "search"),
    )


@pytest.mark.parametrize(
    ("resource", "attributes", "feature"),
    [
        ({"service.name": "support", "feature": "search"}, {}, "search"),
        ({"service.name": "support"}, {"claude_cost.feature": "reply"}, "reply"),
        ({"service.name": "unknown_service:python"}, {"gen_ai.agent.name": "triage"}, "triage"),
        ({}, {}, None),
    ],
)
def test_the_feature_is_the_service_unless_one_is_named(
    receiver: Receiver, resource: dict[str, Any], attributes: dict[str, Any], feature: str | None
) -> None:
    event = receiver.event(ANTHROPIC | {"gen_ai.usage.output_tokens": 2} | attributes, resource)
    assert event.dimensions.feature == feature


def test_tags_are_bounded_in_number_and_length(receiver: Receiver) -> None:
    resource = {f"label{number:03}": "x" * 1000 for number in range(300)} | {"n" * 100: "1"}
    event = receiver.event(ANTHROPIC | {"gen_ai.usage.output_tokens": 2}, resource)
    assert len(event.dimensions.tags) == 20
    assert {len(value) for _, value in event.dimensions.tags} == {200}


@pytest.mark.parametrize(
    ("attributes", "fields", "outcome"),
    [
        ({"error.type": "RateLimitError"}, {"status": {"code": 2}}, Outcome.RATE_LIMITED),
        ({"error.type": "rate_limit_error"}, {}, Outcome.RATE_LIMITED),
        ({"error.type": "429"}, {"status": {"code": 2}}, Outcome.RATE_LIMITED),
        ({}, {"status": {"code": 2, "message": "Error code: 429 - {…}"}}, Outcome.RATE_LIMITED),
        ({"http.response.status_code": 429}, {}, Outcome.RATE_LIMITED),
        ({"error.type": "overloaded_error"}, {"status": {"code": "STATUS_CODE_ERROR"}}, Outcome.ERROR),
        ({}, {"status": {"code": 2}}, Outcome.ERROR),
    ],
)
def test_a_call_that_failed_counts_as_a_request_without_tokens(
    receiver: Receiver, attributes: dict[str, Any], fields: dict[str, Any], outcome: Outcome
) -> None:
    event = receiver.event(ANTHROPIC | attributes, **fields)
    assert (event.outcome, event.requests, event.counts) == (outcome, 1, TokenCounts())


def child(number: int, parent: int | None, attributes: dict[str, Any], *, lasting: float = 1, ends: float = 0) -> Any:
    """A span by its number, from `lasting` seconds before its end."""
    ended = NOW_NS + int(ends * SECOND)
    return span(
        attributes,
        spanId=f"{number:016x}",
        parentSpanId="" if parent is None else f"{parent:016x}",
        startTimeUnixNano=str(ended - int(lasting * SECOND)),
        endTimeUnixNano=str(ended),
    )


def usage(tokens: int, output: int = 1, **more: Any) -> dict[str, Any]:
    return ANTHROPIC | {"gen_ai.usage.input_tokens": tokens, "gen_ai.usage.output_tokens": output} | more


def test_a_span_around_calls_that_has_their_sum_counts_nothing(receiver: Receiver) -> None:
    unnamed = {name: value for name, value in usage(30, 2).items() if name != "gen_ai.operation.name"}
    spans = [child(1, None, unnamed), child(2, 1, {}), child(3, 2, usage(10)), child(4, 1, usage(20))]
    for ordered in (spans, spans[::-1]):
        receiver.take(traces(*ordered))
    assert receiver.ledger.counts == TokenCounts(30, output_tokens=2)
    assert len(receiver.events) == 2


def test_wrappers_of_wrappers_are_one_call_and_the_one_with_the_id_stays(receiver: Receiver) -> None:
    inner = usage(10) | {"gen_ai.response.id": "msg_01A"}
    receiver.take(traces(child(1, None, usage(10)), child(2, 1, usage(10)), child(3, 2, inner)))
    assert [event.id for event in receiver.events] == ["msg_01A"]


def test_two_responses_with_equal_counts_are_two_also_one_within_the_other(receiver: Receiver) -> None:
    outer, inner = ({**usage(10), "gen_ai.response.id": f"msg_0{letter}"} for letter in "AB")
    receiver.take(
        traces(child(1, None, outer), child(2, 1, inner), child(3, None, usage(10)), child(4, None, usage(10)))
    )
    assert len(receiver.events) == 4


def test_two_instrumentations_of_one_process_count_each_of_three_parallel_calls_once(receiver: Receiver) -> None:
    one = [child(number, None, usage(10), lasting=3) for number in range(1, 4)]
    other = [child(number, None, usage(10), lasting=2, ends=-0.1) for number in range(11, 14)]
    first, second = traces(*one, scope="a"), traces(*other, scope="b")
    first["resourceSpans"] += second["resourceSpans"]
    taken = receiver.take(first)
    assert (taken.accepted, +taken.passed) == (3, {Passed.SECOND_SPAN.value: 3})


def test_a_whole_response_that_openinference_recorded_says_more_than_its_counts(receiver: Receiver) -> None:
    block = {
        "input_tokens": 100,
        "cache_read_input_tokens": 300,
        "cache_creation_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15},
        "output_tokens": 50,
        "service_tier": "standard",
    }
    response = {"id": "msg_01A", "type": "message", "role": "assistant", "model": MODEL, "usage": block}
    attributes = {"llm.provider": "anthropic", "openinference.span.kind": "LLM", "llm.model_name": MODEL}
    attributes |= {"llm.token_count.prompt": 420, "llm.token_count.completion": 50}  # type: ignore[dict-item]
    attributes |= {"llm.token_count.prompt_details.cache_read": 300}  # type: ignore[dict-item]
    scope = "openinference.instrumentation.anthropic"
    receiver.take(traces(span(attributes | {"output.value": msgspec.json.encode(response).decode()}), scope=scope))
    event = receiver.ledger.only
    assert (event.id, event.counts) == ("msg_01A", TokenCounts(100, 5, 15, 300, 50))
    assert event.dimensions.terms.service_tier == "standard"


@pytest.mark.parametrize("text", ["__REDACTED__", "{", "[" * 100_000, "{}", '{"type": "message"}', '{"a":' * 50_000])
def test_a_recorded_response_that_cannot_be_read_leaves_the_counts(receiver: Receiver, text: str) -> None:
    attributes = {"llm.provider": "anthropic", "llm.model_name": MODEL, "output.value": text}
    attributes |= {"llm.token_count.prompt": 9, "llm.token_count.completion": 2}  # type: ignore[dict-item]
    receiver.take(traces(span(attributes), scope="openinference.instrumentation.anthropic"))
    assert receiver.ledger.counts == TokenCounts(9, output_tokens=2)


@pytest.mark.parametrize("official_first", [True, False])
def test_lifetimes_of_caches_that_arrive_in_another_request_count_no_write_twice(
    receiver: Receiver, official_first: bool
) -> None:
    shared = {**ANTHROPIC, "gen_ai.usage.input_tokens": 420, "gen_ai.usage.output_tokens": 50}
    shared |= {"gen_ai.usage.cache_read.input_tokens": 300, "gen_ai.response.id": "msg_1"}
    plain = {**shared, "gen_ai.usage.cache_creation.input_tokens": 20}
    official = {**plain, "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 20}
    reports = [official, plain] if official_first else [plain, official]
    for attributes in reports:
        receiver.take(traces(span(attributes)))
    assert receiver.ledger.only.counts == TokenCounts(100, 0, 20, 300, 50)


def test_the_inference_event_of_a_call_and_its_span_count_once(receiver: Receiver) -> None:
    ids = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}
    event = record(usage(10), eventName="gen_ai.client.inference.operation.details", **ids)
    receiver.take(log_request(event), "logs")
    receiver.take(traces(span(usage(10), **ids)))
    assert receiver.ledger.counts == TokenCounts(10, output_tokens=1)


def test_of_several_reports_of_a_response_the_one_that_says_most_is_kept(receiver: Receiver) -> None:
    """Otherwise writes without a lifetime would count beside those with one, and OpenLLMetry's surplus of streams."""
    cached = {"gen_ai.usage.cache_write.input_tokens": 20, "gen_ai.usage.cache_read.input_tokens": 300}
    lifetimes = {
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 5,
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 15,
    }
    plain = usage(420, 51) | cached | {"gen_ai.response.id": "msg_01A"}
    official = usage(420, 50) | cached | lifetimes | {"gen_ai.response.id": "msg_01A"}
    hidden = usage(420, 50) | cached
    request = traces(child(1, None, plain), scope="opentelemetry.instrumentation.anthropic")
    for number, attributes, scope in ((2, official, "com.anthropic.sdk.python"), (3, hidden, "openinference")):
        request["resourceSpans"] += traces(child(number, None, attributes), scope=scope)["resourceSpans"]
    receiver.take(request)
    assert receiver.ledger.only.counts == TokenCounts(100, 5, 15, 300, 50)


@pytest.mark.parametrize(
    "ended_ns", ["0", "1", "86400000000000", "1672531199000000000", "4102444800000000000", "18446744073709551615"]
)
def test_a_span_of_a_time_that_cannot_be_counts_when_it_was_received(receiver: Receiver, ended_ns: str) -> None:
    """Every hour since the first event is known and kept: 1970 would be half a million of them."""
    attributes = ANTHROPIC | {"gen_ai.usage.output_tokens": 2}
    receiver.take(traces(span(attributes, startTimeUnixNano=ended_ns, endTimeUnixNano=ended_ns)))
    (event,) = receiver.events
    assert event.at == NOW
