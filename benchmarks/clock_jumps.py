"""Check that `claude-cost run` survives jumps of the machine's clock, using libfaketime; the servers keep true time.

    python benchmarks/clock_jumps.py [--library PATH]

For each jump: seconds to an alert before it, after it and after the clock was corrected, and the number of duplicates.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp

from bot.clock import system_clock
from bot.sandbox.slack_workspace import ADMIN, NotDispatchedError
from tests.scenario.conftest import World, world_at
from tests.scenario.http_port import free_port

LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
JUMPS = (("-60 s", -60), ("-1 h", -3600), ("+2 h", 7200), ("+40 d", 40 * 86400), ("-40 d", -40 * 86400))
PATIENCE = 40


@dataclass(frozen=True, slots=True)
class Seen:
    """Results for one jump. Seconds; None: no alert in time."""

    before: float | None
    jumped: float | None
    corrected: float | None
    doubled: int
    polls_a_second: float
    note: str


async def measure(seconds: int, library: str) -> Seen:
    """Start a bot, jump the clock and correct it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stamp = folder / "stamp"
        stamp.write_text("+0\n", encoding="utf-8")
        async with world_at(system_clock, folder) as world:
            port = free_port()
            faked = {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(stamp),
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_NO_CACHE": "1",
                "CLAUDE_COST_HTTP_PORT": str(port),
            }
            async with world.running(**faked):
                await world.slack.wait_connected(seconds=60)
                before = await _next(world, 110)
                await asyncio.to_thread(stamp.write_text, f"{seconds:+d}\n", "utf-8")
                await asyncio.sleep(3)
                polls, began = len(world.anthropic.requests), time.monotonic()
                jumped = await _next(world, 110)
                await asyncio.sleep(3)
                rate = (len(world.anthropic.requests) - polls) / (time.monotonic() - began)
                note = await _note(port)
                await asyncio.to_thread(stamp.write_text, "+0\n", "utf-8")
                await asyncio.sleep(3)
                corrected = await _mode(world)
                await asyncio.sleep(3)
            firsts = Counter(post.texts[0].partition("\n")[0].split(":")[0] for post in world.posts())
            return Seen(before, jumped, corrected, sum(firsts.values()) - len(firsts), rate, note)


async def _next(world: World, usd: int) -> float | None:
    """Seconds until the alert for this spend; None: no alert."""
    posts, began = len(world.posts()), time.monotonic()
    world.spend(usd)
    try:
        await world.slack.until(lambda: len(world.posts()) > posts, PATIENCE)
    except TimeoutError:
        return None
    return time.monotonic() - began


async def _mode(world: World) -> float | None:
    posts, began = len(world.posts()), time.monotonic()
    try:
        await world.slack.command("fallback on", ADMIN)
        await world.slack.until(lambda: len(world.posts()) > posts, PATIENCE)
    except (TimeoutError, NotDispatchedError):
        return None
    return time.monotonic() - began


async def _note(port: int) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
        body = await answer.json()
        return f"{answer.status} {' '.join([*body['problems'], *body['notes']])}"


def main() -> None:
    """Print one line per jump."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", default=LIBRARY)
    parser.add_argument("--only", nargs="*", default=[name for name, _ in JUMPS], metavar="JUMP")
    arguments = parser.parse_args()
    library, only = arguments.library, arguments.only
    sys.stdout.write("jump     alert before  alert after  mode after correction  doubled  requests/s  /readyz\n")
    for name, seconds in [jump for jump in JUMPS if jump[0] in only]:
        seen = asyncio.run(measure(seconds, library))
        moments = (seen.before, seen.jumped, seen.corrected)
        times = ["none" if moment is None else f"{moment:.1f} s" for moment in moments]
        sys.stdout.write(f"{name:8} {times[0]:13} {times[1]:12} {times[2]:22} {seen.doubled:<8} ")
        sys.stdout.write(f"{seen.polls_a_second:<11.1f} {seen.note}\n")


if __name__ == "__main__":
    main()
