"""The HTTP port of a bot in this process, without Slack and Anthropic, for ingestion benchmarks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr

from bot.app import bot_from
from bot.clock import system_clock
from bot.config.settings import Need, load_settings
from bot.runner.lifecycle import calm_collector
from bot.services import Services
from bot.web.connections import Connections
from bot.web.server import open_port, web_app

TOKEN = "ingest-token"


async def no_problem() -> list[str]:
    """A bot that is ready."""
    return []


@asynccontextmanager
async def port_in(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
    """A client of the port and the services behind it, with a separate database."""
    environ = {
        "SLACK_BOT_TOKEN": "xoxb-1",
        "SLACK_APP_TOKEN": "xapp-1",
        "ANTHROPIC_ADMIN_KEY": "key",
        "CLAUDE_COST_CHANNEL": "C1",
        "CLAUDE_COST_HARD_USD": "100",
        "CLAUDE_COST_DATABASE_URL": f"sqlite:///{folder / 'claude-cost.db'}",
        "CLAUDE_COST_FALLBACK_FILE": str(folder / "fallback.env"),
    }
    connections, tokens = Connections(), {"default": SecretStr(TOKEN)}
    async with AsyncExitStack() as stack:
        bot = await stack.enter_async_context(bot_from(load_settings(environ, Need.RUN), system_clock))
        # As in the running bot.
        stack.enter_context(calm_collector())
        app = web_app(None, no_problem, bot.services, None, connections=connections, ingest_tokens=tokens)
        ((_, port),) = await stack.enter_async_context(open_port(app, "127.0.0.1", 0, connections))
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)
        yield await stack.enter_async_context(client), bot.services
