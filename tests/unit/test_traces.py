"""Traces by option: bounded, without secrets and texts, sent as OTLP, and nothing of it without the option."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import responses
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bot.app import bot_from
from bot.config.settings import Need, SettingsError, load_settings
from bot.sandbox.clock import HandClock
from bot.traces import LONGEST, Value, span, start_traces
from tests.databases import NOW
from tests.unit.test_settings import COMPLETE

Ended = Callable[[], list[ReadableSpan]]


@pytest.fixture
def ended() -> Iterator[Ended]:
    """Ends tracing, and returns the spans in the order in which they ended."""
    exporter = InMemorySpanExporter()
    stop = start_traces("1.0", exporter)

    def end() -> list[ReadableSpan]:
        stop()
        return list(exporter.get_finished_spans())

    yield end
    stop()


def test_spans_nest_and_hold_bounded_attributes_without_secrets(ended: Ended) -> None:
    own: dict[str, Value | None] = {
        "incident": "a\nb" * LONGEST,
        "user": "xoxb-1234567890",
        "notice": 3,
        "left_out": None,
    }
    with span("cycle"), span("delivery", **own) as mark:
        mark.set("http.response.status_code", 200)
    inner, outer = ended()
    assert (inner.name, outer.name) == ("delivery", "cycle")
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert inner.attributes is not None
    assert dict(inner.attributes) == {
        "claude_cost.incident": ("a b" * LONGEST)[:LONGEST],
        "claude_cost.user": "…",
        "claude_cost.notice": 3,
        "http.response.status_code": 200,
    }
    assert outer.resource.attributes["service.name"] == "claude-cost"


def test_an_error_shows_as_its_type_alone(ended: Ended) -> None:
    with pytest.raises(ValueError, match="a secret"), span("cycle"):
        raise ValueError("a secret")
    (failed,) = ended()
    assert failed.attributes == {"error.type": "ValueError"}
    assert (failed.status.is_ok, failed.status.description, failed.events) == (False, None, ())


async def test_spans_are_sent_to_where_opentelemetry_s_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    async def receive(request: web.Request) -> web.Response:
        sent.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", receive)
    async with TestServer(app) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", str(server.make_url("")))
        monkeypatch.setenv("OTEL_SERVICE_NAME", "costs-emea")
        stop = start_traces("1.0")
        with span("cycle"):
            pass
        with responses.RequestsMock() as requests:
            requests.add_passthru(str(server.make_url("/")))
            await asyncio.to_thread(stop)
    [[resource]] = [list(each.resource_spans) for each in sent]
    names = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (names["service.name"], names["service.version"]) == ("costs-emea", "1.0")
    assert [each.name for scope in resource.scope_spans for each in scope.spans] == ["cycle"]


@pytest.mark.parametrize(
    ("missing", "variables", "sentence"),
    [
        ("opentelemetry.sdk.resources", {}, "CLAUDE_COST_TRACES is otlp, and OpenTelemetry is not installed"),
        (None, {"OTEL_BSP_MAX_QUEUE_SIZE": "1"}, "correct the OTEL_… variables"),
    ],
)
async def test_traces_that_cannot_be_sent_end_the_start_with_a_sentence(
    missing: str | None, variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing is not None:
        monkeypatch.setitem(sys.modules, missing, None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings({**COMPLETE, "CLAUDE_COST_TRACES": "otlp"}, Need.RUN)
    with pytest.raises(SettingsError, match=sentence):
        async with bot_from(settings, HandClock(NOW)):
            pass


def test_without_the_option_a_span_imports_nothing() -> None:
    program = (
        "import sys; from bot.traces import span\nwith span('cycle') as mark: mark.set('b', 2)\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "opentelemetry" not in done.stdout
