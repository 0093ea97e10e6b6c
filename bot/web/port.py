"""Opening the HTTP port and closing it: whatever clients do, that takes no longer than two seconds."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from bot.web.connections import Connections

SHUTDOWN_SECONDS = 1.0
"""For requests that are under way; aiohttp waits as long again once it has cancelled them."""
LINGERING_SECONDS = 1.0
MOST_HEADERS = 64
BACKLOG = 128
"""Connections that wait in the kernel to be accepted."""


class _ClientFaults(logging.Filter):
    """Drops what aiohttp logs about requests that break HTTP: their senders would fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | RequestPayloadError | ConnectionError)


@asynccontextmanager
async def open_port(app: web.Application, host: str, port: int, connections: Connections) -> AsyncIterator[list[Any]]:
    """Serve until the end of the context; gives the addresses. Raises `OSError` where the port cannot be opened."""
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
        # A signature is of the bytes that were sent.
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
