"""A proxy of the environment reads what goes over plain HTTP: no key and no token goes through it there."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.addresses import clickhouse_address, is_plain_http
from bot.ledger.clickhouse import connect_clickhouse
from bot.sandbox.slack_workspace import DEVELOPER
from bot.usage.anthropic.client import new_http
from tests.scenario.conftest import World

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class Listener:
    """A proxy that keeps what it is asked for."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.readline())
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    for name in PROXIES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield listener
    server.close()
    await server.wait_closed()


async def test_neither_slacks_token_nor_anthropics_key_goes_through_a_proxy_to_the_loopback(
    proxy: Listener, simulated: World
) -> None:
    simulated.spend(120)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        assert simulated.alerts("soft")
        assert (await (await simulated.slack.command("status", DEVELOPER)).first_reply()).text
    assert proxy.heard == []


async def test_over_tls_a_proxy_gets_no_more_than_the_name_of_the_host(proxy: Listener) -> None:
    async with new_http("https://api.anthropic.com") as http:
        with pytest.raises(Exception, match="502"):
            await http.get("/v1/models", headers={"x-api-key": "sk-ant-admin01-secret"})
    assert proxy.heard == [b"CONNECT api.anthropic.com:443 HTTP/1.1\r\n"]


async def test_the_password_of_a_clickhouse_in_ones_own_network_goes_through_no_proxy(proxy: Listener) -> None:
    pytest.importorskip("clickhouse_connect")
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Exception, match="ClickHouse"):
        await asyncio.to_thread(connect_clickhouse, clickhouse_address(f"http://u:p@127.0.0.1:{port}/d"), 2)
    server.close()
    assert heard
    assert proxy.heard == []


@pytest.mark.parametrize(
    ("address", "is_plain"),
    [
        ("https://api.anthropic.com", False),
        ("HTTPS://x.example", False),
        ("http://127.0.0.1:1", True),
        ("ws://x", True),
    ],
)
def test_plain_is_what_anybody_between_reads(address: str, is_plain: bool) -> None:
    assert is_plain_http(address) == is_plain
