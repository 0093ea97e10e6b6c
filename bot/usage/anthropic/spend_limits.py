"""The limit that stops requests: what is set in Anthropic's Console, from the Spend Limits API where it is open.

Source: Anthropic's SDK 2.12.0 (types) and the documentation of September 2026; for Console organizations an early
preview. `amount` is a string of whole cents, or null where nothing is capped. Pages end where `next_page` is null.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bot.usage.anthropic.client import Query, Transport
from bot.usage.anthropic.responses import Answer, Cents, Currency, parsed, usd_from_cents
from bot.usage.model import MalformedError

SPEND_LIMITS_PATH = "/v1/organizations/spend_limits"
BETA = "spend-limit-reads-2026-09-26"

MOST_PAGES = 100


@dataclass(frozen=True, slots=True)
class ConsoleLimits:
    """Monthly USD of the whole organization. `own_usd`: set by itself, `tier_usd`: Anthropic's cap; None: none."""

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


class _Page(Answer):
    data: list[Any]
    next_page: str | None = None


async def read_console_limits(transport: Transport) -> ConsoleLimits:
    """The organization's monthly limits. Raises `SourceError`, mostly because the key may not read them."""
    limits = await _limits(transport)
    return ConsoleLimits(_lowest(limits, "organization"), _lowest(limits, "usage_tier"))


def _lowest(limits: list[_SpendLimit], scope: str) -> Decimal | None:
    amounts = [
        usd_from_cents(limit.amount, limit.currency, SPEND_LIMITS_PATH)
        for limit in limits
        if limit.scope.type == scope and limit.period == "monthly" and limit.is_enabled and limit.amount is not None
    ]
    return min(amounts, default=None)


async def _limits(transport: Transport) -> list[_SpendLimit]:
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
    raise MalformedError(f"Anthropic's pages from {SPEND_LIMITS_PATH} do not come to an end.")
