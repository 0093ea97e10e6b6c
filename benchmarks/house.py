"""Print figures about the code beside what they should be, as a table in Markdown, with the command that gives each.

python benchmarks/house.py

Counted are the files of `bot` and `handlers`, the rooms that import each other, the files whose functions a flow calls,
what a new kind of alert touches by the recipe, and the statements of quiet work in the demo's organization.
"""

import ast
import asyncio
import re
import statistics
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bot.clock import HOUR
from bot.notify.slack_connection import SocketMode
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_server import APP_TOKEN
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from bot.sandbox.stage import CURTAIN, DOWN, Stage, set_stage
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION
from tests.contract.test_rooms import PATHS, imports, room
from tests.scenario.test_statements import Counted, counted

ROOT = Path(__file__).resolve().parents[1]

ESTIMATE = "estimate sonnet-4.6 requests=100k in=2000 out=500"
COMMAND = "benchmarks/house.py"


@dataclass(frozen=True, slots=True)
class Row:
    """A figure. `command`: prints it, or the test that enforces it."""

    what: str
    today: str
    wanted: str
    command: str = COMMAND


class Entered:
    """Collects the product files whose functions are called, in any thread, inside its context."""

    def __init__(self) -> None:
        self._on = False
        self._files: set[str] = set()
        self._ours = tuple(f"{ROOT / top}/" for top in ("bot", "handlers"))
        threading.setprofile(self._called)
        sys.setprofile(self._called)

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if self._on and event == "call":
            name = frame.f_code.co_filename
            if name.startswith(self._ours) and "/sandbox/" not in name:
                self._files.add(name)

    async def during(self, flow: Callable[[], Awaitable[object]]) -> int:
        """How many files it enters."""
        self._files, self._on = set(), True
        await flow()
        self._on = False
        return len(self._files)


@dataclass(frozen=True, slots=True)
class Measured:
    """Files entered by each flow, and database queries of quiet work."""

    entered: dict[str, int]
    cycle: Counted
    tick: Counted


async def flows(entered: Entered) -> Measured:
    """Run the flows in the demo's organization."""
    clock = HandClock(CURTAIN)
    with tempfile.TemporaryDirectory() as folder:
        async with set_stage(clock, Path(folder), poll_seconds=3600) as stage:
            socket = SocketMode(stage.bot.slack, APP_TOKEN)
            await socket.connect_async()  # type: ignore[no-untyped-call]
            try:
                return await _entered(entered, stage, clock)
            finally:
                await socket.close_async()  # type: ignore[no-untyped-call]


async def _entered(entered: Entered, stage: Stage, clock: HandClock) -> Measured:
    async def hour() -> None:
        clock.advance(HOUR)
        stage.team.work_until(clock.now)
        await stage.bot.cycle()

    async def said(words: str) -> None:
        typed = await stage.slack.command(words, DEVELOPER)
        await typed.first_reply()
        await stage.bot.in_flight.drain(5)

    await hour()
    found = {"a quiet cycle": await entered.during(stage.bot.cycle)}
    with counted(stage.bot) as cycle:
        await stage.bot.cycle()
    with counted(stage.bot) as tick:
        await stage.bot.deliver()
    stage.slack.faults.outage = DOWN
    while not await _waits(stage):
        await hour()
    stage.slack.faults.outage = None
    clock.advance(HOUR)
    found["a post to Slack"] = await entered.during(stage.bot.deliver)
    found["an estimate in Slack"] = await entered.during(lambda: said(ESTIMATE))
    while not (alerts := [each for each in stage.slack.messages if ACKNOWLEDGE_ACTION in str(each.blocks)]):
        await hour()
    post = alerts[0]

    async def acknowledged() -> None:
        await stage.slack.click(post, ACKNOWLEDGE_ACTION, ADMIN)
        await stage.bot.in_flight.drain(5)
        await stage.bot.deliver()

    found["a click on Acknowledge"] = await entered.during(acknowledged)
    return Measured(found, cycle, tick)


async def _waits(stage: Stage) -> bool:
    return await asyncio.to_thread(stage.bot.services.alerts.notices.undelivered) > 0


def rows() -> list[Row]:
    """Every figure, those of the code first."""
    texts = [path.read_text(encoding="utf-8") for path in PATHS.values() if path.stem != "__init__"]
    sizes = [len(text.splitlines()) for text in texts]
    functions = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    pairs = {(room(one), room(other)) for one in PATHS for other in imports(one) & PATHS.keys()}
    mutual = {(one, other) for one, other in pairs if one < other and (other, one) in pairs}
    found = asyncio.run(flows(Entered()))
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipe = re.findall(r"(?m)^\d+\. ", guide.partition("## Add a detector")[2].partition("\n## ")[0])
    return [
        Row("pairs of rooms that import each other", str(len(mutual)), "0", "tests/contract/test_rooms.py"),
        Row("source files", str(len(sizes)), "about 145"),
        Row("median lines of a file", f"{statistics.median(sizes):.0f}", "about 170"),
        Row("largest file, files above 400 lines", f"{max(sizes)}, {sum(size > 400 for size in sizes)}", "400, 0"),
        Row("longest function, lines", str(max(functions)), "60", "tests/contract/test_sizes.py"),
        *(Row(f"files entered by {what}", str(found.entered[what]), str(wanted)) for what, wanted in WANTED.items()),
        Row(
            "files of a new kind of alert",
            str(len(recipe)),
            "4",
            "tests/contract/test_kinds.py",
        ),
        Row("statements, transactions of a quiet cycle", _of(found.cycle), "12", "tests/scenario/test_statements.py"),
        Row("of a quiet delivery", _of(found.tick), "1, 1", "tests/scenario/test_statements.py"),
    ]


WANTED = {"a quiet cycle": 40, "a post to Slack": 12, "an estimate in Slack": 24, "a click on Acknowledge": 24}


def _of(asked: Counted) -> str:
    return f"{len(asked.statements)}, {asked.begun}"


def main() -> None:
    """Print the table."""
    say = sys.stdout.write
    say("| measured | today | wanted | command |\n|---|---|---|---|\n")
    for row in rows():
        say(f"| {row.what} | {row.today} | {row.wanted} | `{row.command}` |\n")


if __name__ == "__main__":
    main()
