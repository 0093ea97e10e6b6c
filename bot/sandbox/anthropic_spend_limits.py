"""The Spend Limits API of the local Anthropic, for reading.

Shapes and rules: the types of Anthropic's SDK 2.12.0 and the documentation of September 2026.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from bot.sandbox import anthropic_query as q
from bot.sandbox.anthropic_server import ADMIN_KEY, ANALYTICS_KEY, NOT_BEFORE, AnthropicSandbox
from bot.sandbox.anthropic_usage import rfc3339
from bot.sandbox.server import apply

SPEND_LIMITS = "/v1/organizations/spend_limits"
BETA = "spend-limit-reads-2026-09-26"

ScopeType = Literal["organization", "usage_tier", "workspace"]
"""Those of Console organizations; any other is answered with 400."""


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """`amount`: whole cents as a string, None: no cap."""

    scope: ScopeType
    amount: str | None
    period: Literal["daily", "weekly", "monthly"] = "monthly"
    is_enabled: bool = True
    workspace_id: str | None = None


@dataclass(slots=True)
class SpendLimitBook:
    """What the endpoint answers with. `open_to_us`: whether the organization has the early access."""

    limits: list[SpendLimit] = field(default_factory=list)
    open_to_us: bool = True


def serve_spend_limits(server: AnthropicSandbox, book: SpendLimitBook) -> None:
    """Add the endpoint to `server`, before its start."""

    async def answer(request: web.Request) -> web.StreamResponse:
        server.requests.append((SPEND_LIMITS, list(request.query.items())))
        fault = server.faults.next(SPEND_LIMITS)
        if fault is not None and (failed := await apply(fault, request)) is not None:
            return failed
        key = request.headers.get("x-api-key")
        if key not in (ADMIN_KEY, ANALYTICS_KEY):
            return _error(401, "authentication_error", "invalid x-api-key")
        if key == ANALYTICS_KEY or not book.open_to_us:
            return _error(403, "permission_error", "this key may not read spend limits")
        if "anthropic-version" not in request.headers or BETA not in request.headers.get("anthropic-beta", ""):
            return _error(400, "invalid_request_error", "anthropic-version and the beta header are required")
        try:
            return _page(request, book)
        except q.QueryError as error:
            return _error(400, "invalid_request_error", str(error))

    server.app.router.add_get(SPEND_LIMITS, answer)


def _page(request: web.Request, book: SpendLimitBook) -> web.Response:
    query = request.query
    q.known_only(query, {"limit", "page", "scope_type[]", "workspace_id"})
    asked = query.getall("scope_type[]", ["organization", "usage_tier", "workspace"])
    if not set(asked) <= {"organization", "usage_tier", "workspace"}:
        raise q.QueryError("this scope type does not apply to the organization")
    entries = [_entry(number, limit) for number, limit in enumerate(book.limits) if limit.scope in asked]
    first, most = q.offset(query), q.whole_number(query, "limit", 20, 1000)
    next_page = q.page_token(query, first + most) if first + most < len(entries) else None
    return web.json_response({"data": entries[first : first + most], "next_page": next_page})


def _entry(number: int, limit: SpendLimit) -> dict[str, Any]:
    scope = {"type": limit.scope} | ({"workspace_id": limit.workspace_id} if limit.scope == "workspace" else {})
    return {
        "id": f"spl_{number:02}",
        "type": "spend_limit",
        "amount": limit.amount,
        "currency": "USD",
        "period": limit.period,
        "scope": scope,
        "is_enabled": limit.is_enabled,
        "created_at": rfc3339(NOT_BEFORE),
        "updated_at": rfc3339(NOT_BEFORE),
    }


def _error(status: int, kind: str, message: str) -> web.Response:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_sandbox"}
    return web.json_response(body, status=status)
