"""Which of two reports of the same calls counts: spans and events, or metrics. Pure; states are kept elsewhere.

Spans and events say more, so they win: once a sender has sent one, its metrics are left out until it has sent none for
a day. What metrics have counted before the first span arrived stays, and spans of that time are left out: whichever
came first, nothing counts twice.

A sender is a session, or a user, or a service: whatever the metrics tell apart. Spans and events count for all three.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from bot.ledger.otlp.model import Attributes, Source
from bot.ledger.otlp.names import ALIASES, CLAUDE_CODE_USERS, Meaning, text
from bot.ledger.otlp.usage import is_claude_code

DAY_NS = 86_400_000_000_000


class Way(Enum):
    """In which way a sender reports calls."""

    CALLS = "calls"
    METRICS = "metrics"


class Period(NamedTuple):
    """From when to when a sender has reported in one way, without a gap of a day. Nanoseconds since 1970."""

    first_ns: int
    last_ns: int

    def with_time(self, first_ns: int, last_ns: int) -> "Period":
        """The period with a further report; one after a gap begins a new one, one long before changes nothing."""
        if first_ns > self.last_ns + DAY_NS:
            return Period(first_ns, last_ns)
        if last_ns < self.first_ns - DAY_NS:
            return self
        return Period(min(self.first_ns, first_ns), max(self.last_ns, last_ns))


StoredUser = Callable[[str], str]
"""What stands in the database for a user."""

Known = Mapping[tuple[str, Way], Period]
"""By the digest of a sender and the way."""


def senders_of_call(source: Source, attributes: Attributes, stored_user: StoredUser) -> tuple[str, ...]:
    """Digests of the service, the users and the session that a span or an event belongs to."""
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
    """Whether spans or events of a sender count what its metrics say of the time until `until_ns`."""
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
