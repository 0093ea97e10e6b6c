"""A Bolt app that acknowledges every command, click, form, shortcut and event, and does nothing else.

    python benchmarks/bare_bolt.py

SLACK_BOT_TOKEN, SLACK_APP_TOKEN and SLACK_API_URL come from the environment, as for `claude-cost run`. It runs until it
is killed. Its acknowledgements are the floor of the bot's.
"""

import asyncio
import logging
import os
import re
import sys
from typing import Any

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

ANYTHING = re.compile(".*")


def bare_app(client: AsyncWebClient) -> AsyncApp:
    """The app, before it is connected."""
    app = AsyncApp(name="bare", client=client, request_verification_enabled=False)

    async def acknowledge(ack: Any) -> None:
        await ack()

    for listen in (app.command, app.action, app.view, app.shortcut, app.event):
        listen(ANYTHING)(acknowledge)
    return app


async def main() -> None:
    """Connect and stay connected."""
    client = AsyncWebClient(token=os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"])
    handler = AsyncSocketModeHandler(bare_app(client), os.environ["SLACK_APP_TOKEN"])
    await handler.start_async()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(main())
