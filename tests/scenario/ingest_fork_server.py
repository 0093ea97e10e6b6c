"""The bot's port in processes that can be killed: `python -m tests.scenario.ingest_fork_server PORT`.

The product is imported once. For every line on standard input a process is forked that takes usage in until it dies;
its id is printed first, and `ended` after it was killed. The settings are those of the environment.
"""

import asyncio
import os
import sys

from bot.app import bot_from
from bot.clock import system_clock
from bot.config.settings import Need, load_settings
from bot.web.connections import Connections
from bot.web.server import open_port, web_app
from tests.scenario.http_port import nothing_wrong


async def _serve(port: int) -> None:
    settings, connections = load_settings(os.environ, Need.RUN), Connections()
    async with bot_from(settings, system_clock) as bot:
        tokens = settings.ingest_tokens
        app = web_app(None, nothing_wrong, bot.services, None, connections=connections, ingest_tokens=tokens)
        async with open_port(app, "127.0.0.1", port, connections):
            await asyncio.Event().wait()


def main(port: int) -> None:
    """Fork a process for every line, until the input ends."""
    while sys.stdin.readline():
        child = os.fork()
        if not child:
            asyncio.run(_serve(port))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.waitpid(child, 0)
        sys.stdout.write("ended\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
