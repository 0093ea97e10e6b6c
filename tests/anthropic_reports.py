"""Base of the tests of usage sources: a local Anthropic, the wire to it, a store, a clock moved by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import SecretStr
from sqlalchemy import Engine, select

from bot.clock import HOUR
from bot.db.schema import usage
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.sandbox.anthropic_server import ADMIN_KEY, AnthropicSandbox
from bot.sandbox.anthropic_usage import DIMENSIONS, UsageEvent, UsageHistory
from bot.sandbox.clock import HandClock
from bot.usage.anthropic.admin import PAGE_MOST_BYTES, AdminSource
from bot.usage.anthropic.analytics import AnalyticsSource
from bot.usage.anthropic.client import Transport
from bot.usage.directory import UNKNOWN_WORKSPACE, Directory
from bot.usage.model import DEFAULT_WORKSPACE, SourceName, UsageChoice, UsageReading
from bot.usage.plan import SIZES, Sizes
from bot.usage.poller import Poller
from bot.usage.store import UsageStore
from tests.databases import open_migrated

MONTH = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

USAGE = "/v1/organizations/usage_report/messages"
COST = "/v1/organizations/cost_report"
ANALYTICS_USAGE = "/v1/organizations/analytics/usage"
ANALYTICS_COST = "/v1/organizations/analytics/cost"
WORKSPACES = "/v1/organizations/workspaces"
KEYS = "/v1/organizations/api_keys"

OPUS, SONNET = "claude-opus-5-5", "claude-sonnet-5-5"
SEARCH, SUPPORT = "wrkspc_01Search", "wrkspc_01Support"
INGEST, ANSWERS, REVIEW = "apikey_01Ingest", "apikey_01Answers", "apikey_01Review"
KEY_WORKSPACES: Mapping[str, str | None] = {INGEST: SEARCH, ANSWERS: SUPPORT, REVIEW: None}

Answering = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it went over the wire. `query` is not decoded."""

    path: str
    query: str
    headers: Mapping[str, str]

    def values(self, name: str) -> list[str]:
        """Every value of a parameter, decoded."""
        return httpx.QueryParams(self.query).get_list(name)


class Wire:
    """Between a client and the local Anthropic: keeps every call, and answers in its place where a test says so."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._script: dict[str, list[Answering]] = {}

    def script(self, path: str, *answers: Answering, times: int = 1) -> None:
        """The next calls of `path` are answered like this, in order; those after them by the local Anthropic."""
        self._script.setdefault(path, []).extend(answers * times)

    def forget(self) -> None:
        """Forget the calls and the scripted faults."""
        self.calls.clear()
        self._script.clear()

    def to(self, path: str) -> list[Call]:
        """The calls of one path."""
        return [call for call in self.calls if call.path == path]

    def through(self, application: web.Application) -> None:
        """Stand in front of an application that has not started yet."""

        @web.middleware
        async def between(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.calls.append(Call(request.path, request.rel_url.raw_query_string, dict(request.headers)))
            script = self._script.get(request.path)
            return await (script.pop(0) if script else passes)(request, handler)

        application.middlewares.append(between)


async def passes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The local Anthropic's own answer."""
    return await handler(request)


def says(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answering:
    """An answer with this body: text and bytes as they are, everything else as JSON."""

    async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
        raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        return web.Response(status=status, body=raw, headers=headers, content_type="application/json")

    return answering


def fails(status: int, headers: Mapping[str, str] | None = None, **error: Any) -> Answering:
    """An error in the documented shape."""
    return says({"type": "error", "error": {"type": "api_error", **error}, "request_id": "req_1"}, status, headers)


def altered(change: Callable[[Any], Any]) -> Answering:
    """The local Anthropic's own answer, changed: `change` alters the body in place or returns another one."""

    async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        assert isinstance(answer, web.Response)
        body = json.loads(answer.text or "")
        changed = change(body)
        return web.json_response(body if changed is None else changed)

    return answering


async def drops(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The connection ends without an answer."""
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError("dropped")


async def never_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The connection stays open and silent until the client gives up."""
    await asyncio.Event().wait()
    raise AssertionError("nothing sets this event")


@dataclass(slots=True)
class Reports:
    """A local Anthropic, the wire to it, and what a poller needs. `slept`: the waits between attempts, in seconds."""

    clock: HandClock
    server: AnthropicSandbox
    wire: Wire
    http: httpx.AsyncClient
    engine: Engine
    slept: list[float] = field(default_factory=list)

    @property
    def history(self) -> UsageHistory:
        return self.server.history

    @property
    def store(self) -> UsageStore:
        return UsageStore(self.engine)

    def transport(self, key: str | None = ADMIN_KEY, most_waiting: timedelta | None = None) -> Transport:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            await asyncio.sleep(0)

        return Transport(self.http, SecretStr(key) if key else None, most_waiting=most_waiting, sleep=sleep)

    def directory(self, transport: Transport) -> Directory:
        return Directory(transport, self.store, self.clock)

    def admin(self, key: str = ADMIN_KEY, page_bytes: int = PAGE_MOST_BYTES) -> AdminSource:
        transport = self.transport(key)
        return AdminSource(transport, self.directory(transport), self.clock, page_bytes)

    def analytics(self, key: str = ADMIN_KEY) -> AnalyticsSource:
        transport = self.transport(key)
        return AnalyticsSource(transport, self.directory(transport))

    def poller(self, choice: UsageChoice = "auto", key: str = ADMIN_KEY, sizes: Sizes = SIZES) -> Poller:
        transport = self.transport(key)
        directory = self.directory(transport)
        sources = {
            "analytics": AnalyticsSource(transport, directory),
            "admin": AdminSource(transport, directory, self.clock),
        }
        return Poller(self.store, sources, choice, self.clock, sizes=sizes)  # type: ignore[arg-type]

    def use(
        self,
        output: int,
        at: datetime | None = None,
        *,
        model: str = OPUS,
        key: str | None = INGEST,
        workspace: str | None = None,
        terms: Terms = STANDARD,
        visible_at: datetime | None = None,
    ) -> UsageEvent:
        """Use output tokens, ten minutes ago by default; a key's workspace is its own."""
        where = workspace if key is None else KEY_WORKSPACES.get(key, workspace)
        counts = TokenCounts(output_tokens=output)
        event = UsageEvent(at or self.clock() - 10 * MINUTE, model, counts, where, key, terms, visible_at)
        self.history.add(event)
        return event

    def output(self, since: datetime = MONTH) -> int:
        """Output tokens in the store from `since` on."""
        found = self.store.buckets(since, self.clock() + HOUR)
        return sum(row.counts.output_tokens for row in found)

    def stored(self) -> "Sums":
        """Everything in the store, by hour."""
        columns = [usage.c[name] for name in TokenCounts._fields]
        query = select(usage.c.hour, usage.c.model, usage.c.workspace_id, usage.c.api_key_id, *TERMS, *columns)
        sums: Sums = {}
        with self.engine.connect() as connection:
            for hour, model, workspace, key, tier, geo, speed, *counts in connection.execute(query):
                place = (hour, model, workspace, key, tier, geo, speed)
                sums[place] = sums.get(place, TokenCounts()) + TokenCounts(*counts)
        return sums

    def reported(self, since: datetime) -> "Sums":
        """What the reports showed of every known hour at its last read."""
        sums: Sums = {}
        for hour, state in self.store.hours(since).items():
            for event in self._shown(hour, state.source, state.read_at):
                place = (hour, *place_of(event, state.source, self.server))
                sums[place] = sums.get(place, TokenCounts()) + event.counts
        return sums

    def booked(self, since: datetime, until: datetime) -> "Sums":
        """What was really used, without what was corrected away."""
        sums: Sums = {}
        for event in self.history.shown(since, until, datetime.max.replace(tzinfo=UTC), timedelta(0)):
            hour = event.at.replace(minute=0, second=0, microsecond=0)
            place = (hour, *place_of(event, "admin", self.server))
            sums[place] = sums.get(place, TokenCounts()) + event.counts
        return sums

    def _shown(self, hour: datetime, source: SourceName, at: datetime) -> Sequence[UsageEvent]:
        server = self.server
        if source == "admin":
            return self.history.shown(hour, hour + HOUR, at, server.delay)
        behind = server.analytics_behind
        return [e for e in self.history.shown(hour, hour + HOUR, at, min(server.delay, behind)) if e.at <= at - behind]


TERMS = (usage.c.service_tier, usage.c.inference_geo, usage.c.speed)
Sums = dict[tuple[Any, ...], TokenCounts]


def place_of(event: UsageEvent, source: SourceName, server: AnthropicSandbox) -> tuple[str | None, ...]:
    """Model, workspace, key and terms under which an event is to be stored."""
    names = ("service_tier", "inference_geo", "speed")
    workspace = event.workspace_id or DEFAULT_WORKSPACE
    if source == "analytics" and event.api_key_id is not None and event.api_key_id not in server.keys:
        workspace = UNKNOWN_WORKSPACE
    return event.model, workspace, event.api_key_id, *(DIMENSIONS[name](event) for name in names)


def output_of(reading: UsageReading) -> int:
    """Output tokens of a reading."""
    return sum(row.counts.output_tokens for row in reading.rows)


@asynccontextmanager
async def reports_at(clock: HandClock, engine: Engine) -> AsyncIterator[Reports]:
    """A local Anthropic that shows usage after five minutes, on both APIs."""
    server = AnthropicSandbox(
        clock,
        UsageHistory(),
        workspaces={SEARCH: "Search", SUPPORT: "Support"},
        keys={
            INGEST: ("ingest-2", SEARCH),
            ANSWERS: ("answers", SUPPORT),
            REVIEW: ("code-review", None),
        },
    )
    server.delay = server.analytics_behind = 5 * MINUTE
    wire = Wire()
    wire.through(server.app)
    async with server, httpx.AsyncClient(base_url=server.origin) as http:
        yield Reports(clock, server, wire, http, engine)


@asynccontextmanager
async def reports_in(folder: Path) -> AsyncIterator[Reports]:
    """`Reports` with an empty SQLite file, at `NOW`."""
    engine = await asyncio.to_thread(open_migrated, f"sqlite:///{folder / 'claude-cost.db'}")
    try:
        async with reports_at(HandClock(NOW), engine) as reports:
            yield reports
    finally:
        engine.dispose()


async def poll(reports: Reports, poller: Poller, since: datetime = MONTH) -> int:
    """One poll that succeeds; how many requests it made."""
    reports.wire.forget()
    outcome = await poller.poll(since)
    assert outcome.error is None
    assert outcome.ok
    return len(reports.wire.calls)


def fill(reports: Reports, hours: int, output: int = 1) -> int:
    """Usage in every hour up to half an hour ago; how much of it there is in all."""
    for index in range(hours):
        reports.use(output, reports.clock() - 30 * MINUTE - index * HOUR)
    return hours * output


def by_place(reading: UsageReading) -> dict[tuple[str, str | None], int]:
    """Output tokens by workspace and key."""
    sums: dict[tuple[str, str | None], int] = {}
    for row in reading.rows:
        place = (row.workspace_id, row.api_key_id)
        sums[place] = sums.get(place, 0) + row.counts.output_tokens
    return sums
