"""OTLP over a real port: both forms, plain and packed, and the answers that exporters understand."""

import asyncio
import gzip
import json
import random
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from bot.ledger.otlp.ingest import OtlpIngest, Taken
from bot.pricing.tokens import TokenCounts
from bot.web.ingest import MOST_SENT, MOST_UNPACKED
from tests.databases import open_migrated
from tests.otlp import NOW_NS, OtlpPort, counter, logs, metrics, otlp_port, point, record, span, traces
from tests.scenario.conftest import World
from tests.scenario.test_ingest import TOKEN as INGEST_TOKEN
from tests.scenario.test_ingest import port_of

CALL = {
    "gen_ai.provider.name": "anthropic",
    "gen_ai.operation.name": "chat",
    "gen_ai.response.model": "claude-sonnet-4-6",
    "gen_ai.response.id": "msg_01A",
    "gen_ai.usage.input_tokens": 420,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.cache_read.input_tokens": 300,
    "gen_ai.usage.cache_write.input_tokens": 20,
}
COUNTS = TokenCounts(100, 20, 0, 300, 50)
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_migrated(f"sqlite:///{tmp_path_factory.mktemp('otlp') / 'claude-cost.db'}")


@pytest.fixture
async def port(store: Engine) -> AsyncIterator[OtlpPort]:
    async with otlp_port(store) as port:
        yield port


def protobuf_of(attributes: dict[str, Any]) -> bytes:
    """The request with one span, as the SDK writes it."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "support"
    found = group.scope_spans.add().spans.add(
        trace_id=b"t" * 16, span_id=b"s" * 8, name="chat", start_time_unix_nano=NOW_NS, end_time_unix_nano=NOW_NS
    )
    for name, value in attributes.items():
        filled = found.attributes.add(key=name).value
        if isinstance(value, int):
            filled.int_value = value
        else:
            filled.string_value = value
    return bytes(request.SerializeToString())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("is_json", [False, True])
async def test_both_forms_plain_and_packed_say_the_same(port: OtlpPort, is_json: bool, packed: bool) -> None:
    body = json.dumps(traces(span(CALL))).encode() if is_json else protobuf_of(CALL)
    headers = dict(JSON if is_json else PROTOBUF)
    if packed:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body)
    answer = await port.client.post("/v1/traces", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, headers["Content-Type"])
    assert answer.content == (b"{}" if is_json else b"")
    event = port.ledger.only
    assert (event.id, event.counts, event.dimensions.feature) == ("msg_01A", COUNTS, "support")


async def test_the_json_that_protobuf_libraries_write_is_read_too(port: OtlpPort) -> None:
    """It has names of enums and ids in base64, which the specification does not allow."""
    request = MessageToDict(ExportTraceServiceRequest.FromString(protobuf_of(CALL)))
    assert (await port.client.post("/v1/traces", json=request)).status_code == 200
    assert port.ledger.counts == COUNTS


async def test_logs_and_metrics_have_routes_of_their_own(port: OtlpPort) -> None:
    code = {"service.name": "claude-code"}
    counts = {"input_tokens": 3, "output_tokens": 4, "request_id": "req_1", "model": "claude-opus-4-8"}
    event = record(counts, eventName="claude_code.api_request")
    assert (await port.client.post("/v1/logs", json=logs(event, resource=code))).json() == {}
    grown = point({"type": "input", "model": "claude-opus-4-8", "session.id": "other"}, 5)
    request = metrics(counter("claude_code.token.usage", grown), resource=code)
    assert (await port.client.post("/v1/metrics", json=request)).json() == {}
    assert port.ledger.counts == TokenCounts(8, output_tokens=4)


async def test_what_cannot_be_counted_is_a_partial_success_in_the_form_of_the_request(port: OtlpPort) -> None:
    bad = CALL | {"gen_ai.usage.output_tokens": -1, "gen_ai.response.id": "msg_bad"}
    sentence = "1 spans are not counted: a negative token count (1)."
    answer = await port.client.post("/v1/traces", json=traces(span(bad), span(CALL)))
    assert answer.json() == {"partialSuccess": {"rejectedSpans": "1", "errorMessage": sentence}}
    answer = await port.client.post("/v1/traces", content=protobuf_of(bad), headers=PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (partial.rejected_spans, partial.error_message) == (1, sentence)
    assert [event.id for event in port.ledger.events.values()] == ["msg_01A"]


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
async def test_an_empty_request_is_a_success(port: OtlpPort, signal: str) -> None:
    for headers, body in ((PROTOBUF, b""), (JSON, b"{}"), (JSON, b'{"resourceSpans": null, "x": [1]}')):
        assert (await port.client.post(f"/v1/{signal}", content=body, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (PROTOBUF, b"no protobuf", 400),
        (JSON, b"{", 400),
        (JSON, b"[]", 400),
        (JSON, b'{"resourceSpans": {}}', 400),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"endTimeUnixNano": "soon"}]}]}]}', 400),
        (JSON, b"\xff", 400),
        (JSON, b'{"a":' * 200_000, 400),
        (JSON, b"[" * 200_000, 400),
        (PROTOBUF | {"Content-Encoding": "gzip"}, b"no gzip", 400),
        (PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 99)[:-9], 400),
        (PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(bytes(MOST_UNPACKED + 1)), 413),
        (PROTOBUF | {"Content-Encoding": "br"}, b"", 415),
        ({"Content-Type": "text/plain"}, b"", 415),
        ({"Content-Type": "application/grpc"}, b"", 415),
        (PROTOBUF, bytes(MOST_SENT + 1), 413),
    ],
)
async def test_a_body_that_is_none_is_answered_with_a_status_that_says_why(
    port: OtlpPort, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = await port.client.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == status
    if answer.headers["content-type"] == "application/x-protobuf":
        # field 1 a varint, field 2 a text: google.rpc.Status
        assert (answer.content[:1], answer.content[2:3]) == (b"\x08", b"\x12")
        assert answer.content.endswith(b".")
    else:
        assert answer.json()["code"] in (3, 8)
        assert answer.json()["message"].endswith(".")
    assert port.ledger.events == {}


async def test_a_gzip_bomb_takes_no_memory(port: OtlpPort) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    answer = await port.client.post("/v1/logs", content=bomb, headers=PROTOBUF | {"Content-Encoding": "gzip"})
    assert answer.status_code == 413


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong", "Basic ingest-1"])
async def test_nobody_sends_without_the_token(port: OtlpPort, token: str) -> None:
    headers = PROTOBUF | {"Authorization": token}
    answer = await port.client.post("/v1/traces", content=protobuf_of(CALL), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.content.startswith(b"\x08\x10\x12")
    assert port.ledger.events == {}


class Failing(OtlpIngest):
    """The database is away."""

    def __init__(self) -> None:
        pass

    def take(self, *_: Any, **__: Any) -> Taken:
        raise OperationalError("INSERT", {}, Exception("connection refused"))


async def test_a_database_that_is_away_is_a_503_to_send_again(store: Engine, caplog: pytest.LogCaptureFixture) -> None:
    async with otlp_port(store, Failing()) as port:
        for _ in range(3):
            answer = await port.client.post("/v1/traces", content=protobuf_of(CALL), headers=PROTOBUF)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert len([line for line in caplog.messages if "cannot be stored" in line]) == 1


async def test_requests_at_once_are_all_counted_or_asked_to_come_again(port: OtlpPort) -> None:
    async def send(number: int) -> None:
        body = protobuf_of(CALL | {"gen_ai.response.id": f"msg_{number}"})
        statuses = [503]
        while statuses[-1] == 503:
            statuses.append((await port.client.post("/v1/traces", content=body, headers=PROTOBUF)).status_code)
        assert statuses[-1] == 200

    await asyncio.gather(*(send(number) for number in range(40)))
    assert len(port.ledger.events) == 40


async def test_random_bodies_are_answered_and_none_ends_in_an_error(port: OtlpPort) -> None:
    """Cut, changed and mixed requests of all three signals in both forms."""
    chance = random.Random(13)
    code = {"service.name": "claude-code"}
    seeds = [
        ("application/x-protobuf", protobuf_of(CALL)),
        ("application/json", json.dumps(traces(span(CALL))).encode()),
        (
            "application/json",
            json.dumps(logs(record({"x": 1}, eventName="claude_code.api_request"), resource=code)).encode(),
        ),
        (
            "application/json",
            json.dumps(metrics(counter("claude_code.token.usage", point({"type": "input"}, 5)))).encode(),
        ),
    ]
    seen: set[int] = set()
    for _ in range(300):
        kind, seed = chance.choice(seeds)
        body = bytearray(seed)
        for _ in range(chance.randrange(1, 8)):
            place = chance.randrange(len(body))
            match chance.randrange(4):
                case 0:
                    body[place] = chance.randrange(256)
                case 1:
                    del body[place : place + chance.randrange(1, 40)]
                case 2:
                    body[place:place] = body[place : place + chance.randrange(1, 60)]
                case _:
                    body[place:place] = chance.choice([b"null", b"-1", b"1e309", b'"', b"[{}]", b"\xff", b"0" * 40])
        signal = chance.choice(["traces", "logs", "metrics"])
        answer = await port.client.post(f"/v1/{signal}", content=bytes(body), headers={"Content-Type": kind})
        seen.add(answer.status_code)
    assert seen <= {200, 400}
    assert 400 in seen


async def test_every_type_of_request_and_answer_is_the_one_of_its_signal(port: OtlpPort) -> None:
    for signal, kind in (("logs", ExportLogsServiceRequest), ("metrics", ExportMetricsServiceRequest)):
        answer = await port.client.post(f"/v1/{signal}", content=kind().SerializeToString(), headers=PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
    bad = record({"input_tokens": -1, "model": "claude-opus-4-8"}, eventName="claude_code.api_request")
    request = logs(bad, resource={"service.name": "claude-code"})
    rejected = (await port.client.post("/v1/logs", json=request)).json()["partialSuccess"]
    assert rejected["rejectedLogRecords"] == "1"
    assert ExportLogsServiceResponse().partial_success.rejected_log_records == 0


async def test_other_methods_and_paths_are_not_taken(port: OtlpPort) -> None:
    assert (await port.client.get("/v1/traces")).status_code == 405
    assert (await port.client.post("/v1/profiles", content=b"")).status_code == 404


async def test_the_bot_keeps_what_is_reported_and_forgets_silent_senders(world: World) -> None:
    async with world.bot() as bot, port_of(bot) as port:
        sent = {"Authorization": f"Bearer {INGEST_TOKEN}", "Content-Encoding": "gzip"} | PROTOBUF
        for _ in range(2):
            answer = await port.client.post("/v1/traces", content=gzip.compress(protobuf_of(CALL)), headers=sent)
            assert (answer.status_code, answer.content) == (200, b"")
        assert port.stored() == (1, 100)
        assert (await port.client.post("/v1/traces", content=b"", headers=PROTOBUF)).status_code == 401
        forgotten = bot.services.otlp.prune(bot.services.clock() + timedelta(days=1))
        assert forgotten == 1


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    length, prefix = len(content), bytearray([number << 3 | 2])
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(prefix) + bytes([length]) + content


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, field(1, b"") * 100_000),
        (PROTOBUF, field(1, field(2, field(2, b"") * 100_000))),
        (PROTOBUF, field(1, field(2, field(2, b"") * 1_000)) * 30),
        (JSON, b'{"resourceSpans": [' + b",".join([b"{}"] * 700_000) + b"]}"),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [' + b",".join([b"{}"] * 30_000) + b"]}]}]}"),
    ],
    ids=["resources", "spans", "spans of many", "objects", "spans in json"],
)
async def test_a_request_of_many_empty_parts_is_refused_before_it_takes_long(
    port: OtlpPort, headers: dict[str, str], body: bytes
) -> None:
    answer = await port.client.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == 413
    assert b"20,000 parts" in answer.content


async def test_attributes_without_end_are_not_looked_at(port: OtlpPort) -> None:
    spans = field(1, field(2, field(2, field(9, b"") * 500_000)))
    assert (await port.client.post("/v1/traces", content=spans, headers=PROTOBUF)).status_code == 200
