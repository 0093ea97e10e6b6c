"""The HTTP port: Slack's requests in HTTP mode, the fallback mode for services, metrics, and two health checks."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from pydantic import SecretStr
from slack_bolt.async_app import AsyncApp

from bot.addresses import is_loopback
from bot.services import Services
from bot.web.access import BearerAccess
from bot.web.budgets import budgets_route
from bot.web.connections import Connections
from bot.web.fallback import LOOK_SECONDS, MOST_STREAMS, CurrentMode, Streams, fallback_routes, ofrep_routes
from bot.web.ingest import Ingest, IngestAccess, OtlpReceiver
from bot.web.metrics import StateCollector, counted_requests, metrics_route
from bot.web.refusals import refusals_logged
from bot.web.slack_events import slack_route

log = logging.getLogger(__name__)

Problems = Callable[[], Awaitable[Sequence[str]]]
"""Why the bot is not ready, one sentence for each reason; empty when it is ready."""

CHECK_SECONDS = 3.0


class Readiness:
    """Runs one check at a time for all callers: a hanging check holds one thread only."""

    def __init__(self, problems: Problems, seconds: float = CHECK_SECONDS) -> None:
        self._problems = problems
        self._seconds = seconds
        self._running: asyncio.Task[list[str]] | None = None
        self._said: str | None = None

    async def problems(self) -> list[str]:
        """The problems, one sentence each. A check that fails or times out is a problem too."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._checked())
        running = self._running
        await asyncio.wait({running}, timeout=self._seconds)
        if not running.done():
            return [f"The checks did not finish within {self._seconds:g} s: the database may be busy or unreachable."]
        return running.result()

    async def _checked(self) -> list[str]:
        try:
            found = list(await self._problems())
        except Exception as error:  # the probe must get a response
            name = type(error).__name__
            if name != self._said:
                log.error("the readiness check failed", exc_info=error)
            self._said = name
            return [f"The checks failed ({name}): see the bot's log."]
        self._said = None
        return found


def health_routes(
    problems: Problems,
    notes: Callable[[], Sequence[str]],
    access: BearerAccess,
    alive: Callable[[], bool] = lambda: True,
) -> list[web.RouteDef]:
    """Both checks, without a token. `notes`: sentences that do not affect readiness. `alive`: whether cycles go on."""
    readiness = Readiness(problems)

    async def healthz(request: web.Request) -> web.StreamResponse:
        if not alive():
            return web.json_response({"status": "stuck: restart the process"}, status=503)
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.StreamResponse:
        found = await readiness.problems()
        status = {"status": "not ready" if found else "ready", "problems": found, "notes": list(notes())}
        return web.json_response(status, status=503 if found else 200)

    return [web.get("/healthz", access.guard_host(healthz)), web.get("/readyz", access.guard_host(readyz))]


def web_app(
    slack: AsyncApp | None,
    problems: Problems,
    services: Services,
    read_token: SecretStr | None,
    *,
    signing_secret: SecretStr | None = None,
    host: str = "",
    connections: Connections | None = None,
    notes: Callable[[], Sequence[str]] = tuple,
    alive: Callable[[], bool] = lambda: True,
    ingest_tokens: Mapping[str, SecretStr] | None = None,
    stored: Callable[[], None] = lambda: None,
    look_seconds: float = LOOK_SECONDS,
) -> web.Application:
    """The application. `slack`: None in Socket Mode; in HTTP mode it needs `signing_secret`.

    `read_token`: the token for reading; None only on the loopback. Health needs none. `host`: the configured address.
    `connections`: their bounds, on a real port. `notes`: further sentences of the readiness check. `alive`: whether
    cycles go on. `ingest_tokens`: of those who may send usage, by name. `stored`: called when usage was stored.
    `look_seconds`: between two looks for a mode that another copy has changed.
    """
    connections = connections or Connections()
    metrics = services.metrics
    app = web.Application(middlewares=[counted_requests(metrics.requested), refusals_logged, connections.whole_request])
    readers = BearerAccess(read_token, "CLAUDE_COST_READ_TOKEN", host)
    current = CurrentMode(services.fallback.in_force)
    # Long-lived streams must not use up every connection.
    streams = Streams(
        current, services.fallback.changes, min(MOST_STREAMS, connections.most // 2), look_seconds=look_seconds
    )
    app.add_routes(health_routes(problems, notes, readers, alive))
    app.add_routes([*fallback_routes(current, streams, readers), *ofrep_routes(current, readers)])
    app.add_routes([budgets_route(services, readers)])
    app.add_routes([metrics_route([StateCollector(services), metrics.registry], readers, services.threads.web)])
    app.on_shutdown.append(streams.end)
    app.on_cleanup.append(current.close)
    # A proxy brings Slack's requests in HTTP mode, and those of others with them.
    is_local = slack is None and read_token is None and (not host or is_loopback(host))
    senders = IngestAccess(ingest_tokens or {}, host, is_local=is_local)
    ingest = Ingest(services.ledger, senders, services.threads.ingest, services.clock, stored, metrics.ingested)
    otlp = OtlpReceiver(senders, services.otlp, services.threads.ingest, services.clock, stored, metrics.ingested)
    app.add_routes([ingest.route(connections), *otlp.routes(connections)])
    if slack is not None and signing_secret is not None:
        app.add_routes([slack_route(slack, signing_secret, services.clock, metrics.acknowledged)])
    return app


SHUTDOWN_SECONDS = 1.0
"""Seconds for requests under way; aiohttp waits as long again once it has cancelled them."""
LINGERING_SECONDS = 1.0
MOST_HEADERS = 64
BACKLOG = 128
"""Connections that may wait in the kernel to be accepted."""


class _ClientFaults(logging.Filter):
    """Drops aiohttp's log entries about malformed requests, with which their senders could fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | RequestPayloadError | ConnectionError)


@asynccontextmanager
async def open_port(app: web.Application, host: str, port: int, connections: Connections) -> AsyncIterator[list[Any]]:
    """Serve until the end of the context; yields the addresses. Raises `OSError` if the port cannot be opened."""
    quiet = logging.getLogger(__name__)
    quiet.addFilter(_ClientFaults())
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=quiet,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=connections.head_seconds,
        lingering_time=LINGERING_SECONDS,
        max_headers=MOST_HEADERS,
        # A signature is of the bytes as sent.
        auto_decompress=False,
    )
    await runner.setup()
    try:
        listener = await _listener(runner, host, port, connections)
        try:
            yield [each.getsockname() for each in listener.sockets]
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def _listener(runner: web.AppRunner, host: str, port: int, connections: Connections) -> asyncio.Server:
    server = runner.server
    if server is None:
        raise RuntimeError("the runner has no server before its setup")
    # asyncio accepts as many connections at a time as its backlog is long, and where descriptors have run out it logs
    # and schedules a retry for each of them, which doubles for ever. With one at a time that is one line a second.
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: connections.protocol(server), host, port, backlog=1)
    for each in listener.sockets:
        with socket.socket(fileno=os.dup(each.fileno())) as same:
            same.listen(BACKLOG)
    return listener
