"""Candidates for events from spans and log records: one for each reported call.

The ledger counts spans with the same id once, also across requests, and keeps the largest of each count. Within one
request the most detailed one is kept instead.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.ledger.events_of_call import RecordLabels, events_of_call
from bot.ledger.model import Event, Outcome
from bot.ledger.otlp.attributes import Passed, Sender, call_of, is_sum, labels_of, passed
from bot.ledger.otlp.model import Attributes, LogRecord, Source, Span, moment
from bot.ledger.otlp.names import Meaning, said, text
from bot.pricing.model_names import KnowsModels
from bot.pricing.responses import Call
from bot.pricing.tokens import TokenCounts
from bot.usage.logs.moments import moment_in
from bot.usage.logs.usage_block import Skipped, UnusableError

LIMITED = ("ratelimit", "rate_limit", "rate limit", "error code: 429")
"""Words of an error's type, exception or message for a call over a rate limit, apart from 429 itself."""

REQUEST_EVENTS = ("api_request", "claude_code.api_request")
ERROR_EVENTS = ("api_error", "claude_code.api_error")
INFERENCE_EVENT = "gen_ai.client.inference.operation.details"


@dataclass
class Counted:
    """Counts of the parts of a request that are not events.

    `refused`: by reason, parts that used Claude by their own account and cannot be counted. `passed`: parts that count
    elsewhere or are not billed by Anthropic.
    """

    refused: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One reported call. `id`: identifies repeats; None if the report has no id of the response or the request.

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
    """Spans of calls that Anthropic bills."""
    for span in spans:
        try:
            candidate = _of_span(span, card, counted)
        except UnusableError as error:
            counted.refused[error.reason.value] += 1
            continue
        if candidate is not None:
            yield candidate


def of_records(records: Iterable[LogRecord], card: KnowsModels, counted: Counted) -> Iterator[Candidate]:
    """Log records of calls: Claude Code's, and the inference events of GenAI instrumentations."""
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
    """When a call ended; when it was reported if the report has no time."""
    return moment(candidate.ended_ns or candidate.started_ns, received_at)


def events_of(candidate: Candidate, received_at: datetime) -> list[Event]:
    """A call as events: itself, and its further billed parts."""
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
    """The call that attributes report, if Anthropic bills it; a failed call has no tokens."""
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
    words = " ".join(word.lower() for word in (kind or "", *more))
    is_limited = "429" in (kind, status) or any(word in words for word in LIMITED)
    return Outcome.RATE_LIMITED if is_limited else Outcome.ERROR


def _written_time(attributes: Attributes) -> int:
    """Time among a record's attributes, in nanoseconds; 0 without one."""
    at = moment_in(attributes.get("event.timestamp"))
    return 0 if at is None else int(at.timestamp() * 1_000_000) * 1000


def _digest(source: Source, at_ns: int, attributes: Attributes) -> str:
    """Id for a report without one: the same report sent again has the same id."""
    whole = (sorted(source.resource.items()), source.scope, at_ns, sorted(attributes.items()))
    return hashlib.sha256(json.dumps(whole, default=str).encode("utf-8", "surrogatepass")).hexdigest()


DEEPEST = 64
"""Most generations of spans between a call and a span around it."""

MOST_OPEN = 64
"""Most calls with equal counts that run at once in one service, among which second reports of a call are searched."""

OFFICIAL = "com.anthropic."
"""Prefix of Anthropic's own instrumentations."""

Parents = Mapping[tuple[str, str], str]
"""Parent of a span, by the ids of its trace and itself."""


def noting_parents(spans: Iterable[Span], parents: dict[tuple[str, str], str]) -> Iterator[Span]:
    """Pass spans through and add each one's parent to `parents`."""
    for span in spans:
        if span.parent_id:
            parents[span.trace_id, span.span_id] = span.parent_id
        yield span


def once(candidates: Sequence[Candidate], parents: Parents) -> list[Candidate]:
    """The calls without duplicates."""
    return _without_second_reports(_without_wrappers(_best_of_each_id(candidates), parents))


def _best_of_each_id(candidates: Sequence[Candidate]) -> list[Candidate]:
    """One report per response if several emitters sent one: the official, else one with lifetimes of caches."""
    best: dict[str, Candidate] = {}
    for one in candidates:
        if one.id is not None:
            known = best.setdefault(one.id, one)
            if known.source.scope != one.source.scope and _worth(one) > _worth(known):
                best[one.id] = one
    return [one for one in candidates if one.id is None or one.source.scope == best[one.id].source.scope]


def _worth(one: Candidate) -> tuple[bool, bool]:
    return one.source.scope.startswith(OFFICIAL), one.call.unsplit == 0


def _without_wrappers(candidates: Sequence[Candidate], parents: Parents) -> list[Candidate]:
    """Without spans around calls, recognised by counts that are the sum of those calls."""
    by_place = {one.place[:2]: one for one in candidates if one.place[1]}
    inner: defaultdict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for one in candidates:
        around = _nearest_around(one, by_place, parents)
        if around is not None:
            inner[around].append(one)
    dropped = {
        place
        for place, calls in inner.items()
        if _plain_counts(by_place[place]) == sum((_plain_counts(call) for call in calls), TokenCounts())
        and not any(_are_two(by_place[place], call) for call in calls)
    }
    return [one for one in candidates if one.place[:2] not in dropped]


def _nearest_around(
    one: Candidate, by_place: Mapping[tuple[str, str], Candidate], parents: Parents
) -> tuple[str, str] | None:
    trace, own, parent = one.place
    for _ in range(DEEPEST):
        if not parent or parent == own:
            return None
        if (trace, parent) in by_place:
            return trace, parent
        parent = parents.get((trace, parent), "")
    return None


def _without_second_reports(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Without reports of a call by a second instrumentation of the same process.

    They have equal counts and overlap in time, and at most one of them has the id of the response. Each report removes
    one of each other instrumentation, so that parallel calls keep their number.
    """
    alike: defaultdict[object, list[Candidate]] = defaultdict(list)
    resources: dict[int, object] = {}
    for one in candidates:
        resource = one.source.resource
        sent_by = resources.setdefault(id(resource), frozenset(resource.items()))
        alike[sent_by, _plain_counts(one), one.labels.outcome].append(one)
    dropped: set[int] = set()
    for group in alike.values():
        if len({one.source.scope for one in group}) > 1:
            dropped |= _second_reports(group)
    return [one for one in candidates if id(one) not in dropped]


def _second_reports(group: list[Candidate]) -> set[int]:
    dropped: set[int] = set()
    running: list[tuple[Candidate, set[str]]] = []
    for one in sorted(group, key=lambda each: (each.started_ns, -each.ended_ns)):
        scope = one.source.scope
        running = [(other, seen) for other, seen in running if other.ended_ns >= one.started_ns][-MOST_OPEN:]
        for place, (other, seen) in enumerate(running):
            if scope not in seen and not _are_two(other, one) and (other.id is None or one.id is None):
                seen.add(scope)
                kept, gone = (one, other) if other.id is None and one.id is not None else (other, one)
                dropped.add(id(gone))
                running[place] = (kept, seen)
                break
        else:
            running.append((one, {scope}))
    return dropped


def _plain_counts(one: Candidate) -> TokenCounts:
    """Without lifetimes of caches, which not every emitter reports."""
    counts = one.call.counts
    written = counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens
    return counts._replace(cache_creation_5m_input_tokens=written, cache_creation_1h_input_tokens=0)


def _are_two(one: Candidate, other: Candidate) -> bool:
    """Whether two ids prove that they are two responses."""
    return (
        one.id is not None and other.id is not None and one.id != other.id and _is_distinct(one) and _is_distinct(other)
    )


def _is_distinct(one: Candidate) -> bool:
    return one.id is not None and one.id.startswith(("msg_", "req_"))
