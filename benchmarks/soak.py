"""Run the bot for half an hour at one poll a second with 100 commands a minute, and see whether it grows.

    python benchmarks/soak.py [--minutes 30] [--warm-up 10] [--commands 100] [--postgres ADDRESS] [--quick]

`claude-cost run` is a process of its own, with the local Slack and the local Anthropic. Usage comes in all the time, a
limit is crossed each minute, commands that change nothing are typed in turn, and an event a second is logged over HTTP.
Every five seconds `/metrics` and `/readyz` are read, and the process is looked at: resident memory, open files,
threads, bytes of the database and of the log.

After the warm-up each of them should be flat. The figures are the median of the last fifth of the time against that of
the first fifth after the warm-up. Minutes of usage add rows until their hour has ended, so the database is given as
bytes for each minute. Exit code 1 if a command was not acknowledged in three seconds, or got no answer.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp

from benchmarks.answers import APOLOGIES
from benchmarks.bot_process import BotProcess, asked, cross, give_budgets, until, until_served
from benchmarks.figures import Figure, emit, percentile, say
from bot.clock import system_clock
from bot.sandbox.slack_workspace import NotDispatchedError
from tests.databases import postgres_database
from tests.postgres_server import GIVEN
from tests.scenario.conftest import World, world_at
from tests.scenario.http_port import free_port

COMMANDS = (
    "status",
    "report today",
    "report month by key",
    "forecast",
    "budget list",
    "fallback status",
    "top",
    "rates opus",
    "limits",
    "estimate sonnet-4.6 requests=10k in=2000 out=500",
    "help",
    "what did we spend this week?",
    "reprot",
)
TOKEN = "ingest-token"
LOOK_SECONDS = 5.0
ANSWER_SECONDS = 30.0
SHARE = 5
"""The medians are of the first and the last fifth."""


@dataclass(frozen=True, slots=True)
class Look:
    """The process at one moment. `at`: seconds since the start; `resident` and the two files: bytes."""

    at: float
    resident: int
    files: int
    threads: int
    database: int
    log: int


@dataclass(slots=True)
class Soak:
    """What was done and seen so far. Seconds in `acked` and `answered`."""

    world: World
    process: BotProcess
    port: int
    looks: list[Look] = field(default_factory=list)
    acked: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    crossed: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    async def type(self, every: float) -> None:
        """Type a command every so many seconds, whether or not the one before is answered."""
        async with asyncio.TaskGroup() as group:
            for words in cycle(COMMANDS):
                group.create_task(self._typed(words))
                await asyncio.sleep(every)

    async def _typed(self, words: str) -> None:
        begun_at = time.monotonic()
        try:
            interaction = await self.world.slack.command(words)
            self.acked.append(time.monotonic() - begun_at)
            said = (await interaction.first_reply(ANSWER_SECONDS)).text
        except NotDispatchedError:
            self.failed[f"{words}: not acknowledged"] += 1
        except TimeoutError:
            self.failed[f"{words}: no answer"] += 1
        else:
            self.answered.append(time.monotonic() - begun_at)
            if said.startswith(APOLOGIES):
                self.failed[f"{words}: {said.partition(chr(10))[0]}"] += 1

    async def spend(self, names: Sequence[str]) -> None:
        """Use a little each second, and cross one limit a minute."""
        for second in count():
            self.world.spend("0.01", key="apikey_steady")
            if second % 60 == 0 and second // 60 < len(names):
                cross(self.world, names[second // 60])
                self.crossed += 1
            await asyncio.sleep(1)

    async def log(self) -> None:
        """Send an event each second, as an application does."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=headers) as session:
            for number in count():
                event: dict[str, object] = {
                    "id": f"msg_{number}",
                    "feature": f"feature-{number % 20}",
                    "user_id": f"u{number % 50}",
                }
                event |= {"model": "claude-opus-5-5", "input_tokens": 1_000, "output_tokens": 200}
                async with session.post("/v1/usage", json=[event]) as answer:
                    if answer.status != 200:
                        self.failed[f"POST /v1/usage: {answer.status}"] += 1
                await asyncio.sleep(1)

    async def look(self, database: Path | None) -> None:
        """Look at the process, and read its metrics and its readiness."""
        begun_at = time.monotonic()
        while True:
            self.looks.append(look_at(self.process, database, time.monotonic() - begun_at))
            if len(self.looks) % 12 == 1:
                say(str(self.looks[-1]))
            for path in ("/metrics", "/readyz"):
                answer = await asked(self.port, path, ANSWER_SECONDS)
                if answer is None or answer[0] != 200:
                    self.failed[f"{path}: {answer}"] += 1
            await asyncio.sleep(LOOK_SECONDS)


def look_at(process: BotProcess, database: Path | None, at: float) -> Look:
    """The process now. `database`: its SQLite file, counted with its log; None on PostgreSQL."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":" in line
    )
    parts = [] if database is None else [database, database.with_name(f"{database.name}-wal")]
    return Look(
        at,
        int(status["VmRSS"].split()[0]) * 1024,
        process.open_files(),
        int(status["Threads"]),
        sum(part.stat().st_size for part in parts if part.exists()),
        process.log_bytes,
    )


async def soaked(folder: Path, arguments: argparse.Namespace, address: str | None) -> Soak:
    """Run the bot for the minutes of `arguments`. `address`: of a database on PostgreSQL."""
    names = [f"b{number:04d}" for number in range(int(arguments.minutes) + 1)]
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(world_at(system_clock, folder))
        give_budgets(world, names)
        world.anthropic.keys["apikey_steady"] = ("steady", None)
        world.slack.workspace.scopes.add("channels:history")
        port = free_port()
        environ = world.environ | {
            "CLAUDE_COST_POLL_SECONDS": "1",
            "CLAUDE_COST_HTTP_PORT": str(port),
            "CLAUDE_COST_INGEST_TOKEN": TOKEN,
        }
        database = folder / "claude-cost.db"
        environ["CLAUDE_COST_DATABASE_URL"] = f"sqlite:///{database}" if address is None else address
        process = await stack.enter_async_context(BotProcess(folder, "bot", environ))
        await until_served(port)
        await world.slack.wait_connected(1, 60)
        soak = Soak(world, process, port)
        world.spend("0.01", key="apikey_steady")
        async with asyncio.timeout(60):
            while (await asked(port, "/readyz", 2) or (0,))[0] != 200:  # noqa: ASYNC110  # another process answers
                await asyncio.sleep(0.2)
        doing = [soak.type(60 / arguments.commands), soak.spend(names), soak.log()]
        doing.append(soak.look(database if address is None else None))
        tasks = [asyncio.create_task(each) for each in doing]
        ended, _ = await asyncio.wait(tasks, timeout=arguments.minutes * 60, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()
        soak.failed["tracebacks in the log"] += process.log_text().count(b"Traceback (most")
        await until(lambda: len(world.posts()) >= soak.crossed, ANSWER_SECONDS)
        soak.failed["alerts lost or doubled"] += abs(len(world.posts()) - soak.crossed)
        if arguments.keep is not None:
            arguments.keep.write_bytes(process.log_text())
        return soak


def report(soak: Soak, warm_up: float, where: str) -> bool:
    """Print the figures; whether nothing failed. `warm_up`: seconds."""
    looks = [look for look in soak.looks if look.at >= warm_up]
    fifth = max(1, len(looks) // SHARE)
    first, last = looks[:fifth], looks[-fifth:]
    minutes = (last[-1].at - first[0].at) / 60

    def figure(what: str, unit: str, before: float, after: float, goal: float | None, note: str = "") -> None:
        emit(Figure(f"soak on {where}: {what}", after, unit, before, goal, measure="ratio", note=note))

    def medians(name: str, scale: float = 1) -> tuple[float, float]:
        before, after = (median(getattr(look, name) for look in each) / scale for each in (first, last))
        return before, after

    lasted = f"over {minutes:.0f} minutes after the warm-up"
    figure("resident memory", "MB", *medians("resident", 1e6), 1.05, lasted)
    figure("open files", "", *medians("files"), 1.1)
    figure("threads", "", *medians("threads"), 1.1)
    if last[-1].database:
        grown = (last[-1].database - first[0].database) / 1e3 / max(minutes, 1e-9)
        emit(Figure(f"soak on {where}: database, more a minute", grown, "kB", note=f"{last[-1].database / 1e6:.1f} MB"))
    said = (last[-1].log - first[0].log) / max(minutes, 1e-9)
    emit(Figure(f"soak on {where}: log, more a minute", said, "B"))
    for what, seconds in (("acknowledged", soak.acked), ("answered", soak.answered)):
        note = f"{len(seconds):,} commands, median {median(seconds) * 1e3:.0f} ms"
        goal = 3_000 if what == "acknowledged" else None
        emit(Figure(f"soak on {where}: {what}, p99", percentile(seconds, 0.99) * 1e3, "ms", goal=goal, note=note))
    failed = +soak.failed
    emit(Figure(f"soak on {where}: failures", failed.total(), "", goal=0, note="; ".join(sorted(failed))[:300]))
    return not failed


def main(words: Sequence[str] | None = None) -> int:
    """0 if nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--warm-up", type=float, default=10, help="minutes")
    parser.add_argument("--commands", type=float, default=100, help="a minute")
    parser.add_argument("--postgres", metavar="ADDRESS", default=GIVEN, help="of a server; nothing: SQLite alone")
    parser.add_argument("--keep", type=Path, help="a file for the bot's log")
    parser.add_argument("--quick", action="store_true", help="half a minute")
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.minutes, arguments.warm_up = 0.5, 0.1
    with tempfile.TemporaryDirectory() as folder:
        well = report(asyncio.run(soaked(Path(folder), arguments, None)), arguments.warm_up * 60, "SQLite")
    if arguments.postgres:
        with postgres_database(arguments.postgres) as address, tempfile.TemporaryDirectory() as folder:
            soak = asyncio.run(soaked(Path(folder), arguments, address))
            well &= report(soak, arguments.warm_up * 60, "PostgreSQL")
    return 0 if well else 1


if __name__ == "__main__":
    raise SystemExit(main())
