"""OTLP over HTTP: `/v1/traces`, `/v1/metrics` and `/v1/logs`, in protobuf and in JSON, plain or gzip.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import json
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import get_args

from aiohttp import hdrs, web
from sqlalchemy.exc import SQLAlchemyError

from bot.clock import Clock
from bot.db.engine import database_problem
from bot.ledger.bodies import BodyError, gunzip
from bot.ledger.otlp.ingest import OtlpIngest, Taken
from bot.ledger.otlp.model import UnreadableBodyError
from bot.ledger.otlp.reading import Signal
from bot.threads import InThread
from bot.web.access import Handler
from bot.web.connections import RETRY_SECONDS, Connections, LargeBodies
from bot.web.ingest import GZIP, IngestAccess

log = logging.getLogger(__name__)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
MOST_SENT = 4 * 1024 * 1024
"""Bytes of a body as it is sent."""
MOST_UNPACKED = 8 * 1024 * 1024
"""Bytes of a body once it is unpacked. What is made of it takes up to forty times as much."""

REJECTED = {"traces": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}
CODES = {400: 3, 401: 16, 403: 7, 413: 8, 415: 3, 421: 7, 503: 14}
"""Of google.rpc.Code: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE."""


class OtlpReceiver:
    """Takes requests of all three signals. `in_thread`: reads and stores bodies. `stored`: called after that."""

    def __init__(
        self,
        access: IngestAccess,
        ingest: OtlpIngest,
        in_thread: InThread,
        clock: Clock,
        stored: Callable[[], None] = lambda: None,
    ) -> None:
        self._stored = stored
        self._access = access
        self._ingest = ingest
        self._in_thread = in_thread
        self._clock = clock
        self._said: set[str] = set()
        self._failing = False

    def routes(self, connections: Connections) -> list[web.RouteDef]:
        """The three routes, whose bodies may be larger than others."""
        for signal in get_args(Signal):
            connections.allow(f"/v1/{signal}", LargeBodies(MOST_SENT, self._refusal))
        return [web.post(f"/v1/{signal}", self._handler(signal)) for signal in get_args(Signal)]

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What is wrong with a request before its body is read."""
        refusal = self._access.refusal(request)
        if refusal is not None:
            return _as_status(request, refusal)
        kind = request.content_type
        if kind not in (PROTOBUF, JSON):
            return _status(JSON, 415, f"Send Content-Type: {PROTOBUF} or {JSON}.")
        if _packing(request) not in {"", "identity", *GZIP}:
            return _status(kind, 415, "Send the body plain, or with Content-Encoding: gzip.")
        if (request.content_length or 0) > MOST_SENT:
            return _status(kind, 413, f"The body is larger than {MOST_SENT // 2**20} MB: send less at a time.")
        return None

    def _handler(self, signal: Signal) -> Handler:
        async def receive(request: web.Request) -> web.Response:
            kind = request.content_type
            body = await request.read()
            is_packed = _packing(request) in GZIP
            try:
                taken = await self._in_thread(self._take, signal, body, is_packed, kind == JSON)
            except BodyError as error:
                return _status(kind, error.status, str(error))
            except UnreadableBodyError as error:
                return _status(kind, 400, str(error))
            except SQLAlchemyError as error:
                return self._unavailable(kind, database_problem(error))
            except RuntimeError:
                # The threads have ended with the bot.
                return self._unavailable(kind, "the bot is ending")
            self._failing = False
            self._say(signal, taken)
            self._stored()
            return _answer(signal, kind, taken)

        return receive

    def _take(self, signal: Signal, body: bytes, is_packed: bool, is_json: bool) -> Taken:
        whole = gunzip(body, MOST_UNPACKED) if is_packed else body
        return self._ingest.take(signal, whole, self._clock(), is_json=is_json)

    def _unavailable(self, kind: str, problem: str) -> web.Response:
        if not self._failing:
            log.error("what OTLP reports cannot be stored: %s", problem)
        self._failing = True
        answer = _status(kind, 503, "This cannot be stored at this moment, none of it was: send it again later.")
        answer.headers[hdrs.RETRY_AFTER] = str(RETRY_SECONDS)
        return answer

    def _say(self, signal: Signal, taken: Taken) -> None:
        """Each reason once: senders repeat themselves."""
        for reason, number in taken.passed.items():
            if (said := f"{signal}: {reason}") not in self._said:
                self._said.add(said)
                log.info("OTLP passed over %s (%d in this request, further ones are not logged)", said, number)


def _packing(request: web.Request) -> str:
    return request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()


def _answer(signal: Signal, kind: str, taken: Taken) -> web.Response:
    if kind == PROTOBUF:
        from bot.ledger.otlp.protobuf_form import answer_protobuf

        return web.Response(body=answer_protobuf(signal, taken.rejected, taken.sentence), content_type=PROTOBUF)
    # 64-bit numbers are text in the JSON form.
    partial = {REJECTED[signal]: str(taken.rejected), "errorMessage": taken.sentence}
    return web.json_response({"partialSuccess": partial} if taken.rejected else {})


def _as_status(request: web.Request, refusal: web.Response) -> web.Response:
    try:
        sentence = str(json.loads(refusal.text or "")["error"])
    except (ValueError, KeyError, TypeError):
        sentence = HTTPStatus(refusal.status).phrase
    answer = _status(PROTOBUF if request.content_type == PROTOBUF else JSON, refusal.status, sentence)
    if hdrs.WWW_AUTHENTICATE in refusal.headers:
        answer.headers[hdrs.WWW_AUTHENTICATE] = refusal.headers[hdrs.WWW_AUTHENTICATE]
    return answer


def _status(kind: str, status: int, sentence: str) -> web.Response:
    """A google.rpc.Status in the form of the request."""
    code = CODES.get(status, 2)
    if kind == PROTOBUF:
        message = sentence.encode()
        body = b"\x08" + _varint(code) + b"\x12" + _varint(len(message)) + message
        return web.Response(body=body, status=status, content_type=PROTOBUF)
    return web.json_response({"code": code, "message": sentence}, status=status)


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
