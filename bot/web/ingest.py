"""`POST /v1/usage`: what applications log of each response, taken in batch by batch."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

from aiohttp import hdrs, web
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from bot.clock import Clock
from bot.db.engine import database_problem
from bot.ledger.bodies import BodyError
from bot.ledger.intake import Intake
from bot.ledger.model import Ledger
from bot.threads import InThread
from bot.web.access import BearerAccess
from bot.web.connections import RETRY_SECONDS, Connections, LargeBodies

log = logging.getLogger(__name__)

PATH = "/v1/usage"
MOST_BYTES = 8 * 1024 * 1024
VARIABLE = "CLAUDE_COST_INGEST_TOKEN"

JSON = "application/json"
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
GZIP = frozenset({"gzip", "x-gzip"})


class IngestAccess:
    """Who may send usage: whoever has one of `tokens`, by the sender's name.

    Where there is none, programs of this machine may, if `is_local`: nobody else can reach the port.
    """

    def __init__(self, tokens: Mapping[str, SecretStr], host: str, *, is_local: bool) -> None:
        self._bearer = BearerAccess(None, VARIABLE, host, others=tokens.values())
        self._is_open = bool(tokens) or is_local

    def refusal(self, request: web.Request) -> web.Response | None:
        """401, 403 or 421, or None where the request may pass."""
        if self._is_open:
            return self._bearer.refusal(request)
        return refused(
            403,
            f"Nobody may send usage here yet: set {VARIABLE}, or an [[ingest]] in the TOML file, and send it as "
            "Authorization: Bearer TOKEN.",
        )


class Ingest:
    """The handler. `in_thread`: where bodies are read and stored, apart from everything that people wait for.

    `stored`: called once something is.
    """

    def __init__(
        self,
        ledger: Ledger,
        access: IngestAccess,
        in_thread: InThread,
        clock: Clock,
        stored: Callable[[], None] = lambda: None,
    ) -> None:
        self._stored = stored
        self._intake = Intake(ledger)
        self._access = access
        self._in_thread = in_thread
        self._clock = clock
        self._failing = False

    def route(self, connections: Connections) -> web.RouteDef:
        """The route, whose bodies may be larger than others."""
        connections.allow(PATH, LargeBodies(MOST_BYTES, self._refusal))
        return web.post(PATH, self.answer)

    async def answer(self, request: web.Request) -> web.Response:
        """200 with what became of each record, once all of that is durable."""
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
            # The threads have ended with the bot.
            return self._unavailable("the bot is ending")
        self._failing = False
        self._stored()
        return web.json_response(asdict(taken))

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What is wrong with a request before its body is read."""
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


def refused(status: int, sentence: str) -> web.Response:
    """A status with its reason."""
    return web.json_response({"error": sentence}, status=status)
