"""How the local Slack reaches an app: Socket Mode as the real client speaks it, and signed requests."""

from contextlib import AsyncExitStack
from datetime import timedelta

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from bot.clock import system_clock
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_server import ALERTS, APP_TOKEN, BOT_TOKEN, SlackSandbox
from bot.sandbox.slack_workspace import ADMIN, NotDispatchedError
from tests.scenario.sandbox_slack.real_app import WITH_BUTTON, answer_commands, http_mode, refusal, socket_mode


async def test_a_bot_token_opens_no_socket(client: AsyncWebClient) -> None:
    assert await refusal(client.apps_connections_open(app_token=BOT_TOKEN)) == "not_allowed_token_type"


async def test_an_app_that_does_not_acknowledge_is_a_timeout_for_the_person(app: AsyncApp, clock: HandClock) -> None:
    async with SlackSandbox(clock, ack_seconds=0.05) as impatient:
        app.client.base_url = impatient.api_url
        async with socket_mode(app, impatient):
            with pytest.raises(NotDispatchedError, match="operation_timeout"):
                await impatient.command("/nobody-listens")


async def test_without_a_connection_nothing_is_dispatched(slack: SlackSandbox) -> None:
    with pytest.raises(NotDispatchedError, match="dispatch_failed"):
        await slack.command("status")


async def test_after_a_disconnect_frame_the_app_comes_back(app: AsyncApp, slack: SlackSandbox) -> None:
    answer_commands(app)
    async with socket_mode(app, slack):
        await slack.disconnect("refresh_requested")
        assert slack.sockets.count == 0
        await slack.wait_connected()
        reply = await (await slack.command("status")).first_reply()
    assert reply.text == "here you are"
    assert [call.method for call in slack.calls].count("apps.connections.open") == 2


async def test_after_a_connection_broke_the_app_comes_back(app: AsyncApp, slack: SlackSandbox) -> None:
    answer_commands(app)
    async with socket_mode(app, slack):
        await slack.close_connections()
        await slack.wait_connected()
        reply = await (await slack.command("status")).first_reply()
    assert reply.text == "here you are"


async def test_an_envelope_goes_to_one_of_two_connections(
    app: AsyncApp, client: AsyncWebClient, slack: SlackSandbox
) -> None:
    answer_commands(app, "one")
    twin = AsyncApp(client=client)
    answer_commands(twin, "the other")
    async with socket_mode(app, slack), socket_mode(twin, slack):
        await slack.wait_connected(2)
        replies = [(await (await slack.command("status")).first_reply()).text for _ in range(2)]
    assert sorted(replies) == ["one", "the other"]
    assert len(slack.messages) == 2


async def test_the_address_of_a_connection_is_good_once(slack: SlackSandbox) -> None:
    client = AsyncWebClient(base_url=slack.api_url)
    url = (await client.apps_connections_open(app_token=APP_TOKEN))["url"]
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as socket:
            assert (await socket.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_an_eleventh_connection_is_sent_away(slack: SlackSandbox) -> None:
    client = AsyncWebClient(base_url=slack.api_url)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as sockets:
        for _ in range(11):
            url = (await client.apps_connections_open(app_token=APP_TOKEN))["url"]
            socket = await sockets.enter_async_context(session.ws_connect(url))
        assert (await socket.receive_json())["reason"] == "too_many_websockets"
        assert slack.sockets.count == 10


async def test_an_envelope_can_come_twice(app: AsyncApp, slack: SlackSandbox) -> None:
    heard: list[str] = []

    async def on_command(ack: AsyncAck, command: dict[str, str]) -> None:
        heard.append(command["text"])
        await ack()

    app.command("/claude-cost")(on_command)
    payload = {"command": "/claude-cost", "text": "status", "user_id": ADMIN, "channel_id": ALERTS, "team_id": "T"}
    async with socket_mode(app, slack):
        for _ in range(2):
            await slack.send_envelope("slash_commands", payload, envelope_id="the-same")
    assert heard == ["status", "status"]


async def test_in_http_mode_the_same_commands_and_clicks_come_signed(app: AsyncApp, slack: SlackSandbox) -> None:
    answer_commands(app, blocks=WITH_BUTTON)

    async def on_switch(ack: AsyncAck, respond: AsyncRespond) -> None:
        await ack()
        await respond(text="switched", replace_original=False)

    app.action("switch")(on_switch)
    async with http_mode(app) as endpoint:
        slack.http_endpoint = endpoint
        offered = await (await slack.command("status")).first_reply()
        done = await (await slack.click(offered, "switch")).first_reply()
    assert [message.text for message in slack.visible_to(ADMIN)] == ["here you are", "switched"]
    assert done.ephemeral_to == ADMIN


@pytest.mark.parametrize(
    ("secret", "minutes_ago", "status"), [(None, 0, 200), ("another secret", 0, 401), (None, 6, 401)]
)
async def test_an_app_refuses_what_is_signed_wrongly_or_long_ago(
    app: AsyncApp, slack: SlackSandbox, secret: str | None, minutes_ago: int, status: int
) -> None:
    answer_commands(app)
    payload = {"command": "/claude-cost", "text": "", "user_id": ADMIN, "channel_id": ALERTS, "team_id": "T"}
    payload["response_url"] = f"{slack.origin}/response/none"
    at = system_clock() - timedelta(minutes=minutes_ago)
    async with http_mode(app) as endpoint:
        answered, _ = await slack.post_signed(endpoint, payload, "slash_commands", secret, at=at)
    assert answered == status
