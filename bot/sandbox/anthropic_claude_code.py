"""The local Anthropic's report of Claude Code: each user's spend on a UTC day.

Shapes and rules: platform.claude.com, Claude Code Analytics API (2026).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from aiohttp import web

from bot.sandbox import anthropic_query as q
from bot.sandbox.anthropic_server import ADMIN_KEY, ANALYTICS_KEY, AnthropicSandbox
from bot.sandbox.anthropic_usage import rfc3339
from bot.sandbox.server import apply

CLAUDE_CODE = "/v1/organizations/usage_report/claude_code"


@dataclass(frozen=True, slots=True)
class CodeDay:
    """One user's day with one model. `who`: an email address, or the name of a key. `cents`: a number, estimated."""

    day: date
    who: str
    cents: float
    tokens_in: int = 0
    tokens_out: int = 0
    on_a_plan: bool = False


@dataclass(slots=True)
class CodeDays:
    """Content of the endpoint."""

    days: list[CodeDay] = field(default_factory=list)


def serve_claude_code(server: AnthropicSandbox, table: CodeDays) -> None:
    """Add the endpoint to `server`, before its start."""

    async def answer(request: web.Request) -> web.StreamResponse:
        server.requests.append((CLAUDE_CODE, list(request.query.items())))
        fault = server.faults.next(CLAUDE_CODE)
        if fault is not None and (failed := await apply(fault, request)) is not None:
            return failed
        key = request.headers.get("x-api-key")
        if key not in (ADMIN_KEY, ANALYTICS_KEY):
            return _error(401, "authentication_error", "invalid x-api-key")
        if key == ANALYTICS_KEY:
            return _error(403, "permission_error", "this key may not read the Claude Code report")
        if "anthropic-version" not in request.headers:
            return _error(400, "invalid_request_error", "anthropic-version is required")
        try:
            return _page(request, table.days)
        except q.QueryError as error:
            return _error(400, "invalid_request_error", str(error))

    server.app.router.add_get(CLAUDE_CODE, answer)


def _page(request: web.Request, days: Sequence[CodeDay]) -> web.Response:
    query = request.query
    q.known_only(query, {"starting_at", "limit", "page"})
    try:
        day = date.fromisoformat(query.get("starting_at", ""))
    except ValueError:
        raise q.QueryError("starting_at must be YYYY-MM-DD") from None
    records = [_record(each) for each in days if each.day == day]
    first, most = q.offset(query), q.whole_number(query, "limit", 20, 1000)
    has_more = first + most < len(records)
    return web.json_response(
        {
            "data": records[first : first + most],
            "has_more": has_more,
            "next_page": q.page_token(query, first + most) if has_more else None,
        }
    )


def _record(used: CodeDay) -> dict[str, Any]:
    is_user = "@" in used.who
    actor = {"email_address": used.who} if is_user else {"api_key_name": used.who}
    return {
        "date": rfc3339(datetime.combine(used.day, time(), UTC)),
        "organization_id": "org_sandbox",
        "actor": {"type": "user_actor" if is_user else "api_actor", **actor},
        "customer_type": "subscription" if used.on_a_plan else "api",
        "subscription_type": "team" if used.on_a_plan else None,
        "terminal_type": "vscode",
        "model_breakdown": [
            {
                "model": "claude-opus-4-8",
                "tokens": {"input": used.tokens_in, "output": used.tokens_out, "cache_read": 0, "cache_creation": 0},
                "estimated_cost": {"amount": used.cents, "currency": "USD"},
            }
        ],
    }


def _error(status: int, kind: str, message: str) -> web.Response:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_sandbox"}
    return web.json_response(body, status=status)
