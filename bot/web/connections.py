"""Limits of the HTTP port: connections, and time for each part of a request."""

import asyncio
import logging
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from bot.web.access import Handler

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 256
FEWEST_CONNECTIONS = 8
OTHER_DESCRIPTORS = 64
"""File descriptors for the database, Slack, Anthropic and the process itself."""
HEAD_SECONDS = 10.0
"""Seconds for a whole request head, and between two requests on one connection."""
BODY_SECONDS = 10.0
ROOM_SECONDS = 0.25
"""Seconds without a whole request after which a connection may be dropped for a new one."""
SAID_SECONDS = 60.0
LARGE_BODIES = 4
"""Large bodies in memory at one time, for each path."""
LARGE_WAIT_SECONDS = 5.0
RETRY_SECONDS = 2


def most_connections() -> int:
    """256, or fewer if the process may not open many files."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, (limit - OTHER_DESCRIPTORS) // 2))


@dataclass(frozen=True, slots=True)
class LargeBodies:
    """Limits how many large, perhaps compressed, bodies are read and handled at one time.

    `refusal`: decides before any of the body is read. `wait_seconds`: how long a request waits for its turn.
    """

    most_bytes: int
    refusal: Callable[[web.Request], web.Response | None]
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_BODIES))
    wait_seconds: float = LARGE_WAIT_SECONDS

    def busy(self) -> web.Response:
        """503 for a request whose turn did not come."""
        response = _refused(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests at once: send the same again later.")
        response.headers[hdrs.RETRY_AFTER] = str(RETRY_SECONDS)
        return response


class Connections:
    """Bounds the connections of one server, and the time in seconds until each has sent a whole request.

    Above the bound, the connection that has waited longest for its request is dropped, so that idle connections do not
    lock others out; if none has waited for long, the new one is dropped.
    """

    def __init__(
        self,
        most: int | None = None,
        *,
        head_seconds: float = HEAD_SECONDS,
        body_seconds: float = BODY_SECONDS,
        room_seconds: float = ROOM_SECONDS,
    ) -> None:
        self._room_seconds = room_seconds
        self.most = most_connections() if most is None else most
        self.head_seconds = head_seconds
        self.body_seconds = body_seconds
        self._waiting_since: dict[RequestHandler, float] = {}
        self._said_at = float("-inf")
        self._large: dict[str, LargeBodies] = {}

    def allow(self, path: str, bodies: LargeBodies) -> None:
        """Allow such bodies in POST requests to a path."""
        self._large[path] = bodies

    def protocol(self, server: web.Server) -> asyncio.Protocol:
        """The protocol of an accepted connection, for `loop.create_server`."""
        return _Gate(self, server)

    def admit(self, server: web.Server, transport: asyncio.Transport) -> None:
        """Hand a new connection to the server, or close it."""
        now = asyncio.get_running_loop().time()
        present = server.connections
        self._waiting_since = {one: self._waiting_since[one] for one in present if one in self._waiting_since}
        if len(present) >= self.most and not self._make_room(present, now):
            transport.abort()
            return
        handler = server()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        self._waiting_since[handler] = now

    @web.middleware
    async def whole_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Read the body before the handler runs, within `body_seconds`; a malformed body gets a 4xx."""
        large = self._large.get(request.path) if request.method == hdrs.METH_POST else None
        if large is None:
            if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
                return _refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body without Content-Encoding.")
            return await self._read(request, handler)
        refusal = large.refusal(request)
        if refusal is not None:
            # Do not wait for the rest of the body.
            refusal.force_close()
            return refusal
        try:
            async with asyncio.timeout(large.wait_seconds):
                await large.free.acquire()
        except TimeoutError:
            return large.busy()
        try:
            return await self._read(request.clone(client_max_size=large.most_bytes), handler)
        finally:
            large.free.release()

    async def _read(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self.body_seconds):
                await request.read()
        except TimeoutError:
            return _refused(HTTPStatus.REQUEST_TIMEOUT, f"The body did not arrive within {self.body_seconds:g} s.")
        except web.HTTPRequestEntityTooLarge:
            return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
        except (RequestPayloadError, HttpProcessingError):
            return _refused(HTTPStatus.BAD_REQUEST, "The body is not valid HTTP.")
        self._waiting_since.pop(request.protocol, None)
        try:
            return await handler(request)
        finally:
            self._waiting_since[request.protocol] = asyncio.get_running_loop().time()

    def _make_room(self, present: Sequence[RequestHandler], now: float) -> bool:
        if now - self._said_at > SAID_SECONDS:
            self._said_at = now
            log.warning("the HTTP port has reached its %d connections: further ones are closed", self.most)
        idle = [(self._waiting_since[one], one) for one in present if one in self._waiting_since]
        # A closed connection stays in the set until its task has ended.
        waiting = [
            (since, one) for since, one in idle if one.transport is not None and now - since >= self._room_seconds
        ]
        if not waiting:
            return False
        _, longest = min(waiting, key=lambda pair: pair[0])
        longest.force_close()
        return True


class _Gate(asyncio.Protocol):
    """Accepts or closes a connection once it is made, after earlier ones have been counted."""

    def __init__(self, connections: Connections, server: web.Server) -> None:
        self._connections = connections
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._connections.admit(self._server, transport)


def _refused(status: HTTPStatus, sentence: str) -> web.Response:
    response = web.json_response({"error": sentence}, status=status)
    response.force_close()
    return response
