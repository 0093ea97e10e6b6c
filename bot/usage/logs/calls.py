"""Converts the records of one file into calls. The meaning of a record may depend on earlier ones (stream events)."""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256

import msgspec

from bot.pricing.call import Call
from bot.usage.logs.records import call_in
from bot.usage.logs.reports import calls_in_report, rows_in
from bot.usage.logs.usage_block import Record, Skipped, is_object

TEXTS = ("log", "message", "msg", "MESSAGE", "textPayload", "body", "line")
"""Fields in which log collectors put an application's line."""

_encoded = msgspec.json.Encoder().encode

STREAM_WRAPPERS = ("event", "data", "chunk", "payload")


class RecordChain:
    """Where records stand in their log: of each and of all before it. The same in every copy of the log, renamed,
    compressed, with other ends of lines or written as an array."""

    def __init__(self) -> None:
        self._hashed = sha256()

    def add(self, record: Record) -> None:
        """The next record of the file."""
        try:
            content = _encoded(record)
        except (TypeError, ValueError, OverflowError, RecursionError):
            content = json.dumps(record, separators=(",", ":")).encode()
        self._hashed.update(content)

    @property
    def digest(self) -> bytes:
        return self._hashed.digest()


class CallReader:
    """Reads one file's records in order. `found_in`: the last record, unwrapped from a collector's envelope."""

    def __init__(self) -> None:
        self.found_in: Record = {}
        self._started: dict[str, Record] = {}

    def calls(self, record: Record) -> Iterator[Call | Skipped]:
        """The call of one record or the reason why it has none; several for a page of a report."""
        self.found_in = record
        if "message" in record and record.get("type") == "assistant":
            yield call_in(record)
            return
        rows = rows_in(record)
        if rows is not None:
            for row in rows:
                yield from (row,) if isinstance(row, Skipped) else self._single(row)
            return
        yield from self._single(record)

    def _single(self, record: Record) -> Iterator[Call | Skipped]:
        report = calls_in_report(record)
        if report is not None:
            yield from report
            return
        event = _event(record)
        if event is not None:
            record = self._completed(record, event)
        call = call_in(record)
        if call is Skipped.NO_USAGE and (inner := _inner_record(record)) is not None:
            self.found_in = inner
            call = call_in(inner)
        yield call

    def _completed(self, record: Record, event: Record) -> Record:
        """An event of a stream: the first identifies the response, the last ones have cumulative counts."""
        stream = str(next((record[name] for name in ("session_id", "request_id", "stream_id") if name in record), ""))
        if event["type"] == "message_start":
            message = event.get("message")
            if is_object(message):
                self._started[stream] = message
            return record
        message = self._started.get(stream)
        usage = event.get("usage")
        if event["type"] == "message_stop":
            self._started.pop(stream, None)
        if message is None or not is_object(usage) or not is_object(message.get("usage")):
            return record
        known = {name: value for name, value in usage.items() if value is not None}
        around = {name: value for name, value in record.items() if not isinstance(value, dict | list)}
        return {**around, "message": {**message, "usage": {**message["usage"], **known}}}


def _inner_record(record: Record) -> Record | None:
    """The record that a log collector wrapped as text, such as Docker's, with the collector's names and times."""
    for name in TEXTS:
        text = record.get(name)
        begin = text.find('{"') if isinstance(text, str) else -1
        if begin < 0 or not isinstance(text, str):
            continue
        try:
            inner = json.loads(text[begin:])
        except (ValueError, RecursionError):
            continue
        if is_object(inner):
            around = {key: value for key, value in record.items() if key != name and not isinstance(value, dict | list)}
            return {**around, **inner}
    return None


def _event(record: Record) -> Record | None:
    """The event of the Messages API's stream that a record is or wraps."""
    for part in (record, *(record.get(name) for name in STREAM_WRAPPERS)):
        if is_object(part) and part.get("type") in ("message_start", "message_delta", "message_stop"):
            return part
    return None


def read_calls(records: Iterable[Record | Skipped]) -> Iterator[Call | Skipped]:
    """The calls of one file's records."""
    reader = CallReader()
    for record in records:
        if isinstance(record, Skipped):
            yield record
        else:
            yield from reader.calls(record)
