"""The fallback mode for services that follow at once: one object to fetch with an ETag, and a stream of its changes."""

import asyncio
import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import hdrs, web
from aiohttp.helpers import ETAG_ANY
from sqlalchemy.exc import SQLAlchemyError

from bot.fallback.service import ModeState
from bot.threads import InThread
from bot.web.access import BearerAccess

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Between two looks at the store, for all streams together; a change is sent within twice that."""
KEEP_ALIVE_SECONDS = 15
WRITE_SECONDS = 30
MOST_STREAMS = 100
RETRY_SECONDS = 5


class ModeUnreadableError(Exception):
    """The store does not answer at this moment; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class ServedMode:
    """The mode as services get it. `body`: the JSON object. `tag`: its ETag without the quotes."""

    name: str
    variables: Mapping[str, str]
    body: bytes
    tag: str


def served(state: ModeState) -> ServedMode:
    """What `GET /v1/fallback` and the stream say: mode, variables, since, until, by, reason."""
    body = json.dumps(
        {
            "mode": state.mode.name,
            "variables": dict(state.mode.variables),
            "since": _moment(state.changed_at),
            "until": _moment(state.until),
            "by": state.changed_by,
            "reason": state.reason,
        }
    ).encode()
    return ServedMode(state.mode.name, state.mode.variables, body, entity_tag(body))


class CurrentMode:
    """Reads the store for all requests and streams with one thread, however many they are.

    `read` is synchronous and gives the wanted mode; another copy on the same database may have changed it.
    """

    def __init__(self, read: Callable[[], ModeState], in_thread: InThread = asyncio.to_thread) -> None:
        self._read = read
        self._in_thread = in_thread
        self._one_reader = asyncio.Lock()
        self._begun_at = -math.inf
        self._latest: ServedMode | None = None
        self._said_unreadable = False

    async def now(self) -> ServedMode:
        """The mode, read after this call began. Raises `ModeUnreadableError`."""
        return await self._read_after(asyncio.get_running_loop().time())

    async def lately(self) -> ServedMode:
        """The mode as it was at most `POLL_SECONDS` ago. Raises `ModeUnreadableError`."""
        return await self._read_after(asyncio.get_running_loop().time() - POLL_SECONDS)

    async def _read_after(self, moment: float) -> ServedMode:
        async with self._one_reader:
            # Whoever waited for the lock shares what was read meanwhile, also that it could not be read.
            if self._begun_at <= moment:
                self._begun_at = asyncio.get_running_loop().time()
                self._latest = await self._fetch()
            if self._latest is None:
                raise ModeUnreadableError("The mode cannot be read at this moment: keep the last one, and ask again.")
            return self._latest

    async def _fetch(self) -> ServedMode | None:
        try:
            state = await self._in_thread(self._read)
        except SQLAlchemyError as error:
            if not self._said_unreadable:
                log.error("the fallback mode cannot be served: the database does not answer (%s)", type(error).__name__)
            self._said_unreadable = True
            return None
        self._said_unreadable = False
        return served(state)


class Streams:
    """Server-sent events: the present mode at once, then every change, with comments that keep the connection alive."""

    def __init__(self, current: CurrentMode, most: int = MOST_STREAMS, keep_alive: float = KEEP_ALIVE_SECONDS) -> None:
        self._current = current
        self._most = most
        self._keep_alive = keep_alive
        self._ending = asyncio.Event()
        self.open = 0

    async def end(self, app: web.Application) -> None:
        """Let every stream come to its end; for `on_shutdown`."""
        self._ending.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One stream, until the reader or the server goes. 503 above the bound, or while the mode is unreadable."""
        if self.open >= self._most:
            return unavailable(
                {"error": f"There are {self._most} open streams already: poll /v1/fallback, or try again later."}
            )
        self.open += 1
        try:
            first = await self._current.now()
            return await self._stream(request, first)
        except ModeUnreadableError as error:
            return unavailable({"error": str(error)})
        finally:
            self.open -= 1

    async def _stream(self, request: web.Request, mode: ServedMode) -> web.StreamResponse:
        # Proxies that buffer would hold a change back; nginx reads the last header.
        headers = {hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        try:
            await response.prepare(request)
            await _write(request, response, b"retry: %d\n%s" % (RETRY_SECONDS * 1000, _event(mode)))
            await self._follow(request, response, mode)
        except ConnectionError:
            # The reader has gone.
            return response
        return response

    async def _follow(self, request: web.Request, response: web.StreamResponse, mode: ServedMode) -> None:
        time = asyncio.get_running_loop().time
        written_at = time()
        # Without a transport the reader has gone, which would otherwise show at the next write only.
        while not await self._ends_within(POLL_SECONDS) and request.transport is not None:
            newest = await self._newest(mode)
            if newest.tag != mode.tag:
                await _write(request, response, _event(newest))
            elif time() - written_at >= self._keep_alive:
                await _write(request, response, b": keep-alive\n\n")
            else:
                continue
            mode, written_at = newest, time()

    async def _newest(self, known: ServedMode) -> ServedMode:
        try:
            return await self._current.lately()
        except ModeUnreadableError:
            return known

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return False
        return True


def fallback_routes(current: CurrentMode, streams: Streams, access: BearerAccess) -> list[web.RouteDef]:
    """`GET /v1/fallback` and `GET /v1/fallback/stream`, behind `access`."""

    async def fallback(request: web.Request) -> web.StreamResponse:
        try:
            mode = await current.now()
        except ModeUnreadableError as error:
            return unavailable({"error": str(error)})
        return tagged(request, mode.body)

    return [
        web.get("/v1/fallback", access.guard(fallback)),
        web.get("/v1/fallback/stream", access.guard(streams.serve), allow_head=False),
    ]


def tagged(request: web.Request, body: bytes) -> web.Response:
    """200 with a JSON `body` and its strong ETag, or 304 where `If-None-Match` names that."""
    tag = entity_tag(body)
    if _asked(request) & {tag, ETAG_ANY}:
        response = web.Response(status=304)
    else:
        response = web.Response(body=body, content_type="application/json", charset="utf-8")
    response.etag = tag
    # A cache between the bot and a service may keep it, but has to ask whether it still holds.
    response.headers[hdrs.CACHE_CONTROL] = "private, no-cache"
    return response


def _asked(request: web.Request) -> set[str]:
    """The tags of `If-None-Match`. Some clients leave the quotes out, which RFC 9110 wants."""
    header = ",".join(request.headers.getall(hdrs.IF_NONE_MATCH, ()))
    return {part.strip().removeprefix("W/").strip('"') for part in header.split(",")}


def unavailable(body: Mapping[str, object]) -> web.Response:
    """503, to be asked again."""
    return web.json_response(body, status=503, headers={hdrs.RETRY_AFTER: str(RETRY_SECONDS)})


def entity_tag(body: bytes) -> str:
    """A strong ETag's value, without the quotes."""
    return hashlib.sha256(body).hexdigest()[:32]


def _event(mode: ServedMode) -> bytes:
    # JSON has no line breaks of its own, so that the object is one `data` line.
    return b'event: fallback\nid: "%s"\ndata: %s\n\n' % (mode.tag.encode(), mode.body)


async def _write(request: web.Request, response: web.StreamResponse, chunk: bytes) -> None:
    try:
        await asyncio.wait_for(response.write(chunk), WRITE_SECONDS)
    except TimeoutError:
        # It does not read; to end the response politely would wait for it again.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader does not read") from None


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
