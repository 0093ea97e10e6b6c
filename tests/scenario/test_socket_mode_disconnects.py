"""Each way in which Slack ends a Socket Mode connection, and frames that it never sends: the bot reconnects."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from benchmarks.tcp_proxy import TcpProxy
from bot.notify.slack_connection import SocketMode
from bot.sandbox.server import Fault
from bot.sandbox.slack_dispatch import MOST_CONNECTIONS
from bot.sandbox.slack_server import APP_TOKEN
from bot.sandbox.slack_workspace import ADMIN, TEAM_ID
from handlers.render.asking import ASK_ACTION
from handlers.render.budget_form import BUDGET_FORM
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


async def helps(world: World, seconds: float = 10) -> bool:
    await world.slack.wait_connected()
    return "`/claude-cost" in (await (await world.slack.command("help")).first_reply(seconds)).text


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


CLICKED: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": ADMIN, "team_id": TEAM_ID},
    "team": {"id": TEAM_ID},
    "channel": {"id": "C0ALERTS"},
    "message": {"ts": "1.0"},
    "actions": [{"action_id": ASK_ACTION, "block_id": "b", "value": "channel:0 command budget set a"}],
    "view": {"id": "V1", "private_metadata": "{}", "callback_id": "x"},
    "response_url": "https://elsewhere.example/1",
    "trigger_id": "1.2",
}
FORM: dict[str, Any] = {
    "type": "view_submission",
    "user": {"id": ADMIN, "team_id": TEAM_ID},
    "view": {
        "id": "V1",
        "type": "modal",
        "callback_id": BUDGET_FORM,
        "private_metadata": "{}",
        "hash": "h",
        "state": {"values": {"name": {"value": {"value": "a"}}, "scope": {"value": {"selected_option": None}}}},
    },
}
MENTIONED: dict[str, Any] = {
    "type": "event_callback",
    "event_id": "Ev1",
    "team_id": TEAM_ID,
    "event": {"type": "app_mention", "user": ADMIN, "text": "help", "ts": "1.0", "channel": "C0ALERTS"},
    "authorizations": [{"user_id": "U0BOT", "is_bot": True}],
}
SHORT: dict[str, Any] = {
    "type": "message_action",
    "callback_id": "estimate_prompt",
    "user": {"id": ADMIN},
    "message": {"text": "x"},
    "trigger_id": "1.2",
}
TYPED = {"command": "/claude-cost", "text": "help", "user_id": ADMIN, "team_id": TEAM_ID, "channel_id": "C0ALERTS"}
RUBBISH: tuple[Any, ...] = (None, 1, "", [], [None], {}, {"id": {}}, {"type": []})


def damaged(payload: Any) -> Iterator[Any]:
    """The payload with each of its parts, however deep, left out and replaced by rubbish."""
    if not isinstance(payload, dict | list):
        return
    for place, part in payload.items() if isinstance(payload, dict) else enumerate(payload):
        others = [each for index, each in enumerate(RUBBISH) if (index + len(str(place))) % 3 == 0]
        for other in (*others, *damaged(part)):
            made = payload.copy()
            made[place] = other
            yield made
        if isinstance(payload, dict):
            yield {name: kept for name, kept in payload.items() if name != place}


async def test_requests_of_any_other_shape_are_acknowledged_without_a_traceback(
    simulated: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(simulated):
        await simulated.slack.wait_connected()
        (socket,) = simulated.slack.sockets._serving()
        kinds = {"slash_commands": (TYPED,), "events_api": (MENTIONED,), "interactive": (CLICKED, FORM, SHORT)}
        sent = [(kind, made) for kind, payloads in kinds.items() for payload in payloads for made in damaged(payload)]
        # Every third, a few at a time: some are still requests, whose answers write.
        for number, (kind, made) in enumerate(sent[::3]):
            await socket.send_json({"type": kind, "envelope_id": f"e{number}", "payload": made})
            if number % 10 == 9:
                assert await helps(simulated, 60)
        assert await helps(simulated, 60)
    assert len(sent) > 200
    assert caplog.text.count("of a shape that this app does not accept") > 30
    assert "Traceback" not in caplog.text
    errors = {record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR}
    assert errors <= {"a reply was not sent: the response URL is not one of Slack's"}


async def test_frames_that_slack_never_sends_end_nothing(simulated: World, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(simulated):
        await simulated.slack.wait_connected()
        (socket,) = simulated.slack.sockets._serving()
        for frame in FRAMES:
            await socket.send_str(frame)
        await socket.send_bytes(b"\xff\xfe")
        assert await helps(simulated)
        assert opened(simulated) == 1
    assert "Traceback" not in caplog.text
