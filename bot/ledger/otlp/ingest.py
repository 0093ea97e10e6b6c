"""Store the events of one OTLP request in the ledger, and decide the answer."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, NamedTuple

from bot.ledger.model import Event, Ledger
from bot.ledger.otlp.attributes import Passed
from bot.ledger.otlp.calls import Candidate, Counted, events_of, noting_parents, of_records, of_spans, once, time_of
from bot.ledger.otlp.model import moment, nanoseconds
from bot.ledger.otlp.reading import Signal, points_in, read_request, records_in, spans_in
from bot.ledger.otlp.series import (
    METRICS,
    Growth,
    Known,
    Period,
    StoredUser,
    Way,
    digest_of,
    event_of,
    growths,
    is_counted_by_calls,
    is_counted_by_metrics,
    reason_to_pass,
    sender_of_metric,
    senders_of_call,
    without_former,
)
from bot.ledger.otlp.store import OtlpStore
from bot.pricing.model_names import KnowsModels
from bot.usage.logs.usage_block import UnusableError

SEEN_AGAIN_NS = 60_000_000_000
"""How long after a sender was last stored it is stored again."""


class Taken(NamedTuple):
    """Result of a request. `rejected`: spans, records or points that should have counted. `sentence`: why."""

    accepted: int
    duplicates: int
    rejected: int
    sentence: str
    passed: Counter[str]


@dataclass(frozen=True)
class _Reported:
    """A call with the senders that it belongs to, and its time in nanoseconds."""

    candidate: Candidate
    senders: tuple[str, ...]
    at_ns: int


class OtlpIngest:
    """Synchronous; asynchronous callers use a thread. `card`: which models are Claude's.

    `stored_user`: the stored form of a user id, perhaps a hash.
    """

    def __init__(
        self, ledger: Ledger, store: OtlpStore, card: KnowsModels, stored_user: StoredUser = lambda user: user
    ) -> None:
        self._stored_user = stored_user
        self._ledger = ledger
        self._store = store
        self._card = card
        self._one_at_a_time = Lock()

    def take(self, signal: Signal, body: bytes, received_at: datetime, *, is_json: bool) -> Taken:
        """Store what a request reports, durable on return. Raises `UnreadableBodyError` or `BodyError`."""
        request = read_request(signal, body, is_json=is_json)
        counted = Counted()
        if signal == "metrics":
            accepted, duplicates = self._take_points(request, received_at, counted)
        else:
            accepted, duplicates = self._take_calls(signal, request, received_at, counted)
        return Taken(accepted, duplicates, counted.refused.total(), _sentence(signal, counted), +counted.passed)

    def prune(self, before: datetime) -> int:
        """Delete senders not seen since; returns how many."""
        return self._store.prune(before)

    def _take_calls(self, signal: Signal, request: Any, received_at: datetime, counted: Counted) -> tuple[int, int]:
        if signal == "traces":
            parents: dict[tuple[str, str], str] = {}
            found = list(of_spans(noting_parents(spans_in(request), parents), self._card, counted))
            calls = once(found, parents)
            counted.passed[Passed.SECOND_SPAN.value] += len(found) - len(calls)
        else:
            calls = list(of_records(records_in(request), self._card, counted))
        if not calls:
            return 0, 0
        reported = [
            _Reported(
                one,
                senders_of_call(one.source, one.attributes, self._stored_user),
                nanoseconds(time_of(one, received_at)),
            )
            for one in calls
        ]
        with self._one_at_a_time:
            known = self._store.senders({sender for one in reported for sender in one.senders})
            counting = [one for one in reported if not _is_in_metrics(one, known)]
            counted.passed[Passed.IN_METRICS.value] += len(reported) - len(counting)
            # Store before the events: a metric that arrives after a crash in between must not count the same calls.
            self._store.keep_senders(_periods_with(counting, known), received_at)
            events = [event for one in counting for event in events_of(one.candidate, received_at)]
            return self._append(events, received_at)

    def _take_points(self, request: Any, received_at: datetime, counted: Counted) -> tuple[int, int]:
        points = list(points_in(request, METRICS))
        if not points:
            return 0, 0
        named = [(digest_of(point), point) for point in points]
        with self._one_at_a_time:
            states = self._store.series({digest for digest, _ in named})
            grown, new = growths(named, states, counted)
            counting, events = self._counting(without_former(grown, points), received_at, counted)
            taken = self._append(events, received_at)
            # Store after the events: until a state is stored, the same growth has the same id.
            self._store.keep_senders(counting, received_at)
            self._store.keep_series(new, received_at)
        return taken

    def _counting(self, grown: list[Growth], received_at: datetime, counted: Counted) -> tuple[Known, list[Event]]:
        senders = [sender_of_metric(one.source, one.attributes, self._stored_user) for one in grown]
        known = dict(self._store.senders(senders))
        before = dict(known)
        events: list[Event] = []
        for sender, one in zip(senders, grown, strict=True):
            reason = reason_to_pass(one, self._card)
            until_ns = nanoseconds(moment(one.until_ns, received_at))
            if reason is None and is_counted_by_calls(sender, until_ns, known):
                reason = Passed.IN_EVENTS
            if reason is not None:
                counted.passed[reason.value] += 1
                continue
            try:
                events.append(event_of(one, received_at))
            except UnusableError as error:
                counted.refused[error.reason.value] += 1
                continue
            period = known.get((sender, Way.METRICS))
            added = Period(min(one.since_ns, until_ns), until_ns)
            known[sender, Way.METRICS] = added if period is None else period.with_time(*added)
        return {key: period for key, period in known.items() if before.get(key) != period}, events

    def _append(self, events: list[Event], received_at: datetime) -> tuple[int, int]:
        if not events:
            return 0, 0
        appended = self._ledger.append(events, received_at)
        return appended.accepted, appended.duplicates


def _is_in_metrics(one: _Reported, known: Known) -> bool:
    """A failed call is in no metric of tokens."""
    return any(one.candidate.call.counts) and is_counted_by_metrics(one.senders, one.at_ns, known)


def _periods_with(counting: list[_Reported], known: Known) -> Known:
    """The periods that further calls change by more than a minute."""
    new: dict[tuple[str, Way], Period] = {}
    for one in counting:
        for sender in one.senders:
            key = (sender, Way.CALLS)
            before = new.get(key) or known.get(key)
            new[key] = Period(one.at_ns, one.at_ns) if before is None else before.with_time(one.at_ns, one.at_ns)
    return {key: period for key, period in new.items() if _is_news(known.get(key), period)}


def _is_news(before: Period | None, after: Period) -> bool:
    if before is None:
        return True
    return after.first_ns != before.first_ns or after.last_ns >= before.last_ns + SEEN_AGAIN_NS


def _sentence(signal: Signal, counted: Counted) -> str:
    if not counted.refused:
        return ""
    noun = {"traces": "spans", "logs": "log records", "metrics": "data points"}[signal]
    reasons = ", ".join(f"{reason} ({number})" for reason, number in counted.refused.most_common(5))
    return f"{counted.refused.total()} {noun} are not counted: {reasons}."
