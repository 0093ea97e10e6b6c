"""An acknowledgement reaches Slack before its listener continues, whatever happens to the work after it."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bot.acknowledgement import SENDING_SECONDS, dispatched
from bot.clock import system_clock
from bot.sandbox.slack_server import BOT_TOKEN, SIGNING_SECRET, SlackSandbox
from bot.web.slack_events import slack_route

COMMAND = {"command": "/work", "text": "", "user_id": "U0ADMIN", "team_id": "T0SANDBOX", "channel_id": "C0ALERTS"}
Listener = Callable[..., Awaitable[None]]


@pytest.fixture
async def app() -> AsyncIterator[AsyncApp]:
    async with SlackSandbox(system_clock) as slack:
        client = AsyncWebClient(token=BOT_TOKEN, base_url=slack.api_url)
        yield AsyncApp(name="test", client=client, request_verification_enabled=False)


def asked() -> AsyncBoltRequest:
    return AsyncBoltRequest(body=json.dumps(COMMAND), headers={"content-type": "application/json"})


async def played(app: AsyncApp, work: Listener) -> list[Any]:
    """Events in order: calls of `work`, and the statuses that were sent."""
    happened: list[Any] = []

    async def listen(ack: Any) -> None:
        await work(ack, happened)

    async def send(response: BoltResponse) -> None:
        happened.append(response.status)

    app.command("/work")(listen)
    await dispatched(app, asked(), send)
    return happened


async def test_what_comes_after_an_acknowledgement_finds_it_sent(app: AsyncApp) -> None:
    async def work(ack: Any, happened: list[Any]) -> None:
        await ack()
        happened.append("work")

    assert await played(app, work) == [200, "work"]


async def test_work_that_fails_after_an_acknowledgement_does_not_withdraw_it(app: AsyncApp) -> None:
    async def work(ack: Any, happened: list[Any]) -> None:
        await ack()
        raise RuntimeError

    assert await played(app, work) == [200]


async def test_work_that_fails_before_it_acknowledges_is_answered_all_the_same(app: AsyncApp) -> None:
    async def work(ack: Any, happened: list[Any]) -> None:
        raise RuntimeError

    assert await played(app, work) == [500]


async def test_an_acknowledgement_is_counted_with_its_time_once_it_is_sent(app: AsyncApp) -> None:
    happened: list[Any] = []

    async def listen(ack: Any) -> None:
        await ack()

    async def send(response: BoltResponse) -> None:
        happened.append(response.status)

    def acknowledged(kind: str, seconds: float) -> None:
        happened.append((kind, seconds >= 0))

    app.command("/work")(listen)
    await dispatched(app, asked(), send, acknowledged)
    assert happened == [200, ("command", True)]


async def test_a_request_that_nobody_listens_to_is_answered(app: AsyncApp) -> None:
    happened: list[int] = []

    async def send(response: BoltResponse) -> None:
        happened.append(response.status)

    await dispatched(app, asked(), send)
    assert happened == [404]


async def test_only_the_first_acknowledgement_is_sent(app: AsyncApp) -> None:
    async def work(ack: Any, happened: list[Any]) -> None:
        await ack()
        await ack(text="again")

    assert await played(app, work) == [200]


async def test_a_connection_that_takes_no_acknowledgement_does_not_hold_the_work_up(app: AsyncApp) -> None:
    free, worked = asyncio.Event(), asyncio.Event()

    async def listen(ack: Any) -> None:
        await ack()
        worked.set()

    async def send(response: BoltResponse) -> None:
        await free.wait()
        raise ConnectionResetError

    app.command("/work")(listen)
    sending = asyncio.ensure_future(dispatched(app, asked(), send))
    await asyncio.wait_for(worked.wait(), SENDING_SECONDS + 5)
    free.set()
    with pytest.raises(ConnectionResetError):
        await sending


async def test_over_http_slack_has_the_answer_while_the_listener_keeps_the_loop_busy(app: AsyncApp) -> None:
    heard, waited = threading.Event(), list[bool]()

    async def listen(ack: Any) -> None:
        await ack()
        # Nothing else runs meanwhile in this thread.
        waited.append(heard.wait(5))

    app.command("/work")(listen)
    served = web.Application()
    served.router.add_routes([slack_route(app, SecretStr(SIGNING_SECRET), system_clock)])
    body = "&".join(f"{name}={value}" for name, value in COMMAND.items())
    timestamp = str(int(time.time()))
    signature = SignatureVerifier(SIGNING_SECRET).generate_signature(timestamp=timestamp, body=body)
    headers = {
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": str(signature),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    async with TestServer(served) as server:

        def ask() -> int:
            with httpx.Client() as client:
                status = client.post(str(server.make_url("/slack/events")), content=body, headers=headers).status_code
            heard.set()
            return status

        assert await asyncio.to_thread(ask) == 200
    assert waited == [True]
