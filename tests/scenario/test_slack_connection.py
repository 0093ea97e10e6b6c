"""A Slack that accepts and never answers, and a connection that is lost: said, and waited for by nobody."""

from datetime import timedelta

import pytest

from bot import slack_connection
from bot.fallback import admins as admins_module
from bot.lifecycle import Lifecycle
from bot.sandbox.faults import Fault
from bot.sandbox.slack_server import ALERTS, APP_TOKEN
from bot.slack_connection import SlackUnreachableError, SocketMode, check_app_token, check_bot_token
from tests.scenario.conftest import World

MINUTE = timedelta(minutes=1)
SILENT = Fault("slow", seconds=30)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (slack_connection, admins_module):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)


async def test_a_slack_that_never_answers_is_unreachable(simulated: World, impatient: None) -> None:
    for method in ("auth.test", "apps.connections.open", "usergroups.users.list"):
        simulated.slack.faults.add(method, SILENT)
    async with simulated.bot(CLAUDE_COST_ADMINS="S0OPS") as bot:
        with pytest.raises(SlackUnreachableError, match="TimeoutError"):
            await check_bot_token(bot.slack.client, ALERTS)
        with pytest.raises(SlackUnreachableError, match="TimeoutError"):
            await check_app_token(bot.slack.client, APP_TOKEN, ALERTS)
        (clause,) = await bot.services.admins.unread_groups()
    assert "Slack does not answer" in clause


async def test_readiness_notices_a_connection_that_is_lost(simulated: World) -> None:
    async with simulated.bot() as bot:
        await bot.cycle()
        lifecycle = Lifecycle(bot, MINUTE)
        await lifecycle._connect()
        assert isinstance(lifecycle._socket, SocketMode)
        try:
            assert await lifecycle.problems() == []
            lifecycle._socket.client.auto_reconnect_enabled = False
            await lifecycle._socket.client.disconnect()  # type: ignore[no-untyped-call]
            assert await lifecycle.problems() == ["The connection to Slack is lost and being made again."]
            await lifecycle._socket.client.connect_to_new_endpoint()
            assert await lifecycle.problems() == []
        finally:
            await lifecycle._disconnect()
