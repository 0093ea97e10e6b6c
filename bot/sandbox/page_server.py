"""The demo's web page: shows the local Slack's channel as people see it, and passes on what they do."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.clock import Clock
from bot.message import Block
from bot.sandbox.server import LocalServer
from bot.sandbox.slack_errors import NotDispatchedError
from bot.sandbox.slack_server import ALERTS, SlackSandbox
from bot.sandbox.slack_workspace import BOT_USER, Message

ASSETS: Mapping[str, str] = {"index.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
TICK_SECONDS = 0.25
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"


class PageServer(LocalServer):
    """`clock`: the simulated time that messages are stamped with. `speed`: how it passes, in words."""

    def __init__(self, slack: SlackSandbox, clock: Clock, speed: str, fallback_file: Path, port: int) -> None:
        super().__init__(port)
        self._slack = slack
        self._clock = clock
        self._speed = speed
        self._fallback_file = fallback_file
        for name in ASSETS:
            self.app.router.add_get("/" if name == "index.html" else f"/{name}", self._asset)
        self.app.router.add_get("/people", self._people)
        self.app.router.add_get("/events", self._events)
        self.app.router.add_post("/command", self._command)
        self.app.router.add_post("/click", self._click)

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/") or "index.html"
        text = await asyncio.to_thread(files("bot.sandbox").joinpath("page", name).read_text, encoding="utf-8")
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return web.Response(text=text, content_type=ASSETS[name], headers=headers)

    async def _people(self, request: web.Request) -> web.Response:
        people = [(id_, name) for id_, name in self._slack.workspace.users.items() if id_ != BOT_USER]
        return web.json_response(people)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        user = request.query.get("user", "")
        try:
            while True:
                state = await asyncio.to_thread(self._state, user)
                await stream.write(f"data: {json.dumps(state)}\n\n".encode())
                await asyncio.sleep(TICK_SECONDS)
        except ConnectionResetError:
            return stream

    def _state(self, user: str) -> dict[str, Any]:
        path = self._fallback_file
        return {
            "now": _shown(self._clock()),
            "speed": self._speed,
            "users": self._slack.workspace.users,
            "channel": self._slack.workspace.channels[ALERTS].name,
            "messages": [self._message(message) for message in self._slack.visible_to(user, ALERTS)],
            "path": str(path),
            "file": path.read_text(encoding="utf-8") if path.exists() else None,
        }

    def _message(self, message: Message) -> dict[str, Any]:
        return {
            "ts": message.ts,
            "user": message.user,
            "by_bot": message.user == BOT_USER,
            "text": message.text,
            "blocks": message.blocks,
            "thread": message.thread_ts,
            "broadcast": message.broadcast,
            "ephemeral": message.ephemeral_to is not None,
            "posted": _shown(message.posted_at),
            "edited": None if message.edited_at is None else _shown(message.edited_at),
        }

    async def _command(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            await self._slack.command(str(body["text"]), str(body["user"]), ALERTS)
        except NotDispatchedError as error:
            return web.Response(status=502, text=str(error))
        return web.Response(status=204)

    async def _click(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            await self._slack.click(str(body["ts"]), str(body["action_id"]), str(body["user"]))
        except (NotDispatchedError, ValueError) as error:
            return web.Response(status=502, text=str(error))
        return web.Response(status=204)


def buttons(blocks: list[Block]) -> list[Block]:
    """Every button of a message."""
    elements = [element for block in blocks if block["type"] == "actions" for element in block["elements"]]
    return [element for element in elements if element["type"] == "button"]


def _shown(at: datetime) -> str:
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M} UTC"
