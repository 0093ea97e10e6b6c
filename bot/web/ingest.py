"""Usage posted by applications: `POST /v1/usage`, and OTLP in `/v1/traces`, `/v1/metrics` and `/v1/logs`.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from typing import get_args

from aiohttp import hdrs, web
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from bot.clock import Clock
from bot.counting import CountRecords, not_counted
from bot.db.engine import database_problem
from bot.ledger.intake import BodyError, Intake, gunzip
from bot.ledger.model import Ledger
from bot.ledger.otlp.ingest import OtlpIngest, Taken
from bot.ledger.otlp.model import UnreadableBodyError
from bot.ledger.otlp.reading import Signal
from bot.log_fields import Event, fields
from bot.threads import InThread
from bot.web.access import BearerAccess, Handler
from bot.web.connections import RETRY_SECONDS, Connections, LargeBodies

log = logging.getLogger(__name__)

PATH = "/v1/usage"
MOST_BYTES = 8 * 1024 * 1024
VARIABLE = "CLAUDE_COST_INGEST_TOKEN"

JSON = "application/json"
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
GZIP = frozenset({"gzip", "x-gzip"})


class IngestAccess:
    """Access for senders of usage: one of `tokens`, by the sender's name.

    Without tokens, local programs have access if `is_local`: nobody else can reach the port.
    """

    def __init__(self, tokens: Mapping[str, SecretStr], host: str, *, is_local: bool) -> None:
        self._bearer = BearerAccess(None, VARIABLE, host, others=tokens.values())
        self._is_open = bool(tokens) or is_local

    def refusal(self, request: web.Request) -> web.Response | None:
        """401, 403 or 421; None if the request may pass."""
        if self._is_open:
            return self._bearer.refusal(request)
        return refused(
            403,
            f"Nobody may send usage here yet: set {VARIABLE}, or an [[ingest]] in the TOML file, and send it as "
            "Authorization: Bearer TOKEN.",
        )


class Ingest:
    """The handler. `in_thread`: reads and stores bodies, apart from the pools of answers.

    `stored`: called after something was stored. `count`: gets what became of the records.
    """

    def __init__(
        self,
        ledger: Ledger,
        access: IngestAccess,
        in_thread: InThread,
        clock: Clock,
        stored: Callable[[], None] = lambda: None,
        count: CountRecords = not_counted,
    ) -> None:
        self._stored = stored
        self._count = count
        self._intake = Intake(ledger)
        self._access = access
        self._in_thread = in_thread
        self._clock = clock
        self._failing = False

    def route(self, connections: Connections) -> web.RouteDef:
        """The route, which allows larger bodies than others."""
        connections.allow(PATH, LargeBodies(MOST_BYTES, self._refusal))
        return web.post(PATH, self.answer)

    async def answer(self, request: web.Request) -> web.Response:
        """200 with the result of each record, once all of them are durable."""
        body = await request.read()
        is_gzip = request.headers.get(hdrs.CONTENT_ENCODING, "").lower() in GZIP
        work = partial(self._intake.take, is_gzip=is_gzip, is_lines=request.content_type in LINES)
        try:
            taken = await self._in_thread(work, body, self._clock())
        except BodyError as error:
            return refused(error.status, str(error))
        except SQLAlchemyError as error:
            return self._unavailable(database_problem(error))
        except RuntimeError:
            # The bot's threads have ended.
            return self._unavailable("the bot is ending")
        self._failing = False
        self._count(PATH, taken.accepted, taken.duplicates, len(taken.rejected))
        self._stored()
        if taken.rejected:
            _log_rejected(PATH, len(taken.rejected), taken.rejected[0].reason)
        return web.json_response(asdict(taken))

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Why a request is refused before its body is read."""
        refusal = self._access.refusal(request)
        if refusal is not None:
            return refusal
        if request.content_type not in {JSON, *LINES} or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
            return refused(415, f"Send Content-Type: {JSON} or application/x-ndjson, in UTF-8.")
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in {"identity", "", *GZIP}:
            return refused(415, "Send the body plain, or with Content-Encoding: gzip.")
        if request.content_length is None and hdrs.TRANSFER_ENCODING not in request.headers:
            return refused(411, "Send Content-Length.")
        if (request.content_length or 0) > MOST_BYTES:
            return refused(413, f"The body is larger than {MOST_BYTES // 2**20} MB: send less at a time.")
        return None

    def _unavailable(self, problem: str) -> web.Response:
        if not self._failing:
            log.error("usage that applications send cannot be stored: %s", problem)
        self._failing = True
        response = refused(503, "The usage cannot be stored at this moment, none of it was: send it again later.")
        response.headers[hdrs.RETRY_AFTER] = str(RETRY_SECONDS)
        return response


def _log_rejected(path: str, number: int, reason: str) -> None:
    """Log that some records of a request were rejected; its other records are stored."""
    shown = fields(event=Event.REFUSAL, path=path, outcome=f"{number} rejected", reason=reason)
    log.info("refused: %d of the records of one request to %s, %s", number, path, reason, extra=shown)


def refused(status: int, sentence: str) -> web.Response:
    """A response with a status and its reason."""
    return web.json_response({"error": sentence}, status=status)


PROTOBUF, JSON_TYPE = "application/x-protobuf", "application/json"
MOST_SENT = 4 * 1024 * 1024
"""Largest body as sent, in bytes."""
MOST_UNPACKED = 8 * 1024 * 1024
"""Largest unpacked body, in bytes. Its objects take up to forty times as much."""

REJECTED = {"traces": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}
CODES = {400: 3, 401: 16, 403: 7, 413: 8, 415: 3, 421: 7, 503: 14}
"""google.rpc.Code by HTTP status: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED,
UNAVAILABLE.
"""


class OtlpReceiver:
    """Takes requests of all three signals. `in_thread`: reads and stores bodies. `stored`: called after that.

    `count`: gets what became of the calls in them.
    """

    def __init__(
        self,
        access: IngestAccess,
        ingest: OtlpIngest,
        in_thread: InThread,
        clock: Clock,
        stored: Callable[[], None] = lambda: None,
        count: CountRecords = not_counted,
    ) -> None:
        self._stored = stored
        self._count = count
        self._access = access
        self._ingest = ingest
        self._in_thread = in_thread
        self._clock = clock
        self._said: set[str] = set()
        self._failing = False

    def routes(self, connections: Connections) -> list[web.RouteDef]:
        """The three routes, which allow larger bodies than others."""
        for signal in get_args(Signal):
            connections.allow(f"/v1/{signal}", LargeBodies(MOST_SENT, self._refusal))
        return [web.post(f"/v1/{signal}", self._handler(signal)) for signal in get_args(Signal)]

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Why a request is refused before its body is read."""
        refusal = self._access.refusal(request)
        if refusal is not None:
            return _as_status(request, refusal)
        kind = request.content_type
        if kind not in (PROTOBUF, JSON_TYPE):
            return _status(JSON_TYPE, 415, f"Send Content-Type: {PROTOBUF} or {JSON_TYPE}.")
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
                taken = await self._in_thread(self._take, signal, body, is_packed, kind == JSON_TYPE)
            except BodyError as error:
                return _status(kind, error.status, str(error))
            except UnreadableBodyError as error:
                return _status(kind, 400, str(error))
            except SQLAlchemyError as error:
                return self._unavailable(kind, database_problem(error))
            except RuntimeError:
                # The bot's threads have ended.
                return self._unavailable(kind, "the bot is ending")
            self._failing = False
            self._say(signal, taken)
            self._count(request.path, taken.accepted, taken.duplicates, taken.rejected)
            if taken.rejected:
                _log_rejected(f"/v1/{signal}", taken.rejected, taken.sentence)
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
        """Log each reason once: senders repeat themselves."""
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
    # 64-bit numbers are text in the JSON_TYPE form.
    partial = {REJECTED[signal]: str(taken.rejected), "errorMessage": taken.sentence}
    return web.json_response({"partialSuccess": partial} if taken.rejected else {})


def _as_status(request: web.Request, refusal: web.Response) -> web.Response:
    try:
        sentence = str(json.loads(refusal.text or "")["error"])
    except (ValueError, KeyError, TypeError):
        sentence = HTTPStatus(refusal.status).phrase
    answer = _status(PROTOBUF if request.content_type == PROTOBUF else JSON_TYPE, refusal.status, sentence)
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
