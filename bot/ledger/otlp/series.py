"""Events from points of token metrics, if metrics count and not spans. Pure; states are stored elsewhere.

Spans and events are more detailed, so they win: once a sender has sent one, its metrics are ignored until it has sent
none for a day. What metrics counted before the first span stays, and spans of that time are ignored: whichever came
first, nothing counts twice.

A sender is a session, a user or a service: whatever the metrics distinguish. Spans and events count for all three.

A series has one resource, instrumentation, metric, set of attributes and start time: a restarted process begins a new
one, and two processes with the same name do not interfere. The growth of a series is an event whose id names the state
that it grew from: the same growth reported again is the same event, and a later report of it a larger state of that
event.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from math import isfinite
from typing import NamedTuple

from bot.ledger.model import SEVERAL, Dimensions, Event
from bot.ledger.otlp.attributes import Passed, is_claude_code, is_sum, labels_of, passed, uncached
from bot.ledger.otlp.calls import Counted
from bot.ledger.otlp.model import Attributes, Point, Source, Temporality, moment
from bot.ledger.otlp.names import ALIASES, CLAUDE_CODE_USERS, Meaning, said, text, whole
from bot.pricing.model_names import KnowsModels
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.logs.usage_block import MOST_TOKENS, Skipped, UnusableError

DAY_NS = 86_400_000_000_000


class Way(Enum):
    """How a sender reports calls."""

    CALLS = "calls"
    METRICS = "metrics"


class Period(NamedTuple):
    """Time in which a sender has reported in one way, without a gap of a day. Nanoseconds since 1970."""

    first_ns: int
    last_ns: int

    def with_time(self, first_ns: int, last_ns: int) -> "Period":
        """The period with a further report; one after a gap begins a new period, one long before changes nothing."""
        if first_ns > self.last_ns + DAY_NS:
            return Period(first_ns, last_ns)
        if last_ns < self.first_ns - DAY_NS:
            return self
        return Period(min(self.first_ns, first_ns), max(self.last_ns, last_ns))


StoredUser = Callable[[str], str]
"""The stored form of a user id."""

Known = Mapping[tuple[str, Way], Period]
"""Periods by digest of a sender and way of reporting."""


def senders_of_call(source: Source, attributes: Attributes, stored_user: StoredUser) -> tuple[str, ...]:
    """Digests of the service, the users and the session of a span or an event."""
    service = _service(source)
    session = _either(source, attributes, ALIASES[Meaning.SESSION])
    users = {_either(source, attributes, (name,)) for name in _user_names(source)} - {None}
    return (
        _digest("service", service),
        *(_digest("user", (*service, stored_user(user))) for user in sorted(map(str, users))),
        *(() if session is None else (_digest("session", (*service, session)),)),
    )


def sender_of_metric(source: Source, attributes: Attributes, stored_user: StoredUser) -> str:
    """The digest of the session, else of the user, else of the service."""
    service = _service(source)
    session = _either(source, attributes, ALIASES[Meaning.SESSION])
    if session is not None:
        return _digest("session", (*service, session))
    user = _either(source, attributes, _user_names(source))
    return _digest("service", service) if user is None else _digest("user", (*service, stored_user(user)))


def is_counted_by_metrics(senders: Iterable[str], at_ns: int, known: Known) -> bool:
    """Whether the metrics of one of these senders have counted the time of a call."""
    periods = (known.get((sender, Way.METRICS)) for sender in senders)
    return any(period is not None and period.first_ns < at_ns <= period.last_ns for period in periods)


def is_counted_by_calls(sender: str, until_ns: int, known: Known) -> bool:
    """Whether spans or events of a sender already count what its metrics report until `until_ns`."""
    period = known.get((sender, Way.CALLS))
    return period is not None and period.first_ns <= until_ns <= period.last_ns + DAY_NS


def _service(source: Source) -> tuple[str, str]:
    names = (("service.namespace",), ("service.name",))
    namespace, name = (text(source.resource, name) or "" for name in names)
    return namespace, name


def _user_names(source: Source) -> Iterable[str]:
    return CLAUDE_CODE_USERS if is_claude_code(source) else ALIASES[Meaning.USER]


def _either(source: Source, attributes: Attributes, names: Iterable[str]) -> str | None:
    return text(attributes, names) or text(source.resource, names)


def _digest(kind: str, name: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps([kind, *name]).encode("utf-8", "surrogatepass")).hexdigest()


CLAUDE_CODE_METRIC = "claude_code.token.usage"
FORMER_METRIC = "gen_ai.client.token.usage"
USAGE_METRICS = "gen_ai.client.inference.usage."

KINDS: Mapping[str, str] = {
    "input": "input",
    "prompt": "input",
    "output": "output",
    "completion": "output",
    "cacheread": "cache_read",
    "cached": "cache_read",
    "inputcached": "cache_read",
    "inputcacheread": "cache_read",
    "cachecreation": "cache_write",
    "cachewrite": "cache_write",
    "inputcachewrite": "cache_write",
    "inputcachecreation": "cache_write",
}
"""Values of the attribute for the kind of tokens, without separators."""

BY_NAME: Mapping[str, str] = {
    f"{USAGE_METRICS}input_tokens": "input",
    f"{USAGE_METRICS}output_tokens": "output",
    f"{USAGE_METRICS}cache_read.input_tokens": "cache_read",
    f"{USAGE_METRICS}cache_write.input_tokens": "cache_write",
    f"{USAGE_METRICS}cache_creation.input_tokens": "cache_write",
}
TYPES: Mapping[str, tuple[str, ...]] = {
    CLAUDE_CODE_METRIC: ("type",),
    FORMER_METRIC: ("gen_ai.token.type", "gen_ai.usage.token_type", "llm.usage.token_type"),
}
METRICS = frozenset({*BY_NAME, *TYPES})

HOUR_NS = 3_600_000_000_000
EXPORT_NS = 60_000_000_000
"""Usual time between two exports, for points without a start time."""
LATEST_NS = 2**63 - 1


class SeriesState(NamedTuple):
    """Last point of a cumulative series: time in nanoseconds, value, and the number of values in it."""

    at_ns: int
    value: int
    values: int


@dataclass
class Growth:
    """Growth of the series of one caller and model within an hour. Times in nanoseconds."""

    source: Source
    attributes: Attributes
    family: str
    since_ns: int = LATEST_NS
    until_ns: int = 0
    tokens: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    requests: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Id of the growth, the same however often it is reported."""
        return "otlp-" + hashlib.sha256("\n".join(sorted(self.marks.values())).encode()).hexdigest()

    @property
    def counts(self) -> TokenCounts:
        """Tokens by the API's names. Metrics do not tell lifetimes of caches."""
        read, written, output = self.tokens["cache_read"], self.tokens["cache_write"], self.tokens["output"]
        fresh = self.tokens["input"]
        if self.family != CLAUDE_CODE_METRIC:
            fresh = uncached(fresh, read + written, output, None) if fresh else 0
        return TokenCounts(fresh, written, 0, read, output)


def digest_of(point: Point) -> str:
    """Digest of the series of a point."""
    whole_name = (
        sorted(point.source.resource.items()),
        point.source.scope,
        point.metric,
        point.started_ns,
        sorted(point.attributes.items()),
    )
    return hashlib.sha256(json.dumps(whole_name).encode("utf-8", "surrogatepass")).hexdigest()


def kind_of_tokens(point: Point) -> str | None:
    """input, output, cache_read or cache_write; None for tokens that are part of others, such as reasoning."""
    named = BY_NAME.get(point.metric)
    if named is not None:
        return named
    said_kind = text(point.attributes, TYPES.get(point.metric, ())) or ""
    return KINDS.get("".join(letter for letter in said_kind.lower() if letter.isalnum()))


def growths(
    points: Iterable[tuple[str, Point]], states: Mapping[str, SeriesState], counted: Counted
) -> tuple[list[Growth], dict[str, SeriesState]]:
    """Growths of points (with the digests of their series) over the known states, and the new states of cumulative
    series.
    """
    new = dict(states)
    found: dict[object, Growth] = {}
    seen: set[str] = set()
    for digest, point in sorted(points, key=lambda pair: pair[1].at_ns):
        kind = kind_of_tokens(point)
        if kind is None:
            continue
        try:
            grown = _grown(digest, point, new, seen)
        except UnusableError as error:
            counted.refused[error.reason.value] += 1
            continue
        if grown is None:
            continue
        value, values, since_ns, mark = grown
        growth = _growth_for(point, found)
        growth.tokens[kind] += value
        growth.requests[kind] += values
        # Several points of a cumulative series are one growth, from the state before the first.
        growth.marks.setdefault(mark if point.temporality is Temporality.DELTA else digest, mark)
        growth.since_ns = min(growth.since_ns, since_ns)
        growth.until_ns = max(growth.until_ns, point.at_ns)
    return list(found.values()), {digest: state for digest, state in new.items() if states.get(digest) != state}


def without_former(growths_found: list[Growth], points: Iterable[Point]) -> list[Growth]:
    """Without the old metric if a service sends the newer ones too: both count the same calls."""
    newer = {_sender(point.source) for point in points if point.metric in BY_NAME}
    return [one for one in growths_found if one.family != FORMER_METRIC or _sender(one.source) not in newer]


def reason_to_pass(growth: Growth, card: KnowsModels) -> Passed | None:
    """Why Anthropic does not bill a growth; None if it does."""
    if is_sum(growth.attributes):
        return Passed.SUM_OF_CALLS
    return passed(growth.source, growth.attributes, said(growth.attributes, Meaning.MODEL), card)


def event_of(growth: Growth, received_at: datetime) -> Event:
    """The event of a growth. Raises `UnusableError` if no model is named."""
    model = said(growth.attributes, Meaning.MODEL)
    if model is None:
        raise UnusableError(Skipped.NO_MODEL)
    labels = labels_of(growth.source, growth.attributes)
    speed = said(growth.attributes, Meaning.SPEED)
    return Event(
        id=growth.id,
        at=moment(growth.until_ns, received_at),
        dimensions=Dimensions(
            model,
            labels.feature,
            labels.user_id,
            labels.tags,
            labels.workspace,
            labels.key,
            Terms(said(growth.attributes, Meaning.TIER), said(growth.attributes, Meaning.GEO), speed),
            SEVERAL,
        ),
        counts=growth.counts,
        requests=growth.requests["output"] or growth.requests["input"],
        session=labels.session,
    )


def _grown(
    digest: str, point: Point, states: dict[str, SeriesState], seen: set[str]
) -> tuple[int, int, int, str] | None:
    """Tokens, number of values, start, and the name of the state that the point grew from; None for a repeat."""
    if not 0 <= point.at_ns <= LATEST_NS or not 0 <= point.started_ns <= LATEST_NS:
        raise UnusableError(Skipped.NOT_WHOLE)
    begun = point.started_ns or max(0, point.at_ns - EXPORT_NS)
    values = max(0, min(point.values or 0, MOST_TOKENS))
    if point.temporality is Temporality.DELTA:
        mark = f"{digest}@{point.at_ns}"
        value = whole(point.value)
        if mark in seen or not value:
            return None
        seen.add(mark)
        return value, values, begun, mark
    last = states.get(digest)
    total = _total(point.value)
    if last is not None and point.at_ns <= last.at_ns:
        return None
    states[digest] = SeriesState(point.at_ns, total, values)
    mark = f"{digest}@{last.at_ns if last is not None else 'start'}"
    if last is None:
        before = SeriesState(0, 0, 0)
    elif total < last.value:
        # The sender restarted and kept its start time.
        before = SeriesState(last.at_ns, 0, 0)
    else:
        before = last
    grown = total - before.value
    if not grown:
        return None
    return whole(grown), max(0, values - before.values), max(begun, before.at_ns), mark


def _total(value: float) -> int:
    if not isfinite(value) or value != int(value):
        raise UnusableError(Skipped.NOT_WHOLE)
    if value < 0:
        raise UnusableError(Skipped.NEGATIVE)
    if value > LATEST_NS:
        raise UnusableError(Skipped.BEYOND_BELIEF)
    return int(value)


def _growth_for(point: Point, found: dict[object, Growth]) -> Growth:
    types = TYPES.get(point.metric, ())
    attributes = {name: value for name, value in point.attributes.items() if name not in types}
    family = USAGE_METRICS if point.metric in BY_NAME else point.metric
    key = (_sender(point.source), point.source.scope, family, frozenset(attributes.items()), point.at_ns // HOUR_NS)
    return found.setdefault(key, Growth(point.source, attributes, family))


def _sender(source: Source) -> object:
    return frozenset(source.resource.items())
