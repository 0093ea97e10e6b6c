"""What both local servers share: an aiohttp application on a free loopback port, started and stopped as a context."""

from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import format_datetime
from types import TracebackType
from typing import Self

from aiohttp import web

from bot.clock import Clock


class LocalServer:
    """Serves `self.app` between `start` and `stop`. `port` 0 takes a free one.

    `dated_by`: the clock by which answers are dated, instead of the machine's.
    """

    def __init__(self, port: int = 0, dated_by: Clock | None = None) -> None:
        self.app = web.Application()
        if dated_by is not None:
            self.app.on_response_prepare.append(_dated(dated_by))
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


def _dated(clock: Clock) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def date(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(clock().astimezone(UTC), usegmt=True)

    return date
