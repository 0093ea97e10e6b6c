"""Measure how long `claude-cost run` takes to exit after SIGTERM while something hangs, and its exit code.

    python benchmarks/shutdown.py [--only WORD …]

Each case starts its own bot. The PostgreSQL cases need CLAUDE_COST_TEST_POSTGRES.
"""

import argparse
import asyncio
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp

from bot.clock import system_clock
from bot.sandbox.anthropic_server import ANALYTICS_USAGE
from bot.sandbox.server import Fault
from bot.sandbox.slack_workspace import ADMIN
from tests.scenario.conftest import World, world_at
from tests.scenario.http_port import free_port

HANGS = Fault("slow", seconds=90)
ALLOWED = 8.0
Moment = Callable[[World], Awaitable[tuple[float, int | None]]]


async def ended(process: asyncio.subprocess.Process, *, name: int = signal.SIGTERM) -> tuple[float, int | None]:
    """Seconds from the signal to the exit, and the exit code; None: killed after 30 s."""
    process.send_signal(name)
    began = time.monotonic()
    try:
        await asyncio.wait_for(process.wait(), 30)
    except TimeoutError:
        return time.monotonic() - began, None
    return time.monotonic() - began, process.returncode


async def busy(world: World) -> None:
    """Wait until the first cycle has started and is certainly blocked."""
    async with asyncio.timeout(120):
        while not world.fallback_file.exists():  # noqa: ASYNC110  # it comes from another process
            await asyncio.sleep(0.1)
    await asyncio.sleep(5)


def hanging(call: str, *, spends: bool = False, before: bool = True) -> Moment:
    """A case in which this call to Slack or Anthropic hangs."""

    async def moment(world: World) -> tuple[float, int | None]:
        faults = world.anthropic.faults if call.startswith("/") else world.slack.faults
        if before:
            faults.add(call, HANGS, times=20)
        if spends:
            world.spend(120)
        async with world.running() as process:
            await busy(world)
            return await ended(process)

    return moment


def at(seconds: float) -> Moment:
    """A case during start-up."""

    async def moment(world: World) -> tuple[float, int | None]:
        async with world.running() as process:
            await asyncio.sleep(seconds)
            return await ended(process)

    return moment


async def idle(world: World) -> tuple[float, int | None]:
    async with world.running() as process:
        await world.slack.wait_connected(seconds=60)
        await asyncio.sleep(2)
        return await ended(process)


async def twice(world: World) -> tuple[float, int | None]:
    """A second signal exits at once although a post hangs."""
    world.slack.faults.add("chat.postMessage", HANGS, times=20)
    world.spend(120)
    async with world.running() as process:
        await busy(world)
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
        return await ended(process, name=signal.SIGINT)


def on_port(send: bytes, *, connections: int = 1) -> Moment:
    """A client of the HTTP port that has sent only this."""

    async def moment(world: World) -> tuple[float, int | None]:
        port = free_port()
        async with world.running(CLAUDE_COST_HTTP_PORT=str(port)) as process:
            await world.slack.wait_connected(seconds=60)
            writers = []
            for _ in range(connections):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(send)
                await writer.drain()
                writers.append((reader, writer))
            await asyncio.sleep(1)
            result = await ended(process)
            for _, writer in writers:
                writer.close()
            return result

    return moment


async def http_mode_slow_body(world: World) -> tuple[float, int | None]:
    port = free_port()
    changes = {"SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": "0" * 32, "CLAUDE_COST_HTTP_PORT": str(port)}
    async with world.running(**changes) as process:
        async with aiohttp.ClientSession() as session:
            for _ in range(100):
                with suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{port}/healthz"):
                        break
                await asyncio.sleep(0.3)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /slack/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\npayload=")
        await writer.drain()
        await asyncio.sleep(1)
        result = await ended(process)
        writer.close()
        return result


async def sqlite_locked(world: World) -> tuple[float, int | None]:
    async with world.running() as process:
        await world.slack.wait_connected(seconds=60)
        await asyncio.sleep(2)
        with sqlite3.connect(world.folder / "claude-cost.db", isolation_level=None) as other:
            other.execute("begin immediate")
            await asyncio.sleep(3)
            result = await ended(process)
            other.execute("rollback")
        return result


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A TCP proxy: its port, and an event that stops all forwarding."""
    cut = asyncio.Event()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if cut.is_set():
                await asyncio.sleep(3600)
            writer.write(data)
            await writer.drain()

    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if cut.is_set():
            await asyncio.sleep(3600)
        to_reader, to_writer = await asyncio.open_connection(host, port)
        tasks.update({asyncio.create_task(pipe(reader, to_writer)), asyncio.create_task(pipe(to_reader, writer))})

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], cut
    finally:
        server.close()
        for task in tasks:
            task.cancel()


async def postgres_cut_off(world: World) -> tuple[float, int | None]:
    from sqlalchemy import make_url

    from tests.databases import postgres_database

    with postgres_database() as url:
        address = make_url(url)
        async with proxied(address.host or "127.0.0.1", address.port or 5432) as (port, cut):
            through = address.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
            async with world.running(CLAUDE_COST_DATABASE_URL=through) as process:
                await world.slack.wait_connected(seconds=60)
                await asyncio.sleep(2)
                cut.set()
                await asyncio.sleep(4)
                return await ended(process)


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Accepts connections and never answers."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def destination(scheme: str) -> Moment:
    async def moment(world: World) -> tuple[float, int | None]:
        async with silent_server() as port:
            config = world.folder / "config.toml"
            url = {
                "json": f"json://127.0.0.1:{port}/",
                "smtp": f"mailto://a:b@127.0.0.1:{port}?to=c@example.com&from=a@example.com",
            }[scheme]
            config.write_text(f'[[destination]]\nurl = "{url}"\nname = "hook"\n', encoding="utf-8")
            world.spend(120)
            async with world.running(CLAUDE_COST_CONFIG=str(config)) as process:
                await busy(world)
                return await ended(process)

    return moment


async def dribbling(world: World) -> tuple[float, int | None]:
    """Anthropic at one byte a second."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(1)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with world.running(ANTHROPIC_BASE_URL=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as process:
        await busy(world)
        result = await ended(process)
    server.close()
    return result


async def slack_unreachable(world: World) -> tuple[float, int | None]:
    async with world.running(SLACK_API_URL="http://127.0.0.1:9/api/") as process:
        await busy(world)
        return await ended(process)


async def half_open_socket(world: World) -> tuple[float, int | None]:
    """Slack's side of the Socket Mode connection never answers, not even to a close."""
    async with silent_server() as port:
        world.slack.faults.add("apps.connections.open", HANGS, times=20)
        async with world.running(SLACK_API_URL=f"http://127.0.0.1:{port}/api/") as process:
            await busy(world)
            return await ended(process)


async def command_in_flight(world: World) -> tuple[float, int | None]:
    """A command whose answer hangs."""
    world.slack.faults.add("chat.postMessage", HANGS, times=5)
    async with world.running() as process:
        await world.slack.wait_connected(seconds=60)
        await world.slack.command("fallback on", ADMIN)
        await world.slack.command("doctor", ADMIN)
        await asyncio.sleep(1)
        return await ended(process)


async def flooded_log(world: World) -> tuple[float, int | None]:
    """Nobody reads the bot's log, so the pipe is full."""
    read, write = os.pipe()
    with suppress(BlockingIOError):
        os.set_blocking(write, False)
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    environ = {"PATH": os.environ["PATH"], **world.environ}
    command = (sys.executable, "-m", "bot", "run")
    process = await asyncio.create_subprocess_exec(*command, env=environ, cwd=world.folder, stderr=write)
    # It may hang while writing its first line.
    await asyncio.sleep(12)
    result = await ended(process)
    if process.returncode is None:
        process.kill()
        await process.wait()
    os.close(read)
    os.close(write)
    return result


MOMENTS: dict[str, Moment] = {
    "interpreter starts (0.15 s)": at(0.15),
    "imports (0.6 s)": at(0.6),
    "imports (1.5 s)": at(1.5),
    "migrations (2.5 s)": at(2.5),
    "idle": idle,
    "second signal while a post hangs": twice,
    "Slack post hangs": hanging("chat.postMessage", spends=True),
    "auth.test hangs": hanging("auth.test"),
    "apps.connections.open hangs": hanging("apps.connections.open"),
    "conversations.history hangs": hanging("conversations.history", spends=True),
    "Slack unreachable": slack_unreachable,
    "Slack accepts and never answers": half_open_socket,
    "commands in flight": command_in_flight,
    "Anthropic hangs": hanging(ANALYTICS_USAGE),
    "Anthropic at 1 byte/s": dribbling,
    "client with a slow body": on_port(b"POST /v1/fallback HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab"),
    "slow body at /slack/events": http_mode_slow_body,
    "half a request head": on_port(b"GET /healthz HTTP/1.1\r\nHost: loc", connections=20),
    "open event streams": on_port(b"GET /v1/fallback/stream HTTP/1.1\r\nHost: localhost\r\n\r\n", connections=20),
    "SQLite locked by another": sqlite_locked,
    "PostgreSQL cut off": postgres_cut_off,
    "webhook hangs": destination("json"),
    "mail server hangs": destination("smtp"),
    "log pipe is full": flooded_log,
}


async def measure(moment: Moment) -> tuple[float, int | None]:
    """Run one bot in its own world."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with world_at(system_clock, Path(folder)) as world:
            return await moment(world)


def main() -> int:
    """Print one line per case; exit code 1 if one took too long or exited differently."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[""], metavar="WORD")
    words = parser.parse_args().only
    bad = 0
    for name, moment in MOMENTS.items():
        if not any(word in name for word in words):
            continue
        seconds, code = asyncio.run(measure(moment))
        ok = code == 0 and seconds <= ALLOWED
        bad += not ok
        sys.stdout.write(f"{name:36}{seconds:6.1f} s  exit {code}{'' if ok else '   <-- unexpected'}\n")
        sys.stdout.flush()
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
