"""What both local servers share: an aiohttp application on a free loopback port, started and stopped as a context."""

from types import TracebackType
from typing import Self

from aiohttp import web


class LocalServer:
    """Serves `self.app` between `start` and `stop`. `port` 0 takes a free one."""

    def __init__(self, port: int = 0) -> None:
        self.app = web.Application()
        self.port = port
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`, once started."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
