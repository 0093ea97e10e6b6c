"""One event of the ledger: what an application logs of one request, its texts, and sums of such events."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.pricing.totals import LONGEST_PROMPT
from bot.secret_shapes import masked, one_line

LONGEST_NAME = 200
"""Characters of a name or an id."""

FURTHEST_AHEAD = timedelta(days=1)
"""Of the present: a sender's clock may be wrong by a zone, not by more. All hours up to that of an event are known and
kept."""

LONGEST_STORED_ID = 256
"""Room for an id and the number of a part of its response. An index of PostgreSQL takes no long keys."""


def clean_name(text: str) -> str:
    """On one line, without control characters and halves of characters, cut to `LONGEST_NAME`; may be empty."""
    text = text[:LONGEST_NAME]
    return (text if text.isprintable() else one_line(text)).strip()


def clean_or_none(text: str | None) -> str | None:
    """The same; None where nothing is left of it."""
    return None if text is None else clean_name(text) or None


def shown_name(text: str | None) -> str | None:
    """The same, with an ellipsis for what has the form of a secret: some applications log their key as `key`."""
    return None if text is None else masked(clean_name(text)) or None


def stored_id(event_id: str) -> str:
    """The id itself, or for one that a database may refuse, 64 hexadecimal digits that stand for it alone."""
    if len(event_id) <= LONGEST_STORED_ID and event_id.isprintable() and event_id:
        return event_id
    return hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()


PROMPT_EDGES = (100_000, 200_000)
"""Prompt lengths in tokens above which some models cost more; sums keep the requests between two edges apart."""

SEVERAL = 1
"""In the place of an edge: of a sum of requests whose prompt lengths are not known."""

Tags = tuple[tuple[str, str], ...]
"""Free labels such as team or pull request, sorted by name; each name once."""


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    ERROR = "error"
    RATE_LIMITED = "rate_limited"


class Dimensions(NamedTuple):
    """The dimensions of sums. None: the application did not log it.

    `workspace` and `key` are ids or names, as logged. `prompts_above`: the largest of `PROMPT_EDGES` that the prompt is
    longer than, else 0; `SEVERAL` of a sum of requests.
    """

    model: str
    feature: str | None = None
    user_id: str | None = None
    tags: Tags = ()
    workspace: str | None = None
    key: str | None = None
    terms: Terms = STANDARD
    prompts_above: int = 0

    @property
    def prompt_tokens(self) -> int | None:
        """A prompt on the same side of every price step as these; None where their lengths are not known."""
        return None if self.prompts_above == SEVERAL else self.prompts_above + 1

    def at_prompt(self, tokens: int) -> "Dimensions":
        """The same for a response whose prompt has grown to so many tokens."""
        above = prompts_above(tokens)
        if self.prompts_above == SEVERAL or (above != SEVERAL and above <= self.prompts_above):
            return self
        return self._replace(prompts_above=above)

    @property
    def digest(self) -> str:
        """64 hexadecimal digits: equal dimensions have equal digests, in every process."""
        return hashlib.sha256(json.dumps(self, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


class Labels(NamedTuple):
    """What distinguishes events of one feature and model, besides what changes their price."""

    user_id: str | None = None
    tags: Tags = ()
    workspace: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, text: str) -> "Labels":
        """Read from its `text`; the empty text has none."""
        if not text:
            return cls()
        user_id, tags, workspace, key = json.loads(text)
        return cls(user_id, tuple((name, value) for name, value in tags), workspace, key)

    @property
    def text(self) -> str:
        """One text for equal labels, empty without any."""
        return json.dumps(self, separators=(",", ":")) if any(self) else ""

    def __str__(self) -> str:
        """As people read them: `u1, team=search`."""
        words = [*([self.user_id] if self.user_id else []), *(f"{name}={value}" for name, value in self.tags)]
        return ", ".join([*words, *(each for each in (self.workspace, self.key) if each)])


@dataclass(frozen=True, slots=True)
class Event:
    """One response, or one part of a response that another model was billed for.

    `id` proves a repeat: two events with the same id are states of one response, of which the largest of each count is
    kept. `at`: aware UTC. `requests`: 0 for a further part of a response that is counted already; several where the
    source sums up (a metric). `unsplit`: how many of the 5-minute writes were reported without a lifetime.
    """

    id: str
    at: datetime
    dimensions: Dimensions
    counts: TokenCounts
    outcome: Outcome = Outcome.OK
    requests: int = 1
    request_id: str | None = None
    session: str | None = None
    unsplit: int = field(default=0, compare=False)

    def with_state(self, other: "Event") -> "Event":
        """The same response, with the largest counts of both states."""
        counts, unsplit = largest(self.counts, self.unsplit, other.counts, other.unsplit)
        dimensions, requests = self.dimensions.at_prompt(counts.prompt_tokens), max(self.requests, other.requests)
        return replace(self, dimensions=dimensions, counts=counts, requests=requests, unsplit=unsplit)


def largest(counts: TokenCounts, unsplit: int, other: TokenCounts, other_unsplit: int) -> tuple[TokenCounts, int]:
    """The largest of each count of two states of one response, and how many of the 5-minute writes are unsplit then.

    The other state may know the lifetimes of writes without one: the larger sum of writes counts.
    """
    found = TokenCounts(*map(max, counts, other))
    if not unsplit and not other_unsplit:
        return found, 0
    written = max(_written(counts), _written(other))
    split = max(
        counts.cache_creation_5m_input_tokens - unsplit,
        other.cache_creation_5m_input_tokens - other_unsplit,
    )
    unsplit = max(0, written - split - found.cache_creation_1h_input_tokens)
    return found._replace(cache_creation_5m_input_tokens=split + unsplit), unsplit


def _written(counts: TokenCounts) -> int:
    return counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens


class Sums(NamedTuple):
    """Sums of events. `errors` and `rate_limited` are parts of `requests`."""

    counts: TokenCounts = TokenCounts()
    requests: int = 0
    errors: int = 0
    rate_limited: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(self.counts + other.counts, *(mine + its for mine, its in zip(self[1:], other[1:], strict=True)))


@dataclass(frozen=True, slots=True)
class Row:
    """Sums of the events of one hour or one UTC day that agree in every dimension. `starts_at`: aware UTC."""

    starts_at: datetime
    dimensions: Dimensions
    sums: Sums


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of responses that were appended: how many were new, and how many were known (grown ones included).

    Events with `requests` 0 are parts of others and in neither.
    """

    accepted: int
    duplicates: int


class Ledger(Protocol):
    """Where events are kept. Synchronous; asynchronous callers use a thread."""

    def append(self, events: Iterable[Event], received_at: datetime) -> Appended:
        """Store events and their sums, durable when this returns. A repeat only raises counts that have grown."""

    def roll_up(self, now: datetime) -> None:
        """Bring the sums up to date where `append` does not do so itself."""

    def prune(self, before: datetime) -> int:
        """Delete events that were received before a time, so many at most as take seconds; the sums stay.

        Returns how many were deleted.
        """

    def read(self, since: datetime, until: datetime) -> Iterable[Row]:
        """The sums from `since` to `until`, by hour or by day where whole UTC days are in between; in no order."""


def prompts_above(prompt_tokens: int) -> int:
    """The largest edge that a prompt is longer than, else 0. More than any model reads is `SEVERAL`."""
    if prompt_tokens > LONGEST_PROMPT:
        return SEVERAL
    return max((edge for edge in PROMPT_EDGES if prompt_tokens > edge), default=0)


def tags_of(labels: Mapping[str, str]) -> Tags:
    """Labels as tags."""
    return tuple(sorted(labels.items()))


@dataclass(frozen=True, slots=True)
class LedgerRules:
    """`keep`: how long events are kept once they have come; their sums stay for ever.

    `hash_users`: whether ids of users are stored as keyed hashes only. `hide_users`: whether names that everybody reads
    have the hashes.
    """

    keep: timedelta = timedelta(days=35)
    hash_users: bool = False
    hide_users: bool = False
