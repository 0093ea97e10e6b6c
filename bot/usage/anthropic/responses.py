"""The documented shapes of Anthropic's answers: open to new fields and new enum values, strict about numbers."""

from datetime import UTC, datetime, timedelta
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

from bot.clock import HOUR
from bot.pricing.tokens import TokenCounts
from bot.usage.model import MalformedError, Read, Width


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
"""Up to here every reader of JSON agrees on a whole number, and sums of it stay within what a database adds up."""

MOST_DIGITS = 50
"""More than any bill has, and few enough for the database's column."""

_EXACT = Context(prec=2 * MOST_DIGITS)

Moment = Annotated[datetime, BeforeValidator(_text), AfterValidator(_aware)]
Count = Annotated[int, Field(strict=True, ge=0, le=MOST)]
Cents = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=MOST_DIGITS)]

Currency = Annotated[str, Field(min_length=3, max_length=3)]

WIDTHS: dict[Width, timedelta] = {"1m": timedelta(minutes=1), "1h": HOUR}


class Answer(BaseModel):
    """Unknown fields are left alone: they appear without notice."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CacheCreation(Answer):
    """Writes by the time for which they are kept. A time that is new here counts as the most expensive known one."""

    model_config = ConfigDict(extra="allow", frozen=True)

    ephemeral_5m_input_tokens: Count
    ephemeral_1h_input_tokens: Count

    def new_times(self) -> dict[str, int]:
        """Counts above zero of times that this version does not know, by field."""
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
    """What a row may be grouped by. Null: not grouped, not known, or a meaning of the field's own."""

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
    """`results` are read one by one, since an odd one costs only itself."""

    results: list[Any]


class CostResult(Answer):
    """A row of the admin cost report; `amount` is a decimal string in cents."""

    amount: Cents
    currency: Currency
    workspace_id: str | None = None
    cost_type: str | None = None
    model: str | None = None


class AnalyticsRow(Bucket):
    """What a row of either report has, before its fields are read one by one. Other reports have other parts."""

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
    """What every page has; `data` is read by the shape of the endpoint."""

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
            f"Anthropic's answer from {path} does not have the documented shape ({place}: {first['msg']}); "
            "nothing was counted."
        ) from None


def belongs(bucket: Bucket, read: Read, path: str) -> bool:
    """Whether a bucket is one of those that were asked for; later ones may come along.

    Raises `MalformedError` for one that begins before the read or is longer than a bucket of it: such an answer is to
    another question, and what it says about the read is not known.
    """
    if bucket.starting_at < read.starts_at or bucket.ending_at - bucket.starting_at > WIDTHS[read.width]:
        raise MalformedError(f"Anthropic's answer from {path} has other buckets than asked for; nothing was counted.")
    return bucket.starting_at < read.ends_at


def usd_from_cents(cents: Decimal, currency: str, path: str) -> Decimal:
    """Dollars of an amount in cents. Raises `MalformedError` for another currency."""
    if currency != "USD":
        raise MalformedError(f"Anthropic's answer from {path} is in {currency} and not in USD; nothing was counted.")
    return cents.scaleb(-2, _EXACT)
