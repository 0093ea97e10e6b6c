"""A real Bolt app with the real SDK, connected to the local Slack."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.errors import SlackApiError

from bot.sandbox.slack_server import APP_TOKEN, SlackSandbox

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
BUTTON = {"type": "button", "text": {"type": "plain_text", "text": "Switch"}, "action_id": "switch", "value": "minimal"}
WITH_BUTTON = [{"type": "actions", "block_id": "choices", "elements": [BUTTON]}]
FORM = {
    "type": "modal",
    "callback_id": "budget",
    "title": {"type": "plain_text", "text": "Budget"},
    "submit": {"type": "plain_text", "text": "Save"},
    "blocks": [
        {
            "type": "input",
            "block_id": "limit",
            "label": {"type": "plain_text", "text": "Limit in USD"},
            "element": {"type": "plain_text_input", "action_id": "usd"},
        }
    ],
}


@asynccontextmanager
async def socket_mode(app: AsyncApp, slack: SlackSandbox) -> AsyncIterator[AsyncSocketModeHandler]:
    """The app, connected until the end of the block."""
    handler = AsyncSocketModeHandler(app, APP_TOKEN)
    await handler.connect_async()  # type: ignore[no-untyped-call]
    await slack.wait_connected()
    try:
        yield handler
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def http_mode(app: AsyncApp) -> AsyncIterator[str]:
    """The app's own HTTP server, until the end of the block; its address for Slack."""
    runner = web.AppRunner(app.web_app(path="/slack/events"))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    finally:
        await runner.cleanup()


async def refusal(call: Any) -> str:
    """The error word with which Slack refuses this call."""
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


def answer_commands(app: AsyncApp, text: str = "here you are", **more: Any) -> None:
    async def on_command(ack: AsyncAck, respond: AsyncRespond) -> None:
        await ack()
        await respond(text=text, **more)

    app.command("/claude-cost")(on_command)
