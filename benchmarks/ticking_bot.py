"""A process that a benchmark measures from outside: the real bot or a minimal Bolt app, with a ticker in its loop.

    python benchmarks/ticking_bot.py bot|echo OFFSET_SECONDS

Settings come from the environment, as for `claude-cost run`; the clock is the machine's plus the offset. On SIGUSR1 the
bot records an alert and delivers it. On SIGUSR2 the process prints how late its ticks were since the previous signal,
as JSON. SIGTERM ends it. The echo app serves `/` on CLAUDE_COST_HTTP_PORT for a bare HTTP response.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from benchmarks.figures import percentile
from bot.app import bot_from
from bot.budgets.budget import LimitKind
from bot.clock import system_clock
from bot.config.settings import Need, load_settings
from bot.runner.cycle import Bot
from bot.runner.lifecycle import Lifecycle

TICK_SECONDS = 0.001


class Ticker:
    """Sleeps for a millisecond in a loop and records the delays."""

    def __init__(self) -> None:
        self._late: list[float] = []

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            due = time.perf_counter() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self._late.append(time.perf_counter() - due)

    def print_delays(self) -> None:
        """Print the delays since the previous call and reset."""
        late, self._late = self._late, []
        found = {"ticks": len(late), "p99": percentile(late, 0.99), "longest": max(late)} if late else {"ticks": 0}
        sys.stdout.write(f"{json.dumps(found)}\n")
        sys.stdout.flush()


class Alarm:
    """Records and delivers an alert for a crossed limit, a new one each time."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._limit = 0
        # The bot's own threads may all be busy; that is what is measured.
        self._thread = ThreadPoolExecutor(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def ring(self) -> None:
        self._limit += 1
        task = asyncio.ensure_future(self._deliver(Decimal(self._limit)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, limit: Decimal) -> None:
        # The tests have a payload.
        from tests.databases import crossed, reported

        transitions = reported([crossed(LimitKind.SOFT, limit)], budget="b0000", period="2026-10")
        work = partial(self._bot.services.alerts.record, transitions, self._bot.services.clock())
        await asyncio.get_running_loop().run_in_executor(self._thread, work)
        await self._bot.deliver()


def on(number: signal.Signals, work: Callable[[], object]) -> None:
    asyncio.get_running_loop().add_signal_handler(number, work)


async def bot(offset: timedelta) -> None:
    """`claude-cost run` with another clock."""
    settings = load_settings(os.environ, Need.RUN)

    def clock() -> datetime:
        return system_clock() + offset

    async with bot_from(settings, clock) as composed:
        lifecycle = Lifecycle(composed, timedelta(seconds=settings.poll_seconds))
        on(signal.SIGTERM, lifecycle.stop)
        on(signal.SIGUSR1, Alarm(composed).ring)
        await lifecycle.run()


async def echo(_: timedelta) -> None:
    """Acknowledge a command and answer with its words."""
    client = AsyncWebClient(token=os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"])
    app = AsyncApp(client=client, request_verification_enabled=False)

    @app.command("/claude-cost")
    async def answer(ack: Any, respond: Any, command: dict[str, str]) -> None:
        await ack()
        await respond(command.get("text", "") or "nothing")

    async def bare(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    served = web.Application()
    served.router.add_get("/", bare)
    runner = web.AppRunner(served)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["CLAUDE_COST_HTTP_PORT"])).start()
    handler = AsyncSocketModeHandler(app, os.environ["SLACK_APP_TOKEN"])
    ended = asyncio.Event()
    on(signal.SIGTERM, ended.set)
    await handler.connect_async()  # type: ignore[no-untyped-call]
    await ended.wait()
    await handler.close_async()  # type: ignore[no-untyped-call]
    await runner.cleanup()


async def main(which: str, offset: timedelta) -> None:
    """Run the app and the ticker."""
    ticker = Ticker()
    on(signal.SIGUSR2, ticker.print_delays)
    ticking = asyncio.ensure_future(ticker.run())
    try:
        await (bot if which == "bot" else echo)(offset)
    finally:
        ticking.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(main(sys.argv[1], timedelta(seconds=float(sys.argv[2]))))
