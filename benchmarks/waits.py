"""Measure how long a write waits during a review, and a read during a large save.

    python benchmarks/waits.py [--keys 5000] [--budgets 50] [--postgres ADDRESS] [--quick]

The waiting side is a separate process with its own connection, like another replica or a command. It writes or reads
one row every few milliseconds. The floor is its slowest turn on an idle database.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.decisions import decide, environ_of
from benchmarks.figures import Figure, emit, percentile, say
from benchmarks.world import DEFAULT_CACHE, Size, data_state, database, reading
from bot.app import bot_from
from bot.clock import HOUR, floor_hour
from bot.config.settings import Need, load_settings
from bot.db.engine import connect
from bot.db.state import StateStore
from bot.sandbox.clock import HandClock
from bot.usage.store import UsageStore

PAUSE_SECONDS = 0.005
ALONE_SECONDS = 2.0
NAME = "benchmark_waits"


def wait_in_turns(address: str, kind: str, until: Callable[[], bool]) -> list[float]:
    """Seconds of each write or read of one row."""
    engine = connect(address)
    store, usage = StateStore(engine), UsageStore(engine)
    work: Callable[[], Any] = (lambda: store.put(NAME, time.time())) if kind == "write" else usage.data_state
    took = []
    while not until():
        begun_at = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun_at)
        time.sleep(PAUSE_SECONDS)
    engine.dispose()
    return took


async def beside(
    address: str, kind: str, work: Callable[[], object] | None, seconds: float = ALONE_SECONDS
) -> list[float]:
    """Seconds measured by the waiting process during `work`, or for `seconds` without it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--wait", kind, address),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    if work is None:
        await asyncio.sleep(seconds)
    else:
        await asyncio.to_thread(work)
    out, _ = await process.communicate(b"\n")
    found: list[float] = json.loads(out)
    return found


def wait(kind: str, address: str) -> None:
    """Entry point of the child process; runs until a line arrives on its standard input."""
    ended = threading.Event()

    def end_after_a_line() -> None:
        sys.stdin.readline()
        ended.set()

    threading.Thread(target=end_after_a_line, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdout.write(json.dumps(wait_in_turns(address, kind, ended.is_set)))


async def measure(
    size: Size, budgets: int, cache: Path, postgres: str | None, alone_seconds: float = ALONE_SECONDS
) -> None:
    """Measure both waits for one size on one database."""
    where = ", PostgreSQL" if postgres else ""
    with tempfile.TemporaryDirectory() as name, database(size, Path(name), cache, postgres) as address:
        clock = HandClock(size.now)
        settings = load_settings(environ_of(size, budgets, address, Path(name)), Need.RUN)
        async with bot_from(settings, clock) as bot:
            await bot.leadership.settled()
            say(f"a write beside a review, {size}{where} …")
            bare = await beside(address, "write", None, alone_seconds)
            waits = await beside(address, "write", lambda: decide(bot, clock))
            report(f"a one-row write beside a full review: {budgets:,} budgets, {size}{where}", waits, bare)
            say(f"a read beside a save, {size}{where} …")
            bare = await beside(address, "read", None, alone_seconds)
            clock.advance(timedelta(minutes=1))
            this_hour = floor_hour(clock())
            hours: list[datetime] = [this_hour - 2 * HOUR, this_hour - HOUR, this_hour]
            found = [reading(size, hour, clock()) for hour in hours]
            state = data_state(clock())
            waits = await beside(address, "read", lambda: bot.services.usage.save(found, "admin", clock(), state, None))
            rows = sum(len(each.rows) for each in found)
            report(f"a one-row read beside a save of {rows:,} rows: {size}{where}", waits, bare)


def report(name: str, waits: list[float], bare: list[float]) -> None:
    """Print the longest wait; the floor is the longest on an idle database."""
    note = f"p99 {percentile(waits, 0.99) * 1000:.1f} ms of {len(waits)}"
    figures = [round(max(values) * 1000, 2) for values in (waits, bare)]
    emit(Figure(f"longest wait of {name}", figures[0], "ms", figures[1], 50, note=note))


def main() -> None:
    """Measure the sizes given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=5000)
    parser.add_argument("--budgets", type=int, default=50)
    parser.add_argument("--postgres", default=os.environ.get("CLAUDE_COST_TEST_POSTGRES"))
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--quick", action="store_true", help="5 keys, 2 days, 2 budgets, SQLite")
    parser.add_argument("--wait", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.wait:
        wait(*chosen.wait)
        return
    size, budgets, postgres = Size(chosen.keys), chosen.budgets, chosen.postgres
    if chosen.quick:
        size, budgets, postgres = Size(5, 2), 2, None
    for where in (None, postgres) if postgres else (None,):
        asyncio.run(measure(size, budgets, chosen.cache, where))


if __name__ == "__main__":
    main()
