"""An organisation's own limits: its rate limits, and the spend limit that is set in Anthropic's Console.

Source: platform.claude.com, Rate Limits API. A group is identified by `group_type` (August 2026), by `group.type`
(version 2026-10-21 and SDK 2.x), or by both (October 2026). Pages end where `next_page` is null.

Source: Anthropic's SDK 2.12.0 (types) and the documentation of September 2026; for Console organizations an early
preview. `amount` is a string of whole cents, or null where nothing is capped. Pages end where `next_page` is null.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from bot.clock import HOUR, Clock, is_over
from bot.language import tr_lazy
from bot.pricing.throughput import Limiter, Limits, Pool, load_rate_limits, pool_of
from bot.usage.anthropic.client import NotServedError, Query, Transport
from bot.usage.anthropic.responses import Answer, Cents, Count, Currency, parsed, usd_from_cents
from bot.usage.model import MalformedError, RefusedError, SourceError

RATE_LIMITS_PATH = "/v1/organizations/rate_limits"

MOST_PAGES = 100

LIMITERS: Mapping[str, Limiter] = {
    "requests_per_minute": "requests_per_minute",
    "input_tokens_per_minute": "input_tokens_per_minute",
    "input_tokens_per_minute_cache_aware": "input_tokens_per_minute",
    "output_tokens_per_minute": "output_tokens_per_minute",
    "enqueued_batch_requests": "enqueued_batch_requests",
}
"""The limits that a workload is compared with; of two for the same pool, the lower one binds."""


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """The limits by pool, as `bot.pricing.throughput.fit` takes them; or None with one sentence on why not."""

    measured: Mapping[Pool, Limits] | None
    why_not: str | None = None


class _Limit(Answer):
    """`value` null: the limit exists, its figure is not disclosed."""

    type: str
    value: Count | None


class _Group(Answer):
    type: str
    display_name: str | None = None


class _Entry(Answer):
    group_type: str | None = None
    group: _Group | None = None
    models: list[str] | None = None
    limits: list[dict[str, Any]]

    @property
    def kind(self) -> str | None:
        return self.group_type if self.group is None else self.group.type


class _Page(Answer):
    data: list[Any]
    next_page: str | None = None


async def read_rate_limits(transport: Transport) -> OwnLimits:
    """The organization's limits of every model group and of its batch queue. Never raises `SourceError`."""
    try:
        return OwnLimits(dict(_pools(await _entries(transport))))
    except SourceError as error:
        return OwnLimits(None, f"Your organization's own rate limits are not known: {_because(error)}")


def _because(error: SourceError) -> str:
    if isinstance(error, RefusedError):
        return "ANTHROPIC_ADMIN_KEY may not read them; an Admin key of an organization may."
    if isinstance(error, NotServedError):
        return "they are not served at ANTHROPIC_BASE_URL, or not to this organization; the Console shows them."
    if isinstance(error, MalformedError):
        return "Anthropic's answer does not have the documented shape; the Console shows them."
    return str(error)


async def _entries(transport: Transport) -> list[_Entry]:
    entries: list[_Entry] = []
    query: Query = []
    for _ in range(MOST_PAGES):
        page = parsed(_Page, await transport.get(RATE_LIMITS_PATH, query), RATE_LIMITS_PATH)
        entries += [parsed(_Entry, value, RATE_LIMITS_PATH) for value in page.data]
        if page.next_page is None:
            return entries
        if query == [("page", page.next_page)]:
            break
        query = [("page", page.next_page)]
    raise MalformedError(tr_lazy("Anthropic's pages from {path} do not come to an end.", path=RATE_LIMITS_PATH))


def _pools(entries: Iterable[_Entry]) -> Iterable[tuple[Pool, Limits]]:
    for entry in entries:
        if entry.kind is None:
            raise MalformedError(
                tr_lazy("Anthropic's answer from {path} has an entry without a group.", path=RATE_LIMITS_PATH)
            )
        if entry.kind == "batch":
            yield pool_of("", load_rate_limits().limits, batch=True), _limits(entry)
        elif entry.kind == "model_group" and entry.models:
            yield Pool(_name(entry, entry.models), frozenset(entry.models)), _limits(entry)


def _name(entry: _Entry, models: list[str]) -> str:
    """Anthropic's label of the group, or before labels the table's name for the first model of it that it knows."""
    if entry.group is not None and entry.group.display_name:
        return entry.group.display_name.removeprefix("Claude ")
    known = load_rate_limits().limits
    named = (pool_of(model, known) for model in models)
    return next((pool.name for pool in named if pool in known), models[0])


def _limits(entry: _Entry) -> Limits:
    limits: dict[Limiter, int] = {}
    for each in entry.limits:
        limiter = LIMITERS.get(str(each.get("type")))
        if limiter is None:
            continue
        value = parsed(_Limit, each, RATE_LIMITS_PATH).value
        if value is not None:
            limits[limiter] = min(value, limits.get(limiter, value))
    return limits


FRESH_FOR = HOUR
PATIENCE = timedelta(seconds=2)
"""Longest wait of an estimate: after it, the estimate uses the table, and the next one has the limits."""


class RateLimitCache:
    """Caches the limits for an hour. Never raises: limits that cannot be read are unknown."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._known: Mapping[Pool, Limits] | None = None
        self._asked_at: datetime | None = None
        self._asking: asyncio.Task[None] | None = None

    @property
    def known(self) -> Mapping[Pool, Limits] | None:
        """The cached limits, without waiting."""
        return self._known

    async def measured(self) -> Mapping[Pool, Limits] | None:
        """The limits as of the last hour; None if unknown."""
        now = self._clock()
        if self._asked_at is None or is_over(FRESH_FOR, self._asked_at, now):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None and not self._asking.done():
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._asking), PATIENCE.total_seconds())
        return self._known

    async def close(self) -> None:
        """Cancel running requests."""
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking

    async def _ask(self) -> None:
        self._known = (await read_rate_limits(self._transport)).measured


SPEND_LIMITS_PATH = "/v1/organizations/spend_limits"
BETA = "spend-limit-reads-2026-09-26"


@dataclass(frozen=True, slots=True)
class ConsoleLimits:
    """Monthly USD of the whole organization. `own_usd`: its own limit, `tier_usd`: Anthropic's cap; None: none."""

    own_usd: Decimal | None
    tier_usd: Decimal | None


class _Scope(Answer):
    type: str


class _SpendLimit(Answer):
    amount: Cents | None
    currency: Currency
    is_enabled: bool
    period: str
    scope: _Scope


async def read_console_limits(transport: Transport) -> ConsoleLimits:
    """The organization's monthly limits. Raises `SourceError`, mostly because the key may not read them."""
    limits = await _spend_limits(transport)
    return ConsoleLimits(_lowest(limits, "organization"), _lowest(limits, "usage_tier"))


def _lowest(limits: list[_SpendLimit], scope: str) -> Decimal | None:
    amounts = [
        usd_from_cents(limit.amount, limit.currency, SPEND_LIMITS_PATH)
        for limit in limits
        if limit.scope.type == scope and limit.period == "monthly" and limit.is_enabled and limit.amount is not None
    ]
    return min(amounts, default=None)


async def _spend_limits(transport: Transport) -> list[_SpendLimit]:
    limits: list[_SpendLimit] = []
    query: Query = []
    for _ in range(MOST_PAGES):
        page = parsed(_Page, await transport.get(SPEND_LIMITS_PATH, query, [BETA]), SPEND_LIMITS_PATH)
        limits += [parsed(_SpendLimit, value, SPEND_LIMITS_PATH) for value in page.data]
        if page.next_page is None:
            return limits
        if query == [("page", page.next_page)]:
            break
        query = [("page", page.next_page)]
    raise MalformedError(tr_lazy("Anthropic's pages from {path} do not come to an end.", path=SPEND_LIMITS_PATH))
