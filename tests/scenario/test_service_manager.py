"""Under systemd (`Type=notify`, `WatchdogSec=`): the bot says when it is ready, that it is alive, and that it stops."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from bot.runner.lifecycle import Lifecycle
from bot.runner.service_manager import ServiceManager
from tests.scenario.conftest import World
from tests.scenario.http_port import free_port

PING_USEC = "100000"


class Manager:
    """The socket on which systemd listens."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.socket.setblocking(False)

    async def told(self, seconds: float = 20) -> str:
        return (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 256), seconds)).decode()

    async def until(self, state: str) -> None:
        async with asyncio.timeout(20):
            while await self.told() != state:
                pass

    def pending(self) -> list[str]:
        """Messages received meanwhile."""
        found = []
        try:
            while True:
                found.append(self.socket.recv(256).decode())
        except BlockingIOError:
            return found


@pytest.fixture(params=["socket", "@abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Manager, str]]:
    address = f"@claude-cost-{os.getpid()}" if request.param == "@abstract" else str(tmp_path / "notify")
    listening = Manager(address)
    with listening.socket:
        yield listening, address


async def test_the_bot_says_that_it_is_ready_then_alive_then_that_it_stops(
    world: World, manager: tuple[Manager, str]
) -> None:
    systemd, address = manager
    async with world.running(NOTIFY_SOCKET=address, WATCHDOG_USEC=PING_USEC) as process:
        await systemd.until("READY=1")
        await systemd.until("WATCHDOG=1")
        await systemd.until("WATCHDOG=1")
        process.terminate()
        await systemd.until("STOPPING=1")
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_a_cycle_that_is_stuck_gives_no_sign_of_life(world: World, tmp_path: Path) -> None:
    systemd = Manager(str(tmp_path / "notify"))
    told = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": PING_USEC})
    port = free_port()
    with systemd.socket:
        async with world.bot(CLAUDE_COST_HTTP_PORT=str(port)) as bot, httpx.AsyncClient() as http:
            lifecycle = Lifecycle(bot, timedelta(hours=1), told)
            running = asyncio.create_task(lifecycle.run())
            await systemd.until("WATCHDOG=1")
            health = f"http://127.0.0.1:{port}/healthz"
            assert (await http.get(health)).json() == {"status": "ok"}
            # An hour and ten minutes without a word of the schedule. The first cycle may still be at work meanwhile.
            async with asyncio.timeout(20):
                while True:
                    bot.progress_at = bot.outbox.progress_at = time.monotonic() - 3600 - 601
                    await asyncio.sleep(0.1)
                    systemd.pending()
                    await asyncio.sleep(0.3)
                    if not systemd.pending():
                        break
            answer = await http.get(health)
            assert (answer.status_code, answer.json()) == (503, {"status": "stuck: restart the process"})
            # The next cycle disproves it.
            await bot.cycle()
            await systemd.until("WATCHDOG=1")
            lifecycle.stop()
            await running


def test_nothing_is_sent_where_nobody_listens_or_asks(tmp_path: Path) -> None:
    ServiceManager({}).tell("READY=1")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")
    address = str(tmp_path / "gone")
    for environ in (
        {"WATCHDOG_USEC": PING_USEC},
        {"NOTIFY_SOCKET": address},
        {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "9" * 5000},
        {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": PING_USEC, "WATCHDOG_PID": "1"},
    ):
        assert ServiceManager(environ).ping_seconds is None
    of_us = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": PING_USEC, "WATCHDOG_PID": str(os.getpid())}
    assert ServiceManager(of_us).ping_seconds == 0.05
