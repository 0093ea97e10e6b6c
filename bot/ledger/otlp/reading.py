"""Spans, log records and points from requests of either form.

Both forms have the same names, so one walk reads both. Spans and log records keep only the attributes that the ledger
needs; points keep all, since they distinguish series.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from math import isfinite
from typing import Any, Literal

from bot.ledger.intake import BodyError
from bot.ledger.otlp.json_form import read_json
from bot.ledger.otlp.model import Attributes, LogRecord, Point, Source, Span, Temporality, Value
from bot.ledger.otlp.names import is_read

Signal = Literal["traces", "logs", "metrics"]

MOST_ATTRIBUTES = 256
"""Most attributes of a resource or point; further ones are ignored."""
MOST_ITEMS = 20_000
"""Most resources, instrumentations, spans, log records, metrics or points in one request."""
MOST_PAIRS = 10_000
"""Most attributes read of one span or record."""
MOST_BRACES = 600_000
"""Most objects in a JSON body: twice what 8 MB of real spans have."""
LONGEST_KEY = 256
LONGEST_VALUE = 1_000_000
"""Longest text in characters, such as a whole response; longer ones are ignored."""
LONGEST_ID = 64
FAILED = {2, "2", "STATUS_CODE_ERROR"}
TEMPORALITIES = {
    1: Temporality.DELTA,
    "1": Temporality.DELTA,
    "AGGREGATION_TEMPORALITY_DELTA": Temporality.DELTA,
    2: Temporality.CUMULATIVE,
    "2": Temporality.CUMULATIVE,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": Temporality.CUMULATIVE,
}


def read_request(signal: Signal, body: bytes, *, is_json: bool) -> Any:
    """The request in a body. Raises `UnreadableBodyError`, and `BodyError` for one with too many parts."""
    if is_json:
        if body.count(b"{") > MOST_BRACES:
            raise too_many()
        return read_json(signal, body)
    from bot.ledger.otlp.protobuf_form import read_protobuf

    return read_protobuf(signal, body)


def too_many() -> BodyError:
    """The error for a request with too many parts, each of which costs more than its bytes."""
    return BodyError(413, f"The request has more than {MOST_ITEMS:,} parts: send fewer at a time.")


class _Room:
    """Remaining number of parts of one request, of any kind."""

    def __init__(self) -> None:
        self._left = MOST_ITEMS

    def through(self, items: Any) -> Iterator[Any]:
        """The items of a list that may be missing. Raises `BodyError`."""
        self._left -= len(items or ())
        if self._left < 0:
            raise too_many()
        return iter(items or ())


def spans_in(request: Any) -> Iterator[Span]:
    """Every span of a request to `/v1/traces`."""
    room = _Room()
    for source, group in _groups(request.resource_spans, "scope_spans", room):
        for span in room.through(group.spans):
            status = span.status
            events = span.events or ()
            yield Span(
                source,
                span.name or "",
                _id(span.trace_id),
                _id(span.span_id),
                _id(span.parent_span_id),
                span.start_time_unix_nano or 0,
                span.end_time_unix_nano or 0,
                _read(span.attributes),
                status is not None and status.code in FAILED,
                (status.message or "")[:LONGEST_KEY] if status is not None else "",
                tuple(_exceptions(events)),
            )


def records_in(request: Any) -> Iterator[LogRecord]:
    """Every record of a request to `/v1/logs`."""
    room = _Room()
    for source, group in _groups(request.resource_logs, "scope_logs", room):
        for record in room.through(group.log_records):
            attributes = _read(record.attributes)
            name = record.event_name or attributes.get("event.name") or _text_of(record.body)
            yield LogRecord(
                source,
                str(name),
                _id(record.trace_id),
                _id(record.span_id),
                record.time_unix_nano or record.observed_time_unix_nano or 0,
                attributes,
            )


def points_in(request: Any, wanted: Iterable[str]) -> Iterator[Point]:
    """Every point of these metrics in a request to `/v1/metrics`."""
    names = frozenset(wanted)
    room = _Room()
    for source, group in _groups(request.resource_metrics, "scope_metrics", room):
        for metric in room.through(group.metrics):
            if metric.name in names:
                yield from _points(source, metric, room)


def _points(source: Source, metric: Any, room: _Room) -> Iterator[Point]:
    for kind in ("sum", "histogram", "exponential_histogram"):
        data = getattr(metric, kind)
        temporality = None if data is None else TEMPORALITIES.get(data.aggregation_temporality)
        if temporality is None:
            continue
        for point in room.through(data.data_points):
            value = _number(point) if kind == "sum" else _finite(point.sum)
            if value is None:
                continue
            yield Point(
                source,
                metric.name,
                temporality,
                point.start_time_unix_nano or 0,
                point.time_unix_nano or 0,
                _all(point.attributes),
                value,
                None if kind == "sum" else point.count or 0,
            )


def _groups(resources: Any, name: str, room: _Room) -> Iterator[tuple[Source, Any]]:
    for one in room.through(resources):
        resource = one.resource
        attributes = _all(resource.attributes) if resource is not None else {}
        for group in room.through(getattr(one, name)):
            scope = group.scope
            named = (scope.name or "", scope.version or "") if scope is not None else ("", "")
            yield Source(attributes, named[0][:LONGEST_KEY], named[1][:LONGEST_KEY]), group


def _read(pairs: Any) -> Attributes:
    found: dict[str, Value] = {}
    for pair in islice(pairs or (), MOST_PAIRS):
        if is_read(pair.key or "") and (value := _value(pair.value)) is not None:
            found[pair.key] = value
    return found


def _all(pairs: Any) -> Attributes:
    found: dict[str, Value] = {}
    for pair in islice(pairs or (), MOST_PAIRS):
        if len(found) == MOST_ATTRIBUTES:
            break
        if pair.key and len(pair.key) <= LONGEST_KEY and (value := _value(pair.value)) is not None:
            found[pair.key] = value
    return found


def _value(value: Any) -> Value | None:
    """A text, number or boolean; None for lists and objects."""
    if value is None:
        return None
    if hasattr(value, "WhichOneof"):
        kind = value.WhichOneof("value")
        found = getattr(value, kind) if kind in ("string_value", "int_value", "double_value", "bool_value") else None
    else:
        kinds = (value.string_value, value.int_value, value.bool_value, _finite(value.double_value))
        found = next((one for one in kinds if one is not None), None)
    if isinstance(found, str):
        return found if len(found) <= LONGEST_VALUE else None
    if isinstance(found, float):
        return found if isfinite(found) else None
    return found if isinstance(found, int) else None


def _number(point: Any) -> float | None:
    if hasattr(point, "WhichOneof"):
        kind = point.WhichOneof("value")
        return None if kind is None else _finite(getattr(point, kind))
    return _finite(point.as_double if point.as_int is None else point.as_int)


def _finite(value: Any) -> float | None:
    """Parse a number; JSON writes NaN and infinity as text."""
    if isinstance(value, str):
        try:
            value = float(value[:LONGEST_ID])
        except ValueError:
            return None
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return None
    # Keep whole numbers exact.
    return value  # type: ignore[no-any-return]


def _id(value: Any) -> str:
    return value.hex()[:LONGEST_ID] if isinstance(value, bytes) else (value or "")[:LONGEST_ID].lower()


def _text_of(body: Any) -> str:
    value = None if body is None else _value(body)
    return value[:LONGEST_KEY] if isinstance(value, str) else ""


def _exceptions(events: Any) -> Iterator[str]:
    for event in islice(events, MOST_PAIRS):
        if event.name == "exception":
            for pair in islice(event.attributes or (), MOST_PAIRS):
                if pair.key == "exception.type" and isinstance(kind := _value(pair.value), str):
                    yield kind[:LONGEST_KEY]
