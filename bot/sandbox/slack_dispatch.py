"""Dispatch to the app, over Socket Mode or HTTP, and the app's replies to interactions.

Frames and rules: docs.slack.dev, Using Socket Mode.
"""

import asyncio
import itertools
import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web
from slack_sdk.signature import SignatureVerifier

from bot.clock import Clock
from bot.sandbox.slack_arguments import content
from bot.sandbox.slack_checks import POSTED_TEXT
from bot.sandbox.slack_workspace import APP_ID, BOT_USER, ApiError, Message, NotDispatchedError, Signal, SlackWorkspace

MOST_CONNECTIONS = 10


@dataclass(frozen=True, slots=True)
class Ack:
    """The app's acknowledgement; `payload`: None without content."""

    payload: dict[str, Any] | None


class SocketConnections:
    """`ack_seconds`: how long the app may take to acknowledge, in real time."""

    def __init__(self, ack_seconds: float) -> None:
        self.ack_seconds = ack_seconds
        self._tickets: set[str] = set()
        self._open: list[web.WebSocketResponse] = []
        self._leaving: set[web.WebSocketResponse] = set()
        self._waiting: dict[str, asyncio.Future[Ack]] = {}
        self._turn = itertools.count()
        self._signal = Signal()

    @property
    def count(self) -> int:
        """Number of connections that accept envelopes: open, and not asked to disconnect."""
        return len(self._serving())

    def new_ticket(self) -> str:
        """A ticket for one connection."""
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return ticket

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """`GET /link`: one connection, from hello until it closes."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=403, text="this address was used before or never given")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._tickets.discard(ticket)
        if len(self._open) >= MOST_CONNECTIONS:
            await socket.send_json(_disconnect("too_many_websockets"))
            await socket.close()
            return socket
        self._open.append(socket)
        try:
            await socket.send_json(self._hello())
            self._signal.fire()
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    self._received(frame.data)
        finally:
            self._open.remove(socket)
            self._leaving.discard(socket)
            self._signal.fire()
        return socket

    async def send(
        self, kind: str, payload: dict[str, Any], *, accepts_response_payload: bool, envelope_id: str | None
    ) -> Ack:
        """Send an envelope to one connection, and wait for its acknowledgement. Raises `NotDispatchedError`."""
        serving = self._serving()
        if not serving:
            raise NotDispatchedError("dispatch_failed: the app has no open connection")
        id_ = envelope_id or str(uuid.uuid4())
        ack: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = ack
        envelope = {
            "envelope_id": id_,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": accepts_response_payload,
        }
        await serving[next(self._turn) % len(serving)].send_json(envelope)
        try:
            async with asyncio.timeout(self.ack_seconds):
                return await ack
        except TimeoutError:
            raise NotDispatchedError(f"operation_timeout: no ack within {self.ack_seconds} s") from None
        finally:
            if self._waiting.get(id_) is ack:
                del self._waiting[id_]

    async def disconnect(self, reason: str) -> None:
        """Ask every connection to disconnect; it gets no more envelopes, and stays open until the app closes it."""
        for socket in self._serving():
            self._leaving.add(socket)
            await socket.send_json(_disconnect(reason))

    async def wait_for(self, count: int, seconds: float) -> None:
        """Return once this many connections accept envelopes. Raises `TimeoutError`."""
        await self._signal.until(lambda: self.count >= count, seconds)

    async def close(self) -> None:
        """Close every connection without warning."""
        for socket in list(self._open):
            self._leaving.add(socket)
            await socket.close()

    def _serving(self) -> list[web.WebSocketResponse]:
        return [socket for socket in self._open if socket not in self._leaving and not socket.closed]

    def _received(self, text: str) -> None:
        answer = json.loads(text)
        waiting = self._waiting.get(answer.get("envelope_id", ""))
        if waiting is not None and not waiting.done():
            waiting.set_result(Ack(answer.get("payload")))

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "num_connections": len(self._open),
            "debug_info": {"host": "sandbox", "approximate_connection_time": 18060},
            "connection_info": {"app_id": APP_ID},
        }


def _disconnect(reason: str) -> dict[str, Any]:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}


async def post_signed(
    url: str, payload: dict[str, Any], kind: str, signing_secret: str, at: datetime
) -> tuple[int, str]:
    """Status and body of the app's response. `kind`: of envelope. `at`: time in the signature."""
    if kind == "events_api":
        body, content_type = json.dumps(payload), "application/json"
    else:
        form = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
        body, content_type = urlencode(form), "application/x-www-form-urlencoded"
    timestamp = str(int(at.timestamp()))
    verifier = SignatureVerifier(signing_secret)
    signature = verifier.generate_signature(timestamp=timestamp, body=body)
    headers = {
        "Content-Type": content_type,
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": signature or "",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body.encode(), headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def dispatch(
    url: str, payload: dict[str, Any], kind: str, signing_secret: str, seconds: float, at: datetime
) -> Ack:
    """The app's acknowledgement. `at`: time in the signature.

    Raises `NotDispatchedError` if there is none within `seconds` of real time.
    """
    try:
        async with asyncio.timeout(seconds):
            status, body = await post_signed(url, payload, kind, signing_secret, at)
    except TimeoutError:
        raise NotDispatchedError("operation_timeout: no answer in time") from None
    except aiohttp.ClientError as error:
        raise NotDispatchedError(f"dispatch_failed: {type(error).__name__}") from None
    if status != 200:
        raise NotDispatchedError(f"dispatch_failed: HTTP {status}")
    if not body:
        return Ack(None)
    try:
        said = json.loads(body)
    except json.JSONDecodeError:
        said = body
    return Ack(said if isinstance(said, dict) else {"text": body})


RESPONSE_USES = 5
RESPONSE_LIFE = timedelta(minutes=30)


@dataclass(slots=True, eq=False)
class Interaction:
    """One command, click or submission. `source`: the clicked message. `uses`: of its response URL."""

    id: str
    user: str
    channel: str
    at: datetime
    source: Message | None = None
    ack: Ack | None = None
    uses: int = 0
    replies: list[Message] = field(default_factory=list)
    _signal: Signal = field(default_factory=Signal)

    async def first_reply(self, seconds: float = 5) -> Message:
        """The first message in the app's reply. Raises `TimeoutError`."""
        return await self.reply(0, seconds)

    async def reply(self, index: int, seconds: float = 5) -> Message:
        """The reply with this index, awaited. Raises `TimeoutError`."""
        await self._signal.until(lambda: len(self.replies) > index, seconds)
        return self.replies[index]

    def answered(self, message: Message) -> None:
        self.replies.append(message)
        self._signal.fire()


class ResponseUrls:
    """`POST /response/{id}`: five uses within 30 minutes by `lifetime_clock`."""

    def __init__(self, workspace: SlackWorkspace, lifetime_clock: Clock) -> None:
        self._workspace = workspace
        self._clock = lifetime_clock
        self._interactions: dict[str, Interaction] = {}

    def new(self, user: str, channel: str, source: Message | None = None) -> Interaction:
        """An interaction whose id is valid for `POST /response/{id}`."""
        interaction = Interaction(self._workspace.new_id("R"), user, channel, self._clock(), source)
        self._interactions[interaction.id] = interaction
        return interaction

    def use(self, id_: str, body: dict[str, Any]) -> web.Response:
        """Slack's response to one use."""
        interaction = self._interactions.get(id_)
        if interaction is None:
            return _refused(404, "invalid_url")
        if self._clock() - interaction.at > RESPONSE_LIFE:
            return _refused(404, "expired_url")
        if interaction.uses >= RESPONSE_USES:
            return _refused(404, "used_url")
        interaction.uses += 1
        try:
            self.answer(interaction, body)
        except ApiError as error:
            return _refused(400, error.code, **error.details)
        return web.Response(text="ok")

    def answer(self, interaction: Interaction, body: dict[str, Any]) -> None:
        """Apply a reply from a response URL or an acknowledgement. Raises `ApiError`."""
        workspace, source = self._workspace, interaction.source
        if body.get("delete_original"):
            workspace.delete(self._original(source))
            return
        text, blocks = content(body, most=POSTED_TEXT, unknown=self._workspace.unknown_blocks)
        if source is not None and body.get("replace_original", True):
            workspace.edit(self._original(source), text, blocks)
            interaction.answered(source)
            return
        everyone = body.get("response_type", "ephemeral") == "in_channel"
        message = workspace.post(
            interaction.channel,
            BOT_USER,
            text,
            blocks,
            thread_ts=body.get("thread_ts"),
            ephemeral_to=None if everyone else interaction.user,
        )
        interaction.answered(message)

    def _original(self, source: Message | None) -> Message:
        if source is None or source not in self._workspace.messages:
            raise ApiError("message_not_found")
        return source


def _refused(status: int, code: str, **details: Any) -> web.Response:
    return web.json_response({"ok": False, "error": code, **details}, status=status)
