"""Traces of the bot's own work, by option. Without it nothing of OpenTelemetry is imported: a span is one comparison.

A span has a name of few different ones, and attributes of bounded length without secrets: no text of a message or an
error. Where they are sent, and which of them, the variables of OpenTelemetry say:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bot.secret_shapes import masked, one_line

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

SERVICE = "claude-cost"
OWN = "claude_cost."
"""Prefix of attributes outside OpenTelemetry's semantic conventions."""

HTTP_STATUS = "http.response.status_code"
"""As of https://opentelemetry.io/docs/specs/semconv/http/http-spans/."""

LONGEST = 200
"""Characters of an attribute."""

Value = str | int | bool

_tracer: "Tracer | None" = None


class Mark:
    """A span that has begun, or none where nothing is traced."""

    def __init__(self, span: "Span | None" = None) -> None:
        self._span = span

    def set(self, name: str, value: Value | None) -> None:
        """Add an attribute; None is left out."""
        if self._span is not None and value is not None:
            self._span.set_attribute(name, _bounded(value))


_NO_MARK = Mark()


@contextmanager
def span(name: str, /, **own: Value | None) -> Iterator[Mark]:
    """A span around the block. `own`: its attributes, whose names are the bot's own. An error shows as its type."""
    if _tracer is None:
        yield _NO_MARK
        return
    from opentelemetry.trace import Status, StatusCode

    attributes = {f"{OWN}{key}": _bounded(value) for key, value in own.items() if value is not None}
    with _tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as begun:
        try:
            yield Mark(begun)
        except BaseException as error:
            begun.set_status(Status(StatusCode.ERROR))
            begun.set_attribute("error.type", type(error).__name__)
            raise


def start_traces(version: str, exporter: "SpanExporter | None" = None) -> Callable[[], None]:
    """Trace from now on. Returns what sends the rest and ends it, which may take seconds.

    `exporter`: instead of OTLP over HTTP. Raises `ImportError` where OpenTelemetry is not installed, and `ValueError`
    where one of its variables cannot be used.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    named = {SERVICE_VERSION: version}
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        named[SERVICE_NAME] = SERVICE
    # The process ends when the bot says so, which flushes then, with a bound on the time.
    provider = TracerProvider(resource=resource.merge(Resource(named)), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    global _tracer
    _tracer = provider.get_tracer(SERVICE, version)

    def stop() -> None:
        global _tracer
        _tracer = None
        provider.shutdown()

    return stop


def _bounded(value: Value) -> Value:
    return one_line(masked(value[: 4 * LONGEST]))[:LONGEST] if isinstance(value, str) else value
