"""`GET /healthz`: the process answers. `GET /readyz`: it does its work, or what keeps it from that."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from bot.web.access import BearerAccess

log = logging.getLogger(__name__)

Problems = Callable[[], Awaitable[Sequence[str]]]
"""What keeps the bot from doing its work at this moment, one sentence each; empty when it is ready."""

CHECK_SECONDS = 3.0


class Readiness:
    """One check at a time, however many ask: one that hangs must not hold more than one thread."""

    def __init__(self, problems: Problems, seconds: float = CHECK_SECONDS) -> None:
        self._problems = problems
        self._seconds = seconds
        self._running: asyncio.Task[list[str]] | None = None
        self._said: str | None = None

    async def problems(self) -> list[str]:
        """Sentences. A check that fails or does not answer in time is one too."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._checked())
        running = self._running
        await asyncio.wait({running}, timeout=self._seconds)
        if not running.done():
            return [f"The checks do not answer within {self._seconds:g} s: the database may be busy or away."]
        return running.result()

    async def _checked(self) -> list[str]:
        try:
            found = list(await self._problems())
        except Exception as error:  # whatever it is, the probe has to get an answer
            name = type(error).__name__
            if name != self._said:
                log.error("the readiness check fails", exc_info=error)
            self._said = name
            return [f"The checks fail ({name}): the bot's log has the details."]
        self._said = None
        return found


def health_routes(problems: Problems, notes: Callable[[], Sequence[str]], access: BearerAccess) -> list[web.RouteDef]:
    """Both checks. They need no token. `notes`: sentences that are worth knowing and keep nobody from work."""
    readiness = Readiness(problems)

    async def healthz(request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.StreamResponse:
        found = await readiness.problems()
        status = {"status": "not ready" if found else "ready", "problems": found, "notes": list(notes())}
        return web.json_response(status, status=503 if found else 200)

    return [web.get("/healthz", access.guard_host(healthz)), web.get("/readyz", access.guard_host(readyz))]
