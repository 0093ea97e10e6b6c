"""The documented shapes of Anthropic's responses: open to new fields and values, strict about numbers.

New fields and values appear without notice. The readable part of such a row counts; its hour is marked, so that sums
over it are "at least". A response whose rows all lack their main counts is rejected.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)

from bot.clock import HOUR, floor_hour
from bot.language import tr_lazy
from bot.pricing.tokens import TokenCounts
from bot.usage.model import MalformedError, OddUsage, Read, Tally, Width


def _text(value: Any) -> Any:
    if not isinstance(value, str) or "T" not in value.upper():
        raise ValueError("not an RFC 3339 time")
    return value


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time beyond the calendar") from None


MOST = 2**53
"""Largest count: every JSON reader agrees on whole numbers up to here, and sums stay within what a database adds up."""

MOST_DIGITS = 50
"""Most digits of an amount: more than any bill has, and few enough for the database's column."""

_EXACT = Context(prec=2 * MOST_DIGITS)

Moment = Annotated[datetime, BeforeValidator(_text), AfterValidator(_aware)]
Count = Annotated[int, Field(strict=True, ge=0, le=MOST)]
Cents = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=MOST_DIGITS)]

Currency = Annotated[str, Field(min_length=3, max_length=3)]

WIDTHS: dict[Width, timedelta] = {"1m": timedelta(minutes=1), "1h": HOUR}


class Answer(BaseModel):
    """Ignores unknown fields, since they appear without notice."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CacheCreation(Answer):
    """Writes by lifetime. An unknown lifetime counts as the most expensive known one."""

    model_config = ConfigDict(extra="allow", frozen=True)

    ephemeral_5m_input_tokens: Count
    ephemeral_1h_input_tokens: Count

    def new_times(self) -> dict[str, int]:
        """Counts above zero of unknown lifetimes, by field."""
        return {
            name: value
            for name, value in (self.model_extra or {}).items()
            if name.endswith("_input_tokens") and type(value) is int and 0 < value <= MOST
        }


class ServerToolUse(Answer):
    web_search_requests: Count


class Counts(Answer):
    """The counters that both generations of the API have under the same names."""

    uncached_input_tokens: Count
    cache_read_input_tokens: Count
    cache_creation: CacheCreation
    output_tokens: Count
    server_tool_use: ServerToolUse

    def tokens(self) -> TokenCounts:
        return TokenCounts(
            uncached_input_tokens=self.uncached_input_tokens,
            cache_creation_5m_input_tokens=self.cache_creation.ephemeral_5m_input_tokens,
            cache_creation_1h_input_tokens=(
                self.cache_creation.ephemeral_1h_input_tokens + sum(self.cache_creation.new_times().values())
            ),
            cache_read_input_tokens=self.cache_read_input_tokens,
            output_tokens=self.output_tokens,
            web_search_requests=self.server_tool_use.web_search_requests,
        )


class Dimensions(Answer):
    """Dimensions of a row. Null: not grouped, unknown, or a meaning of the field's own."""

    model: str | None = None
    workspace_id: str | None = None
    api_key_id: str | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None


class Bucket(Answer):
    """A stretch of time: `ending_at` is exclusive."""

    starting_at: Moment
    ending_at: Moment


class UsageResult(Counts, Dimensions):
    """A row of the admin usage report."""


class ResultsBucket(Bucket):
    """`results` are read one by one: an unreadable one only loses itself."""

    results: list[Any]


class CostResult(Answer):
    """A row of the admin cost report; `amount` is a decimal string in cents."""

    amount: Cents
    currency: Currency
    workspace_id: str | None = None
    cost_type: str | None = None
    model: str | None = None


class AnalyticsRow(Bucket):
    """Common part of the rows of either report, whose further fields are read one by one. Other reports have other
    parts.
    """

    group: dict[str, Any]
    usage: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _counts_or_costs(self) -> "AnalyticsRow":
        if self.usage is None and self.cost is None:
            raise ValueError("neither usage nor cost")
        return self


class AnalyticsUsageRow(Bucket):
    group: Dimensions
    usage: Counts


class AnalyticsCostGroup(Answer):
    workspace_id: str | None = None
    model: str | None = None
    cost_type: str | None = None


class AnalyticsCost(Answer):
    """`amount` is after discounts, `list_amount` before; decimal strings in cents."""

    amount: Cents
    list_amount: Cents | None = None
    currency: Currency


class AnalyticsCostRow(Bucket):
    group: AnalyticsCostGroup
    cost: AnalyticsCost


class Page(Answer):
    """Common part of every page; `data` is read by the shape of the endpoint."""

    data: list[Any]
    has_more: StrictBool
    next_page: str | None = None
    data_refreshed_at: Moment | None = None


class Workspace(Answer):
    id: str
    name: str


class ApiKey(Answer):
    id: str
    name: str
    workspace_id: str | None = None


class ListPage(Answer):
    """A page of the look-up endpoints."""

    data: list[Any]
    has_more: StrictBool
    last_id: str | None = None


Shape = TypeVar("Shape", bound=Answer)


def parsed(shape: type[Shape], value: Any, path: str) -> Shape:
    """`value` in this shape. Raises `MalformedError`, since a wrong shape is never zero usage."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise MalformedError(
            tr_lazy(
                "Anthropic's answer from {path} does not have the documented shape ({place}: {what}); nothing "
                "was counted.",
                path=path,
                place=place,
                what=first["msg"],
            )
        ) from None


def belongs(bucket: Bucket, read: Read, path: str) -> bool:
    """Whether a bucket was requested; later ones may be included.

    Raises `MalformedError` for one that begins before the read or is longer than its buckets: such a response answers
    another question, so it says nothing certain about the read.
    """
    if bucket.starting_at < read.starts_at or bucket.ending_at - bucket.starting_at > WIDTHS[read.width]:
        raise MalformedError(
            tr_lazy("Anthropic's answer from {path} has other buckets than asked for; nothing was counted.", path=path)
        )
    return bucket.starting_at < read.ends_at


def usd_from_cents(cents: Decimal, currency: str, path: str) -> Decimal:
    """USD of an amount in cents. Raises `MalformedError` for another currency."""
    if currency != "USD":
        raise MalformedError(
            tr_lazy(
                "Anthropic's answer from {path} is in {currency} and not in USD; nothing was counted.",
                path=path,
                currency=currency,
            )
        )
    return cents.scaleb(-2, _EXACT)


MAIN_COUNTS = ("uncached_input_tokens", "output_tokens")
FEW_ROWS = 10
"""Fewer rows than these may all be incomplete by chance."""

MOST_NAMED = 5


class OddFields:
    """Collects what is unreadable in one bucket or response. `path`: the endpoint, for messages."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._hours: Counter[datetime] = Counter()
        self._days: set[date] = set()
        self._fields: dict[str, None] = {}
        self._rows = 0
        self._odd = 0
        self._without_main_counts = 0

    def usage(self, shape: type[Shape], value: Any) -> Shape | None:
        """A row of usage; unreadable counts are 0. None if it is no row."""
        self._rows += 1
        row, places = _read(shape, value)
        if row is None or any(place[-1] in MAIN_COUNTS for place in places):
            self._without_main_counts += 1
        new = [] if row is None else _new_cache_times(row)
        if places or new:
            self._odd += 1
            self._name([*(".".join(place) for place in places), *new])
        return row

    def usual(self, rows: int) -> None:
        """Count this many further complete rows."""
        self._rows += rows

    def tally(self) -> Tally:
        """Tally of all rows so far."""
        return Tally(self._rows, self._odd, self._without_main_counts, tuple(self._fields))

    def add(self, tally: Tally, starts_at: datetime) -> None:
        """Add the rows of a bucket that begins at `starts_at`."""
        self._rows += tally.rows
        self._odd += tally.odd
        self._without_main_counts += tally.without_main_counts
        if tally.odd:
            self._hours[floor_hour(starts_at)] += tally.odd
        self._name(tally.fields)

    def cost(self, shape: type[Shape], value: Any, day: date) -> Shape | None:
        """A row of the cost report of `day`, or None; a sum that lacks a row is not that day's bill."""
        row, places = _read(shape, value)
        if not places:
            return row
        self._days.add(day)
        self._name([".".join(place) for place in places])
        return None

    def found(self) -> OddUsage:
        """The marked hours. Raises `MalformedError` if many rows all lack their main counts."""
        if self._rows >= FEW_ROWS and self._without_main_counts == self._rows:
            raise MalformedError(
                tr_lazy(
                    "Anthropic's answer from {path} does not have the documented shape ({what}); nothing was counted.",
                    path=self._path,
                    what=self._named(),
                )
            )
        if not self._hours:
            return OddUsage()
        rows = sum(self._hours.values())
        return OddUsage(
            dict(self._hours),
            f"{rows:,} row{'' if rows == 1 else 's'} of {self._path} cannot be read in full ({self._named()}): "
            "sums with them are at least what is shown. Update this bot.",
        )

    def days(self) -> frozenset[date]:
        """Days of the cost report that lack a row."""
        return frozenset(self._days)

    def sentence(self) -> str | None:
        """What is wrong with the cost report, None if nothing is."""
        if not self._days:
            return None
        days = ", ".join(day.isoformat() for day in sorted(self._days)[:MOST_NAMED])
        return (
            f"Anthropic's cost report has rows that cannot be read ({self._named()}) on {days}: these days are "
            "computed from usage. Update this bot."
        )

    def _name(self, fields: Sequence[str]) -> None:
        self._fields.update(dict.fromkeys(fields))

    def _named(self) -> str:
        names = list(self._fields)
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return ", ".join(names[:MOST_NAMED]) + more


def _read(shape: type[Shape], value: Any) -> tuple[Shape | None, list[tuple[str, ...]]]:
    """The row, and the paths of its unreadable fields, which are dropped. None if it is still unreadable."""
    try:
        return shape.model_validate(value), []
    except ValidationError as error:
        places = [tuple(str(part) for part in each["loc"]) for each in error.errors(include_url=False)]
    if not isinstance(value, dict) or any(not place for place in places):
        return None, [("row",)]
    mended = copy.deepcopy(value)
    for place in places:
        _leave_out(mended, place)
    try:
        return shape.model_validate(_with_zeros(shape, mended)), places
    except ValidationError:
        return None, places


def _leave_out(value: Any, place: Sequence[str]) -> None:
    *parents, last = place
    for part in parents:
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value.pop(last, None)


def _with_zeros(shape: type[Answer], value: dict[str, Any]) -> dict[str, Any]:
    """`value` with 0 for every required count that it lacks, nested ones included."""
    filled = dict(value)
    for name, field in shape.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Answer):
            inner = filled.get(name)
            filled[name] = _with_zeros(part, inner if isinstance(inner, dict) else {})
        elif name not in filled and field.is_required() and part is int:
            filled[name] = 0
    return filled


def _new_cache_times(row: Answer) -> list[str]:
    counts = row if isinstance(row, Counts) else getattr(row, "usage", None)
    return (
        [f"cache_creation.{name}" for name in counts.cache_creation.new_times()] if isinstance(counts, Counts) else []
    )
