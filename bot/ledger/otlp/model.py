"""The parts of OTLP bodies that the ledger reads: spans, log records, points of metrics."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from bot.ledger.model import FURTHEST_AHEAD
from bot.pricing.responses import EPOCH
from bot.usage.logs.moments import EARLIEST

Value = str | int | float | bool
Attributes = Mapping[str, Value]


class UnreadableBodyError(Exception):
    """The body is not OTLP; the message is one sentence."""


class Source(NamedTuple):
    """The sender: attributes of its resource, the instrumentation, and its version."""

    resource: Attributes
    scope: str
    version: str


class Span(NamedTuple):
    """A finished span. Ids are hexadecimal text, empty if there is none; times are nanoseconds since 1970.

    `exceptions`: the types of the exceptions that it recorded.
    """

    source: Source
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    started_ns: int
    ended_ns: int
    attributes: Attributes
    failed: bool
    message: str
    exceptions: tuple[str, ...]


class LogRecord(NamedTuple):
    """A log record. `name`: the kind of event."""

    source: Source
    name: str
    trace_id: str
    span_id: str
    at_ns: int
    attributes: Attributes


class Temporality(Enum):
    """What the value of a point counts from: the point before, or the start of the series."""

    DELTA = 1
    CUMULATIVE = 2


class Point(NamedTuple):
    """A point of a sum, or of a histogram, whose `value` is the sum of `values` values."""

    source: Source
    metric: str
    temporality: Temporality
    started_ns: int
    at_ns: int
    attributes: Attributes
    value: float
    values: int | None


def moment(nanoseconds: int, received_at: datetime) -> datetime:
    """Aware UTC; `received_at` if the sender gave no time, or an impossible one."""
    try:
        at = EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return received_at
    return at if EARLIEST <= at <= received_at + FURTHEST_AHEAD else received_at


def nanoseconds(at: datetime) -> int:
    """Nanoseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1) * 1000
