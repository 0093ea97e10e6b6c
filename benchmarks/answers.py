"""Measure how fast the running bot acknowledges and answers, alternating with a minimal Bolt app.

    python benchmarks/answers.py [--keys 50,5000] [--budgets 50] [--rounds 100] [--seconds 60] [--quick]

The bot (`ticking_bot.py`) polls its own local Anthropic (`usage_report.py`) and talks to a local Slack over Socket
Mode. The echo app runs in the same process layout and talks to another local Slack. Three measurements: each command
alternating with an echo; 500 mixed commands a minute during polls and reviews, with an echo after each; and an alert
while 12 commands wait.
"""

import argparse
import asyncio
import itertools
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from benchmarks.decisions import environ_of
from benchmarks.figures import Figure, emit, percentile, say
from benchmarks.world import DEFAULT_CACHE, Size, database
from bot.clock import system_clock
from bot.sandbox.slack_server import ALERTS, APP_TOKEN, BOT_TOKEN, SlackSandbox
from bot.sandbox.slack_workspace import BOT_USER, NotDispatchedError
from tests.scenario.http_port import free_port

HERE = Path(__file__).resolve().parent
COMMANDS = (
    "help",
    "status",
    "report month by key",
    "forecast",
    "budget list",
    "estimate opus requests=1k in=1000 out=100",
    "fallback status",
)
APOLOGIES = ("Something went wrong", "The database", "There is no usage data", "Another process keeps")
PER_MINUTE = 500
WAITING = 12
PATIENCE = 60
POLL_SECONDS = 10
SMALL = 50
"""Up to this many keys an answer may take 20 ms more than the echo, above it 100 ms."""


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds until the acknowledgement and the first answer, `PATIENCE` where it did not come or was an apology."""

    ack: float
    answer: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two processes and the clients that reach it."""

    slack: SlackSandbox
    process: asyncio.subprocess.Process
    http: httpx.AsyncClient

    async def says(self, words: str) -> Took:
        """Type a command and wait for its answer."""
        now = asyncio.get_running_loop().time
        begun_at = now()
        ack = answer = float(PATIENCE)
        with suppress(NotDispatchedError, TimeoutError):
            interaction = await self.slack.command(words)
            ack = now() - begun_at
            said = (await interaction.first_reply(PATIENCE)).text
            # An apology comes quickly but is not an answer.
            if not said.startswith(APOLOGIES):
                answer = now() - begun_at
        return Took(ack, answer)

    async def gets(self, path: str) -> Took:
        """Ask the HTTP port."""
        now = asyncio.get_running_loop().time
        begun_at = now()
        with suppress(httpx.HTTPError):
            (await self.http.get(path)).raise_for_status()
            return Took(now() - begun_at, now() - begun_at)
        return Took(PATIENCE, PATIENCE)

    async def ticks(self) -> dict[str, float]:
        """How late the ticks of its loop were since the previous call."""
        self.process.send_signal(signal.SIGUSR2)
        assert self.process.stdout is not None
        found: dict[str, float] = json.loads(await asyncio.wait_for(self.process.stdout.readline(), PATIENCE))
        return found


@asynccontextmanager
async def child(*words: str, environ: dict[str, str] | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a script of this folder; kill it on exit."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *words), env=environ, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@asynccontextmanager
async def both(size: Size, budgets: int, cache: Path, warm_up: float) -> AsyncIterator[tuple[Side, Side]]:
    """The bot and the echo, connected for `warm_up` seconds."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address = stack.enter_context(database(size, folder, cache))
        offset = str((size.now - system_clock()).total_seconds())
        report = await stack.enter_async_context(
            child(str(HERE / "usage_report.py"), str(size.keys), str(size.days), offset)
        )
        assert report.stdout is not None
        anthropic = f"http://127.0.0.1:{int(await report.stdout.readline())}"
        sides = []
        for which in ("bot", "echo"):
            slack = await stack.enter_async_context(SlackSandbox(system_clock, ack_seconds=PATIENCE))
            port = free_port()
            more = {
                "PATH": "/usr/bin:/bin",
                "SLACK_BOT_TOKEN": BOT_TOKEN,
                "SLACK_APP_TOKEN": APP_TOKEN,
                "SLACK_API_URL": slack.api_url,
                "ANTHROPIC_BASE_URL": anthropic,
                "CLAUDE_COST_POLL_SECONDS": str(POLL_SECONDS),
                "CLAUDE_COST_HTTP_PORT": str(port),
            }
            environ = environ_of(size, budgets, address, folder, **more)
            process = await stack.enter_async_context(
                child(str(HERE / "ticking_bot.py"), which, offset, environ=environ)
            )
            await slack.wait_connected(seconds=PATIENCE)
            client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)
            sides.append(Side(slack, process, await stack.enter_async_context(client)))
        bot, echo = sides
        await asyncio.sleep(warm_up)
        yield bot, echo


Ask = Callable[[], Awaitable[Took]]


async def in_turn(first: Ask, second: Ask, rounds: int) -> tuple[list[Took], list[Took]]:
    """Alternate between both sides through the items."""
    found: tuple[list[Took], list[Took]] = [], []
    for _ in range(rounds):
        for ask, took in zip((first, second), found, strict=True):
            took.append(await ask())
    return found


def ms(values: Sequence[float], share: float) -> float:
    return round(percentile(values, share) * 1000, 2)


async def each_command(bot: Side, echo: Side, size: Size, rounds: int) -> None:
    """Acknowledgement and answer of each command, compared with the echo."""
    goal = 20 if size.keys <= SMALL else 100
    asks: list[tuple[str, Ask, Ask]] = [
        (words, lambda words=words: bot.says(words), lambda words=words: echo.says(words))  # type: ignore[misc]
        for words in COMMANDS
    ]
    asks.append(("GET /metrics", lambda: bot.gets("/metrics"), lambda: echo.gets("/")))
    for words, ask, bare in asks:
        say(f"{words} at {size} …")
        ours, theirs = await in_turn(ask, bare, rounds)
        late = sum(took.answer >= PATIENCE for took in ours)
        note = f"{late} of {rounds} not answered in {PATIENCE} s" if late else ""
        for share, bound in ((0.5, None), (0.99, goal)):
            answers = [ms([took.answer for took in side], share) for side in (ours, theirs)]
            name = f"`{words}` answered, p{share * 100:.0f}: {size}"
            emit(Figure(name, answers[0], "ms", answers[1], bound, "beyond", note=note))
        if words.startswith("GET"):
            continue
        acks = [ms([took.ack for took in side], 0.99) for side in (ours, theirs)]
        emit(Figure(f"`{words}` acknowledged, p99: {size}", acks[0], "ms", acks[1], measure="ratio"))


async def under_load(bot: Side, echo: Side, size: Size, seconds: float) -> None:
    """500 mixed commands a minute during polls and reviews, alternating with as many echoes."""
    say(f"{PER_MINUTE} commands a minute at {size}, {seconds:.0f} s …")
    await bot.ticks(), await echo.ticks()
    pause = 60 / PER_MINUTE / 2
    asked: tuple[list[asyncio.Task[Took]], list[asyncio.Task[Took]]] = [], []
    words = itertools.cycle(COMMANDS)
    loop = asyncio.get_running_loop()
    begun_at = loop.time()
    for turn in range(int(seconds / pause)):
        await asyncio.sleep(max(0.0, begun_at + turn * pause - loop.time()))
        side, tasks = ((bot, echo)[turn % 2], asked[turn % 2])
        tasks.append(asyncio.ensure_future(side.says(next(words) if side is bot else "echo")))
    ticks = await bot.ticks(), await echo.ticks()
    ours, theirs = [[await task for task in tasks] for tasks in asked]
    of = f"{PER_MINUTE} commands a minute during reviews, {size}"
    share = [100 * sum(took.answer <= 1 for took in side) / len(side) for side in (ours, theirs)]
    late = sum(took.answer >= PATIENCE for took in ours)
    note = f"{late} of {len(ours)} not answered in {PATIENCE} s" if late else ""
    emit(Figure(f"answered within 1 s: {of}", round(share[0], 2), "%", share[1], 100, bound="at least", note=note))
    answers, acks = ([[getattr(took, name) for took in side] for side in (ours, theirs)] for name in ("answer", "ack"))
    emit(Figure(f"answer, p99: {of}", ms(answers[0], 0.99), "ms", ms(answers[1], 0.99)))
    emit(Figure(f"acknowledgement, p99: {of}", ms(acks[0], 0.99), "ms", ms(acks[1], 0.99), 1.5, "ratio"))
    for name, title, goal in (
        ("p99", "event loop delay, p99", None),
        ("longest", "longest event loop stall", 50),
    ):
        late_by = [round(found[name] * 1000, 2) for found in ticks]
        emit(Figure(f"{title}: {of}", late_by[0], "ms", late_by[1], goal))


async def alert_beside(bot: Side, size: Size, rounds: int) -> None:
    """Time from an alert's record to its message, on an idle bot and with commands waiting."""
    alone = [await alert(bot) for _ in range(rounds)]
    beside = []
    for _ in range(rounds):
        waiting = [asyncio.ensure_future(bot.says("report month by key")) for _ in range(WAITING)]
        await asyncio.sleep(0.05)
        beside.append(await alert(bot))
        await asyncio.gather(*waiting)
    worst, floor = round(max(beside) * 1000, 2), ms(alone, 0.5)
    name = f"an alert's delivery beside {WAITING} waiting commands, slowest of {rounds}: {size}"
    emit(Figure(name, worst, "ms", floor, 100, "beyond"))


async def alert(bot: Side) -> float:
    """Seconds until the alert is in the channel."""

    def posts() -> int:
        shown: Any = (m for m in bot.slack.messages if m.user == BOT_USER and m.ephemeral_to is None)
        return sum(m.channel == ALERTS and m.thread_ts is None for m in shown)

    now, before = asyncio.get_running_loop().time, posts()
    begun_at = now()
    bot.process.send_signal(signal.SIGUSR1)
    with suppress(TimeoutError):
        await bot.slack.until(lambda: posts() > before, PATIENCE)
    return now() - begun_at


async def measure(
    size: Size, budgets: int, rounds: int, seconds: float, cache: Path, warm_up: float = POLL_SECONDS
) -> None:
    """All figures for one size. `warm_up`: seconds for the first review."""
    async with both(size, budgets, cache, warm_up) as (bot, echo):
        await each_command(bot, echo, size, rounds)
        await under_load(bot, echo, size, seconds)
        await alert_beside(bot, size, max(1, rounds // 4))


def main() -> None:
    """Measure the sizes given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", default="50,5000")
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--budgets", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=100, help="of each command in turn")
    parser.add_argument("--seconds", type=float, default=60, help="of the load")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--quick", action="store_true", help="5 keys, 2 days, 2 budgets, 3 rounds, 6 s")
    chosen = parser.parse_args()
    keys, days, budgets, rounds, seconds = chosen.keys, chosen.days, chosen.budgets, chosen.rounds, chosen.seconds
    if chosen.quick:
        keys, days, budgets, rounds, seconds = "5", 2, 2, 3, 6.0
    for count in keys.split(","):
        asyncio.run(measure(Size(int(count), days), budgets, rounds, seconds, chosen.cache))


if __name__ == "__main__":
    main()
