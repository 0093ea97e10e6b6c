"""The limits of the local Anthropic: its Rate Limits API in every documented shape, and its Spend Limits API.

Shapes and rules: platform.claude.com, Rate Limits API (August and October 2026), and the types of the SDK 2.12.0.

Shapes and rules: the types of Anthropic's SDK 2.12.0 and the documentation of September 2026.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from bot.sandbox import anthropic_query as q
from bot.sandbox.anthropic_server import ADMIN_KEY, ANALYTICS_KEY, NOT_BEFORE, AnthropicSandbox
from bot.sandbox.anthropic_usage import rfc3339
from bot.sandbox.server import apply

RATE_LIMITS = "/v1/organizations/rate_limits"

GROUP_TYPES = ("model_group", "batch", "token_count", "files", "skills", "web_search")

Shape = Literal["group_type", "both", "group"]
"""`group_type`: August 2026. `both`: October 2026, version 2023-06-01. `group`: version 2026-10-21."""


@dataclass(frozen=True, slots=True)
class LimitGroup:
    """One group of limits. `models` and `display_name`: only of a `model_group`."""

    group_type: str
    limits: Mapping[str, int]
    models: tuple[str, ...] | None = None
    display_name: str | None = None


@dataclass(slots=True)
class LimitTable:
    """Content of the endpoint. `most_per_page`: the server's own bound on a page; None: all on one page."""

    groups: list[LimitGroup] = field(default_factory=list)
    shape: Shape = "both"
    most_per_page: int | None = None


def serve_rate_limits(server: AnthropicSandbox, table: LimitTable) -> None:
    """Add the endpoint to `server`, before its start."""

    async def answer(request: web.Request) -> web.StreamResponse:
        server.requests.append((RATE_LIMITS, list(request.query.items())))
        fault = server.faults.next(RATE_LIMITS)
        if fault is not None and (failed := await apply(fault, request)) is not None:
            return failed
        if "anthropic-version" not in request.headers:
            return _error(400, "invalid_request_error", "anthropic-version is required")
        key = request.headers.get("x-api-key")
        if key == ANALYTICS_KEY:
            return _error(403, "permission_error", "this key may only read analytics")
        if key != ADMIN_KEY:
            return _error(401, "authentication_error", "invalid x-api-key")
        try:
            return _page(request, table)
        except q.QueryError as error:
            return _error(400, "invalid_request_error", str(error))

    server.app.router.add_get(RATE_LIMITS, answer)


def _page(request: web.Request, table: LimitTable) -> web.Response:
    query = request.query
    q.known_only(query, {"group_type", "model", "limit", "page"})
    if "group_type" in query:
        q.one_of(query, "group_type", GROUP_TYPES, "model_group")
    asked_type, asked_model = query.get("group_type"), query.get("model")
    entries = [
        _entry(number, group, table.shape)
        for number, group in enumerate(table.groups)
        if asked_type in (None, group.group_type) and (asked_model is None or asked_model in (group.models or ()))
    ]
    if asked_model is not None and not entries:
        return _error(404, "not_found_error", f"no rate limits for {asked_model}")
    first, most = q.offset(query), _page_size(request, table, entries)
    has_more = first + most < len(entries)
    next_page = q.page_token(query, first + most) if has_more else None
    return web.json_response({"data": entries[first : first + most], "next_page": next_page})


def _page_size(request: web.Request, table: LimitTable, entries: Sequence[object]) -> int:
    default = table.most_per_page or max(1, len(entries))
    return q.whole_number(request.query, "limit", default, 1000)


def _entry(number: int, group: LimitGroup, shape: Shape) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "rate_limit",
        "models": None if group.models is None else list(group.models),
        "limits": [{"type": kind, "value": value} for kind, value in group.limits.items()],
    }
    if shape != "group":
        entry["group_type"] = group.group_type
    if shape != "group_type":
        entry["group"] = {"type": group.group_type, "id": f"rlg_{number:02}"}
        if group.display_name is not None:
            entry["group"]["display_name"] = group.display_name
    if shape == "group":
        entry["id"] = f"rlg_{number:02}"
    return entry


def _error(status: int, kind: str, message: str) -> web.Response:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_sandbox"}
    return web.json_response(body, status=status)


SPEND_LIMITS = "/v1/organizations/spend_limits"
BETA = "spend-limit-reads-2026-09-26"

ScopeType = Literal["organization", "usage_tier", "workspace"]
"""Types of Console organizations; any other gets a 400."""


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """A spend limit. `amount`: whole cents as a string, None: no cap."""

    scope: ScopeType
    amount: str | None
    period: Literal["daily", "weekly", "monthly"] = "monthly"
    is_enabled: bool = True
    workspace_id: str | None = None


@dataclass(slots=True)
class SpendLimitTable:
    """Content of the endpoint. `open_to_us`: whether the organization has early access."""

    limits: list[SpendLimit] = field(default_factory=list)
    open_to_us: bool = True


def serve_spend_limits(server: AnthropicSandbox, table: SpendLimitTable) -> None:
    """Add the endpoint to `server`, before its start."""

    async def answer(request: web.Request) -> web.StreamResponse:
        server.requests.append((SPEND_LIMITS, list(request.query.items())))
        fault = server.faults.next(SPEND_LIMITS)
        if fault is not None and (failed := await apply(fault, request)) is not None:
            return failed
        key = request.headers.get("x-api-key")
        if key not in (ADMIN_KEY, ANALYTICS_KEY):
            return _error(401, "authentication_error", "invalid x-api-key")
        if key == ANALYTICS_KEY or not table.open_to_us:
            return _error(403, "permission_error", "this key may not read spend limits")
        if "anthropic-version" not in request.headers or BETA not in request.headers.get("anthropic-beta", ""):
            return _error(400, "invalid_request_error", "anthropic-version and the beta header are required")
        try:
            return _spend_limits_page(request, table)
        except q.QueryError as error:
            return _error(400, "invalid_request_error", str(error))

    server.app.router.add_get(SPEND_LIMITS, answer)


def _spend_limits_page(request: web.Request, table: SpendLimitTable) -> web.Response:
    query = request.query
    q.known_only(query, {"limit", "page", "scope_type[]", "workspace_id"})
    asked = query.getall("scope_type[]", ["organization", "usage_tier", "workspace"])
    if not set(asked) <= {"organization", "usage_tier", "workspace"}:
        raise q.QueryError("this scope type does not apply to the organization")
    entries = [_spend_limit_entry(number, limit) for number, limit in enumerate(table.limits) if limit.scope in asked]
    first, most = q.offset(query), q.whole_number(query, "limit", 20, 1000)
    next_page = q.page_token(query, first + most) if first + most < len(entries) else None
    return web.json_response({"data": entries[first : first + most], "next_page": next_page})


def _spend_limit_entry(number: int, limit: SpendLimit) -> dict[str, Any]:
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
