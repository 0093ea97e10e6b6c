"""Calls from the records of one file: records of responses, events of a stream, and saved reports.

A row of a report is a sum of requests: prompt lengths and repeats are unknown. USD in a report are not usage: they are
listed, and in no sum.
"""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import msgspec

from bot.pricing.responses import Call
from bot.pricing.tokens import Terms
from bot.usage.logs.moments import moment_in
from bot.usage.logs.records import SYNTHETIC_MODEL, call_in
from bot.usage.logs.usage_block import Record, Skipped, UnusableError, counts_in, is_object

LONG_CONTEXT = 200_000
"""Prompt length in tokens at which the report's `context_window` divides requests."""

CONSOLE_NAMES = {
    "usage_input_tokens_no_cache": "uncached_input_tokens",
    "usage_input_tokens_cache_write_5m": "cache_creation_5m_input_tokens",
    "usage_input_tokens_cache_write_1h": "cache_creation_1h_input_tokens",
    "usage_input_tokens_cache_write": "cache_creation_input_tokens",
    "usage_input_tokens_cache_read": "cache_read_input_tokens",
    "usage_output_tokens": "output_tokens",
    "usage_date_utc": "starting_at",
    "model_version": "model",
}
"""Columns of the Console's usage export, with their names in the usage report."""

MODEL_USAGE_NAMES = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheCreationInputTokens": "cache_creation_input_tokens",
}

CLAUDE_CODE_NAMES = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_creation": "cache_creation_input_tokens",
}


def rows_in(value: Record) -> list[Record | Skipped] | None:
    """The rows of a page of a report, or of one of its buckets; None for anything else."""
    data = value.get("data")
    if isinstance(data, list) and ("has_more" in value or "next_page" in value):
        return [row for bucket in data for row in _rows_of_bucket(bucket)]
    if isinstance(value.get("results"), list) and "starting_at" in value:
        return list(_rows_of_bucket(value))
    return None


def _rows_of_bucket(bucket: Any) -> Iterator[Record | Skipped]:
    if not is_object(bucket):
        yield Skipped.NOT_AN_OBJECT
        return
    results = bucket.get("results")
    if not isinstance(results, list):
        yield bucket
        return
    times = {name: bucket[name] for name in ("starting_at", "ending_at") if name in bucket}
    for result in results:
        yield {**times, **result} if is_object(result) else Skipped.NOT_AN_OBJECT


def calls_in_report(record: Record) -> list[Call | Skipped] | None:
    """The sums that one row of a report or one result of a client holds; None for any other record."""
    if record.get("type") == "result" and ("modelUsage" in record or "total_cost_usd" in record):
        return _result(record)
    if "usage_output_tokens" in record or "usage_input_tokens_no_cache" in record:
        named = {CONSOLE_NAMES.get(name, name): value or 0 for name, value in record.items()}
        return [_usage_row({**named, "service_tier": record.get("usage_type") or None})]
    if isinstance(record.get("model_breakdown"), list):
        return _claude_code(record)
    is_money = ("amount" in record and "currency" in record) or ("cost_usd" in record and "token_type" in record)
    if is_money and "input_tokens" not in record and "usage" not in record:
        return [Skipped.MONEY]
    if "uncached_input_tokens" in record and "input_tokens" not in record and "output_tokens" in record:
        return [_usage_row(record)]
    return None


def _usage_row(row: Record) -> Call | Skipped:
    model = row.get("model")
    if not isinstance(model, str) or not model:
        return Skipped.NO_MODEL_IN_REPORT
    actor = row.get("actor")
    context = str(row.get("context_window") or "").lower()
    try:
        counts = counts_in({**row, "input_tokens": row.get("uncached_input_tokens")})
    except UnusableError as unusable:
        return unusable.reason
    searches = row.get("web_search_count")
    if searches:
        try:
            counts = counts + counts_in(
                {"input_tokens": 0, "output_tokens": 0, "server_tool_use": {"web_search_requests": searches}}
            )
        except UnusableError as unusable:
            return unusable.reason
    return Call(
        model=model,
        counts=counts,
        terms=Terms(*(_word(row, name) for name in ("service_tier", "inference_geo", "speed"))),
        at=moment_in(row.get("starting_at")),
        user=_actor(actor),
        is_sum=True,
        prompts_above=LONG_CONTEXT if "1m" in context or ">" in context else 0,
        prompts_to=LONG_CONTEXT if context.startswith(("0-200k", "≤ 200k", "<= 200k")) else None,
    )


def _claude_code(row: Record) -> list[Call | Skipped]:
    """A user's day of Claude Code: tokens by model, cache writes without a lifetime."""
    calls: list[Call | Skipped] = []
    for part in row["model_breakdown"]:
        if not is_object(part) or not is_object(part.get("tokens")):
            calls.append(Skipped.NO_USAGE)
            continue
        block = {ours: part["tokens"].get(theirs) for theirs, ours in CLAUDE_CODE_NAMES.items()}
        calls.append(_sum(block, part.get("model"), row, row.get("date"), user=_actor(row.get("actor"))))
    return calls or [Skipped.NO_USAGE]


def _result(record: Record) -> list[Call | Skipped]:
    """The last line of `claude -p`: usage of the whole session, by model."""
    session = record.get("session_id")
    usage = record.get("modelUsage")
    if not is_object(usage) or not usage:
        return [Skipped.NO_MODEL]
    calls: list[Call | Skipped] = []
    for model, part in usage.items():
        block = {ours: part.get(theirs) for theirs, ours in MODEL_USAGE_NAMES.items()} if is_object(part) else {}
        searches = part.get("webSearchRequests") if is_object(part) else None
        block["server_tool_use"] = {"web_search_requests": searches}
        calls.append(
            _sum(block, model, record, record.get("timestamp"), session=session if isinstance(session, str) else None)
        )
    return calls


def _sum(
    block: Record, model: Any, record: Record, time: Any, *, user: str | None = None, session: str | None = None
) -> Call | Skipped:
    if not isinstance(model, str) or not model:
        return Skipped.NO_MODEL
    if model == SYNTHETIC_MODEL:
        return Skipped.SYNTHETIC
    try:
        counts = counts_in(block)
    except UnusableError as unusable:
        return unusable.reason
    is_result = record.get("type") == "result"
    return Call(
        model,
        counts,
        at=moment_in(time),
        user=user,
        session=session,
        unsplit=counts.cache_creation_5m_input_tokens,
        is_sum=True,
        sums_session=is_result,
    )


def _actor(actor: Any) -> str | None:
    if not is_object(actor):
        return None
    names = (actor.get(name) for name in ("email_address", "email", "user_id", "api_key_name", "name"))
    return next((name for name in names if isinstance(name, str) and name), None)


def _word(row: Record, name: str) -> str | None:
    value = row.get(name)
    return value if isinstance(value, str) and value else None


TEXTS = ("log", "message", "msg", "MESSAGE", "textPayload", "body", "line")
"""Fields in which log collectors put an application's line."""

_encoded = msgspec.json.Encoder().encode

STREAM_WRAPPERS = ("event", "data", "chunk", "payload")


class RecordChain:
    """Digest of the position of records in their log, over each record and all before it. The same in every copy of the
    log, whether renamed, compressed, with other line ends or written as an array.
    """

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
