"""The protobuf form of OTLP. Imported when the first such request arrives: no other part of the bot needs protobuf."""

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bot.ledger.otlp.model import UnreadableBodyError

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}


def read_protobuf(signal: str, body: bytes) -> Any:
    """The request in a body. `signal`: traces, logs or metrics. Raises `UnreadableBodyError`."""
    try:
        return REQUESTS[signal].FromString(body)
    except DecodeError:
        raise UnreadableBodyError("The body is no OTLP request in protobuf.") from None


def answer_protobuf(signal: str, rejected: int, sentence: str) -> bytes:
    """The answer to a request that was at least partly accepted."""
    answer: Any
    if signal == "traces":
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = rejected
    elif signal == "logs":
        answer = ExportLogsServiceResponse()
        answer.partial_success.rejected_log_records = rejected
    else:
        answer = ExportMetricsServiceResponse()
        answer.partial_success.rejected_data_points = rejected
    if sentence:
        answer.partial_success.error_message = sentence
    elif not rejected:
        answer.ClearField("partial_success")
    return bytes(answer.SerializeToString())
