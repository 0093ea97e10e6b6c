"""Answers over response URLs: to Slack's own addresses only, a few times, within a bound."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slack_sdk.web.async_client import AsyncWebClient

from bot.notify.slack_connection import NativeBlocks, ResponseUrls, is_slacks, origin_of
from bot.sandbox.clock import HandClock
from bot.threads import InFlight

SANDBOX = origin_of("http://127.0.0.1:4000/api/")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/commands/T1/1/x",
        "https://hooks.slack.com/actions/T1/1/x?y=%20z",
        "https://hooks.slack-gov.com/commands/T1/1/x",
        "http://127.0.0.1:4000/response/R1",
    ],
)
def test_slacks_addresses_are_called(url: str) -> None:
    assert is_slacks(url, SANDBOX)


@pytest.mark.parametrize(
    "url",
    [
        *("", "hooks.slack.com/x", "//hooks.slack.com/x", "https://", "https:///x", "file:///etc/passwd"),
        *("http://hooks.slack.com/x", "ftp://hooks.slack.com/x", "https://hooks.slack.com", "https://slack.com/x"),
        *("https://hooks.slack.com.evil.example/x", "https://evil.example/hooks.slack.com/x"),
        *("https://hooks.slack.com@evil.example/x", "https://evil.example#@hooks.slack.com/x"),
        *("https://hooks.slack.com:443/x", "https://hooks.slack.com:8080/x", "https://hooks.slack.com./x"),
        *("https://u:p@hooks.slack.com/x", "https://hooks.slack.com\\@evil.example/x", "https://hooks.slack.com /x"),
        *("https://xhooks.slack.com/x", "https://hooks-slack.com/x", "https://hooks.slаck.com/x"),
        *("https://hooks.slack.com\t/x", " https://hooks.slack.com/x", "https://hooks.slack.com/x\n"),
        *("https://hooks.slack.com/x\r\nHost: evil", "https://hooks.slack.com/é", "https://hooks。slack。com/x"),
        *("http://127.0.0.1:4001/x", "http://127.0.0.1/x", "https://127.0.0.1:4000/x", "http://localhost:4000/x"),
        *("http://127.0.0.1:4000@evil.example/x", "http://x@127.0.0.1:4000/x", "http://127.0.0.1:4000.evil.example/x"),
        *("http://[::1/x", "http://127.0.0.1:99999/x", "http://2130706433:4000/x", "http://127.1:4000/x"),
    ],
)
def test_no_other_address_is_called(url: str) -> None:
    assert not is_slacks(url, SANDBOX)


def test_with_slacks_own_api_nothing_of_its_host_but_the_hooks_is_called() -> None:
    assert is_slacks("https://hooks.slack.com/x", origin_of("https://slack.com/api/"))
    assert not is_slacks("http://127.0.0.1:4000/x", origin_of("https://slack.com/api/"))


Answer = tuple[int, dict[str, str]]


@dataclass(slots=True)
class Hooks:
    """Receives answers. `answers`: status and headers of the next ones, 200 after that."""

    answers: list[Answer] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    taken: int = 0
    hangs: bool = False

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.taken += 1
        if self.hangs:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"x" * 1_000)
            await asyncio.sleep(30)
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        if self.bodies:
            return web.Response(text=self.bodies.pop(0), content_type="application/json")
        return web.Response(status=status, headers=headers)


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
async def server(hooks: Hooks) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_post("/{name}", hooks.take)
    server = TestServer(app)
    async with server:
        yield server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def urls(session: aiohttp.ClientSession, server: TestServer) -> ResponseUrls:
    client = AsyncWebClient("xoxb-1", base_url=str(server.make_url("/api/")))
    return ResponseUrls(session, client, InFlight(), attempt_seconds=10)


@pytest.mark.parametrize("first", [(500, {}), (503, {}), (429, {"Retry-After": "1"}), (429, {"Retry-After": "soon"})])
async def test_an_answer_that_slack_could_not_take_is_sent_again(
    urls: ResponseUrls, server: TestServer, hooks: Hooks, first: tuple[int, dict[str, str]]
) -> None:
    hooks.answers = [first]
    assert await urls.post(str(server.make_url("/x")), {"text": "hello"})
    assert hooks.taken == 2


@pytest.mark.parametrize("status", [400, 403, 404, 410])
async def test_an_answer_that_slack_refuses_is_not_sent_again(
    urls: ResponseUrls, server: TestServer, hooks: Hooks, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.answers = [(status, {})]
    assert not await urls.post(str(server.make_url("/x")), {"text": "hello"})
    assert hooks.taken == 1
    assert [record.getMessage() for record in caplog.records if record.name.startswith("bot")] == [
        f"a reply was not delivered: Slack's response URL returned {status}"
    ]


@pytest.mark.parametrize(
    ("answers", "taken", "uses"),
    [
        ([], 0, 1),
        ([(400, {})], 1, 2),
        ([(400, {}), (400, {})], 2, 3),
        ([(400, {})] * 3, None, 3),
        ([(404, {})], None, 1),
        ([(503, {}), (400, {})], 1, 3),
    ],
)
async def test_what_slack_does_not_take_is_said_in_a_simpler_way(
    urls: ResponseUrls, server: TestServer, hooks: Hooks, answers: list[Answer], taken: int | None, uses: int
) -> None:
    hooks.answers = [*answers]
    bodies = [{"text": "chart"}, {"text": "table"}, {"text": "words"}]
    assert await urls.post_first(str(server.make_url("/x")), bodies) == taken
    assert hooks.taken == uses


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ('{"ok": true}', 0),
        ('{"ok": false, "error": "invalid_blocks"}', 1),
        ('{"ok": false}', 1),
        ('{"ok": false, "error": "expired_url"}', None),
        ("[" * 2000, 0),
        ('"ok"', 0),
        ("", 0),
    ],
)
async def test_a_refusal_in_a_good_answer_is_one_too(
    urls: ResponseUrls, server: TestServer, hooks: Hooks, body: str, taken: int | None
) -> None:
    hooks.bodies = [body]
    assert await urls.post_first(str(server.make_url("/x")), [{"text": "chart"}, {"text": "words"}]) == taken


def test_a_refusal_of_charts_is_forgotten_after_an_hour_and_where_the_clock_is_set_back() -> None:
    clock = HandClock(datetime(2026, 11, 16, tzinfo=UTC))
    native = NativeBlocks(clock)
    assert not native.refused
    native.refuse()
    clock.advance(timedelta(minutes=59))
    assert native.refused
    clock.advance(timedelta(minutes=1))
    assert not native.refused
    native.refuse()
    clock.advance(-timedelta(days=1))
    assert not native.refused


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(urls: ResponseUrls, server: TestServer, hooks: Hooks, status: int) -> None:
    hooks.answers = [(status, {"Location": str(server.make_url("/inner"))})]
    assert not await urls.post(str(server.make_url("/x")), {"text": "hello"})
    assert hooks.taken == 1


async def test_a_wait_beyond_the_bound_is_not_begun(urls: ResponseUrls, server: TestServer, hooks: Hooks) -> None:
    hooks.answers = [(429, {"Retry-After": "86400"})]
    began = monotonic()
    assert not await urls.post(str(server.make_url("/x")), {"text": "hello"})
    assert monotonic() - began < 8


async def test_a_body_that_never_ends_does_not_matter(urls: ResponseUrls, server: TestServer, hooks: Hooks) -> None:
    hooks.hangs = True
    began = monotonic()
    assert await urls.post(str(server.make_url("/x")), {"text": "hello"})
    assert monotonic() - began < 8


async def test_nobody_there_is_tried_a_few_times_and_said_without_the_address(
    session: aiohttp.ClientSession, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    origin = f"http://127.0.0.1:{unused_tcp_port}"
    in_flight = InFlight()
    urls = ResponseUrls(session, AsyncWebClient("xoxb-1", base_url=f"{origin}/api/"), in_flight)
    assert not await urls.post(f"{origin}/secret-part", {"text": "hello"})
    (record,) = [record for record in caplog.records if record.name.startswith("bot")]
    assert record.getMessage().startswith("a reply was not delivered: Slack's response URL cannot be reached")
    assert "secret-part" not in caplog.text


async def test_a_bot_that_stops_does_not_wait_for_another_attempt(
    session: aiohttp.ClientSession, server: TestServer, hooks: Hooks
) -> None:
    in_flight = InFlight()
    client = AsyncWebClient("xoxb-1", base_url=str(server.make_url("/api/")))
    urls = ResponseUrls(session, client, in_flight)
    hooks.answers = [(429, {"Retry-After": "10"})] * 4
    began = monotonic()
    async with in_flight.work():
        posting = asyncio.create_task(urls.post(str(server.make_url("/x")), {"text": "hello"}))
        await asyncio.sleep(0.2)
        await in_flight.drain(0.1)
        assert not await posting
    assert monotonic() - began < 5
    await session.close()
    assert not await urls.post(str(server.make_url("/x")), {"text": "hello"})
