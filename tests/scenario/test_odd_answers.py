"""Slack answers with anything at all, of any size and as slowly as it likes: one sentence each time, and no crash."""

import asyncio
import gzip
import logging
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.doctor.slack import Met, check_channel, check_sample, meet
from bot.fallback.admins import Admins
from bot.messages import Message, Part
from bot.notify.model import Address, CouldNotLook, Failed, Found, NotEditable
from bot.notify.slack import SlackDestination
from bot.notify.slack_connection import SlackUnreachableError, Workspace, check_app_token, check_bot_token
from bot.sandbox.clock import HandClock
from bot.sandbox.server import LocalServer
from bot.sandbox.slack_workspace import TEAM_ID
from bot.slack_api import CallError, call, new_session
from bot.steady_clock import ClockOffsets
from tests.databases import NOW
from tests.scenario.conftest import member

IDENTITY = {"what": "default/2026-11/soft/400", "notice": "1", "created_at": NOW.isoformat()}
MESSAGE = Message([Part("soft limit crossed", [{"type": "divider"}])])
PLACE = Address("C1", "1.0")

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Odd(LocalServer):
    """Answers every call in the way that a test says."""

    def __init__(self, answering: Answering) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.tokens: list[str] = []
        self._answering = answering
        self.app.router.add_route("*", "/{path:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(request.path)
        self.tokens += [request.headers.get("Authorization", "")]
        return await self._answering(request)


def says(
    body: bytes, status: int = 200, content_type: str = "application/json", encoding: str = "", **headers: str
) -> Answering:
    async def answering(request: web.Request) -> web.StreamResponse:
        packed = {"Content-Encoding": encoding} if encoding else {}
        return web.Response(status=status, body=body, headers={"Content-Type": content_type, **packed, **headers})

    return answering


async def cut(request: web.Request) -> web.StreamResponse:
    """The connection is reset in the middle of the body."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"ok": tr')
    assert request.transport is not None
    request.transport.abort()
    return response


async def dribble(request: web.Request) -> web.StreamResponse:
    """A byte now and then, for ever."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.05)


ODD: dict[str, Answering] = {
    "array": says(b"[1]"),
    "string": says(b'"ok"'),
    "number": says(b"1"),
    "null": says(b"null"),
    "bool": says(b"true"),
    "binary": says(b"\x00\x01\xff"),
    "no utf-8": says(b"\xff\xfe{", content_type="application/json; charset=utf-8"),
    "no such charset": says(b"{}", content_type="application/json; charset=nonsense"),
    "html": says(b"<html>hello</html>", content_type="text/html"),
    "plain": says(b"all is well", content_type="text/plain"),
    "gzip file": says(b"PK", content_type="application/gzip"),
    "empty": says(b""),
    "truncated": says(b'{"ok": tr'),
    "deep": says(b"[" * 100_000),
    "long number": says(b'{"ok": ' + b"1" * 10_000 + b"}"),
    "no content": says(b"", status=204),
    "not modified": says(b"", status=304),
    "redirect to nowhere": says(b"", status=302),
    "teapot": says(b"{}", status=418),
    "ok is missing": says(b"{}"),
    "ok is text": says(b'{"ok": "yes", "url": 1, "ts": 1, "channel": [], "messages": 1, "users": 1}'),
    "error is a list": says(b'{"ok": false, "error": ["x"]}'),
    "not gzip": says(b"{}", encoding="gzip"),
    "no known encoding": says(b"{}", encoding="br"),
    "cut": cut,
    "dribble": dribble,
}
HOLLOW: dict[str, Answering] = {
    "nothing else": says(b'{"ok": true}'),
    "wrong types": says(
        b'{"ok": true, "url": 1, "ts": 1, "channel": [], "messages": {}, "users": {}, "response_metadata": 1}'
    ),
    "deeper wrong types": says(
        b'{"ok": true, "url": [], "ts": "", "channel": 1, "messages": [1, null], "users": [1, {}],'
        b' "response_metadata": {"next_cursor": 1}}'
    ),
}


async def client_of(server: LocalServer) -> AsyncIterator[AsyncWebClient]:
    async with new_session() as session:
        yield AsyncWebClient("xoxb-1", base_url=f"{server.origin}/api/", timeout=15, session=session, retry_handlers=[])


SECONDS = 0.3
"""How long Slack may take for an answer, in seconds."""


async def survives(client: AsyncWebClient) -> None:
    """Every use of Slack's Web API, none of which may be taken for a success."""
    client.timeout = 1
    destination = SlackDestination(client, "C1")
    for start in (check_bot_token(client, "C1", SECONDS), check_app_token(client, "xapp-1", "C1", SECONDS)):
        with pytest.raises(SlackUnreachableError) as unreachable:
            await start
        assert len(str(unreachable.value).splitlines()) == 1
    for outcome in (
        await destination.post(MESSAGE, IDENTITY),
        await destination.post(MESSAGE, IDENTITY, thread=PLACE),
        await destination.update(PLACE, MESSAGE),
    ):
        assert isinstance(outcome, Failed)
        assert outcome.outcome_unknown
    for look in (await destination.find(IDENTITY, NOW), await destination.find(IDENTITY, NOW, PLACE)):
        assert isinstance(look, CouldNotLook)
        assert not look.for_good
    admins = Admins({"S0OPS"}, client, Workspace("", TEAM_ID))
    admins.answer_seconds = SECONDS
    assert not (await admins.may_switch(member("U1"))).allowed
    known = Met(True, frozenset({"channels:read"}), ())
    assert not (await meet(client, ClockOffsets(HandClock(NOW)))).known
    assert all(check.state != "ok" for check in await check_channel(client, "C1", known))
    assert all(check.state != "ok" for check in await check_sample(client, MESSAGE, known))
    for calling in (client.views_open(trigger_id="1", view={}), client.views_update(view_id="1", view={})):
        with pytest.raises(CallError):
            await call(calling, 1)


@pytest.mark.parametrize("shape", ODD)
async def test_no_answer_that_is_not_slacks_is_taken_for_one_or_ends_the_bot(shape: str) -> None:
    slow = shape == "dribble"
    async with Odd(ODD[shape]) as server:
        async for client in client_of(server):
            if slow:
                client.timeout = 1
                with pytest.raises(SlackUnreachableError):
                    await check_bot_token(client, "C1", SECONDS)
                outcome = await call_in_vain(client)
                assert "TimeoutError" in outcome
                return
            await survives(client)


async def call_in_vain(client: AsyncWebClient) -> str:
    with pytest.raises(CallError) as error:
        await call(client.chat_postMessage(channel="C1", text="x"), SECONDS)
    return str(error.value)


@pytest.mark.parametrize("shape", HOLLOW)
async def test_an_answer_whose_parts_are_not_what_slack_documents_settles_nothing(shape: str) -> None:
    async with Odd(HOLLOW[shape]) as server:
        async for client in client_of(server):
            destination = SlackDestination(client, "C1")
            assert await check_bot_token(client, "C1") == Workspace("")
            with pytest.raises(SlackUnreachableError, match="no address"):
                await check_app_token(client, "xapp-1", "C1")
            outcome = await destination.post(MESSAGE, IDENTITY)
            assert isinstance(outcome, Failed)
            assert outcome.outcome_unknown
            assert isinstance(await destination.find(IDENTITY, NOW), CouldNotLook)
            assert not (await Admins({"S0OPS"}, client, Workspace("", TEAM_ID)).may_switch(member("U1"))).allowed


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "as it is"])
async def test_an_answer_of_any_size_is_cut(packed: bool) -> None:
    huge = b" " * (100 * 2**20)
    answering = says(gzip.compress(huge, 1), encoding="gzip") if packed else says(huge)
    async with Odd(answering) as server:
        async for client in client_of(server):
            tracemalloc.start()
            with pytest.raises(CallError, match="has more than 8 MB"):
                await call(client.auth_test())
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    # Responses sent uncompressed are held by the server here, in the same process.
    assert peak < 60 * 2**20 or not packed


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_takes_the_token_or_the_message_elsewhere(status: int) -> None:
    async with Odd(says(b'{"ok": true, "ts": "1.0"}')) as elsewhere:
        async with Odd(says(b"", status, Location=f"{elsewhere.origin}/api/")) as server:
            async for client in client_of(server):
                outcome = await SlackDestination(client, "C1").post(MESSAGE, IDENTITY)
                assert isinstance(outcome, Failed)
                assert "SLACK_API_URL redirects" in outcome.sentence
        assert elsewhere.calls == []


@pytest.mark.parametrize(
    ("code", "for_good"),
    [
        ("missing_scope", True),
        ("not_allowed_token_type", True),
        ("method_not_supported_for_channel_type", True),
        ("channel_not_found", True),
        ("ratelimited", False),
        ("internal_error", False),
        ("invalid_cursor", False),
        ("a_code_of_next_year", False),
    ],
)
async def test_a_look_that_can_never_work_is_distinguished_from_one_to_repeat(code: str, for_good: bool) -> None:
    async with Odd(says(f'{{"ok": false, "error": "{code}"}}'.encode())) as server:
        async for client in client_of(server):
            look = await SlackDestination(client, "C1").find(IDENTITY, NOW)
            assert isinstance(look, CouldNotLook)
            assert look.for_good == for_good


async def test_a_page_that_fails_midway_is_where_the_next_look_goes_on() -> None:
    metadata = f'{{"event_type": "claude_cost_notice", "event_payload": {slack_json(IDENTITY)}}}'
    pages = [
        says(b'{"ok": true, "messages": [{"ts": "3.0"}], "response_metadata": {"next_cursor": "below"}}'),
        says(b"{}", status=429, **{"Retry-After": "7"}),
        says(f'{{"ok": true, "messages": [{{"ts": "2.0", "metadata": {metadata}}}]}}'.encode()),
    ]

    async def in_order(request: web.Request) -> web.StreamResponse:
        cursors.append(request.query.get("cursor") or (await request.post()).get("cursor"))
        return await pages.pop(0)(request)

    cursors: list[object] = []
    async with Odd(in_order) as server:
        async for client in client_of(server):
            destination = SlackDestination(client, "C1")
            look = await destination.find(IDENTITY, NOW)
            assert isinstance(look, CouldNotLook)
            assert (look.retry_after, look.resume) == (timedelta(seconds=7), "below")
            assert await destination.find(IDENTITY, NOW, resume=look.resume) == Found(Address("C1", "2.0"))
    assert cursors == [None, "below", "below"]


def slack_json(identity: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": "{value}"' for name, value in identity.items()) + "}"


async def test_a_thread_that_is_gone_is_no_answer_to_edit(caplog: pytest.LogCaptureFixture) -> None:
    async with Odd(says(b'{"ok": false, "error": "message_not_found", "response_metadata": []}')) as server:
        async for client in client_of(server):
            with caplog.at_level(logging.DEBUG):
                assert isinstance(await SlackDestination(client, "C1").update(PLACE, MESSAGE), NotEditable)
