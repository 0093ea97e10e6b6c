"""The HTTP port under load: bounded connections and times, and an end that no client can hold up."""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

import httpx
import pytest

from bot.sandbox.slack_dispatch import Interaction
from bot.sandbox.slack_server import SIGNING_SECRET
from bot.sandbox.slack_workspace import ADMIN, NotDispatchedError
from bot.web import connections as bounds
from bot.web.connections import Connections, most_connections
from bot.web.server import open_port, web_app
from tests.scenario.conftest import World
from tests.scenario.http_port import free_port, nothing_wrong

HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
HALF_A_BODY = b"POST /slack/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"
HALF_A_CHUNK = b"POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
STREAM = b"GET /v1/fallback/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
GARBAGE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def rest(self, seconds: float = 10) -> bytes:
        """Everything until the server closes. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            with suppress(ConnectionError):
                return await self.reader.read()
        return b""

    @property
    def is_closed(self) -> bool:
        return self.reader.at_eof() or self.reader.exception() is not None


class Port:
    """An open port with its clients."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.clients: list[Client] = []

    async def send(self, data: bytes) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.number))
        self.clients.append(client)
        with suppress(ConnectionError):
            client.writer.write(data)
            await client.writer.drain()
        return client

    async def get(self, path: str) -> int:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.number}", timeout=5) as client:
            return (await client.get(path)).status_code


@asynccontextmanager
async def open_of(world: World, connections: Connections) -> AsyncIterator[Port]:
    async with world.bot() as bot:
        app = web_app(None, nothing_wrong, bot.services, None, connections=connections)
        port = Port(0)
        try:
            async with open_port(app, "127.0.0.1", 0, connections) as addresses:
                port.number = addresses[0][1]
                yield port
        finally:
            for client in port.clients:
                client.writer.close()


@pytest.mark.parametrize("sent", [b"", HALF_A_HEAD], ids=["nothing", "half a head"])
async def test_a_connection_that_sends_no_whole_head_is_closed(simulated: World, sent: bytes) -> None:
    async with open_of(simulated, Connections(head_seconds=0.5)) as port:
        assert await (await port.send(sent)).rest(5) == b""
        # The same between two requests of one connection.
        second = await port.send(HALF_A_HEAD + b"\r\n" + sent)
        assert (await second.rest(5)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [HALF_A_BODY, HALF_A_CHUNK], ids=["length", "chunked"])
async def test_a_body_that_does_not_come_is_a_408(simulated: World, sent: bytes) -> None:
    async with open_of(simulated, Connections(body_seconds=0.5)) as port:
        assert (await (await port.send(sent)).rest(5)).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "sent",
    [
        GARBAGE,
        b"NONSENSE\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        b"POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        b"POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    ],
    ids=range(7),
)
async def test_what_breaks_http_is_one_4xx_and_no_fault_in_the_log(
    simulated: World, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_of(simulated, Connections(head_seconds=1)) as port:
        answer = await (await port.send(sent)).rest(5)
        assert answer[:10] in (b"HTTP/1.1 4", b"HTTP/1.0 4")
        assert await port.get("/healthz") == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_above_the_bound_new_connections_are_closed_and_said_once(
    simulated: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_of(simulated, Connections(8, room_seconds=60)) as port:
        for _ in range(40):
            await port.send(HALF_A_HEAD)
        for client in port.clients[8:]:
            assert await client.rest(5) == b""
        assert not any(client.is_closed for client in port.clients[:8])
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage() == "the HTTP port has reached its 8 connections: further ones are closed"


@pytest.mark.parametrize("sent", [HALF_A_HEAD, HALF_A_BODY, b""], ids=["heads", "bodies", "nothing"])
async def test_those_that_send_nothing_make_room_for_a_request(simulated: World, sent: bytes) -> None:
    async with open_of(simulated, Connections(8)) as port:
        for _ in range(8):
            await port.send(sent)
        await asyncio.sleep(bounds.ROOM_SECONDS + 0.1)
        for _ in range(3):
            assert await port.get("/healthz") == 200


async def test_streams_leave_room_for_everybody_else(simulated: World) -> None:
    async with open_of(simulated, Connections(10)) as port:
        first = [(await (await port.send(STREAM)).reader.readline())[9:12] for _ in range(7)]
        assert first == [b"200"] * 5 + [b"503"] * 2
        assert await port.get("/healthz") == 200


@pytest.mark.parametrize(
    "sent", [b"", HALF_A_HEAD, HALF_A_BODY, HALF_A_CHUNK, STREAM], ids=["idle", "head", "body", "chunk", "stream"]
)
async def test_no_client_holds_up_the_end(simulated: World, sent: bytes) -> None:
    async with open_of(simulated, Connections()) as port:
        for _ in range(5):
            await port.send(sent)
        await asyncio.sleep(0.2)
        ending = monotonic()
    assert monotonic() - ending < 3


def test_the_bound_leaves_descriptors_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, most in ((1024, 256), (256, 96), (128, 32), (20, 8), (resource.RLIM_INFINITY, 256)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert most_connections() == most


async def test_more_clients_than_descriptors_stop_neither_alerts_nor_commands(world: World) -> None:
    """The process may open 160 files; 300 clients send half a head each."""
    port = free_port()
    world.slack.http_endpoint = f"http://127.0.0.1:{port}/slack/events"
    environ = {
        "SLACK_APP_TOKEN": "",
        "SLACK_SIGNING_SECRET": SIGNING_SECRET,
        "CLAUDE_COST_HTTP_PORT": str(port),
    }
    async with world.running(**environ) as process:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (160, 160))
        await _ready(port)
        crowd = Port(port)
        for _ in range(300):
            with suppress(OSError):
                await crowd.send(HALF_A_HEAD)
        await asyncio.sleep(bounds.ROOM_SECONDS)
        world.spend(120)
        try:
            typed = await _typed(world)
            assert "`/claude-cost" in (await typed.first_reply(10)).text
            await world.slack.until(lambda: len(world.alerts("soft")) == 1, 30)
        finally:
            for client in crowd.clients:
                client.writer.close()
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 20)
    log = err.decode()
    assert "Traceback" not in log
    assert len(log.splitlines()) < 30


async def _typed(world: World) -> Interaction:
    """A person types again where the machine was too busy to take the connection; twice at most."""
    for _ in range(2):
        with suppress(NotDispatchedError):
            return await world.slack.command("help", ADMIN)
    return await world.slack.command("help", ADMIN)


async def _ready(port: int) -> None:
    async with asyncio.timeout(30), httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.HTTPError):
                if (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
