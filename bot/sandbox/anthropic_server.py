"""A local Anthropic: both generations of the usage and cost reports and the directories; it rejects invalid queries.

Shapes and rules: platform.claude.com, Usage and Cost API and Admin API (2026), and the types of Anthropic's SDK 2.12.0.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from aiohttp import web

from bot.clock import DAY, HOUR, Clock
from bot.pricing.tokens import TokenCounts
from bot.sandbox import anthropic_query as q
from bot.sandbox.anthropic_usage import (
    ANALYTICS_DIMENSIONS,
    DEFAULT_WORKSPACE_ID,
    DIMENSIONS,
    BilledLine,
    UsageEvent,
    UsageHistory,
    admin_results,
    analytics_counters,
    analytics_rows,
    cents,
    counters,
    flat_rows,
    rfc3339,
    sums,
)
from bot.sandbox.server import Faults, LocalServer, apply

ORGANIZATION_ID = "6f1d2c3b-0000-4000-8000-5a6d9b0c5a01"
ADMIN_KEY = "sk-ant-admin01-sandbox"
ANALYTICS_KEY = "sk-ant-analytics-sandbox"
ANALYTICS_BETA = "analytics-usage-cost-2026-08-24"
SPEED_BETA = "fast-mode-2026-02-01"

USAGE = "/v1/organizations/usage_report/messages"
COST = "/v1/organizations/cost_report"
ANALYTICS_USAGE = "/v1/organizations/analytics/usage"
ANALYTICS_COST = "/v1/organizations/analytics/cost"

BUCKET_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
NOT_BEFORE = datetime.fromisoformat("2026-01-01T00:00:00+00:00")

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Extra:
    """Costs without tokens, such as code execution, on one UTC day."""

    at: datetime
    cost_type: str
    cents: Decimal


class AnthropicSandbox(LocalServer):
    """`history`: all usage. `billed_share`: billed share of the list price, below 1 with a discount."""

    def __init__(
        self,
        clock: Clock,
        history: UsageHistory,
        *,
        workspaces: Mapping[str, str] | None = None,
        keys: Mapping[str, tuple[str, str | None]] | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(port, clock)
        self.clock = clock
        self.history = history
        self.workspaces = dict(workspaces or {})
        self.refuses_speed = False
        """Whether this organization lacks the beta that groups usage by speed."""
        self.hipaa = False
        """Whether this organization has HIPAA readiness, which closes the analytics APIs to it."""
        self.keys = dict(keys or {})
        self.admin_key = ADMIN_KEY
        self.organization: str | None = ORGANIZATION_ID
        """The id in the header of every response; None where a proxy in between drops it."""
        self.archived: set[str] = set()
        """Ids of archived workspaces and keys; workspaces among them are only listed on request."""
        self.page_most: int | None = None
        """Most entries of a page, if fewer than requested."""
        self.faults = Faults()
        self.requests: list[tuple[str, list[tuple[str, str]]]] = []
        self.extras: list[Extra] = []
        self.delay = timedelta(minutes=4)
        self.analytics_behind = timedelta(minutes=5)
        self.billed_share = Decimal(1)
        self.bills: list[BilledLine] = []
        """Bills that replace the ones computed from usage, for days with lines here."""
        for path, handler in {
            USAGE: self._usage,
            COST: self._cost,
            ANALYTICS_USAGE: self._analytics_usage,
            ANALYTICS_COST: self._analytics_cost,
            "/v1/organizations/me": self._me,
            "/v1/organizations/workspaces": self._workspaces,
            "/v1/organizations/api_keys": self._api_keys,
        }.items():
            self.app.router.add_get(path, self._guarded(path, handler))

    def _guarded(self, path: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            self.requests.append((path, list(request.query.items())))
            answer = await answered(request)
            if self.organization is not None and not answer.prepared:
                answer.headers["anthropic-organization-id"] = self.organization
            return answer

        async def answered(request: web.Request) -> web.StreamResponse:
            fault = self.faults.next(path)
            if fault is not None and (answer := await apply(fault, request)) is not None:
                return answer
            if "anthropic-version" not in request.headers:
                return _error(400, "invalid_request_error", "anthropic-version is required")
            key = request.headers.get("x-api-key")
            if key not in (self.admin_key, ANALYTICS_KEY):
                return _error(401, "authentication_error", "invalid x-api-key")
            analytics = path in (ANALYTICS_USAGE, ANALYTICS_COST)
            if key == ANALYTICS_KEY and not analytics:
                return _error(403, "permission_error", "this key may only read analytics")
            if analytics and self.hipaa:
                return _error(400, "invalid_request_error", "not available to organizations with HIPAA readiness")
            if analytics and ANALYTICS_BETA not in _betas(request):
                return _error(400, "invalid_request_error", "the beta header is missing")
            try:
                return await handler(request)
            except q.QueryError as error:
                return _error(400, "invalid_request_error", str(error))

        return guarded

    async def _me(self, request: web.Request) -> web.Response:
        q.known_only(request.query, set())
        return web.json_response({"id": self.organization, "name": "Sandbox", "type": "organization"})

    async def _usage(self, request: web.Request) -> web.Response:
        query = request.query
        q.known_only(query, {"starting_at", "ending_at", "bucket_width", "limit", "page", "group_by[]"})
        width_name = q.one_of(query, "bucket_width", q.WIDTHS, "1d")
        names = q.groups(query, DIMENSIONS, most=5)
        if "speed" in names and (self.refuses_speed or SPEED_BETA not in _betas(request)):
            raise q.QueryError("grouping by speed needs its beta header")

        def results(bucket: Sequence[UsageEvent]) -> list[dict[str, Any]]:
            found = next(iter(sums(bucket, DAY * 365, names).values()), {})
            return [
                dict.fromkeys(DIMENSIONS) | dict(zip(names, group, strict=True)) | counters(counts)
                for group, counts in found.items()
            ]

        return self._buckets(request, width_name, results)

    async def _cost(self, request: web.Request) -> web.Response:
        query = request.query
        q.known_only(query, {"starting_at", "ending_at", "bucket_width", "limit", "page", "group_by[]"})
        q.one_of(query, "bucket_width", ["1d"], "1d")
        names = q.groups(query, ["workspace_id", "description"], most=2)

        def results(bucket: Sequence[UsageEvent]) -> list[dict[str, Any]]:
            totals: dict[tuple[str | None, str | None], Decimal] = {}
            for event in self._billed_by_usage(bucket):
                workspace = event.workspace_id if "workspace_id" in names else None
                model = event.model if "description" in names else None
                totals[workspace, model] = totals.get((workspace, model), Decimal(0)) + cents(event)
            return [
                {
                    "amount": str(amount * self.billed_share),
                    "currency": "USD",
                    "workspace_id": workspace,
                    "description": None if model is None else f"{model} Usage",
                    "model": model,
                    "cost_type": None if model is None else "tokens",
                }
                for (workspace, model), amount in totals.items()
            ]

        def more(starts_at: datetime, ends_at: datetime) -> list[dict[str, Any]]:
            lines = self._bill_lines(starts_at, ends_at)
            return [*admin_results(lines, names), *self._extra_results(starts_at, ends_at)]

        return self._buckets(request, "1d", results, more)

    def _billed_by_usage(self, events: Sequence[UsageEvent]) -> list[UsageEvent]:
        apart = {line.day for line in self.bills}
        return [event for event in events if event.at.date() not in apart]

    def _bill_lines(self, starts_at: datetime, ends_at: datetime) -> list[BilledLine]:
        until = min(ends_at, self.clock())
        return [line for line in self.bills if starts_at <= line.starts_at < until]

    def _extra_results(self, starts_at: datetime, ends_at: datetime) -> list[dict[str, Any]]:
        return [
            {
                "amount": str(extra.cents),
                "currency": "USD",
                "workspace_id": None,
                "description": "Code Execution Usage",
                "cost_type": extra.cost_type,
            }
            for extra in self.extras
            if starts_at <= extra.at < ends_at and extra.at <= self.clock()
        ]

    def _buckets(
        self,
        request: web.Request,
        width_name: str,
        results: Callable[[Sequence[UsageEvent]], list[dict[str, Any]]],
        more: Callable[[datetime, datetime], list[dict[str, Any]]] = lambda starts_at, ends_at: [],
    ) -> web.Response:
        query, width = request.query, q.WIDTHS[width_name]
        limit = self.page_of(q.whole_number(query, "limit", *BUCKET_LIMITS[width_name]))
        now = self.clock()
        starts_at = q.floor_to(q.required_moment(query, "starting_at"), width)
        ends_at = min(q.moment(query, "ending_at") or now, now)
        count = max(0, -((starts_at - ends_at) // width))
        first = q.offset(query)
        data = []
        for index in range(first, min(first + limit, count)):
            begins = starts_at + index * width
            bucket = self.history.shown(begins, begins + width, now, self.delay)
            data.append(
                {
                    "starting_at": rfc3339(begins),
                    "ending_at": rfc3339(begins + width),
                    "results": [*results(bucket), *more(begins, begins + width)],
                }
            )
        has_more = first + limit < count
        next_page = q.page_token(query, first + limit) if has_more else None
        return web.json_response({"data": data, "has_more": has_more, "next_page": next_page})

    async def _analytics_usage(self, request: web.Request) -> web.Response:
        return self._flat(request, "usage", lambda counts, money: analytics_counters(counts))

    async def _analytics_cost(self, request: web.Request) -> web.Response:
        return self._flat(
            request,
            "cost",
            lambda counts, money: {
                "amount": str(money * self.billed_share),
                "list_amount": str(money),
                "currency": "USD",
                "requests": None,
            },
        )

    def _flat(
        self, request: web.Request, kind: str, value: Callable[[TokenCounts, Decimal], dict[str, Any]]
    ) -> web.Response:
        query = request.query
        allowed = {"starting_at", "ending_at", "time_bucket_width", "limit", "page", "group_by[]", "order_by"}
        q.known_only(query, allowed | {"order", "api_key_ids[]", "beta"})
        width = q.WIDTHS[q.one_of(query, "time_bucket_width", q.WIDTHS, "1d")] if "time_bucket_width" in query else None
        starts_at, ends_at = self._analytics_range(request, width)
        by_size = "total_tokens" if kind == "usage" else "amount"
        free = {"cost_type"} if kind == "cost" else set()
        names = q.groups(query, {*ANALYTICS_DIMENSIONS, *free}, most=5, free=free)
        by = q.one_of(query, "order_by", {"time", by_size}, by_size)
        order = q.one_of(query, "order", {"asc", "desc"}, "desc")
        now = self.clock()
        events = self.history.shown(starts_at, ends_at, now, min(self.delay, self.analytics_behind))
        events = [event for event in events if event.at <= now - self.analytics_behind]
        if query.getall("api_key_ids[]", []) == [""]:
            events = [event for event in events if event.api_key_id is None]
        if kind == "cost":
            events = self._billed_by_usage(events)

        def bucket_of(moment: datetime) -> tuple[datetime, datetime]:
            if width is None:
                return starts_at, ends_at
            begins = q.floor_to(moment, width)
            return begins, begins + width

        rows = flat_rows(events, bucket_of, names, kind, value)
        if kind == "cost":
            rows += analytics_rows(self._bill_lines(starts_at, ends_at), names)
            rows += self._extra_rows(starts_at, ends_at, names)
        if by == "time":
            rows.sort(key=lambda row: str(row["starting_at"]), reverse=True)
        if order == "asc":
            rows.reverse()
        limit = self.page_of(q.whole_number(query, "limit", 20, 1000))
        first = q.offset(query)
        has_more = first + limit < len(rows)
        return web.json_response(
            {
                "data": rows[first : first + limit],
                "has_more": has_more,
                "next_page": q.page_token(query, first + limit) if has_more else None,
                "data_refreshed_at": rfc3339(now - self.analytics_behind),
            }
        )

    def _analytics_range(self, request: web.Request, width: timedelta | None) -> tuple[datetime, datetime]:
        starts_at = q.required_moment(request.query, "starting_at")
        if width is None:
            ends_at = q.moment(request.query, "ending_at") or min(self.clock(), starts_at + 31 * DAY)
            starts_at, ends_at = q.floor_to(starts_at, HOUR), q.floor_to(ends_at, HOUR)
        else:
            ends_at = q.required_moment(request.query, "ending_at")
        longest = DAY if width == q.WIDTHS["1m"] else 31 * DAY
        if ends_at <= starts_at:
            raise q.QueryError("ending_at must be after starting_at")
        if ends_at - starts_at > longest:
            raise q.QueryError("the range is too long for this bucket width")
        if starts_at < NOT_BEFORE or starts_at < self.clock() - 365 * DAY:
            raise q.QueryError("starting_at is too far back")
        return starts_at, ends_at

    def _extra_rows(self, starts_at: datetime, ends_at: datetime, names: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {
                "starting_at": rfc3339(q.floor_to(extra.at, DAY)),
                "ending_at": rfc3339(q.floor_to(extra.at, DAY) + DAY),
                "group": dict.fromkeys((*ANALYTICS_DIMENSIONS, "cost_type"))
                | ({"workspace_id": DEFAULT_WORKSPACE_ID} if "workspace_id" in names else {})
                | ({"cost_type": extra.cost_type} if "cost_type" in names else {}),
                "cost": {
                    "amount": str(extra.cents),
                    "list_amount": str(extra.cents),
                    "currency": "USD",
                    "requests": None,
                },
            }
            for extra in self.extras
            if starts_at <= extra.at < ends_at and extra.at <= self.clock()
        ]

    async def _workspaces(self, request: web.Request) -> web.Response:
        archived = q.one_of(request.query, "include_archived", {"true", "false"}, "false") == "true"
        default = q.one_of(request.query, "include_default", {"true", "false"}, "false") == "true"
        listed = {**self.workspaces, **({DEFAULT_WORKSPACE_ID: "Default"} if default else {})}
        rows = [
            {
                "id": id_,
                "name": name,
                "type": "workspace",
                "archived_at": rfc3339(NOT_BEFORE) if id_ in self.archived else None,
            }
            for id_, name in listed.items()
            if archived or id_ not in self.archived
        ]
        return self._listed(request, rows)

    async def _api_keys(self, request: web.Request) -> web.Response:
        rows = [
            {
                "id": id_,
                "name": name,
                "workspace_id": workspace,
                "status": "archived" if id_ in self.archived else "active",
                "type": "api_key",
            }
            for id_, (name, workspace) in self.keys.items()
        ]
        return self._listed(request, rows)

    def _listed(self, request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
        q.known_only(request.query, {"limit", "after_id", "include_archived", "include_default"})
        limit = self.page_of(q.whole_number(request.query, "limit", 20, 1000))
        ids = [row["id"] for row in rows]
        after = request.query.get("after_id")
        first = ids.index(after) + 1 if after in ids else 0
        page = rows[first : first + limit]
        return web.json_response(
            {
                "data": page,
                "has_more": first + limit < len(rows),
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
            }
        )

    def page_of(self, limit: int) -> int:
        """Entries of a page when at most `limit` are requested."""
        return min(limit, self.page_most or limit)


def _betas(request: web.Request) -> list[str]:
    return [beta.strip() for beta in request.headers.get("anthropic-beta", "").split(",")]


def _error(status: int, kind: str, message: str) -> web.Response:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_sandbox"}
    return web.json_response(body, status=status)
