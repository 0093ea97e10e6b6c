"""The demo's page in a browser, on a stage whose time only passes when a test advances it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.clock import HOUR
from bot.notify.slack_connection import SocketMode, check_bot_token
from bot.sandbox.clock import RunningClock
from bot.sandbox.page_server import PageServer
from bot.sandbox.slack_server import ALERTS, APP_TOKEN
from bot.sandbox.stage import CURTAIN, Directions, Stage, set_stage
from tests.browser.chromium import Page, installed, page_at
from tests.databases import migrate_by_copy

DELIVERS_EVERY = 0.1
"""Seconds between two deliveries of what clicks have caused."""


@dataclass(slots=True)
class HandTime:
    """Real time for the demo's clock, which the test moves on: in each second of it an hour passes."""

    seconds: float = 0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class Shown:
    """`page`: shows what the `stage` plays."""

    page: Page
    stage: Stage
    time: HandTime
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def pass_hours(self, hours: int = 1) -> None:
        """Simulated hours, with a poll at the end of each."""
        for _ in range(hours):
            async with self.turn:
                self.time.seconds += 1
                await self.stage.work()
                await self.stage.bot.cycle()

    async def plays_until(self, words: str, most_hours: int = 80) -> None:
        """Let hours pass until a message in the alert channel begins or goes on with these words."""
        for _ in range(most_hours):
            await self.pass_hours()
            if any(words in message.text.partition("\n")[0] for message in self.stage.slack.messages):
                return
        raise AssertionError(f"in {most_hours} hours nobody said {words!r}")

    async def deliver(self) -> None:
        """Keep delivering what clicks have caused."""
        while True:
            async with self.turn:
                await self.stage.bot.deliver()
            await asyncio.sleep(DELIVERS_EVERY)


@pytest.fixture
async def shown(tmp_path: Path) -> AsyncIterator[Shown]:
    """The page at the beginning of the demo."""
    chromium = installed()
    if chromium is None:
        pytest.skip("no Chromium is installed, which draws the page")
    async with shown_by(chromium, tmp_path) as found:
        yield found


@contextlib.asynccontextmanager
async def shown_by(chromium: str, folder: Path) -> AsyncIterator[Shown]:
    """`folder`: an empty one, for the database and the browser's profile."""
    time = HandTime()
    clock = RunningClock(CURTAIN, HOUR.total_seconds(), time)
    migrate_by_copy(f"sqlite:///{folder / 'claude-cost.db'}")
    async with set_stage(clock, folder, poll_seconds=int(HOUR.total_seconds())) as stage:
        # A machine busy with other tests may be slow.
        stage.slack.sockets.ack_seconds = 30
        directions = Directions(clock, stage.slack, stage.anthropic, stage.team, 1)
        stage.bot.workspace.url = (await check_bot_token(stage.bot.slack.client, ALERTS)).url
        socket = SocketMode(stage.bot.slack, APP_TOKEN)
        await socket.connect_async()  # type: ignore[no-untyped-call]
        file = stage.bot.settings.fallback_file
        async with PageServer(directions, file, 0) as server, _page(server.origin, chromium, folder) as page:
            found = Shown(page, stage, time)
            delivering = asyncio.create_task(found.deliver())
            try:
                yield found
            finally:
                delivering.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await delivering
                await socket.close_async()  # type: ignore[no-untyped-call]


@contextlib.asynccontextmanager
async def _page(origin: str, chromium: str, folder: Path) -> AsyncIterator[Page]:
    async with page_at(f"{origin}/", chromium, folder / "profile") as page:
        await page.until("document.querySelectorAll('#places button').length > 3", seconds=20)
        yield page
