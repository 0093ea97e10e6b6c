"""Print figures about the code: files, rooms that import each other, and files entered by each flow.

python benchmarks/house.py
"""

import asyncio
import statistics
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bot.clock import HOUR
from bot.notify.slack_connection import SocketMode
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_server import APP_TOKEN
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from bot.sandbox.stage import CURTAIN, Stage, set_stage
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION
from tests.contract.test_rooms import PATHS, imports, room

ROOT = Path(__file__).resolve().parents[1]

ESTIMATE = "estimate sonnet-4.6 requests=100k in=2000 out=500"


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


async def flows(entered: Entered) -> dict[str, int]:
    """Files entered by each flow, in the demo's organization."""
    clock = HandClock(CURTAIN)
    with tempfile.TemporaryDirectory() as folder:
        async with set_stage(clock, Path(folder), poll_seconds=3600) as stage:
            socket = SocketMode(stage.bot.slack, APP_TOKEN)
            await socket.connect_async()  # type: ignore[no-untyped-call]
            try:
                return await _entered(entered, stage, clock)
            finally:
                await socket.close_async()  # type: ignore[no-untyped-call]


async def _entered(entered: Entered, stage: Stage, clock: HandClock) -> dict[str, int]:
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
    while not (alerts := [each for each in stage.slack.messages if ACKNOWLEDGE_ACTION in str(each.blocks)]):
        await hour()
    found["an estimate in Slack"] = await entered.during(lambda: said(ESTIMATE))
    post = alerts[0]

    async def acknowledged() -> None:
        await stage.slack.click(post, ACKNOWLEDGE_ACTION, ADMIN)
        await stage.bot.in_flight.drain(5)
        await stage.bot.deliver()

    found["a click on Acknowledge"] = await entered.during(acknowledged)
    return found


def main() -> None:
    """Print the figures."""
    sizes = [len(path.read_text(encoding="utf-8").splitlines()) for path in PATHS.values() if path.stem != "__init__"]
    pairs = {(room(one), room(other)) for one in PATHS for other in imports(one) & PATHS.keys()}
    mutual = {(one, other) for one, other in pairs if one < other and (other, one) in pairs}
    say = sys.stdout.write
    say(f"source files: {len(sizes)}, median {statistics.median(sizes):.0f} lines, largest {max(sizes)}\n")
    say(f"pairs of rooms that import each other: {len(mutual)}\n")
    for what, count in asyncio.run(flows(Entered())).items():
        say(f"files entered by {what}: {count}\n")


if __name__ == "__main__":
    main()
