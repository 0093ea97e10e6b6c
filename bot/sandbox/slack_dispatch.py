"""Socket Mode of the local Slack: open connections, envelopes and their acknowledgements.

Frames and rules: docs.slack.dev, Using Socket Mode.
"""

import asyncio
import itertools
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web
from slack_sdk.signature import SignatureVerifier

from bot.sandbox.slack_workspace import APP_ID, NotDispatchedError, Signal

MOST_CONNECTIONS = 10


@dataclass(frozen=True, slots=True)
class Ack:
    """What the app acknowledged with; `payload` is None where it said nothing more."""

    payload: dict[str, Any] | None


class SocketConnections:
    """`ack_seconds`: how long the app has for an acknowledgement, in real time."""

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
        """Connections that accept envelopes: open, and not asked to disconnect."""
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
        """Give an envelope to one connection, and wait for its ack. Raises `NotDispatchedError`."""
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
        """Return once so many connections take envelopes. Raises `TimeoutError`."""
        await self._signal.until(lambda: self.count >= count, seconds)

    async def close(self) -> None:
        """Close every connection, unannounced."""
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
    """Status and body of the app's answer. `kind`: of envelope. `at`: the time in the signature."""
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
    """What the app acknowledges with. `at`: the time in the signature.

    Raises `NotDispatchedError` where it does not, within `seconds` of real time.
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
