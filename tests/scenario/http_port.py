"""The bot's HTTP port for scenarios: served in this process, or by the bot as a process of its own."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bot.runner.cycle import Bot
from bot.sandbox.slack_workspace import ADMIN
from bot.web.fallback import LOOK_SECONDS
from bot.web.server import web_app
from tests.scenario.conftest import World

PATIENCE = 30

Event = dict[str, str]
"""The fields of one server-sent event; comments stand under the empty name."""


async def nothing_wrong() -> list[str]:
    """A bot that is ready."""
    return []


@asynccontextmanager
async def served(
    bot: Bot, token: str | None = None, look_seconds: float = LOOK_SECONDS
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the port that this bot would open in Socket Mode."""
    app = web_app(None, nothing_wrong, bot.services, SecretStr(token) if token else None, look_seconds=look_seconds)
    async with client_of(app) as client:
        yield client


@asynccontextmanager
async def client_of(app: web.Application) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application on a free port."""
    async with TestServer(app) as server, httpx.AsyncClient(base_url=str(server.make_url("/"))) as client:
        yield client


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def events(answer: httpx.Response) -> AsyncIterator[Event]:
    """The events and comments of a stream, until the server ends it."""
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    event: Event = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            event[name] = value.removeprefix(" ")
        elif event:
            yield event
            event = {}


async def next_mode(stream: AsyncIterator[Event]) -> dict[str, Any]:
    """The object of the next event; comments are passed over."""
    async with asyncio.timeout(PATIENCE):
        while (event := await anext(stream)).get("event") != "fallback":
            assert set(event) == {""}
    value = json.loads(event["data"])
    assert isinstance(value, dict)
    return value


async def type_in_slack(world: World, words: str, user: str = ADMIN) -> str:
    """The bot's answer to `/claude-cost WORDS`."""
    interaction = await world.slack.command(words, user)
    return (await interaction.first_reply(PATIENCE)).text
