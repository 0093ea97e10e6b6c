"""Hold many connections to the HTTP port under the usual descriptor limit: do alerts and commands still get through?

    python benchmarks/connections.py [--mode socket|http|both] [--connections 1200] [--seconds 40] [--files 1024]

Runs a real bot (`python -m bot run`) with RLIMIT_NOFILE 1,024, once in Socket Mode with the HTTP port open and once in
HTTP mode with a signing secret. Four kinds of clients hold connections to the port: idle ones, incomplete request heads
at 1 byte/s, unsigned bodies at 1 byte/s (to /slack/events or OFREP), and open streams. A client reconnects 5 s after
its connection was closed. Before, during and after this load a limit is crossed and commands are sent (over Socket
Mode, or as signed requests).

Prints the seconds to the alert, the acknowledgements and the answers; the seconds of /healthz on a new connection; log
lines and bytes per second; the seconds to recovery once the clients are gone; and the seconds and exit code after
SIGTERM. Takes about two minutes per mode. Exit code 1 if a bound in the table is violated.
"""

import argparse
import asyncio
import logging
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bot_process import BotProcess, asked, cross, give_budgets, until, until_served
from bot.clock import system_clock
from bot.sandbox.slack_server import SIGNING_SECRET
from bot.sandbox.slack_workspace import NotDispatchedError
from tests.scenario.conftest import World, world_at
from tests.scenario.http_port import free_port

HEAD = "{} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
OPENINGS = {
    "idle": "",
    "half head": HEAD.format("GET /healthz") + "X-Long: ",
    "slow body": HEAD + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000\r\n\r\n",
    "stream": HEAD.format("GET /v1/fallback/stream") + "\r\n",
}
BODY_TO = {"http": "POST /slack/events", "socket": "POST /ofrep/v1/evaluate/flags"}
"""Socket Mode does not serve /slack/events."""
DRIBBLES = frozenset({"half head", "slow body"})
BACK_AFTER = 5.0
SETTLE = 20.0
"""Seconds until the bot's own idle connections are closed too, so that an alert needs a new one."""
MOST_CONNECTS = 20_000
MOST_LOG = 400_000_000
ALERT_PATIENCE = 45.0
COMMANDS = 5
HEALTH_PATIENCE = 5.0
ANSWER_PATIENCE = 10.0
RECOVERY_PATIENCE = 60.0
TERM_PATIENCE = 60.0

MOST_ALERT, MOST_RECOVERY, MOST_TERM = 10.0, 15.0, 10.0
MOST_LINES, MOST_BYTES = 50.0, 20_000.0
"""Log bytes per second."""

Rows = list[tuple[str, object, object, bool]]
"""Name, figure, bound, and whether it is within the bound."""


@dataclass(slots=True)
class Crowd:
    """Clients that hold connections to a port. `ends`: how often the server closed one, by kind."""

    port: int
    random: Random
    body_to: str
    open: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    connects: int = 0
    refused: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def come(self, number: int, among: Sequence[str]) -> None:
        """Connect `count` clients, equally many of each kind, within a few seconds."""
        kinds = [among[index % len(among)] for index in range(number)]
        self.random.shuffle(kinds)
        for index, kind in enumerate(kinds):
            self._tasks.append(asyncio.create_task(self._client(kind)))
            if index % 50 == 49:
                await asyncio.sleep(0.1)

    async def go(self) -> None:
        """Disconnect all clients at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, kind: str) -> None:
        while self.connects < MOST_CONNECTS:
            self.connects += 1
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.refused += 1
            else:
                self.open[kind] += 1
                try:
                    with suppress(OSError):
                        await self._hold(kind, reader, writer)
                    self.ends[kind] += 1
                finally:
                    self.open[kind] -= 1
                    writer.transport.abort()
            await asyncio.sleep(BACK_AFTER)

    async def _hold(self, kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OPENINGS[kind].format(self.body_to).encode())
        ended = asyncio.ensure_future(_read_to_the_end(reader))
        try:
            while not ended.done():
                await asyncio.wait([ended], timeout=self.random.uniform(0.9, 1.1) if kind in DRIBBLES else None)
                if not ended.done():
                    writer.write(b"a")
        finally:
            ended.cancel()


async def _read_to_the_end(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(65_536):
            pass


@dataclass(frozen=True, slots=True)
class Look:
    """What works at one moment. Seconds; None: no response. `acknowledged`, `answered`: per command."""

    alert: float | None
    health: float | None
    acknowledged: Sequence[float | None]
    answered: Sequence[float | None]


async def _look(world: World, port: int, name: str, most: float = ALERT_PATIENCE) -> Look:
    async def alerted() -> float | None:
        begun_at = time.monotonic()
        cross(world, name)
        came = await until(lambda: any(_of(post.metadata, name) for post in world.posts()), most)
        return time.monotonic() - begun_at if came else None

    async with asyncio.TaskGroup() as group:
        alert = group.create_task(alerted())
        health = group.create_task(_health(port, HEALTH_PATIENCE))
        commands = group.create_task(_commands(world))
    acknowledged, answered = zip(*commands.result(), strict=True)
    return Look(alert.result(), health.result(), acknowledged, answered)


def _of(metadata: dict[str, object] | None, name: str) -> bool:
    payload = (metadata or {}).get("event_payload")
    return isinstance(payload, dict) and str(payload.get("what")).startswith(f"{name}/")


async def _health(port: int, seconds: float) -> float | None:
    begun_at = time.monotonic()
    answer = await asked(port, "/healthz", seconds)
    return time.monotonic() - begun_at if answer is not None and answer[0] == 200 else None


async def _commands(world: World) -> list[tuple[float | None, float | None]]:
    return [await _command(world) for _ in range(COMMANDS)]


async def _command(world: World) -> tuple[float | None, float | None]:
    """Seconds to the acknowledgement and to the answer, which is sent to the response URL."""
    begun_at = time.monotonic()
    try:
        interaction = await world.slack.command("status")
    except NotDispatchedError:
        return None, None
    acknowledged = time.monotonic() - begun_at
    try:
        await interaction.first_reply(ANSWER_PATIENCE)
    except TimeoutError:
        return acknowledged, None
    return acknowledged, time.monotonic() - begun_at


async def _recovery(world: World, port: int) -> float | None:
    """Seconds until the port and a command are answered."""
    begun_at = time.monotonic()
    while time.monotonic() - begun_at < RECOVERY_PATIENCE:
        if await _health(port, 1) is not None and None not in await _command(world):
            return time.monotonic() - begun_at
        await asyncio.sleep(0.2)
    return None


async def _measured(world: World, process: BotProcess, crowd: Crowd, arguments: argparse.Namespace) -> Rows:
    port = crowd.port
    before = await _look(world, port, "before")
    begun_at, log_from = time.monotonic(), process.log_bytes
    try:
        await crowd.come(arguments.connections, arguments.kinds)
        await asyncio.sleep(SETTLE)
        during = await _look(world, port, "during")
        rest = begun_at + arguments.seconds - time.monotonic()
        await until(lambda: process.log_bytes > MOST_LOG, max(0.0, rest))
        held, seconds, log_to = dict(crowd.open), time.monotonic() - begun_at, process.log_bytes
        files = process.open_files()
    finally:
        await crowd.go()
    recovery = await _recovery(world, port)
    late = await until(lambda: any(_of(post.metadata, "during") for post in world.posts()), ALERT_PATIENCE)
    after = await _look(world, port, "after")
    term, code = await process.terminate(TERM_PATIENCE)
    lines = await asyncio.to_thread(process.log_lines, log_from, log_to)
    tracebacks = (await asyncio.to_thread(process.log_text)).count(b"Traceback (most")
    return [
        *_rows_of("before", before),
        ("clients' connections open at the end", _counts(held), "", True),
        ("closed by the bot meanwhile", _counts(crowd.ends), "", True),
        ("connects in all, refused", f"{crowd.connects}, {crowd.refused}", "", True),
        ("descriptors of the bot", files, "", True),
        *_rows_of("during", during),
        ("alert for a limit crossed under load, delivered", "yes" if late else "NO", "yes", late),
        ("log, lines/s", f"{lines / seconds:.1f}", MOST_LINES, lines / seconds <= MOST_LINES),
        _row_of_bytes(log_to - log_from, seconds),
        ("clients gone to recovery, s", _seconds(recovery), MOST_RECOVERY, _within(recovery, MOST_RECOVERY)),
        *_rows_of("after", after),
        ("SIGTERM, s", f"{term:.1f}", MOST_TERM, term <= MOST_TERM),
        ("SIGTERM, exit code", "still running" if code is None else code, 0, code == 0),
        ("tracebacks in the log", tracebacks, "", True),
    ]


def _row_of_bytes(number: int, seconds: float) -> tuple[str, object, object, bool]:
    figure = f"{number / seconds:,.0f} ({number / 1e6:.1f} MB in {seconds:.0f} s)"
    return "log, bytes/s", figure, f"{MOST_BYTES:,.0f}", number / seconds <= MOST_BYTES


def _rows_of(when: str, look: Look) -> Iterator[tuple[str, object, object, bool]]:
    yield f"{when}: crossing to alert, s", _seconds(look.alert), MOST_ALERT, _within(look.alert, MOST_ALERT)
    yield f"{when}: commands acknowledged", _slowest(look.acknowledged), "all", None not in look.acknowledged
    yield f"{when}: commands answered", _slowest(look.answered), "all", None not in look.answered
    yield f"{when}: /healthz on a new connection, s", _seconds(look.health), "", True


def _slowest(seconds: Sequence[float | None]) -> str:
    came = [one for one in seconds if one is not None]
    return f"{len(came)} of {len(seconds)}" + (f", slowest {max(came):.2f} s" if came else "")


def _within(seconds: float | None, most: float) -> bool:
    return seconds is not None and seconds <= most


def _seconds(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:.2f}"


def _counts(counts: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{counts.get(kind, 0)} {kind}" for kind in OPENINGS)


async def _run(mode: str, arguments: argparse.Namespace) -> bool:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        async with world_at(system_clock, Path(folder)) as world:
            give_budgets(world, ["before", "during", "after"])
            world.environ["CLAUDE_COST_HTTP_PORT"] = str(port)
            if mode == "http":
                world.slack.http_endpoint = f"http://127.0.0.1:{port}/slack/events"
                world.environ |= {"SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": SIGNING_SECRET}
            async with BotProcess(world.folder, "bot", world.environ, arguments.files) as process:
                await until_served(port)
                if mode == "socket":
                    await world.slack.wait_connected(seconds=60)
                await until(lambda: len(world.anthropic.requests) > 3, 60)
                crowd = Crowd(port, Random(arguments.seed), BODY_TO[mode])
                rows = await _measured(world, process, crowd, arguments)
    sys.stdout.write(f"\n{'mode ' + mode:50}{'found':56}at most\n")
    for what, found, bound, well in rows:
        sys.stdout.write(f"{what:50}{found!s:56}{bound!s:8}{'' if well else 'BROKEN'}".rstrip() + "\n")
    sys.stdout.flush()
    return all(well for *_, well in rows)


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    for kind in kinds:
        if kind not in OPENINGS:
            raise argparse.ArgumentTypeError(f"{kind} is none of {', '.join(OPENINGS)}")
    return kinds


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["socket", "http", "both"], default="both")
    parser.add_argument("--connections", type=int, default=1200)
    parser.add_argument("--seconds", type=float, default=40, help="minimum seconds that the clients stay")
    parser.add_argument("--kinds", type=_kinds, default=list(OPENINGS), help="of clients, comma-separated")
    parser.add_argument("--files", type=int, default=1024, help="RLIMIT_NOFILE of the bot")
    parser.add_argument("--seed", type=int, default=1, help="for the clients' order and pace")
    arguments = parser.parse_args(words)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 2 * arguments.connections + 200:
        parser.error(f"this process may open {most} files only: raise its hard limit, or ask for fewer connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.disable(logging.CRITICAL)
    sys.stdout.write(
        f"seed {arguments.seed}, {arguments.connections} connections, {arguments.files} descriptors of the bot\n"
    )
    modes = ["socket", "http"] if arguments.mode == "both" else [arguments.mode]
    results = [asyncio.run(_run(mode, arguments)) for mode in modes]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
