"""Spans and log records of calls → what may become events: one candidate for each call that was reported."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.ledger.events_of_call import RecordLabels, events_of_call
from bot.ledger.model import Event, Outcome
from bot.ledger.otlp.labels import Sender, labels_of
from bot.ledger.otlp.model import Attributes, LogRecord, Source, Span, moment
from bot.ledger.otlp.names import Meaning, said, text
from bot.ledger.otlp.usage import Passed, call_of, is_sum, passed
from bot.pricing.call import Call
from bot.pricing.model_names import KnowsModels
from bot.pricing.tokens import TokenCounts
from bot.usage.logs.moments import moment_in
from bot.usage.logs.usage_block import Skipped, UnusableError

LIMITED = ("ratelimit", "rate_limit", "rate limit", "error code: 429")
"""What an error's type, its exception or its message says of a call that was over a rate limit; besides 429 itself."""

REQUEST_EVENTS = ("api_request", "claude_code.api_request")
ERROR_EVENTS = ("api_error", "claude_code.api_error")
INFERENCE_EVENT = "gen_ai.client.inference.operation.details"


@dataclass
class Counted:
    """What became of the parts of a request that are no events.

    `refused`: by reason, what says of itself that it used Claude and cannot be counted. `passed`: what counts
    elsewhere or is not billed by Anthropic.
    """

    refused: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One reported call. `id`: what proves a repeat; None where the report has no id of the response or the request.

    Times in nanoseconds. `place`: ids of trace, span and parent.
    """

    id: str | None
    fallback_id: str
    place: tuple[str, str, str]
    started_ns: int
    ended_ns: int
    source: Source
    attributes: Attributes
    call: Call
    labels: Sender


def of_spans(spans: Iterable[Span], card: KnowsModels, counted: Counted) -> Iterator[Candidate]:
    """The spans that report a call which Anthropic bills."""
    for span in spans:
        try:
            candidate = _of_span(span, card, counted)
        except UnusableError as error:
            counted.refused[error.reason.value] += 1
            continue
        if candidate is not None:
            yield candidate


def of_records(records: Iterable[LogRecord], card: KnowsModels, counted: Counted) -> Iterator[Candidate]:
    """The log records that report a call: Claude Code's, and the inference events of GenAI instrumentations."""
    for record in records:
        if record.name not in (*REQUEST_EVENTS, *ERROR_EVENTS, INFERENCE_EVENT):
            continue
        try:
            candidate = _of_record(record, card, counted)
        except UnusableError as error:
            counted.refused[error.reason.value] += 1
            continue
        if candidate is not None:
            yield candidate


def time_of(candidate: Candidate, received_at: datetime) -> datetime:
    """When a call ended; when it was reported where the report has no time."""
    return moment(candidate.ended_ns or candidate.started_ns, received_at)


def events_of(candidate: Candidate, received_at: datetime) -> list[Event]:
    """A call as events: itself, and what was billed besides."""
    labels = candidate.labels
    call = replace(candidate.call, feature=labels.feature, user=labels.user_id, session=labels.session)
    beside = RecordLabels(labels.tags, labels.workspace, labels.key, labels.outcome, labels.request_id)
    return events_of_call(call, candidate.id or candidate.fallback_id, time_of(candidate, received_at), beside)


def _of_span(span: Span, card: KnowsModels, counted: Counted) -> Candidate | None:
    attributes = span.attributes
    outcome = _outcome(attributes, span.failed, (*span.exceptions, span.message))
    call = _billed(span.source, attributes, outcome, card, counted)
    if call is None:
        return None
    fallback = f"{span.trace_id}{span.span_id}" or _digest(span.source, span.ended_ns, attributes)
    place = (span.trace_id, span.span_id, span.parent_id)
    return _candidate(span.source, attributes, call, outcome, place, (span.started_ns, span.ended_ns), fallback)


def _of_record(record: LogRecord, card: KnowsModels, counted: Counted) -> Candidate | None:
    attributes = record.attributes
    outcome = _outcome(attributes, record.name in ERROR_EVENTS, ())
    call = _billed(record.source, attributes, outcome, card, counted)
    if call is None:
        return None
    at_ns = record.at_ns or _written_time(attributes)
    if record.name == INFERENCE_EVENT and record.span_id:
        # The span of the call has the same counts and the same ids.
        fallback = f"{record.trace_id}{record.span_id}"
    else:
        fallback = _digest(record.source, at_ns, attributes)
    place = (record.trace_id, record.span_id, "")
    return _candidate(record.source, attributes, call, outcome, place, (at_ns, at_ns), fallback)


def _billed(
    source: Source, attributes: Attributes, outcome: Outcome, card: KnowsModels, counted: Counted
) -> Call | None:
    """The call that attributes report, where Anthropic bills it; a failed call has no tokens."""
    model = said(attributes, Meaning.MODEL)
    call = call_of(source, attributes, model)
    if call is None:
        if outcome is Outcome.OK or model is None or is_sum(attributes) or passed(source, attributes, model, card):
            return None
        return Call(model, TokenCounts(), response=said(attributes, Meaning.RESPONSE_ID))
    reason = Passed.SUM_OF_CALLS if is_sum(attributes) else passed(source, attributes, call.model or None, card)
    if reason is not None:
        counted.passed[reason.value] += 1
        return None
    if not call.model:
        raise UnusableError(Skipped.NO_MODEL)
    return call


def _candidate(
    source: Source,
    attributes: Attributes,
    call: Call,
    outcome: Outcome,
    place: tuple[str, str, str],
    times: tuple[int, int],
    fallback: str,
) -> Candidate:
    labels = labels_of(source, attributes, outcome)
    response = said(attributes, Meaning.RESPONSE_ID) or call.response
    return Candidate(response or labels.request_id, fallback, place, *times, source, attributes, call, labels)


def _outcome(attributes: Attributes, failed: bool, more: Iterable[str]) -> Outcome:
    kind = said(attributes, Meaning.ERROR)
    status = text(attributes, ("http.response.status_code", "status_code"))
    is_error = failed or "error.type" in attributes
    if status is not None and not failed and status[:1] in "45" and len(status) == 3:
        is_error = True
    if not is_error:
        return Outcome.OK
    told = " ".join(word.lower() for word in (kind or "", *more))
    is_limited = "429" in (kind, status) or any(word in told for word in LIMITED)
    return Outcome.RATE_LIMITED if is_limited else Outcome.ERROR


def _written_time(attributes: Attributes) -> int:
    """Nanoseconds of the time that a record has among its attributes, 0 without one."""
    at = moment_in(attributes.get("event.timestamp"))
    return 0 if at is None else int(at.timestamp() * 1_000_000) * 1000


def _digest(source: Source, at_ns: int, attributes: Attributes) -> str:
    """Names a report that has no id: the same report sent again has the same name."""
    whole = (sorted(source.resource.items()), source.scope, at_ns, sorted(attributes.items()))
    return hashlib.sha256(json.dumps(whole, default=str).encode("utf-8", "surrogatepass")).hexdigest()
