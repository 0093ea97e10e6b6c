"""Each way in which Slack ends a Socket Mode connection, and frames that it never sends: the bot reconnects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from benchmarks.tcp_proxy import TcpProxy
from bot.notify.slack_connection import SocketMode
from bot.sandbox.server import Fault
from bot.sandbox.slack_dispatch import MOST_CONNECTIONS
from bot.sandbox.slack_server import APP_TOKEN
from tests.scenario.conftest import World

OPEN = "apps.connections.open"
PING = 0.2
"""Seconds between two pings; 10 in operation."""


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[SocketMode]:
    async with world.bot() as bot:
        socket = SocketMode(bot.slack, APP_TOKEN)
        socket.client.ping_interval = PING
        await socket.connect_async()  # type: ignore[no-untyped-call]
        try:
            yield socket
        finally:
            await socket.close_async()  # type: ignore[no-untyped-call]


def opened(world: World) -> int:
    """How often the bot has requested a connection."""
    return [call.method for call in world.slack.calls].count(OPEN)


async def helps(world: World) -> bool:
    await world.slack.wait_connected()
    return "`/claude-cost" in (await (await world.slack.command("help")).first_reply()).text


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "link_disabled", "too_many_websockets", "another"])
async def test_after_a_disconnect_for_any_reason_commands_are_answered(simulated: World, reason: str) -> None:
    async with connected(simulated):
        await simulated.slack.wait_connected()
        await simulated.slack.disconnect(reason)
        assert await helps(simulated)


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=500), Fault("status", status=429, retry_after="0"), Fault("error", error="not_authed")],
    ids=lambda fault: fault.error or str(fault.status),
)
async def test_where_slack_gives_no_new_connection_at_once_it_is_asked_again(simulated: World, fault: Fault) -> None:
    async with connected(simulated):
        await simulated.slack.wait_connected()
        simulated.slack.faults.add(OPEN, fault, 2)
        await simulated.slack.disconnect("warning")
        assert await helps(simulated)


class Forgetful(set[str]):
    """Keeps the second ticket and those after it."""

    def add(self, ticket: str) -> None:
        if hasattr(self, "forgot"):
            super().add(ticket)
        self.forgot = True


async def test_an_address_that_slack_refuses_is_not_used_again(simulated: World) -> None:
    async with connected(simulated):
        await simulated.slack.wait_connected()
        simulated.slack.sockets._tickets = Forgetful()
        await simulated.slack.disconnect("warning")
        assert await helps(simulated)


async def test_a_slack_that_ends_each_connection_at_once_is_not_stormed(simulated: World) -> None:
    client = AsyncWebClient(base_url=simulated.slack.api_url)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as others:
        sockets = []
        for _ in range(MOST_CONNECTIONS):
            url = (await client.apps_connections_open(app_token=APP_TOKEN))["url"]
            sockets.append(await others.enter_async_context(session.ws_connect(url)))
        before = opened(simulated)
        async with connected(simulated):
            await asyncio.sleep(0.8)
            assert opened(simulated) - before <= 4
            for socket in sockets:
                await socket.close()
            await simulated.slack.sockets._signal.until(lambda: simulated.slack.sockets.count == 1, 5)
            assert await helps(simulated)


async def test_a_connection_that_falls_silent_is_replaced(simulated: World) -> None:
    sockets = simulated.slack.sockets
    async with TcpProxy(simulated.slack.port) as proxy:
        simulated.slack.port, port = proxy.port, simulated.slack.port
        async with connected(simulated):
            await simulated.slack.wait_connected()
            simulated.slack.port = port
            give_up = proxy.lose()
            await simulated.slack.wait_connected(2)
            give_up()
            await sockets._signal.until(lambda: sockets.count == 1, 5)
            assert await helps(simulated)


def command(payload: str) -> str:
    return f'{{"type": "slash_commands", "envelope_id": "one", "payload": {payload}}}'


FRAMES = (
    *("", "{", "[]", "null", "1", '"x"', "{}", '{"type": 1}', '{"type": "hello"}', '{"a":' * 5000),
    *(command(body) for body in ("null", "1", "[]", '"x"', "{}", '{"command": 1}')),
    command('{"command": "/claude-cost", "text": []}'),
    '{"type": {}, "envelope_id": [], "payload": {}}',
    '{"type": "events_api", "envelope_id": 5, "payload": {"event": []}}',
)


async def test_frames_that_slack_never_sends_end_nothing(simulated: World) -> None:
    async with connected(simulated):
        await simulated.slack.wait_connected()
        (socket,) = simulated.slack.sockets._serving()
        for frame in FRAMES:
            await socket.send_str(frame)
        await socket.send_bytes(b"\xff\xfe")
        assert await helps(simulated)
        assert opened(simulated) == 1
