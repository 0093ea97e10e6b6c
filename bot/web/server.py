"""The HTTP port: Slack's requests in HTTP mode, and two health checks."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp

Problems = Callable[[], Sequence[str]]
"""What keeps the bot from doing its work at this moment, one sentence each; empty when it is ready."""


def web_app(slack: AsyncApp | None, problems: Problems) -> web.Application:
    """`slack` is None in Socket Mode, where Slack sends nothing over HTTP."""

    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        found = list(problems())
        status = {"status": "not ready" if found else "ready", "problems": found}
        return web.json_response(status, status=503 if found else 200)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    if slack is not None:
        app.add_routes([web.post("/slack/events", _slack_events(slack))])
    return app


def _slack_events(slack: AsyncApp) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def events(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await slack.async_dispatch(await to_bolt_request(request)))

    return events
