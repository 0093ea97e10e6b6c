"""Values of the ledger: an event for each logged request, its texts, and sums of events."""

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
"""Longest name or id, in characters."""

FURTHEST_AHEAD = timedelta(days=1)
"""How far in the future an event may lie: a sender's clock may be wrong by a zone, not by more. All hours up to that of
an event are known and stored.
"""

LONGEST_STORED_ID = 256
"""Longest id, with room for the number of a part of its response. An index of PostgreSQL takes no long keys."""


def clean_name(text: str) -> str:
    """The text on one line, without control characters and lone surrogates, cut to `LONGEST_NAME`; may be empty."""
    text = text[:LONGEST_NAME]
    return (text if text.isprintable() else one_line(text)).strip()


def clean_or_none(text: str | None) -> str | None:
    """`clean_name`; None if nothing is left."""
    return None if text is None else clean_name(text) or None


def shown_name(text: str | None) -> str | None:
    """`clean_or_none`, with an ellipsis for anything that looks like a secret: some applications log their key as
    `key`.
    """
    return None if text is None else masked(clean_name(text)) or None


def stored_id(event_id: str) -> str:
    """The id itself, or a hash of 64 hexadecimal digits if a database may reject it."""
    if len(event_id) <= LONGEST_STORED_ID and event_id.isprintable() and event_id:
        return event_id
    return hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()


PROMPT_EDGES = (100_000, 200_000)
"""Prompt lengths in tokens above which some models cost more; sums keep requests between two edges separate."""

SEVERAL = 1
"""Stands for an edge in a sum of requests of unknown prompt lengths."""

Tags = tuple[tuple[str, str], ...]
"""Free labels such as team or pull request, sorted by name; each name once."""


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    ERROR = "error"
    RATE_LIMITED = "rate_limited"


class Dimensions(NamedTuple):
    """Dimensions of sums. None: the application did not log it.

    `workspace` and `key` are ids or names, as logged. `prompts_above`: the largest of `PROMPT_EDGES` that the prompt
    exceeds, else 0; `SEVERAL` for a sum of requests.
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
        """A prompt length on the same side of every price step; None if lengths are unknown."""
        return None if self.prompts_above == SEVERAL else self.prompts_above + 1

    def at_prompt(self, tokens: int) -> "Dimensions":
        """The dimensions of a response whose prompt has grown to this many tokens."""
        above = prompts_above(tokens)
        if self.prompts_above == SEVERAL or (above != SEVERAL and above <= self.prompts_above):
            return self
        return self._replace(prompts_above=above)

    @property
    def digest(self) -> str:
        """A hash of 64 hexadecimal digits, equal for equal dimensions in every process."""
        return hashlib.sha256(json.dumps(self, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


class Labels(NamedTuple):
    """What distinguishes events of one feature and model, apart from what changes their price."""

    user_id: str | None = None
    tags: Tags = ()
    workspace: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, text: str) -> "Labels":
        """Parse `text`; the empty text has no labels."""
        if not text:
            return cls()
        user_id, tags, workspace, key = json.loads(text)
        return cls(user_id, tuple((name, value) for name, value in tags), workspace, key)

    @property
    def text(self) -> str:
        """The same text for equal labels; empty without any."""
        return json.dumps(self, separators=(",", ":")) if any(self) else ""

    def __str__(self) -> str:
        """Display form: `u1, team=search`."""
        words = [*([self.user_id] if self.user_id else []), *(f"{name}={value}" for name, value in self.tags)]
        return ", ".join([*words, *(each for each in (self.workspace, self.key) if each)])


@dataclass(frozen=True, slots=True)
class Event:
    """One response, or a part of a response billed for another model.

    `id` identifies repeats: two events with the same id are states of one response, and the largest of each count is
    kept. `at`: aware UTC. `requests`: 0 for a further part of a counted response; several if the source sums up (a
    metric). `unsplit`: how many of the 5-minute writes were reported without a lifetime.
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
    """The largest of each count of two states of one response, and how many of its 5-minute writes are unsplit.

    The other state may know the lifetimes of unsplit writes: the larger sum of writes counts.
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
        """Add both."""
        return Sums(self.counts + other.counts, *(mine + its for mine, its in zip(self[1:], other[1:], strict=True)))


@dataclass(frozen=True, slots=True)
class Row:
    """Sums of the events of one hour or one UTC day with equal dimensions. `starts_at`: aware UTC."""

    starts_at: datetime
    dimensions: Dimensions
    sums: Sums


@dataclass(frozen=True, slots=True)
class Appended:
    """Result of an append: new responses, and known ones (grown ones included).

    Events with `requests` 0 are parts of others and count in neither.
    """

    accepted: int
    duplicates: int


class Ledger(Protocol):
    """Stores events. Synchronous; asynchronous callers use a thread."""

    def append(self, events: Iterable[Event], received_at: datetime) -> Appended:
        """Store events and their sums, durable on return. A repeat only raises counts that have grown."""

    def roll_up(self, now: datetime) -> None:
        """Bring the sums up to date, if `append` does not."""

    def prune(self, before: datetime) -> int:
        """Delete events received before a time, as many as fit into seconds; the sums stay.

        Returns how many were deleted.
        """

    def read(self, since: datetime, until: datetime) -> Iterable[Row]:
        """Sums from `since` to `until`, by hour, or by day for whole UTC days in between; unordered."""


def prompts_above(prompt_tokens: int) -> int:
    """The largest edge that a prompt exceeds, else 0; `SEVERAL` if it is longer than any model reads."""
    if prompt_tokens > LONGEST_PROMPT:
        return SEVERAL
    return max((edge for edge in PROMPT_EDGES if prompt_tokens > edge), default=0)


def tags_of(labels: Mapping[str, str]) -> Tags:
    """Labels as tags."""
    return tuple(sorted(labels.items()))


@dataclass(frozen=True, slots=True)
class LedgerRules:
    """`keep`: how long events are kept after receipt; their sums stay forever.

    `hash_users`: whether ids of users are stored as keyed hashes only. `hide_users`: whether names shown to everybody
    use the hashes.
    """

    keep: timedelta = timedelta(days=35)
    hash_users: bool = False
    hide_users: bool = False
