"""A TCP proxy on the loopback that behaves like a bad network.

async with TcpProxy(port_of_the_server) as proxy:
    ...                          # the client connects to 127.0.0.1, proxy.port
    proxy.mode = Mode.BLACK_HOLE # nothing is forwarded, connections stay open
    proxy.mode = Mode.PASS       # held data arrives, as after a network partition
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Self

CHUNK = 65_536


class Mode(StrEnum):
    """`pass`: forward. `black-hole`: forward nothing in either direction, keep connections open, accept new ones.

    `slow`: wait a random time up to `latency` before each chunk, and send at most `bytes_per_second`. `refuse`: abort
    new connections; open ones are forwarded until `cut`.
    """

    PASS = "pass"
    BLACK_HOLE = "black-hole"
    SLOW = "slow"
    REFUSE = "refuse"


class _Link:
    """A client's connection and its connection to the server. `lost`: nothing is forwarded any more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writers = [writer]
        self.lost = False

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class TcpProxy:
    """Forwards connections to 127.0.0.1, `target`. `mode` may change at any time and applies to open connections too.

    `latency`: seconds, for `Mode.SLOW`. `heard`: called whenever a client has sent data.
    """

    def __init__(
        self,
        target: int,
        *,
        random: Random | None = None,
        heard: Callable[[], object] = lambda: None,
        latency: float = 0.5,
        bytes_per_second: int = 20_000,
    ) -> None:
        self.target = target
        self.port = 0
        self.latency = latency
        self.bytes_per_second = bytes_per_second
        self._random = random or Random(0)
        self._heard = heard
        self._mode = Mode.PASS
        self._open = asyncio.Event()
        self._open.set()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.BLACK_HOLE:
            self._open.clear()
        else:
            self._open.set()

    def cut(self) -> int:
        """Abort every open connection on both sides. Returns their number."""
        links = list(self._links)
        for link in links:
            link.abort()
        return len(links)

    def lose(self) -> Callable[[], None]:
        """Stop forwarding on the open connections, as if the client's machine had lost power.

        New connections are forwarded. The server keeps the old ones until the returned function is called.
        """
        links = list(self._links)
        for link in links:
            link.lost = True

        def give_up() -> None:
            for link in links:
                link.abort()

        return give_up

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = _Link(reader, writer)
        self._links.add(link)
        try:
            await self._forward(link)
            # Data written before the end still gets through.
            for one in link.writers:
                one.close()
        except (OSError, asyncio.CancelledError):
            link.abort()
        finally:
            self._links.discard(link)
            self._tasks.discard(task)

    async def _forward(self, link: _Link) -> None:
        if self._mode is Mode.REFUSE:
            raise ConnectionRefusedError
        await self._open.wait()
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
        link.writers.append(to_server)
        pumps = [
            asyncio.ensure_future(self._pump(link, link.reader, to_server, self._heard)),
            asyncio.ensure_future(self._pump(link, from_server, link.writers[0], lambda: None)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        heard: Callable[[], object],
    ) -> None:
        while data := await reader.read(CHUNK):
            heard()
            await self._passage(link)
            for begin in range(0, len(data), step := self._step(len(data))):
                piece = data[begin : begin + step]
                if self._mode is Mode.SLOW:
                    await asyncio.sleep(self._random.uniform(0, self.latency) + len(piece) / self.bytes_per_second)
                    await self._passage(link)
                writer.write(piece)
                await writer.drain()
        # The end of a connection is held back like data.
        await self._passage(link)

    async def _passage(self, link: _Link) -> None:
        await self._open.wait()
        if link.lost:
            await asyncio.get_running_loop().create_future()

    def _step(self, length: int) -> int:
        return max(1, self.bytes_per_second) if self._mode is Mode.SLOW else max(1, length)
