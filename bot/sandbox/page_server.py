"""Server of the demo's page."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.messages import Block
from bot.sandbox.server import LocalServer
from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_views import View
from bot.sandbox.slack_workspace import (
    BOT_USER,
    ApiError,
    Channel,
    Message,
    NotDispatchedError,
    direct_id,
    with_block_ids,
)
from bot.sandbox.stage import Cue, Directions
from bot.web.access import LOOPBACK, Handler, is_for, is_from


class Request(BaseModel):
    """A request of the page."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Direction(Request):
    """An event of the simulation not caused by a person in the channel."""

    cue: Cue


class Act(Request):
    """A person acts."""

    user: str


class Command(Act):
    """`text`: the words after `/claude-cost`, or a whole line that begins with a slash."""

    text: str
    place: str = ALERTS


class Words(Act):
    """Someone writes a message. `mentions`: it begins with a mention of the app."""

    text: str
    place: str = ALERTS
    mentions: bool = False


class Shortcut(Act):
    """Someone chooses a shortcut of the app; `ts`: of the message, for its menu."""

    callback_id: str
    ts: str | None = None


class Deletion(Act):
    """Someone deletes the message with this `ts`."""

    ts: str


Entries = dict[str, dict[str, str | list[str]]]
"""Values of inputs by block id and action id: a text, the value of an option, or the values of all ticked ones."""


class Click(Act):
    """Someone clicks. `ts` of a message or `view_id` of the topmost modal. `values`: of the modal's inputs."""

    ts: str | None = None
    view_id: str | None = None
    block_id: str
    action_id: str
    chosen: str | list[str] | None = None
    values: Entries = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_one_place(self) -> "Click":
        if (self.ts is None) == (self.view_id is None):
            raise ValueError("either ts or view_id must be given")
        return self


class Submission(Act):
    """Someone submits the topmost modal; inputs missing in `values` keep their initial values."""

    view_id: str
    values: Entries


class Closing(Act):
    """Someone closes the topmost modal."""

    view_id: str


R = TypeVar("R", bound=Request)


async def read(request: web.Request, shape: type[R]) -> R:
    """The body as this shape. Raises `web.HTTPBadRequest` with one sentence."""
    if request.content_type != "application/json":
        raise web.HTTPBadRequest(text="The body must be JSON and say so in its Content-Type.")
    try:
        return shape.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=_first_sentence(error)) from None


def _first_sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place or 'the body'}: {first['msg'].removeprefix('Value error, ')}."


ASSETS: Mapping[str, str] = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "messages.js": "text/javascript",
    "places.js": "text/javascript",
    "directions.js": "text/javascript",
    "modal.js": "text/javascript",
    "blocks.js": "text/javascript",
    "chart.js": "text/javascript",
    "elements.js": "text/javascript",
    "markdown.js": "text/javascript",
    "text.js": "text/javascript",
    "wire.js": "text/javascript",
}
TICK_SECONDS = 0.25
"""Seconds between two updates of the time; changes of the workspace are sent at once."""

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"

HOME = "home"
"""Place id of the app's Home tab."""

A = TypeVar("A", bound=Act)


class PageServer(LocalServer):
    """`directions`: controls Slack, time and events."""

    def __init__(self, directions: Directions, fallback_file: Path, port: int) -> None:
        super().__init__(port)
        self.app.middlewares.append(_local_only)
        self._slack = directions.slack
        self._directions = directions
        self._fallback_file = fallback_file
        for name in ASSETS:
            self.app.router.add_get("/" if name == "index.html" else f"/{name}", self._asset)
        self.app.router.add_get("/people", self._people)
        self.app.router.add_get("/events", self._events)
        self.app.router.add_post("/command", self._command)
        self.app.router.add_post("/say", self._say)
        self.app.router.add_post("/shortcut", self._shortcut)
        self.app.router.add_post("/home", self._open_home)
        self.app.router.add_post("/click", self._click)
        self.app.router.add_post("/delete", self._delete)
        self.app.router.add_post("/direct", self._direct)
        self.app.router.add_post("/submit", self._submit)
        self.app.router.add_post("/close", self._close)

    # What it shows

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/") or "index.html"
        text = await asyncio.to_thread(files("bot.sandbox").joinpath("page", name).read_text, encoding="utf-8")
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return web.Response(text=text, content_type=ASSETS[name], headers=headers)

    async def _people(self, request: web.Request) -> web.Response:
        people = [(id_, name) for id_, name in self._slack.workspace.users.items() if id_ != BOT_USER]
        return web.json_response(people)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        user, place = request.query.get("user", ""), request.query.get("place", ALERTS)
        self._check_person(user)
        self._check_place(user, place)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        with self._slack.subscribe() as changes:
            try:
                while True:
                    file = await asyncio.to_thread(_text_of, self._fallback_file)
                    await stream.write(f"data: {json.dumps(self._state(user, place, file))}\n\n".encode())
                    with suppress(TimeoutError):
                        async with asyncio.timeout(TICK_SECONDS):
                            await changes.get()
                    while not changes.empty():
                        changes.get_nowait()
            except ConnectionResetError:
                return stream

    def _state(self, user: str, place: str, file: str | None) -> dict[str, Any]:
        home = self._slack.views.homes.get(user)
        return {
            "now": _shown(self._directions.clock()),
            "stage": self._directions.state(),
            "users": self._slack.workspace.users,
            "channels": {each.id: each.name for each in self._channels()},
            "places": self._places(user),
            "messages": [self._message(message, user) for message in self._slack.visible_to(user, place)],
            "home": None if home is None else {"id": home.id, "hash": home.hash, "blocks": home.as_slack()["blocks"]},
            "modals": [_modal(view) for view in self._slack.views.modals.get(user, [])],
            "path": str(self._fallback_file),
            "file": file,
        }

    def _places(self, user: str) -> list[dict[str, Any]]:
        """Places that the person can open: the channels, the app's Home tab, and direct messages with the app."""
        channels = self._channels()
        return [
            *({"id": each.id, "name": f"# {each.name}", "last": self._last(user, each.id)} for each in channels),
            {"id": HOME, "name": "Home", "last": None},
            {"id": direct_id(user), "name": "Messages", "last": self._last(user, direct_id(user))},
        ]

    def _channels(self) -> list[Channel]:
        """All channels but direct messages."""
        return [each for each in self._slack.workspace.channels.values() if not each.id.startswith("D")]

    def _last(self, user: str, place: str) -> str | None:
        """`ts` of the newest message there that the person sees."""
        return max((message.ts for message in self._slack.visible_to(user, place)), default=None)

    def _message(self, message: Message, user: str) -> dict[str, Any]:
        return {
            "ts": message.ts,
            "user": message.user,
            "by_bot": message.user == BOT_USER,
            "text": message.text,
            "blocks": with_block_ids(message.blocks),
            "thread": message.thread_ts,
            "broadcast": message.broadcast,
            "tombstone": message.is_tombstone,
            "ephemeral": message.ephemeral_to is not None,
            "posted": _shown(message.posted_at),
            "edited": None if message.edited_at is None else _shown(message.edited_at),
            "deletable": self._slack.workspace.may_delete(user, message),
        }

    # What people do

    async def _command(self, request: web.Request) -> web.Response:
        command = await self._act(request, Command)
        with _refusals():
            await self._slack.command(command.text, command.user, self._channel(command.user, command.place))
        return web.Response(status=204)

    async def _say(self, request: web.Request) -> web.Response:
        words = await self._act(request, Words)
        channel = self._channel(words.user, words.place)
        with _refusals():
            if channel.startswith("D"):
                await self._slack.ask_directly(words.text, words.user)
            elif words.mentions:
                await self._slack.ask(words.text, words.user, channel)
            else:
                self._slack.say(words.text, words.user, channel)
        return web.Response(status=204)

    async def _shortcut(self, request: web.Request) -> web.Response:
        chosen = await self._act(request, Shortcut)
        message = None if chosen.ts is None else self._seen(chosen.user, chosen.ts)
        with _refusals():
            await self._slack.shortcut(chosen.callback_id, chosen.user, message)
        return web.Response(status=204)

    async def _open_home(self, request: web.Request) -> web.Response:
        act = await self._act(request, Act)
        with _refusals():
            await self._slack.open_home(act.user)
        return web.Response(status=204)

    async def _click(self, request: web.Request) -> web.Response:
        click = await self._act(request, Click)
        where: Message | View
        home = self._slack.views.homes.get(click.user)
        if click.view_id is not None and home is not None and home.id == click.view_id:
            where = home
        elif click.view_id is not None:
            where = self._topmost(click.user, click.view_id)
        else:
            where = self._seen(click.user, click.ts)
        with _refusals():
            await self._slack.click(
                where,
                click.action_id,
                click.user,
                block_id=click.block_id,
                chosen=click.chosen,
                values=click.values,
            )
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        deletion = await self._act(request, Deletion)
        with _refusals():
            self._slack.delete(self._seen(deletion.user, deletion.ts), deletion.user)
        return web.Response(status=204)

    async def _submit(self, request: web.Request) -> web.Response:
        submission = await self._act(request, Submission)
        self._topmost(submission.user, submission.view_id)
        with _refusals():
            interaction = await self._slack.submit_view(submission.values, submission.user)
        said = (interaction.ack and interaction.ack.payload) or {}
        return web.json_response({"response_action": said.get("response_action"), "errors": said.get("errors") or {}})

    async def _close(self, request: web.Request) -> web.Response:
        closing = await self._act(request, Closing)
        self._topmost(closing.user, closing.view_id)
        with _refusals():
            await self._slack.close_view(closing.user)
        return web.Response(status=204)

    # What happens on the stage

    async def _direct(self, request: web.Request) -> web.Response:
        direction = await read(request, Direction)
        try:
            self._directions.follow(direction.cue)
        except ValueError as error:
            raise web.HTTPConflict(text=f"This cannot happen now: {error}.") from None
        return web.Response(status=204)

    # How it is read

    async def _act(self, request: web.Request, shape: type[A]) -> A:
        act = await read(request, shape)
        self._check_person(act.user)
        return act

    def _check_person(self, user: str) -> None:
        if user == BOT_USER or user not in self._slack.workspace.users:
            raise web.HTTPBadRequest(text="user: nobody here has this id; GET /people lists everyone.")

    def _check_place(self, user: str, place: str) -> None:
        if place not in [each["id"] for each in self._places(user)]:
            raise web.HTTPBadRequest(text="place: there is no such channel, or it is somebody else's.")

    def _channel(self, user: str, place: str) -> str:
        """The person's channel; on the Home tab, the direct messages with the app."""
        self._check_place(user, place)
        channel = direct_id(user) if place == HOME else place
        if channel.startswith("D"):
            self._slack.workspace.direct_channel(user)
        return channel

    def _seen(self, user: str, ts: str | None) -> Message:
        for message in self._slack.visible_to(user):
            if message.ts == ts:
                return message
        raise web.HTTPNotFound(text="This message is not there, or not any more.")

    def _topmost(self, user: str, view_id: str) -> View:
        stack = self._slack.views.modals.get(user, [])
        if not stack or stack[-1].id != view_id:
            raise web.HTTPNotFound(text="This form is not open, or not any more.")
        return stack[-1]


@web.middleware
async def _local_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse pages of other sites, whatever host name they use for the loopback."""
    if not is_for(request, LOOPBACK) or not is_from(request, LOOPBACK):
        raise web.HTTPForbidden(text="The demo's page answers to http://127.0.0.1 and http://localhost only.")
    return await handler(request)


def buttons(blocks: list[Block]) -> list[Block]:
    """Every button of a message."""
    elements = [element for block in blocks if block["type"] == "actions" for element in block["elements"]]
    return [element for element in elements if element["type"] == "button"]


def _modal(view: View) -> dict[str, Any]:
    """`hash` changes with the content. `submit` and `close`: labels of the buttons, None if the app gave none."""
    shown = view.as_slack()
    words = {name: shown[name]["text"] if name in shown else None for name in ("title", "submit", "close")}
    disabled = bool(shown.get("submit_disabled"))
    return {"id": view.id, "hash": view.hash, **words, "submit_disabled": disabled, "blocks": shown["blocks"]}


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn errors of an action into responses: 502 if the app failed, 400 if the action is impossible."""
    try:
        yield
    except NotDispatchedError as error:
        raise web.HTTPBadGateway(text=f"The app did not take it: {error}.") from None
    except ApiError as error:
        problems = error.details.get("response_metadata", {}).get("messages", [])
        raise web.HTTPBadGateway(
            text=f"Slack refuses the app's answer: {'; '.join([error.code, *problems])}."
        ) from None
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"Nobody could do this in Slack: {error}.") from None


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _shown(at: datetime) -> str:
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M} UTC"
