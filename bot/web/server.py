"""The HTTP port: Slack's requests in HTTP mode, the fallback mode for services, metrics, and two health checks."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from pydantic import SecretStr
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp

from bot.services import Services
from bot.web.access import BearerAccess
from bot.web.fallback import CurrentMode, Streams, fallback_routes
from bot.web.metrics import measured, metrics_route
from bot.web.ofrep import ofrep_routes

Problems = Callable[[], Awaitable[Sequence[str]]]
"""What keeps the bot from doing its work at this moment, one sentence each; empty when it is ready."""


def web_app(
    slack: AsyncApp | None, problems: Problems, services: Services, read_token: SecretStr | None
) -> web.Application:
    """`slack` is None in Socket Mode, where Slack sends nothing over HTTP.

    `read_token`: what reading takes; None only where the port is on the loopback. Health is open to everybody.
    """

    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        found = list(await problems())
        status = {"status": "not ready" if found else "ready", "problems": found}
        return web.json_response(status, status=503 if found else 200)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    current = CurrentMode(services.fallback.state)
    streams = Streams(current)
    readers = BearerAccess(read_token, "CLAUDE_COST_READ_TOKEN")
    app.add_routes([*fallback_routes(current, streams, readers), *ofrep_routes(current, readers)])
    app.add_routes([metrics_route(lambda: measured(services), readers)])
    app.on_shutdown.append(streams.end)
    if slack is not None:
        app.add_routes([web.post("/slack/events", _slack_events(slack))])
    return app


def _slack_events(slack: AsyncApp) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def events(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await slack.async_dispatch(await to_bolt_request(request)))

    return events
