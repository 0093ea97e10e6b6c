"""Token metrics become events by what they grow, and never count what spans or events count as well."""

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from bot.ledger.otlp.attributes import Passed
from bot.ledger.otlp.ingest import Taken
from bot.ledger.otlp.model import Source
from bot.ledger.otlp.series import senders_of_call
from bot.ledger.otlp.store import OtlpStore
from bot.pricing.tokens import TokenCounts
from tests.databases import open_migrated
from tests.otlp import (
    NOW,
    NOW_NS,
    SECOND,
    MemoryLedger,
    counter,
    histogram,
    ingest,
    metrics,
    point,
    record,
    span,
    traces,
    values,
)
from tests.otlp import logs as log_request

MODEL = "claude-sonnet-4-6"
GENAI = {"gen_ai.provider.name": "anthropic", "gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL}
CODE = {"service.name": "claude-code", "service.version": "2.1.240", "team": "search"}
PERSON = {"session.id": "s-1", "user.id": "installation", "user.email": "ann@example.com", "model": MODEL}
DELTA, CUMULATIVE = 1, 2


class Receiver:
    """Takes requests in the JSON form into a ledger."""

    def __init__(self, engine: Engine) -> None:
        self.ledger = MemoryLedger()
        self._ingest = ingest(engine, self.ledger)

    def take(self, request: dict[str, Any], signal: Any = "metrics", later: float = 0) -> Taken:
        at = NOW + timedelta(seconds=later)
        return self._ingest.take(signal, json.dumps(request).encode(), at, is_json=True)


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One database for most tests, which forget what was there before."""
    engine = open_migrated(f"sqlite:///{tmp_path_factory.mktemp('series') / 'claude-cost.db'}")
    yield engine
    engine.dispose()


def receiver_of(engine: Engine) -> Receiver:
    OtlpStore(engine).prune(NOW + timedelta(days=10))
    return Receiver(engine)


@pytest.fixture
def receiver(one_engine: Engine) -> Receiver:
    return receiver_of(one_engine)


def code_tokens(*points: dict[str, Any], temporality: int = DELTA, **resource: Any) -> dict[str, Any]:
    """A request with Claude Code's metric."""
    found = counter("claude_code.token.usage", *points, temporality=temporality)
    return metrics(found, resource=CODE | resource, scope="com.anthropic.claude_code")


def code_points(tokens: int, **times: float) -> list[dict[str, Any]]:
    kinds = {"input": tokens, "output": 2 * tokens, "cacheRead": 3 * tokens, "cacheCreation": 4 * tokens}
    return [point(PERSON | {"type": kind}, value, **times) for kind, value in kinds.items()]


def code_event(tokens: int, at: float = 0, **more: Any) -> dict[str, Any]:
    """The event of one request, with the same counts."""
    counts = {"input_tokens": tokens, "output_tokens": 2 * tokens}
    counts |= {"cache_read_tokens": 3 * tokens, "cache_creation_tokens": 4 * tokens}
    attributes = PERSON | {"event.name": "api_request", "request_id": f"req_{at}"} | counts | more
    found = record(attributes, timeUnixNano=str(NOW_NS + int(at * SECOND)))
    return log_request(found, resource=CODE, scope="com.anthropic.claude_code.events")


def usage_counters(tokens: tuple[int, int, int, int], temporality: int = CUMULATIVE, **times: float) -> dict[str, Any]:
    names = ("input_tokens", "output_tokens", "cache_read.input_tokens", "cache_write.input_tokens")
    found = [
        counter(f"gen_ai.client.inference.usage.{name}", point(GENAI, value, **times), temporality=temporality)
        for name, value in zip(names, tokens, strict=True)
    ]
    return metrics(*found)


def test_claude_codes_deltas_add_up_and_a_repeat_counts_once(receiver: Receiver) -> None:
    first, second = code_tokens(*code_points(10)), code_tokens(*code_points(5, start=0, at=60))
    for request in (first, second, first, second):
        receiver.take(request)
    assert receiver.ledger.counts == TokenCounts(15, 60, 0, 45, 30)
    event = next(iter(receiver.ledger.events.values()))
    assert (event.dimensions.feature, event.dimensions.user_id) == ("claude-code", "ann@example.com")
    assert (event.session, event.dimensions.tags, event.requests) == ("s-1", (("team", "search"),), 0)


def test_cumulative_points_count_what_they_grow_in_every_order_of_repeats(engine: Engine) -> None:
    receiver = Receiver(engine)
    requests = [usage_counters((t, t, t // 2, t // 4), at=at) for at, t in enumerate((400, 800, 1200))]
    for order in permutations(range(3)):
        for number in order:
            receiver.take(requests[number])
    assert receiver.ledger.counts == TokenCounts(300, 300, 0, 600, 1200)


def test_a_restart_begins_a_new_series_and_late_points_of_the_old_one_still_count(receiver: Receiver) -> None:
    for start, at, total in ((-60, 0, 100), (10, 20, 30), (-60, 5, 140), (10, 30, 50)):
        receiver.take(code_tokens(*code_points(total, start=start, at=at), temporality=CUMULATIVE))
    assert receiver.ledger.counts.uncached_input_tokens == 140 + 50


def test_a_value_that_falls_is_a_restart_even_with_the_same_start_time(receiver: Receiver) -> None:
    for at, total in enumerate((100, 130, 20, 50)):
        receiver.take(code_tokens(*code_points(total, at=at), temporality=CUMULATIVE))
    assert receiver.ledger.counts.uncached_input_tokens == 130 + 50


def test_two_processes_that_call_themselves_the_same_do_not_disturb_each_other(receiver: Receiver) -> None:
    for at in range(1, 4):
        for start in (-60.5, -60.25):
            receiver.take(code_tokens(*code_points(10 * at, start=start, at=at), temporality=CUMULATIVE))
    assert receiver.ledger.counts.uncached_input_tokens == 60


def test_a_growth_that_was_stored_but_not_noted_is_not_counted_again(one_engine: Engine) -> None:
    """The process was killed between the two: the sender sends a later state of the same series."""
    receiver = receiver_of(one_engine)
    receiver.take(code_tokens(*code_points(10), temporality=CUMULATIVE))
    OtlpStore(one_engine).prune(NOW + timedelta(days=1))
    receiver.take(code_tokens(*code_points(25, at=60), temporality=CUMULATIVE))
    assert receiver.ledger.counts.uncached_input_tokens == 25


@pytest.mark.parametrize("kinds", [("input", "output"), ("prompt", "completion")])
def test_the_former_histogram_counts_tokens_and_requests(receiver: Receiver, kinds: tuple[str, str]) -> None:
    points = [values(GENAI | {"gen_ai.token.type": kind}, 30, 3) for kind in kinds]
    receiver.take(metrics(histogram("gen_ai.client.token.usage", *points)))
    event = receiver.ledger.only
    assert (event.counts, event.requests) == (TokenCounts(30, output_tokens=30), 3)


def test_the_former_metric_beside_the_newer_ones_counts_once(receiver: Receiver) -> None:
    request = usage_counters((30, 5, 10, 0))
    former = histogram("gen_ai.client.token.usage", values(GENAI | {"gen_ai.token.type": "input"}, 30, 1))
    request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].append(former)
    receiver.take(request)
    assert receiver.ledger.counts == TokenCounts(20, 0, 0, 10, 5)


def test_cost_and_other_metrics_and_other_models_count_nothing(receiver: Receiver) -> None:
    others = counter("claude_code.cost.usage", point(PERSON, 3)), counter("claude_code.session.count", point(PERSON, 1))
    assert receiver.take(metrics(*others)).accepted == 0
    foreign = {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.token.type": "input"}
    taken = receiver.take(metrics(histogram("gen_ai.client.token.usage", values(foreign, 30, 3))))
    assert (taken.accepted, taken.rejected, taken.passed) == (0, 0, {Passed.NOT_CLAUDE.value: 1})


@pytest.mark.parametrize(
    "bad", [{"asInt": "-5"}, {"asInt": None, "asDouble": 1.5}, {"timeUnixNano": str(2**64 - 1)}, {"asInt": str(2**63)}]
)
def test_a_point_that_cannot_be_counted_is_refused_and_the_others_count(receiver: Receiver, bad: Any) -> None:
    good, *_ = code_points(10)
    taken = receiver.take(code_tokens(good | bad, *code_points(10, at=1)))
    assert taken.rejected == 1
    assert taken.sentence.startswith("1 data points are not counted: a ")
    assert receiver.ledger.counts == TokenCounts(10, 40, 0, 30, 20)


def test_events_then_metrics_of_the_same_requests_count_once(engine: Engine) -> None:
    receiver = Receiver(engine)
    receiver.take(code_event(10, at=-30), "logs")
    taken = receiver.take(code_tokens(*code_points(10)))
    assert taken.passed == {Passed.IN_EVENTS.value: 1}
    assert receiver.ledger.counts == TokenCounts(10, 40, 0, 30, 20)


def test_metrics_then_events_of_the_same_requests_count_once_and_later_events_count(receiver: Receiver) -> None:
    receiver.take(code_tokens(*code_points(10)))
    assert receiver.take(code_event(10, at=-30), "logs").passed == {Passed.IN_METRICS.value: 1}
    receiver.take(code_event(7, at=30), "logs")
    receiver.take(code_tokens(*code_points(7, start=0, at=60)))
    assert receiver.ledger.counts.uncached_input_tokens == 17


def test_who_sends_metrics_alone_is_not_left_out_because_a_colleague_sends_events(receiver: Receiver) -> None:
    receiver.take(code_event(10, at=-30), "logs")
    others = [PERSON | {"session.id": "s-2", "type": "input"}, PERSON | {"session.id": "s-1", "type": "input"}]
    receiver.take(code_tokens(*(point(attributes, 10) for attributes in others)))
    assert receiver.ledger.counts.uncached_input_tokens == 20


@pytest.mark.parametrize("left", [("user.email", "user.id"), ("user.id",), ()])
def test_metrics_without_the_session_are_known_by_user_or_service(receiver: Receiver, left: tuple[str, ...]) -> None:
    receiver.take(code_event(10, at=-30), "logs")
    attributes = {"model": MODEL, "type": "input"} | {name: PERSON[name] for name in left}
    receiver.take(code_tokens(point(attributes, 10)))
    assert receiver.ledger.counts.uncached_input_tokens == 10


@pytest.mark.parametrize("spans_first", [True, False])
def test_spans_and_metrics_of_a_service_count_once_whichever_come_first(receiver: Receiver, spans_first: bool) -> None:
    call = GENAI | {"gen_ai.usage.input_tokens": 40, "gen_ai.usage.output_tokens": 4}
    sent: list[tuple[dict[str, Any], Any]] = [
        (traces(span(call | {"gen_ai.response.id": "msg_1"})), "traces"),
        (usage_counters((40, 4, 0, 0), at=1), "metrics"),
    ]
    for request, signal in sent if spans_first else sent[::-1]:
        receiver.take(request, signal)
    assert receiver.ledger.counts == TokenCounts(40, output_tokens=4)


def test_a_service_that_has_sent_no_span_for_a_day_counts_by_its_metrics_again(receiver: Receiver) -> None:
    receiver.take(code_event(10, at=-30), "logs")
    receiver.take(code_tokens(*code_points(10), temporality=CUMULATIVE))
    days = 2 * 86_400
    receiver.take(code_tokens(*code_points(13, at=days), temporality=CUMULATIVE), later=days)
    assert receiver.ledger.counts.uncached_input_tokens == 13


def test_an_event_that_was_counted_too_often_keeps_its_largest_state(receiver: Receiver) -> None:
    """Claude Code before 2.1.214 reported some streams several times."""
    for tokens in (3, 10, 7):
        receiver.take(code_event(tokens, at=-30, speed="fast", query_source="subagent"), "logs")
    event = receiver.ledger.only
    assert (event.id, event.counts) == ("req_-30", TokenCounts(10, 40, 0, 30, 20))
    assert event.dimensions.terms.speed == "fast"
    assert event.dimensions.tags == (("query_source", "subagent"), ("team", "search"))


def test_the_span_and_the_event_of_a_request_of_claude_code_count_once(receiver: Receiver) -> None:
    receiver.take(code_event(10, at=0), "logs")
    attributes = PERSON | {"gen_ai.system": "anthropic", "request_id": "req_0", "input_tokens": 10}
    attributes |= {"output_tokens": 20, "cache_read_tokens": 30, "cache_creation_tokens": 40}
    receiver.take(traces(span(attributes, name="claude_code.llm_request"), resource=CODE), "traces")
    assert receiver.ledger.counts == TokenCounts(10, 40, 0, 30, 20)


@pytest.mark.parametrize(("status", "outcome"), [("429", "rate_limited"), (529, "error"), ("undefined", "error")])
def test_an_error_of_claude_code_is_a_request_without_tokens(receiver: Receiver, status: Any, outcome: str) -> None:
    attributes = PERSON | {"status_code": status, "error": "…", "attempt": 11}
    for _ in range(2):
        receiver.take(log_request(record(attributes, eventName="claude_code.api_error"), resource=CODE), "logs")
    assert (receiver.ledger.only.outcome, receiver.ledger.only.counts) == (outcome, TokenCounts())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    growths=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1000)), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_whatever_is_sent_again_or_late_the_sum_is_that_of_the_last_points(
    one_engine: Engine, growths: list[tuple[int, int]], order: Any
) -> None:
    receiver = receiver_of(one_engine)
    totals: dict[int, int] = {}
    requests = []
    for at, (process, tokens) in enumerate(growths):
        totals[process] = totals.get(process, 0) + tokens
        points = [point(PERSON | {"type": "input"}, totals[process], start=-100 - process, at=at)]
        requests.append(code_tokens(*points, temporality=CUMULATIVE))
    sent = [*requests, *order.choices(requests, k=4)]
    late = order.sample(sent, k=len(sent))
    for request in [*late, *requests]:
        receiver.take(request)
    assert receiver.ledger.counts.uncached_input_tokens == sum(totals.values())


def test_a_call_that_failed_counts_also_in_the_time_of_metrics(receiver: Receiver) -> None:
    receiver.take(usage_counters((40, 4, 0, 0)))
    receiver.take(traces(span(GENAI | {"error.type": "429"})), "traces")
    assert [event.outcome for event in receiver.ledger.events.values()] == ["ok", "rate_limited"]


def test_a_number_of_values_that_is_none_is_no_negative_number_of_requests(receiver: Receiver) -> None:
    points = values(GENAI | {"gen_ai.token.type": "output"}, 30, -3)
    receiver.take(metrics(histogram("gen_ai.client.token.usage", points)))
    assert (receiver.ledger.only.requests, receiver.ledger.counts.output_tokens) == (0, 30)


def test_where_users_are_hashed_their_ids_name_no_sender() -> None:
    plain, hashed = (
        senders_of_call(Source(CODE, "", ""), PERSON, stored)
        for stored in (lambda user: user, lambda user: f"keyed-{user}")
    )
    assert plain[0] == hashed[0]
    assert not set(plain[1:-1]) & set(hashed[1:-1])
