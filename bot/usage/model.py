"""Usage as reported by Anthropic: the protocol of both APIs, its values and errors, age of data, and attribution."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from statistics import median
from typing import Literal, Protocol

from bot.pricing.tokens import Terms, TokenCounts

Width = Literal["1m", "1h"]
SourceName = Literal["analytics", "admin"]

UsageChoice = Literal["auto", "analytics", "admin"]
"""The source to poll: `auto` takes the one that is fresh and readable by the key."""

DEFAULT_WORKSPACE = "default"
"""The id of the default workspace, whichever id a source uses for it (null or a `wrkspc_…` id)."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Tokens of one bucket with equal dimensions. `starts_at`: start of the bucket, aware UTC."""

    starts_at: datetime
    model: str
    workspace_id: str
    api_key_id: str | None
    terms: Terms
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class DayUsage:
    """Usage summed by the store: the rows of one UTC day with equal dimensions.

    `prompt_tokens`: a prompt length on the same side of the price step as theirs; None if unknown.
    """

    day: date
    model: str
    workspace_id: str
    api_key_id: str | None
    terms: Terms
    counts: TokenCounts
    prompt_tokens: int | None = None


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
"""Digests by the start of the bucket."""


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
    """USD of Anthropic's cost report for one UTC day.

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


ADMIN_DELAY = timedelta(minutes=5)
"""The admin report has a request within about this time (platform.claude.com, Usage and Cost API)."""

LEAST_STALE = timedelta(minutes=15)

REFRESHES = 24
"""The usual age is the median over this many refreshes, so that one outage does not shift it."""

FEWEST_REFRESHES = 2

LONGEST_GAP = timedelta(hours=2)
"""Longest gap between polls that still counts as continuous polling."""


@dataclass(frozen=True, slots=True)
class DataState:
    """The state of the data: its age, its source, and errors.

    `as_of` is None before the first complete poll. `error` is the sentence of a failing poll, `error_since` when
    it began to fail. `billed_error`: why the last attempt at the cost report, at `billed_at`, failed; `billed_read_at`:
    when the stored report was read. `changed_from` and `changed_at`: the last change of source. `odd_rows`: the last
    sentence about incomplete rows. `ages_at_refresh`: the age of this source's data, in seconds, at each of the last
    refreshes; the newest last.
    """

    as_of: datetime | None = None
    source: SourceName | None = None
    polled_at: datetime | None = None
    error: str | None = None
    error_since: datetime | None = None
    billed_error: str | None = None
    billed_at: datetime | None = None
    billed_read_at: datetime | None = None
    changed_from: SourceName | None = None
    changed_at: datetime | None = None
    odd_rows: str | None = None
    ages_at_refresh: tuple[float, ...] = ()


def is_stale(data: DataState, now: datetime, poll_seconds: int) -> bool:
    """Whether there is data and it is older than `stale_after`."""
    return data.as_of is not None and now - data.as_of > stale_after(data, poll_seconds)


def refreshed(before: DataState, source: SourceName, as_of: datetime, now: datetime) -> tuple[float, ...]:
    """`ages_at_refresh` after a poll at `now` that read data as of `as_of` from `source`.

    Data that came while the bot was not polling does not count, nor does a change of source.
    """
    if before.source != source or before.as_of is None or before.polled_at is None:
        return ()
    watched = timedelta() <= now - before.polled_at <= LONGEST_GAP
    if as_of <= before.as_of or not watched:
        return before.ages_at_refresh
    return (*before.ages_at_refresh, (now - before.as_of).total_seconds())[-REFRESHES:]


def not_ahead(data: DataState, now: datetime) -> DataState:
    """The state with times later than `now`, recorded before the clock was set back, replaced by `now`.

    Unchanged, they would hide missing data until the clock reaches them.
    """

    def present(moment: datetime | None) -> datetime | None:
        return None if moment is None else min(moment, now)

    return replace(
        data,
        as_of=present(data.as_of),
        polled_at=present(data.polled_at),
        error_since=present(data.error_since),
        billed_at=present(data.billed_at),
        billed_read_at=present(data.billed_read_at),
        changed_at=present(data.changed_at),
    )


def stale_after(data: DataState, poll_seconds: int) -> timedelta:
    """The age up to which data is not stale: three polls, 15 minutes, or twice the source's usual age.

    Analytics exports in batches, often hours apart: its usual age is the median of those at which newer data came.
    """
    least = max(timedelta(seconds=3 * poll_seconds), LEAST_STALE)
    if data.source != "analytics" or len(data.ages_at_refresh) < FEWEST_REFRESHES:
        return least
    return max(least, 2 * timedelta(seconds=median(data.ages_at_refresh)))


class AttributedBy(StrEnum):
    """Dimensions that only Anthropic's own attribution has."""

    PRODUCT = "product"
    GROUP = "group"
    AGENT = "agent"
    ACTOR = "actor"
    ORGANIZATION = "organization"


Origin = Literal["analytics", "claude_code"]


class NotAttributedError(Exception):
    """Anthropic's attribution is unavailable; the message is sentences with the remedy.

    If several people may wait for one answer, it is a `Text`, which each reads in their own language.
    """


@dataclass(frozen=True, slots=True)
class Who:
    """`id` None: spend without a product, group, agent or actor. `name`: if Anthropic gives one."""

    id: str | None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AttributedRow:
    """`tokens_in` includes cached ones; both counts are None if unknown."""

    who: Who
    usd: Decimal
    tokens_in: int | None
    tokens_out: int | None


@dataclass(frozen=True, slots=True)
class Attributed:
    """Spend of a stretch of time, most expensive row first.

    `usd`: total, which rows by group do not add up to. `list_usd`: before discounts, None if unknown. `refreshed_at`:
    how far the figures are complete, None if Anthropic does not say. `odd`: number of unreadable rows. `on_plans_usd`:
    the part of `usd` used on subscriptions.
    """

    by: AttributedBy
    origin: Origin
    starts_at: datetime
    ends_at: datetime
    usd: Decimal
    list_usd: Decimal | None
    rows: Sequence[AttributedRow]
    refreshed_at: datetime | None
    odd: int = 0
    on_plans_usd: Decimal = Decimal(0)
