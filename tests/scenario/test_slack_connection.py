"""A Slack that accepts and never responds, and a lost connection: reported, and nothing waits for it."""

import asyncio
from datetime import timedelta

import pytest

from bot.notify.slack_connection import SlackUnreachableError, SocketMode, check_app_token, check_bot_token
from bot.runner.lifecycle import Lifecycle
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS, APP_TOKEN
from tests.scenario.conftest import World

MINUTE = timedelta(minutes=1)
SILENT = Fault("slow", seconds=30)


async def test_a_slack_that_never_answers_is_unreachable(simulated: World) -> None:
    for method in ("auth.test", "apps.connections.open", "usergroups.users.list"):
        simulated.slack.faults.add(method, SILENT)
    async with simulated.bot(CLAUDE_COST_ADMINS="S0OPS") as bot:
        with pytest.raises(SlackUnreachableError, match="TimeoutError"):
            await check_bot_token(bot.slack.client, ALERTS, 0.2)
        with pytest.raises(SlackUnreachableError, match="TimeoutError"):
            await check_app_token(bot.slack.client, APP_TOKEN, ALERTS, 0.2)
        bot.services.admins.answer_seconds = 0.2
        (clause,) = await bot.services.admins.unread_groups()
    assert "Slack does not answer" in clause


async def test_readiness_notices_a_connection_that_is_lost(simulated: World) -> None:
    async with simulated.bot() as bot:
        await bot.cycle()
        lifecycle = Lifecycle(bot, MINUTE)
        await lifecycle.connect()
        assert isinstance(lifecycle.socket, SocketMode)
        try:
            assert await lifecycle.problems() == []
            lifecycle.socket.client.auto_reconnect_enabled = False
            await lifecycle.socket.client.disconnect()  # type: ignore[no-untyped-call]
            assert await lifecycle.problems() == ["The connection to Slack is lost; reconnecting."]
            await lifecycle.socket.client.connect_to_new_endpoint()
            assert await lifecycle.problems() == []
        finally:
            await lifecycle.disconnect()


async def test_whatever_slack_answers_when_a_connection_is_made_anew_it_is_tried_again_without_a_traceback(
    simulated: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulated.bot() as bot:
        socket = SocketMode(bot.slack, APP_TOKEN)
        socket.client.ping_interval = 0.05
        for fault in (Fault("not_json"), Fault("html", status=200), Fault("status", status=429, retry_after="0")):
            simulated.slack.faults.add("apps.connections.open", fault)
        try:
            await socket.connect_async()  # type: ignore[no-untyped-call]
            await simulated.slack.wait_connected()
        finally:
            await socket.close_async()  # type: ignore[no-untyped-call]
    tries = [record for record in caplog.records if "Failed to connect" in record.getMessage()]
    assert len(tries) == 3
    assert not any(record.exc_info for record in caplog.records)


async def test_a_connection_lives_on_after_the_deadline_for_making_it(simulated: World) -> None:
    async with simulated.connected_bot(2) as bot:
        await asyncio.sleep(2.3)
        await bot.cycle()
        await simulated.slack.command("help")
