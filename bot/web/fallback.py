"""The fallback mode over HTTP: an object with an ETag, a stream of its changes, and flags of OpenFeature (OFREP 0.2).

The flags are the names of the mode's variables. A variable that the mode does not set is an unknown flag, so that the
caller's default applies: in the mode normal, to the model. An SDK also returns its default when the flag has another
type than requested, so a value that looks like a boolean or a number is served as one.
Source: https://github.com/open-feature/protocol/blob/main/service/openapi.yaml
"""

import asyncio
import hashlib
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import hdrs, web
from aiohttp.helpers import ETAG_ANY
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from bot.fallback.service import ChangeSignal, ModeState
from bot.language import spoken
from bot.mode import CHAIN_VARIABLE, MODE_VARIABLE, MODEL_VARIABLE
from bot.web.access import BearerAccess

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Seconds between two reads of the store for all streams: changes by other copies send no signal here."""
GONE_SECONDS = 0.5
"""Seconds between two checks whether a stream's reader is still connected."""
KEEP_ALIVE_SECONDS = 15
WRITE_SECONDS = 30
MOST_STREAMS = 100
"""For all readers together. There is none for each address, which all readers behind a proxy or NAT share."""
RETRY_SECONDS = 5


class ModeUnreadableError(Exception):
    """The store is not responding; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class ServedMode:
    """The mode as served. `body`: the JSON object. `tag`: its ETag without the quotes."""

    name: str
    variables: Mapping[str, str]
    body: bytes
    tag: str


def served(state: ModeState) -> ServedMode:
    """The object of `GET /v1/fallback` and the stream: mode, variables, since, until, by, reason."""
    body = json.dumps(
        {
            "mode": state.mode.name,
            "variables": dict(state.mode.variables),
            "since": _moment(state.changed_at),
            "until": _moment(state.until),
            "by": state.changed_by,
            "reason": None if state.reason is None else spoken(state.reason),
        }
    ).encode()
    return ServedMode(state.mode.name, state.mode.variables, body, entity_tag(body))


class CurrentMode:
    """Reads the store for all requests and streams in one thread of its own.

    `read` is synchronous and returns the wanted mode; another copy on the same database may have changed it.
    """

    def __init__(self, read: Callable[[], ModeState]) -> None:
        self._read = read
        # Commands and reviews may occupy all threads of the default executor for seconds.
        self._thread = ThreadPoolExecutor(1, "served-mode")
        self._one_reader = asyncio.Lock()
        self._begun_at = -math.inf
        self._latest: ServedMode | None = None
        self._said_unreadable = False

    async def close(self, app: web.Application) -> None:
        """End the thread without waiting for it; for `on_cleanup`."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def now(self) -> ServedMode:
        """The mode, read after this call began. Raises `ModeUnreadableError`."""
        time = asyncio.get_running_loop().time
        asked_at = time()
        async with self._one_reader:
            # A caller that waited for the lock shares the read made meanwhile, and its failure.
            if self._begun_at <= asked_at:
                begun_at = time()
                # Set together, after the read: a cancelled read does not count.
                self._latest, self._begun_at = await self._fetch(), begun_at
            if self._latest is None:
                raise ModeUnreadableError("The mode cannot be read now: keep the last one and retry.")
            return self._latest

    async def _fetch(self) -> ServedMode | None:
        try:
            state = await asyncio.get_running_loop().run_in_executor(self._thread, self._read)
        except SQLAlchemyError as error:
            if not self._said_unreadable:
                log.error(
                    "the fallback mode cannot be served: the database is not responding (%s)", type(error).__name__
                )
            self._said_unreadable = True
            return None
        self._said_unreadable = False
        return served(state)


class Streams:
    """Server-sent events: the current mode at once, then every change, with comments that keep the connection alive.

    While a stream is open, one task reads the mode for all streams: at every signal of `changes`, and every
    `look_seconds` for changes by other copies of the bot.
    """

    def __init__(
        self,
        current: CurrentMode,
        changes: ChangeSignal,
        most: int = MOST_STREAMS,
        keep_alive: float = KEEP_ALIVE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._look_seconds = look_seconds
        self._current = current
        self._changes = changes
        self._most = most
        self._keep_alive = keep_alive
        self._watching: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Event] = set()
        self._newest: ServedMode | None = None
        self._ending = False
        self.open = 0

    async def end(self, app: web.Application) -> None:
        """End every stream; for `on_shutdown`."""
        self._ending = True
        self._wake_all()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One stream, until the reader or the server ends it. 503 above the bound, or while the mode is unreadable."""
        if self.open >= self._most:
            return unavailable(
                {"error": f"There are {self._most} open streams already: poll /v1/fallback, or try again later."}
            )
        self.open += 1
        woken = asyncio.Event()
        self._waiting.add(woken)
        try:
            # Subscribe before the first read, so that no change is missed between the two.
            if self._watching is None or self._watching.done():
                self._watching = asyncio.create_task(self._watch())
            first = await self._read()
            return await self._stream(request, first, woken)
        except ModeUnreadableError as error:
            return unavailable({"error": str(error)})
        finally:
            self._waiting.discard(woken)
            self.open -= 1
            if not self.open and self._watching is not None:
                self._watching.cancel()
                self._watching = self._newest = None

    async def _watch(self) -> None:
        """Read the mode after every signal, and wake the streams when it has changed."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        with self._changes.heard_by(lambda: loop.call_soon_threadsafe(changed.set)):
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_seconds):
                        await changed.wait()
                # Before the read: a change committed during it needs another read.
                changed.clear()
                with suppress(ModeUnreadableError):
                    await self._read()

    async def _read(self) -> ServedMode:
        """Read the mode for all streams, so that none goes back to an earlier one."""
        mode = await self._current.now()
        if self._newest is None or mode.tag != self._newest.tag:
            self._newest = mode
            self._wake_all()
        return mode

    def _watch_failed(self) -> bool:
        return self._watching is None or self._watching.done()

    def _wake_all(self) -> None:
        for woken in self._waiting:
            woken.set()

    async def _stream(self, request: web.Request, mode: ServedMode, woken: asyncio.Event) -> web.StreamResponse:
        # A buffering proxy would delay a change; the last header is nginx's.
        headers = {hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        try:
            await response.prepare(request)
            await _write(request, response, b"retry: %d\n%s" % (RETRY_SECONDS * 1000, _event(mode)))
            await self._follow(request, response, mode, woken)
        except ConnectionError:
            # The reader has disconnected.
            return response
        return response

    async def _follow(
        self, request: web.Request, response: web.StreamResponse, mode: ServedMode, woken: asyncio.Event
    ) -> None:
        time = asyncio.get_running_loop().time
        written_at = time()
        # No transport: the reader has disconnected, which otherwise shows only at the next write.
        while not self._ending and request.transport is not None and not self._watch_failed():
            newest = self._newest or mode
            if newest.tag != mode.tag:
                mode, written_at = newest, time()
                await _write(request, response, _event(mode))
                continue
            if time() - written_at >= self._keep_alive:
                written_at = time()
                await _write(request, response, b": keep-alive\n\n")
            with suppress(TimeoutError):
                async with asyncio.timeout(GONE_SECONDS):
                    await woken.wait()
            woken.clear()


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
    # A cache between the bot and a service may store it, but must revalidate.
    response.headers[hdrs.CACHE_CONTROL] = "private, no-cache"
    return response


def _asked(request: web.Request) -> set[str]:
    """The tags of `If-None-Match`. Some clients omit the quotes that RFC 9110 requires."""
    header = ",".join(request.headers.getall(hdrs.IF_NONE_MATCH, ()))
    return {part.strip().removeprefix("W/").strip('"') for part in header.split(",")}


def unavailable(body: Mapping[str, object]) -> web.Response:
    """503, to be retried."""
    return web.json_response(body, status=503, headers={hdrs.RETRY_AFTER: str(RETRY_SECONDS)})


def entity_tag(body: bytes) -> str:
    """A strong ETag's value, without the quotes."""
    return hashlib.sha256(body).hexdigest()[:32]


def _event(mode: ServedMode) -> bytes:
    # This JSON has no line breaks, so the object is one `data` line.
    return b'event: fallback\nid: "%s"\ndata: %s\n\n' % (mode.tag.encode(), mode.body)


async def _write(request: web.Request, response: web.StreamResponse, chunk: bytes) -> None:
    try:
        await asyncio.wait_for(response.write(chunk), WRITE_SECONDS)
    except TimeoutError:
        # The reader does not read; a graceful end would wait for it again.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader has stopped reading") from None


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


ALWAYS_TEXT = (MODE_VARIABLE, MODEL_VARIABLE, CHAIN_VARIABLE)

# As many digits as JavaScript's numbers hold exactly. "007" and "+1" are names, not numbers.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")
_DECIMAL = re.compile(r"-?(?=[0-9.]{3,16}$)(?:0|[1-9][0-9]*)\.[0-9]+")


class EvaluationRequest(BaseModel):
    """The body of both requests. The mode is the same for everybody, so the context is ignored."""

    model_config = ConfigDict(strict=True)

    context: dict[str, object] | None = None


def ofrep_routes(current: CurrentMode, access: BearerAccess) -> list[web.RouteDef]:
    """`POST /ofrep/v1/evaluate/flags` and `POST /ofrep/v1/evaluate/flags/{key}`, behind `access`."""

    async def evaluate_all(request: web.Request) -> web.StreamResponse:
        problem = await _problem(request)
        if problem is not None:
            return web.json_response(problem, status=400)
        try:
            mode = await current.now()
        except ModeUnreadableError as error:
            return unavailable({"errorDetails": str(error)})
        return tagged(request, json.dumps({"flags": [_evaluation(mode, name) for name in mode.variables]}).encode())

    async def evaluate_one(request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"].rstrip("/")
        problem = await _problem(request)
        if problem is not None:
            return web.json_response({"key": key, **problem}, status=400)
        try:
            mode = await current.now()
        except ModeUnreadableError as error:
            return unavailable({"errorDetails": str(error)})
        if key not in mode.variables:
            details = f"The mode {mode.name} does not set {key}: use your own default."
            return web.json_response({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}, status=404)
        return web.json_response(_evaluation(mode, key))

    return [
        web.post("/ofrep/v1/evaluate/flags", access.guard(evaluate_all)),
        web.post("/ofrep/v1/evaluate/flags/", access.guard(evaluate_all)),
        web.post("/ofrep/v1/evaluate/flags/{key:(?s:.+)}", access.guard(evaluate_one)),
    ]


def _evaluation(mode: ServedMode, name: str) -> dict[str, object]:
    text = mode.variables[name]
    # STATIC: the same for every context.
    return {
        "key": name,
        "value": text if name in ALWAYS_TEXT else typed(text),
        "reason": "STATIC",
        "variant": mode.name,
    }


def typed(text: str) -> bool | int | float | str:
    """A boolean for true and false, a number for its canonical form, otherwise the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


async def _problem(request: web.Request) -> dict[str, object] | None:
    body = await request.read()
    if not body:
        return None
    try:
        EvaluationRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["loc"][:1] == ("context",):
            return {"errorCode": "INVALID_CONTEXT", "errorDetails": "context is not a JSON object."}
        return {"errorCode": "PARSE_ERROR", "errorDetails": f"The body is not a JSON object: {first['msg']}."}
    return None
