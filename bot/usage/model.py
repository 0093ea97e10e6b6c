"""The protocol that both of Anthropic's usage APIs implement, its values and its errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Protocol

from bot.pricing.tokens import Terms, TokenCounts

Width = Literal["1m", "1h"]
SourceName = Literal["analytics", "admin"]

UsageChoice = Literal["auto", "analytics", "admin"]
"""The source to poll: `auto` takes the one that is fresh and that the key may read."""

DEFAULT_WORKSPACE = "default"
"""The id of the default workspace, whichever id a source uses for it (null or a `wrkspc_…` id)."""


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
    """A range of whole UTC hours to read at one bucket width; `ends_at` is exclusive."""

    width: Width
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class OddUsage:
    """Incomplete rows: their number by UTC hour, and one sentence with the names of their fields."""

    rows_by_hour: Mapping[datetime, int] = field(default_factory=dict)
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of incomplete rows of one bucket, or of a whole response.

    `rows`: the number of rows; `odd`: those with an unreadable field, `fields` the names of such fields in the order
    met; `without_main_counts`: those that lack the token counts that every row has.
    """

    rows: int = 0
    odd: int = 0
    without_main_counts: int = 0
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenBucket:
    """A digest of a bucket's bytes, to recognise an unchanged bucket.

    `decided_by`: what else determines the rows stored for the same bytes. `apart`: the digest in the separate response
    about usage whose workspace does not follow from a key, None if none was needed.
    """

    digest: bytes
    tally: Tally
    decided_by: str = ""
    apart: "SeenBucket | None" = None


Seen = Mapping[datetime, SeenBucket]
"""By the start of the bucket."""


@dataclass(frozen=True, slots=True)
class UsageReading:
    """The complete response to one `Read`. `refreshed_at`: the source's own `as of`, or None.

    `unchanged`: the starts of the buckets that equal the stored ones; `rows` are those of all others, `odd` covers
    both. `seen`: by their start, the buckets that need not be parsed again if their bytes stay the same.
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

    `list_usd`: before discounts, if the source has it. `model`: an API id, None for costs without a model.
    """

    day: date
    workspace_id: str
    cost_type: str
    usd: Decimal
    list_usd: Decimal | None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class BilledReading:
    """The cost report of some days. `odd_days`: days that lack a row; `odd`: the sentence about them."""

    rows: tuple[BilledRow, ...]
    odd_days: frozenset[date] = frozenset()
    odd: str | None = None


NOTHING_STORED: Seen = {}


class UsageSource(Protocol):
    """Raises `SourceError` only; a response is complete (every page) or an error."""

    name: SourceName

    async def usage(self, read: Read, stored: Seen = NOTHING_STORED, most_rows: int | None = None) -> UsageReading:
        """`stored`: the digests of the buckets in the store.

        Raises `TooManyRowsError` beyond `most_rows`.
        """
        ...

    async def billed(self, first: date, last: date) -> BilledReading:
        """Cost report of the UTC days `first` to `last`, both included, at most 31 of them."""
        ...


class SourceError(Exception):
    """A read failed; the text is one sentence with the remedy, fit for chat and free of secrets."""


class RefusedError(SourceError):
    """401 or 403: the key is wrong or may not read this. A retry does not help."""


class UnavailableError(SourceError):
    """Not reachable, overloaded or limited, also after retries. A later retry may help."""


class TooManyRowsError(SourceError):
    """A response has more rows than the caller accepts at once."""


class MalformedError(SourceError):
    """A response without the documented shape. It must never count as zero usage."""
