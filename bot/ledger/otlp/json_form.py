"""The JSON form of OTLP: the shapes of the three requests, with the fields that the ledger reads.

Unknown fields are ignored, null is a missing field, and 64-bit numbers may be text (proto3 JSON mapping). Source:
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from typing import Any

import msgspec
from msgspec import Struct

from bot.ledger.otlp.model import UnreadableBodyError


class AnyValue(Struct, rename="camel", gc=False):
    """The value of an attribute. Lists and objects are ignored."""

    string_value: str | None = None
    int_value: int | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None


class KeyValue(Struct, gc=False):
    """An attribute."""

    key: str | None = None
    value: AnyValue | None = None


class Resource(Struct):
    """The sender."""

    attributes: list[KeyValue] | None = None


class Scope(Struct):
    """The instrumentation."""

    name: str | None = None
    version: str | None = None


class SpanEvent(Struct):
    """Something that happened in a span, such as an exception."""

    name: str | None = None
    attributes: list[KeyValue] | None = None


class Status(Struct):
    """How a span ended."""

    code: int | str | None = None
    message: str | None = None


class SpanShape(Struct, rename="camel"):
    """A span."""

    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: int | None = None
    end_time_unix_nano: int | None = None
    attributes: list[KeyValue] | None = None
    events: list[SpanEvent] | None = None
    status: Status | None = None


class LogShape(Struct, rename="camel"):
    """A log record."""

    time_unix_nano: int | None = None
    observed_time_unix_nano: int | None = None
    event_name: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None
    trace_id: str | None = None
    span_id: str | None = None


class NumberPoint(Struct, rename="camel"):
    """A point of a sum."""

    attributes: list[KeyValue] | None = None
    start_time_unix_nano: int | None = None
    time_unix_nano: int | None = None
    as_double: float | str | None = None
    as_int: int | None = None


class HistogramPoint(Struct, rename="camel"):
    """A point of a histogram of either kind."""

    attributes: list[KeyValue] | None = None
    start_time_unix_nano: int | None = None
    time_unix_nano: int | None = None
    count: int | None = None
    sum: float | str | None = None


class Sum(Struct, rename="camel"):
    """The points of a counter."""

    data_points: list[NumberPoint] | None = None
    aggregation_temporality: int | str | None = None


class Histogram(Struct, rename="camel"):
    """The points of a histogram."""

    data_points: list[HistogramPoint] | None = None
    aggregation_temporality: int | str | None = None


class Metric(Struct, rename="camel"):
    """A metric of one of these kinds, or of another one that counts nothing."""

    name: str | None = None
    sum: Sum | None = None
    histogram: Histogram | None = None
    exponential_histogram: Histogram | None = None


class ScopeSpans(Struct):
    """Spans of one instrumentation."""

    scope: Scope | None = None
    spans: list[SpanShape] | None = None


class ScopeLogs(Struct, rename="camel"):
    """Log records of one instrumentation."""

    scope: Scope | None = None
    log_records: list[LogShape] | None = None


class ScopeMetrics(Struct):
    """Metrics of one instrumentation."""

    scope: Scope | None = None
    metrics: list[Metric] | None = None


class ResourceSpans(Struct, rename="camel"):
    """Spans of one resource."""

    resource: Resource | None = None
    scope_spans: list[ScopeSpans] | None = None


class ResourceLogs(Struct, rename="camel"):
    """Log records of one resource."""

    resource: Resource | None = None
    scope_logs: list[ScopeLogs] | None = None


class ResourceMetrics(Struct, rename="camel"):
    """Metrics of one resource."""

    resource: Resource | None = None
    scope_metrics: list[ScopeMetrics] | None = None


class Traces(Struct, rename="camel"):
    """Body of `/v1/traces`."""

    resource_spans: list[ResourceSpans] | None = None


class Logs(Struct, rename="camel"):
    """Body of `/v1/logs`."""

    resource_logs: list[ResourceLogs] | None = None


class Metrics(Struct, rename="camel"):
    """Body of `/v1/metrics`."""

    resource_metrics: list[ResourceMetrics] | None = None


DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "traces": msgspec.json.Decoder(Traces, strict=False),
    "logs": msgspec.json.Decoder(Logs, strict=False),
    "metrics": msgspec.json.Decoder(Metrics, strict=False),
}


def read_json(signal: str, body: bytes) -> Any:
    """The request in a body. `signal`: traces, logs or metrics. Raises `UnreadableBodyError`."""
    try:
        return DECODERS[signal].decode(body)
    except RecursionError:
        raise UnreadableBodyError("The body is nested too deeply.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        place = str(error).rpartition(" - at ")[2] if isinstance(error, msgspec.ValidationError) else ""
        where = f" (at {place[:100]})" if place.startswith("`") else ""
        raise UnreadableBodyError(f"The body is no JSON form of an OTLP request{where}.") from None
