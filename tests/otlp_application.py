"""An application under OpenTelemetry: the official client calls a Messages API in every way, and exporters report it.

As a program of its own, since instrumentations patch the client for the whole process:
`python -m tests.otlp_application BASE_URL INSTRUMENTATION…`, of which `official` is the client's own. Where to report
stands in the environment.
"""

import asyncio
import sys

import anthropic
from openinference.instrumentation.anthropic import AnthropicInstrumentor as OpenInference
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor as OpenLLMetry
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

MODEL = "claude-sonnet-4-6"


def asked(text: str) -> dict[str, object]:
    """A request of which the Messages API of the test makes the id of its response."""
    return {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}


def call_synchronously(client: anthropic.Anthropic) -> None:
    """A plain call, one with caches, both ways of streaming, and one that is over the rate limit."""
    client.messages.create(**asked("plain"))  # type: ignore[call-overload]
    client.messages.create(**asked("cached"))  # type: ignore[call-overload]
    for _ in client.messages.create(**asked("streamed"), stream=True):  # type: ignore[call-overload]
        pass
    with client.messages.stream(**asked("managed")) as stream:  # type: ignore[arg-type]
        stream.get_final_message()
    try:
        client.messages.create(**asked("limited"))  # type: ignore[call-overload]
    except anthropic.RateLimitError:
        return
    raise AssertionError("this call is over the limit")


async def call_asynchronously(client: anthropic.AsyncAnthropic) -> None:
    """The same without blocking."""
    await client.messages.create(**asked("async-cached"))  # type: ignore[call-overload]
    async for _ in await client.messages.create(**asked("async-streamed"), stream=True):  # type: ignore[call-overload]
        pass
    async with client.messages.stream(**asked("async-managed")) as stream:  # type: ignore[arg-type]
        await stream.get_final_message()


def main(base_url: str, names: list[str]) -> None:
    """Call, report, end."""
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracers)
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=60_000)])
    metrics.set_meter_provider(meters)
    if "openllmetry" in names:
        OpenLLMetry().instrument()
    if "openinference" in names:
        OpenInference().instrument()
    official = {"traces": "official" in names}
    options = {"base_url": base_url, "api_key": "sk-ant-test", "max_retries": 0, "open_telemetry": official}
    call_synchronously(anthropic.Anthropic(**options))  # type: ignore[arg-type]
    asyncio.run(call_asynchronously(anthropic.AsyncAnthropic(**options)))  # type: ignore[arg-type]
    tracers.shutdown()
    meters.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
