"""The HTTP port: Slack's requests in HTTP mode, the fallback mode for services, metrics, and two health checks."""

from collections.abc import Callable, Sequence

from aiohttp import web
from pydantic import SecretStr
from slack_bolt.async_app import AsyncApp

from bot.services import Services
from bot.web.access import BearerAccess
from bot.web.connections import Connections
from bot.web.fallback import MOST_STREAMS, CurrentMode, Streams, fallback_routes
from bot.web.health import Problems, health_routes
from bot.web.metrics import measured, metrics_route
from bot.web.ofrep import ofrep_routes
from bot.web.slack_events import slack_route


def web_app(
    slack: AsyncApp | None,
    problems: Problems,
    services: Services,
    read_token: SecretStr | None,
    *,
    signing_secret: SecretStr | None = None,
    host: str = "",
    connections: Connections | None = None,
    notes: Callable[[], Sequence[str]] = tuple,
) -> web.Application:
    """`slack` is None in Socket Mode, where Slack sends nothing over HTTP; otherwise it needs `signing_secret`.

    `read_token`: what reading takes; None only where the port is on the loopback. Health needs none. `host`: the
    configured address. `connections`: what bounds them, where the port is a real one. `notes`: sentences that the
    readiness check shows as well.
    """
    connections = connections or Connections()
    app = web.Application(middlewares=[connections.whole_request])
    readers = BearerAccess(read_token, "CLAUDE_COST_READ_TOKEN", host)
    current = CurrentMode(services.fallback.in_force)
    # Readers that stay must not take the place of all others.
    streams = Streams(current, services.fallback.changes, min(MOST_STREAMS, connections.most // 2))
    app.add_routes(health_routes(problems, notes, readers))
    app.add_routes([*fallback_routes(current, streams, readers), *ofrep_routes(current, readers)])
    app.add_routes([metrics_route(lambda: measured(services), readers, services.threads.web)])
    app.on_shutdown.append(streams.end)
    app.on_cleanup.append(current.close)
    if slack is not None and signing_secret is not None:
        app.add_routes([slack_route(slack, signing_secret, services.clock)])
    return app
