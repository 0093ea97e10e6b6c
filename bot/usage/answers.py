"""The documented shapes of Anthropic's answers: open to new fields and new enum values, strict about numbers."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bot.pricing.tokens import TokenCounts
from bot.usage.source import MalformedError


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_aware)]
Count = Annotated[int, Field(strict=True, ge=0)]
Cents = Annotated[Decimal, Field(allow_inf_nan=False)]

HUNDRED = Decimal(100)


class Answer(BaseModel):
    """Unknown fields are left alone: they appear without notice."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CacheCreation(Answer):
    ephemeral_5m_input_tokens: Count
    ephemeral_1h_input_tokens: Count


class ServerToolUse(Answer):
    web_search_requests: Count = 0


class Counts(Answer):
    """The counters that both generations of the API have under the same names."""

    uncached_input_tokens: Count
    cache_read_input_tokens: Count
    cache_creation: CacheCreation
    output_tokens: Count
    server_tool_use: ServerToolUse | None = None

    def tokens(self) -> TokenCounts:
        return TokenCounts(
            uncached_input_tokens=self.uncached_input_tokens,
            cache_creation_5m_input_tokens=self.cache_creation.ephemeral_5m_input_tokens,
            cache_creation_1h_input_tokens=self.cache_creation.ephemeral_1h_input_tokens,
            cache_read_input_tokens=self.cache_read_input_tokens,
            output_tokens=self.output_tokens,
            web_search_requests=0 if self.server_tool_use is None else self.server_tool_use.web_search_requests,
        )


class Dimensions(Answer):
    """What a row may be grouped by. Null: not grouped, not known, or a meaning of the field's own."""

    model: str | None = None
    workspace_id: str | None = None
    api_key_id: str | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None


class UsageResult(Counts, Dimensions):
    """A row of the admin usage report."""


class UsageBucket(Answer):
    starting_at: Moment
    ending_at: Moment
    results: list[UsageResult]


class CostResult(Answer):
    """A row of the admin cost report; `amount` is a decimal string in cents."""

    amount: Cents
    currency: str = "USD"
    workspace_id: str | None = None
    cost_type: str | None = None


class CostBucket(Answer):
    starting_at: Moment
    ending_at: Moment
    results: list[CostResult]


class AnalyticsUsageRow(Answer):
    starting_at: Moment
    ending_at: Moment
    group: Dimensions
    usage: Counts


class AnalyticsCostGroup(Answer):
    workspace_id: str | None = None
    cost_type: str | None = None


class AnalyticsCost(Answer):
    """`amount` is after discounts, `list_amount` before; decimal strings in cents."""

    amount: Cents
    list_amount: Cents | None = None
    currency: str = "USD"


class AnalyticsCostRow(Answer):
    starting_at: Moment
    ending_at: Moment
    group: AnalyticsCostGroup
    cost: AnalyticsCost


class Page(Answer):
    """What every page has; `data` is read by the shape of the endpoint."""

    data: list[Any]
    has_more: bool = False
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
    has_more: bool = False
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


def usd_from_cents(cents: Decimal, currency: str, path: str) -> Decimal:
    """Dollars of an amount in cents. Raises `MalformedError` for another currency."""
    if currency != "USD":
        raise MalformedError(f"Anthropic's answer from {path} is in {currency} and not in USD; nothing was counted.")
    return cents / HUNDRED
