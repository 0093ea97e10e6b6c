"""An answer of Anthropic's over real HTTP that is too slow, too large or packed in layers ends in one sentence."""

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import SecretStr

from bot.sandbox.anthropic_server import ADMIN_KEY, AnthropicSandbox
from bot.sandbox.anthropic_usage import UsageHistory
from bot.sandbox.clock import HandClock
from bot.usage.anthropic.client import ATTEMPTS, NotServedError, Transport
from bot.usage.anthropic.token_count import PATH, TokenCounter
from bot.usage.model import MalformedError, UnavailableError
from tests.anthropic_reports import NOW, WORKSPACES, Answering, Wire, says

BODY = b'{"data": []}'
GZIPPED = gzip.compress(BODY, mtime=0)
GZIPPED_TWICE = gzip.compress(GZIPPED, mtime=0)


class Line:
    """A client and the wire to the local Anthropic."""

    def __init__(self, http: httpx.AsyncClient, wire: Wire) -> None:
        self.http, self.wire = http, wire

    def transport(self, attempt_seconds: float = 5, all_seconds: float = 60) -> Transport:
        return Transport(
            self.http,
            SecretStr(ADMIN_KEY),
            sleep=lambda _: asyncio.sleep(0),
            attempt_seconds=attempt_seconds,
            all_seconds=all_seconds,
        )


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    server, wire = AnthropicSandbox(HandClock(NOW), UsageHistory()), Wire()
    wire.through(server.app)
    async with server, httpx.AsyncClient(base_url=server.origin) as http:
        yield Line(http, wire)


async def dribble(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def dribble_head(request: web.Request, handler: Handler) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not request.transport.is_closing():
        request.transport.write(b"x")
        await asyncio.sleep(0.02)
    raise ConnectionResetError


@pytest.mark.parametrize("answering", [dribble, dribble_head])
async def test_an_answer_that_dribbles_ends_with_its_attempt(line: Line, answering: Answering) -> None:
    line.wire.script(WORKSPACES, *[answering] * ATTEMPTS)
    begun_at = time.monotonic()
    with pytest.raises(UnavailableError, match="is not complete after 0 s"):
        await line.transport(attempt_seconds=0.4).get(WORKSPACES, [])
    assert 1 <= len(line.wire.calls) <= ATTEMPTS
    assert time.monotonic() - begun_at < 20


async def test_all_attempts_together_have_an_end(line: Line) -> None:
    line.wire.script(WORKSPACES, *[dribble] * ATTEMPTS)
    with pytest.raises(UnavailableError, match="is not complete"):
        await line.transport(attempt_seconds=0.3, all_seconds=0.4).get(WORKSPACES, [])
    assert 1 <= len(line.wire.calls) <= 2


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", GZIPPED),
        ("x-gzip", GZIPPED),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY)[2:-4]),
        ("identity", BODY),
    ],
)
async def test_what_is_packed_is_unpacked(line: Line, encoding: str, packed: bytes) -> None:
    line.wire.script(WORKSPACES, says(packed, headers={"Content-Encoding": encoding}))
    assert await line.transport().get(WORKSPACES, []) == {"data": []}
    assert line.wire.calls[0].headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("br", b"\x00"), ("zstd", b"\x00"), ("gzip, gzip", GZIPPED_TWICE), ("gzip", BODY)],
)
async def test_what_nobody_asked_for_is_not_unpacked(line: Line, encoding: str, packed: bytes) -> None:
    line.wire.script(WORKSPACES, says(packed, headers={"Content-Encoding": encoding}))
    with pytest.raises(MalformedError, match="cannot be unpacked"):
        await line.transport().get(WORKSPACES, [])


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_costs_no_more_than_the_bound(line: Line, encoding: str) -> None:
    blanks = b" " * (100 * 2**20)
    packed = gzip.compress(blanks, 1) if encoding == "gzip" else zlib.compress(blanks, 1)
    del blanks
    line.wire.script(WORKSPACES, says(packed, headers={"Content-Encoding": encoding}))
    tracemalloc.start()
    with pytest.raises(MalformedError, match="has more than 4 MB and is not read"):
        await line.transport().body(WORKSPACES, [], most=4 * 2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 2**20


async def test_no_redirect_takes_the_key_along(line: Line) -> None:
    line.http.follow_redirects = True
    line.wire.script(WORKSPACES, says(b"", 307, {"Location": "/elsewhere"}))
    with pytest.raises(NotServedError):
        await line.transport().get(WORKSPACES, [])
    assert line.wire.to("/elsewhere") == []


async def test_a_port_that_is_none_is_a_sentence() -> None:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:99999") as http:
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await Line(http, Wire()).transport().get(WORKSPACES, [])


@pytest.mark.parametrize("answering", [dribble, says(b" " * 100_000)])
async def test_a_prompt_is_not_counted_by_an_answer_that_is_slow_or_large(line: Line, answering: Answering) -> None:
    line.wire.script(PATH, answering)
    assert await TokenCounter(line.http, SecretStr("sk"), seconds=0.3).count("x", ["claude-haiku-4-5"]) == {}
