"""The one protocol behind which both of Anthropic's usage APIs stand, its values and its errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Protocol

from bot.pricing.tokens import Terms, TokenCounts

Width = Literal["1m", "1h"]
SourceName = Literal["analytics", "admin"]

UsageChoice = Literal["auto", "analytics", "admin"]
"""Which source polls read: `auto` takes the one that is fresh and that the key may read."""

DEFAULT_WORKSPACE = "default"
"""The organisation's default workspace, whatever a source calls it (null or a `wrkspc_…` id)."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Tokens of one bucket with equal dimensions. `starts_at` is the bucket's start, aware UTC."""

    starts_at: datetime
    model: str
    workspace_id: str
    api_key_id: str | None
    terms: Terms
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class DayUsage:
    """Usage as the store sums it up: the rows of one UTC day with equal dimensions."""

    day: date
    model: str
    workspace_id: str
    api_key_id: str | None
    terms: Terms
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class Read:
    """A stretch of whole UTC hours to be read at one bucket width; `ends_at` is exclusive."""

    width: Width
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class OddUsage:
    """Rows that could not be read in full: how many by UTC hour, and one sentence with the names of their fields."""

    rows_by_hour: Mapping[datetime, int] = field(default_factory=dict)
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What the rows of one bucket, or of a whole answer, lack.

    `rows`: how many there are; `odd`: those with a field that cannot be read, `fields` its names in the order in which
    they were met; `without_main_counts`: those that lack the tokens that every row has.
    """

    rows: int = 0
    odd: int = 0
    without_main_counts: int = 0
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenBucket:
    """How a bucket was answered: a digest of its bytes.

    `decided_by`: what else decides what is stored of the same bytes. `apart`: how the separate answer about the usage
    whose workspace no key tells had it, None where none was needed.
    """

    digest: bytes
    tally: Tally
    decided_by: str = ""
    apart: "SeenBucket | None" = None


Seen = Mapping[datetime, SeenBucket]
"""By the start of the bucket."""


@dataclass(frozen=True, slots=True)
class UsageReading:
    """The complete answer to one `Read`. `refreshed_at`: what the source says its data is as of, or None.

    `unchanged`: the starts of the buckets that are as they were stored last; `rows` are those of all others, `odd`
    is of both. `seen`: by the start, the buckets that need not be parsed again when they are answered like this again.
    """

    read: Read
    rows: Sequence[UsageRow]
    refreshed_at: datetime | None
    odd: OddUsage = field(default_factory=OddUsage)
    unchanged: frozenset[datetime] = frozenset()
    seen: Seen = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BilledRow:
    """Dollars of Anthropic's cost report for one UTC day.

    `list_usd`: before discounts, where the source tells. `model`: an API id, None for what is billed for no model.
    """

    day: date
    workspace_id: str
    cost_type: str
    usd: Decimal
    list_usd: Decimal | None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class BilledReading:
    """The cost report of some days. `odd_days` lack a row, and `odd` is the sentence that says so."""

    rows: tuple[BilledRow, ...]
    odd_days: frozenset[date] = frozenset()
    odd: str | None = None


NOTHING_STORED: Seen = {}


class UsageSource(Protocol):
    """Raises `SourceError` and nothing else; an answer is complete (every page) or it is an error."""

    name: SourceName

    async def usage(self, read: Read, stored: Seen = NOTHING_STORED, most_rows: int | None = None) -> UsageReading:
        """`stored`: how the buckets were answered that are in the store as they were answered then.

        Raises `TooManyRowsError` beyond `most_rows`.
        """
        ...

    async def billed(self, first: date, last: date) -> BilledReading:
        """Cost report of the UTC days `first` to `last`, both included, at most 31 of them."""
        ...


class SourceError(Exception):
    """A read failed; the text is one sentence with the remedy, fit for chat and free of secrets."""


class RefusedError(SourceError):
    """401 or 403: the key is wrong or may not read this. Asking again does not help."""


class UnavailableError(SourceError):
    """Not reachable, overloaded or limited, also after retries. Asking again later may help."""


class TooManyRowsError(SourceError):
    """An answer has more rows than the caller wants to hold at once."""


class MalformedError(SourceError):
    """An answer that does not have the documented shape. Never to be read as zero usage."""
