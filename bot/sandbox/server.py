"""Base of both local servers: an aiohttp application on a free loopback port, started and stopped as a context."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

from bot.clock import Clock


class LocalServer:
    """Serves `self.app` between `start` and `stop`. `port` 0 takes a free one.

    `dated_by`: clock of the `Date` of responses, instead of the machine's.
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


FaultKind = Literal["status", "drop", "drop_after", "html", "not_json", "slow", "error"]

ANTHROPIC_FAULT = {"type": "error", "error": {"type": "api_error"}}


@dataclass(frozen=True, slots=True)
class Fault:
    """`status`: this HTTP status. `drop`: no response, nothing done. `drop_after`: done, but no response.

    `html`: a proxy's error page. `not_json`: 200 with an invalid body. `slow`: the response is `seconds` late. `error`:
    the service's own error code in a well-formed response. `after_doing`: the call takes effect all the same.
    """

    kind: FaultKind
    status: int = 500
    retry_after: str | None = None
    seconds: float = 0
    error: str = ""
    after_doing: bool = False


class Faults:
    """Scripted by the name of the call, used up in order. `outage`: applies to every other call while set."""

    def __init__(self) -> None:
        self._script: dict[str, deque[Fault]] = {}
        self.outage: Fault | None = None

    def add(self, name: str, fault: Fault, times: int = 1) -> None:
        """Make the next `times` calls of `name` end in this fault."""
        self._script.setdefault(name, deque()).extend([fault] * times)

    def next(self, name: str) -> Fault | None:
        """The scripted fault of this call, if any."""
        script = self._script.get(name)
        return script.popleft() if script else self.outage


async def apply(
    fault: Fault, request: web.Request, *, body: Mapping[str, Any] = ANTHROPIC_FAULT
) -> web.StreamResponse | None:
    """Response of a generic HTTP fault; None if the real response follows.

    `body`: the service's body for an error status.
    """
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
        return None
    if fault.kind in ("drop", "drop_after"):
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the sandbox dropped this connection as scripted")
    if fault.kind == "html":
        return web.Response(status=fault.status, text="<html>Bad gateway</html>", content_type="text/html")
    if fault.kind == "not_json":
        return web.Response(text="{", content_type="application/json")
    if fault.kind == "status":
        headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
        return web.json_response(dict(body), status=fault.status, headers=headers)
    return None
